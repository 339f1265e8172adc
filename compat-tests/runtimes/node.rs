//! Tests Node.js projects with workspaces under each package manager, with a local registry and empty caches.

use crate::support::machine::need;
use crate::support::package_managers::{BERRY, MANAGERS, asking, registry_with_ms, with_managers};
use crate::support::project::Project;
use crate::support::web::Web;

/// Two members that want different versions of one package, and the registry that has them.
fn workspace() -> (Project, Web) {
    let project = Project::new().with_toolchains();
    let registry = registry_with_ms(&project);
    let project = asking(project, &registry)
        .ini(
            "[testenv]\nruntime = node\n[testenv:root]\ncommands =\n  node -e 'console.log(require(\"one\"))'\n  \
             node members/two/look.mjs\n  tool\n[testenv:member]\nchange_dir = members/one\ncommands =\n  \
             node -e 'console.log(require(\"one\"))'\n",
        )
        .file(
            "package.json",
            r#"{"name": "root", "private": true, "workspaces": ["members/*"], "dependencies": {"one": "1.0.0", "two": "1.0.0"}}"#,
        )
        .file(
            "members/one/package.json",
            r#"{"name": "one", "version": "1.0.0", "bin": {"tool": "tool.js"}, "dependencies": {"ms": "2.0.0", "two": "1.0.0"}}"#,
        )
        .file(
            "members/one/index.js",
            "module.exports = `one with ms ${require('ms/package.json').version}, ${require('two')}`;\n",
        )
        .file("members/one/tool.js", "#!/usr/bin/env node\nconsole.log('the tool');\n")
        .file("members/two/package.json", r#"{"name": "two", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}}"#)
        .file("members/two/index.js", "module.exports = `two with ms ${require('ms/package.json').version}`;\n")
        .file("members/two/look.mjs", "import ms from 'ms';\nimport two from 'two';\nconsole.log('imported', ms(1), two);\n");
    (project, registry)
}

#[track_caller]
fn works(project: &Project, installs: &str) {
    let outcome = project.run(["run", "-e", "root,member"]).succeeds().says(installs).says("the tool");
    let both = "one with ms 2.0.0, two with ms 2.1.3";
    assert_eq!(outcome.stdout.matches(both).count(), 2, "{outcome:?}");
    assert!(outcome.stdout.contains("imported 1ms two with ms 2.1.3"), "{outcome:?}");
    for foreign in ["node_modules", "members/one/node_modules", "members/two/node_modules"] {
        assert!(!project.path(foreign).exists(), "{foreign} was left beside the sources");
    }
    project.run(["run", "-e", "root,member"]).succeeds().never_says(installs);
}

/// The caches being warm, the registry need not answer.
fn works_offline(project: &Project, registry: &Web, installs: &str) {
    registry.close();
    project.run(["run", "-r", "-e", "root"]).succeeds().says(installs).says("two with ms 2.1.3");
    registry.reopen();
}

#[test]
fn workspaces_of_npm_are_installed_away_from_their_sources() {
    need(&["node", "npm"]);
    let (project, registry) = workspace();
    project.run_program("npm", &["install", "--package-lock-only", "--no-audit", "--no-fund"]).succeeds();
    works(&project, "npm ci");
    // Offline, the cache being warm; frozen, as the lock says.
    registry.close();
    let offline = project.variable("NPM_CONFIG_OFFLINE", "true");
    offline.run(["run", "-r", "-e", "root"]).succeeds().says("npm ci").says("two with ms 2.1.3");
}

#[test]
fn links_in_a_circle_among_the_members_of_a_workspace_are_followed_once() {
    need(&["node", "npm"]);
    for pattern in ["members/*", "**"] {
        let (project, _registry) = workspace();
        for (target, link) in [(".", "members/circle"), ("..", "members/one/up"), ("../..", "members/two/root")] {
            std::os::unix::fs::symlink(target, project.path(link)).expect("a link can be made");
        }
        let manifest = std::fs::read_to_string(project.path("package.json")).expect("it is there");
        let project = project.file("package.json", &manifest.replace("members/*", pattern));
        let limited = format!("ulimit -t 60; exec '{}' run -e root", env!("CARGO_BIN_EXE_envo"));
        project.run_program("bash", &["-c", &limited]).succeeds().says("one with ms 2.0.0, two with ms 2.1.3");
    }
}

#[test]
fn workspaces_of_pnpm_are_installed_as_their_lock_says() {
    need(&["node", "npm"]);
    let (project, registry) = workspace();
    let project = with_managers(project, &MANAGERS).file("pnpm-workspace.yaml", "packages:\n  - 'members/*'\n").file(
        "package.json",
        r#"{"name": "root", "private": true, "dependencies": {"one": "workspace:*", "two": "workspace:*"}}"#,
    );
    let project = project.file(
        "members/one/package.json",
        r#"{"name": "one", "version": "1.0.0", "bin": {"tool": "tool.js"}, "dependencies": {"ms": "2.0.0", "two": "workspace:*"}}"#,
    );
    project.run_program("chmod", &["+x", "members/one/tool.js"]).succeeds();
    project.run_program("pnpm", &["install", "--lockfile-only"]).succeeds();
    works(&project, "pnpm install --frozen-lockfile");
    works_offline(&project, &registry, "pnpm install --frozen-lockfile");
    let project = project.file("members/two/package.json", r#"{"name": "two", "dependencies": {"ms": "2.1.2"}}"#);
    let failed = project.run(["run", "-e", "root"]).ends_with(1);
    failed.says("which installs what `pnpm-lock.yaml` names").explains("`pnpm install --lockfile-only`");
}

#[test]
fn workspaces_of_yarn_are_installed_as_their_lock_says() {
    need(&["node", "npm"]);
    let (project, registry) = workspace();
    let project = with_managers(project, &MANAGERS);
    project.run_program("chmod", &["+x", "members/one/tool.js"]).succeeds();
    project.run_program("yarn", &["install", "--non-interactive", "--no-progress"]).succeeds();
    for folder in ["node_modules", "members/one/node_modules", "members/two/node_modules"] {
        let _ = std::fs::remove_dir_all(project.path(folder));
    }
    works(&project, "yarn install --frozen-lockfile");
    works_offline(&project, &registry, "yarn install --frozen-lockfile");
    // What a member wants besides, yarn 1 does not notice.
    let project = project.file(
        "package.json",
        r#"{"name": "root", "private": true, "workspaces": ["members/*"], "dependencies": {"ms": "2.1.2"}}"#,
    );
    let failed = project.run(["run", "-e", "root"]).ends_with(1);
    failed.says("which installs what `yarn.lock` names").explains("bring it up to date with `yarn install`");
}

#[test]
fn a_project_of_yarn_4_is_installed_into_node_modules_as_its_lock_says() {
    need(&["node", "npm"]);
    let project = with_managers(Project::new().with_toolchains(), &BERRY);
    let registry = registry_with_ms(&project);
    let project = asking(project, &registry)
        .ini("[testenv:root]\nruntime = node\ncommands = node -e 'console.log(\"two with ms\", require(\"ms/package.json\").version)'\n")
        .file(".yarnrc.yml", "enableGlobalCache: true\n")
        .file("package.json", r#"{"name": "app", "packageManager": "yarn@4.9.2", "dependencies": {"ms": "2.1.3"}}"#);
    // yarn writes the lock, which counts from then on, only into the environment: the project has none yet.
    project.run(["run", "-e", "root"]).succeeds().says("yarn install --no-immutable").says("two with ms 2.1.3");
    std::fs::copy(project.path(".tox/root/node/yarn.lock"), project.path("yarn.lock")).expect("yarn wrote it");
    project.run(["run", "-e", "root"]).succeeds().says("yarn install --immutable").says("two with ms 2.1.3");
    works_offline(&project, &registry, "yarn install --immutable");
    let project = project
        .file("package.json", r#"{"name": "app", "packageManager": "yarn@4.9.2", "dependencies": {"ms": "2.1.2"}}"#);
    let failed = project.run(["run", "-e", "root"]).ends_with(1);
    failed.says("which installs what `yarn.lock` names").explains("`yarn install --mode=update-lockfile`");
    assert!(!project.path("node_modules").exists() && !project.path(".yarn").exists());
}
