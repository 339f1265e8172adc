//! Projects of Node.js with workspaces, under each package manager; the registry they ask is the one of the machine.

use std::process::Command;

use crate::machine::need;
use crate::package_managers::{BERRY, MANAGERS, with_managers};
use crate::project::Project;

/// Two members that want different versions of one package.
fn workspace() -> Project {
    Project::new()
        .with_toolchains()
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
        .file("members/two/look.mjs", "import ms from 'ms';\nimport two from 'two';\nconsole.log('imported', ms(1), two);\n")
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

/// The caches being warm, no registry is asked.
fn works_offline(project: Project, installs: &str) -> Project {
    let nowhere = "http://127.0.0.1:9";
    let names = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY"];
    let project = names.into_iter().fold(project, |project, name| project.variable(name, nowhere));
    let project = project.variable("no_proxy", "").variable("NO_PROXY", "");
    project.run(["run", "-r", "-e", "root"]).succeeds().says(installs).says("two with ms 2.1.3");
    project
}

/// Runs a package manager in the project, as its user would.
fn by_hand(project: &Project, argv: &[&str]) {
    let path = std::env::join_paths(
        std::iter::once(MANAGERS.clone()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let status = Command::new("env")
        .args(argv)
        .current_dir(project.root())
        .env("PATH", path.expect("no folder's name has a colon"))
        .status()
        .expect("the package manager can be started");
    assert!(status.success(), "{argv:?}");
}

#[test]
fn workspaces_of_npm_are_installed_away_from_their_sources() {
    need(&["node", "npm"]);
    let project = workspace();
    by_hand(&project, &["npm", "install", "--package-lock-only", "--no-audit", "--no-fund"]);
    works(&project, "npm ci");
    // Offline, the cache being warm; frozen, as the lock says.
    let offline = project.variable("NPM_CONFIG_OFFLINE", "true");
    offline.run(["run", "-r", "-e", "root"]).succeeds().says("npm ci").says("two with ms 2.1.3");
}

#[test]
fn workspaces_of_pnpm_are_installed_as_their_lock_says() {
    need(&["node", "npm"]);
    let project =
        with_managers(workspace(), &MANAGERS).file("pnpm-workspace.yaml", "packages:\n  - 'members/*'\n").file(
            "package.json",
            r#"{"name": "root", "private": true, "dependencies": {"one": "workspace:*", "two": "workspace:*"}}"#,
        );
    let project = project.file(
        "members/one/package.json",
        r#"{"name": "one", "version": "1.0.0", "bin": {"tool": "tool.js"}, "dependencies": {"ms": "2.0.0", "two": "workspace:*"}}"#,
    );
    by_hand(&project, &["chmod", "+x", "members/one/tool.js"]);
    by_hand(&project, &["pnpm", "install", "--lockfile-only"]);
    works(&project, "pnpm install --frozen-lockfile");
    let project = works_offline(project, "pnpm install --frozen-lockfile");
    let project = project.file("members/two/package.json", r#"{"name": "two", "dependencies": {"ms": "2.1.2"}}"#);
    let failed = project.run(["run", "-e", "root"]).ends_with(1);
    failed.says("which installs what `pnpm-lock.yaml` names").explains("`pnpm install --lockfile-only`");
}

#[test]
fn workspaces_of_yarn_are_installed_as_their_lock_says() {
    need(&["node", "npm"]);
    let project = with_managers(workspace(), &MANAGERS);
    by_hand(&project, &["chmod", "+x", "members/one/tool.js"]);
    by_hand(&project, &["yarn", "install", "--non-interactive", "--no-progress"]);
    for folder in ["node_modules", "members/one/node_modules", "members/two/node_modules"] {
        let _ = std::fs::remove_dir_all(project.path(folder));
    }
    works(&project, "yarn install --frozen-lockfile");
    let project = works_offline(project, "yarn install --frozen-lockfile");
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
    let project = with_managers(Project::new().with_toolchains(), &BERRY)
        .variable("YARN_ENABLE_TELEMETRY", "0")
        .ini("[testenv:root]\nruntime = node\ncommands = node -e 'console.log(\"two with ms\", require(\"ms/package.json\").version)'\n")
        .file(".yarnrc.yml", "enableGlobalCache: true\n")
        .file("package.json", r#"{"name": "app", "packageManager": "yarn@4.9.2", "dependencies": {"ms": "2.1.3"}}"#);
    // yarn writes the lock, which counts from then on, only into the environment: the project has none yet.
    project.run(["run", "-e", "root"]).succeeds().says("yarn install --no-immutable").says("two with ms 2.1.3");
    std::fs::copy(project.path(".tox/root/node/yarn.lock"), project.path("yarn.lock")).expect("yarn wrote it");
    project.run(["run", "-e", "root"]).succeeds().says("yarn install --immutable").says("two with ms 2.1.3");
    let project = works_offline(project, "yarn install --immutable");
    let project = project
        .file("package.json", r#"{"name": "app", "packageManager": "yarn@4.9.2", "dependencies": {"ms": "2.1.2"}}"#);
    let failed = project.run(["run", "-e", "root"]).ends_with(1);
    failed.says("which installs what `yarn.lock` names").explains("`yarn install --mode=update-lockfile`");
    assert!(!project.path("node_modules").exists() && !project.path(".yarn").exists());
}
