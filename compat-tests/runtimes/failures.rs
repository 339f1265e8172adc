//! Tests failures in environments of other runtimes: each error names the environment, the setting with its location
//! and a remedy, and the previous installation stays usable.

use crate::support::machine::need;
use crate::support::project::Project;

/// A failing installation of `environment`, whose setting stands in that line of `tox.ini`.
#[track_caller]
pub fn fails(project: &Project, (environment, line): (&str, usize), (names, help): (&str, &str)) {
    let failed = project.run(["run", "-e", environment]);
    assert!(!matches!(failed.code, Some(0) | None), "{failed:?}");
    failed
        .says(names)
        .says(&format!("for {environment}; what was installed before is left as it was"))
        .explains(&format!("[ROOT]/tox.ini:{line}:"))
        .explains(help);
}

/// What was installed before still does its work.
#[track_caller]
pub fn still_works(project: &Project, environment: &str, says: &str) {
    project.run(["run", "-e", environment, "--skip-env-install"]).succeeds().says(says);
}

const GREET: &str = r#"{"name": "greet", "version": "1.0.0"}"#;

#[test]
fn a_lock_of_npm_out_of_step() {
    need(&["node", "npm"]);
    let manifest = |more: &str| {
        format!(r#"{{"name": "a", "version": "1.0.0", "dependencies": {{"greet": "file:./greet"{more}}}}}"#)
    };
    let lock = r#"{"name": "a", "version": "1.0.0", "lockfileVersion": 3, "packages": {
        "": {"name": "a", "version": "1.0.0", "dependencies": {"greet": "file:./greet"}},
        "greet": {"version": "1.0.0"}, "node_modules/greet": {"resolved": "greet", "link": true}}}"#;
    let project = Project::new()
        .ini("[testenv:js]\nruntime = node\ncommands = node -e 'console.log(require(\"greet\"))'\n")
        .file("package.json", &manifest(""))
        .file("package-lock.json", lock)
        .file("greet/package.json", GREET)
        .file("greet/index.js", "module.exports = 'hello';\n")
        .file("other/package.json", r#"{"name": "other", "version": "1.0.0"}"#);
    project.run(["run", "-e", "js"]).succeeds().says("npm ci").says("hello");
    let project = project.file("package.json", &manifest(r#", "other": "file:./other""#));
    fails(
        &project,
        ("js", 2),
        ("which installs what `package-lock.json` names", "bring it up to date with `npm install --package-lock-only`"),
    );
    still_works(&project, "js", "hello");
    // The failure is not taken for done.
    fails(&project, ("js", 2), ("npm ci", "package-lock"));
    let project = project.file("package.json", &manifest(""));
    project.run(["run", "-e", "js"]).succeeds().says("hello").never_says("npm ci");
}

#[test]
fn a_version_that_npm_does_not_have_and_a_registry_out_of_reach() {
    need(&["node", "npm"]);
    let ini = |deps: &str, set_env: &str| {
        format!(
            "[testenv:js]\nruntime = node\nnode_deps = {deps}\nset_env =\n  npm_config_fetch_retries=0\n{set_env}\
             commands = node -e 'console.log(require(\"greet\"))'\n"
        )
    };
    let project = Project::new()
        .with_toolchains()
        .ini(&ini("./greet", ""))
        .file("greet/package.json", GREET)
        .file("greet/index.js", "module.exports = 'hello';\n");
    project.run(["run", "-e", "js"]).succeeds().says("hello");
    let project = project.ini(&ini("ms@99999", ""));
    fails(&project, ("js", 3), ("which installs what `node_deps` names", "there is no such package or version"));
    let unreachable = "  npm_config_registry=http://127.0.0.1:9/\n  npm_config_noproxy=127.0.0.1\n  \
                       npm_config_cache={env_tmp_dir}/empty\n";
    let project = project.ini(&ini("ms@2", unreachable));
    fails(&project, ("js", 3), ("npm install", "the index could not be reached"));
    still_works(&project, "js", "hello");
}

#[test]
fn a_gemfile_out_of_step_with_its_lock() {
    need(&["ruby", "bundle"]);
    let gemspec = |name: &str| {
        format!(
            "Gem::Specification.new do |gem|\n  gem.name = '{name}'\n  gem.version = '1.0'\n  gem.summary = 'x'\n  \
             gem.authors = ['x']\n  gem.files = ['lib/{name}.rb']\nend\n"
        )
    };
    let project = Project::new()
        .ini("[testenv:rb]\nruntime = ruby\ncommands = bundle exec ruby -e 'require \"fruit\"; puts FRUIT'\n")
        .file("Gemfile", "gem 'fruit', path: 'fruit'\n")
        .file("fruit/fruit.gemspec", &gemspec("fruit"))
        .file("fruit/lib/fruit.rb", "FRUIT = 'apple'\n")
        .file("nut/nut.gemspec", &gemspec("nut"));
    // Bundler writes the lock that counts from then on.
    project.run(["run", "-e", "rb"]).succeeds().says("apple");
    project.run(["run", "-e", "rb"]).succeeds().never_says("bundle install");
    let project = project.file("Gemfile", "gem 'fruit', path: 'fruit'\ngem 'nut', path: 'nut'\n");
    fails(&project, ("rb", 2), ("which installs what `Gemfile.lock` names", "bring it up to date with `bundle lock`"));
    let project = project.file("Gemfile", "gem 'fruit', path: 'fruit'\n");
    still_works(&project, "rb", "apple");
}

#[test]
fn a_gem_whose_native_part_does_not_compile() {
    need(&["ruby", "gem"]);
    let gemspec = |version: &str, more: &str| {
        format!(
            "Gem::Specification.new do |gem|\n  gem.name = 'fruit'\n  gem.version = '{version}'\n  gem.summary = 'x'\n  \
             gem.authors = ['x']\n  gem.files = ['lib/fruit.rb', 'ext/extconf.rb']\n{more}end\n"
        )
    };
    let ini = |version: &str| {
        format!(
            "[testenv:gem]\nruntime = ruby\nchange_dir = fruit\ncommands = gem build --quiet --output \
             {{tox_root}}{{/}}fruit-{version}.gem fruit.gemspec\n[testenv:rb]\nruntime = ruby\n\
             ruby_deps = ./fruit-{version}.gem\ncommands = ruby -r fruit -e 'puts FRUIT'\n"
        )
    };
    let project = Project::new()
        .ini(&ini("1.0"))
        .file("fruit/fruit.gemspec", &gemspec("1.0", ""))
        .file("fruit/lib/fruit.rb", "FRUIT = 'apple'\n")
        .file("fruit/ext/extconf.rb", "abort 'no compiler for this'\n");
    project.run(["run", "-e", "gem,rb"]).succeeds().says("apple");
    let native = "  gem.extensions = ['ext/extconf.rb']\n";
    let project = project.ini(&ini("2.0")).file("fruit/fruit.gemspec", &gemspec("2.0", native));
    project.run(["run", "-e", "gem"]).succeeds();
    fails(&project, ("rb", 7), ("which installs what `ruby_deps` names", "something did not compile"));
    still_works(&project, "rb", "apple");
}

#[test]
fn a_module_out_of_step_and_a_proxy_that_is_off() {
    need(&["go"]);
    let go_mod = |more: &str| format!("module example.org/app\n\ngo 1.18\n\nrequire example.org/a v1.0.0\n{more}");
    let replaced = "replace example.org/a => ./a\nreplace example.org/b => ./b\n";
    let project = Project::new()
        .ini("[testenv:go]\nruntime = go\nset_env =\n  GOPROXY=off\n  GOFLAGS=-mod=mod\ncommands = go run .\n")
        .file("go.mod", &go_mod(&format!("require example.org/b v1.0.0\n{replaced}")))
        .file("main.go", "package main\n\nimport \"example.org/a\"\n\nfunc main() { println(a.Name) }\n")
        .file("a/go.mod", "module example.org/a\n\ngo 1.18\n\nrequire example.org/b v1.0.0\n")
        .file("a/a.go", "package a\n\nimport \"example.org/b\"\n\nconst Name = \"a of \" + b.Name\n")
        .file("b/go.mod", "module example.org/b\n\ngo 1.18\n")
        .file("b/b.go", "package b\n\nconst Name = \"b\"\n");
    let right = project.run(["run", "-e", "go"]).succeeds();
    assert!(right.stderr.contains("a of b"), "{right:?}");
    let project = project.file("go.mod", &go_mod(replaced));
    fails(&project, ("go", 2), ("which installs what `go.sum` names", "bring it up to date with `go mod tidy`"));
    let project = project.file("go.mod", &go_mod("require example.org/none v1.0.0\n"));
    fails(&project, ("go", 2), ("go mod download", "the index could not be reached"));
}

#[test]
fn a_cargo_lock_out_of_step_and_a_tool_that_does_not_compile() {
    let package = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n{more}")
    };
    let project = Project::new()
        .with_toolchains()
        .ini("[testenv:rs]\nruntime = rust\nrust_deps = ./tool\ncommands = tool\n")
        .file("Cargo.toml", &package("app", "").replace("[dependencies]", "[workspace]\n\n[dependencies]"))
        .file("Cargo.lock", "version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n")
        .file("src/lib.rs", "")
        .file("other/Cargo.toml", &package("other", ""))
        .file("other/src/lib.rs", "")
        .file("tool/Cargo.toml", &package("tool", "").replace("[dependencies]", "[workspace]\n\n[dependencies]"))
        .file("tool/src/main.rs", "fn main() {\n    println!(\"the tool\");\n}\n");
    project.run(["run", "-e", "rs"]).succeeds().says("the tool");
    let project = project.file("tool/src/main.rs", "fn main() {\n    nothing();\n}\n");
    fails(&project, ("rs", 3), ("which installs what `rust_deps` names", "something did not compile"));
    still_works(&project, "rs", "the tool");
    let wrong =
        package("app", "other = { path = \"other\" }\n").replace("[dependencies]", "[workspace]\n\n[dependencies]");
    let project = project.file("Cargo.toml", &wrong);
    fails(
        &project,
        ("rs", 2),
        ("which installs what `Cargo.lock` names", "bring it up to date with `cargo update --workspace`"),
    );
    still_works(&project, "rs", "the tool");
}

#[test]
fn a_package_manager_that_is_not_there() {
    need(&["node", "npm"]);
    let project = Project::new()
        .ini("[testenv:js]\nruntime = node\nset_env =\n  PATH={env_dir}{/}bin\ncommands = node --version\n")
        .file("package.json", r#"{"packageManager": "pnpm@9.0.0", "dependencies": {"ms": "2"}}"#);
    fails(
        &project,
        ("js", 2),
        ("`pnpm` was not found, which `package.json` needs", "install `pnpm`, or put it on PATH"),
    );
}
