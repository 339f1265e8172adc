//! Tests the project as a package of Node.js, Ruby, Go or Rust: built once, installed where it is tested.

use crate::support::machine::need;
use crate::support::project::Project;

const GEMSPEC: &str = "Gem::Specification.new do |gem|\n  gem.name = 'fruit'\n  gem.version = '1.0'\n  gem.summary = 'fruit'\n  \
                       gem.authors = ['x']\n  gem.files = ['lib/fruit.rb']\nend\n";

fn of_node() -> Project {
    Project::new()
        .with_toolchains()
        .ini(
            "[tox]\nenv_list = one, two\n[testenv]\nruntime = node\npackage = npm\ncommands =\n  \
             node -e 'console.log(\"got\", require(\"fruit\"), require.resolve(\"fruit\"))'\n  fruit\n",
        )
        .file(
            "package.json",
            r#"{"name": "fruit", "version": "1.0.0", "main": "made.js", "bin": {"fruit": "cli.js"},
                "files": ["made.js", "cli.js"], "scripts": {"prepack": "node make.js"}}"#,
        )
        .file("make.js", "require('fs').writeFileSync('made.js', 'module.exports = \"apple\"');\n")
        .file("cli.js", "#!/usr/bin/env node\nconsole.log('cli', require('./made.js'));\n")
}

#[test]
fn a_package_of_npm_is_built_once_and_installed_into_each_environment() {
    need(&["node", "npm"]);
    let project = of_node();
    let outcome = project.run(["run"]).succeeds().says("cli apple");
    assert_eq!(outcome.stdout.matches("npm pack").count(), 1, "{outcome:?}");
    for environment in ["one", "two"] {
        outcome.clone().says(&format!("got apple [ROOT]/.tox/{environment}/node/node_modules/fruit/made.js"));
    }
    // The same package is not installed again, another one is.
    project.run(["run"]).succeeds().says("npm pack").never_says("npm install");
    let project = project.file("make.js", "require('fs').writeFileSync('made.js', 'module.exports = \"pear\"');\n");
    project.run(["p"]).succeeds().says("one: OK").says("two: OK");
    project.run(["run", "-e", "two"]).succeeds().says("got pear").says("cli pear");
}

#[test]
fn packages_are_left_out_given_or_only_built_as_the_command_line_says() {
    need(&["node", "npm"]);
    let project = of_node();
    project.run(["run", "-e", "one", "--sdistonly"]).succeeds().says("npm pack").never_says("file:");
    let skipped = project.run(["run", "-e", "one", "--skip-pkg-install"]);
    skipped.says("skip building and installing the package").never_says("npm pack");
    let dist = project.path(".tox/.pkg-npm-node/dist");
    let built = std::fs::read_dir(dist).unwrap().flatten().next().unwrap().path().join("fruit-1.0.0.tgz");
    let built = built.display().to_string();
    project.run(["run", "-e", "one", "--installpkg", &built]).succeeds().says("got apple").never_says("npm pack");
    project.run(["run", "-e", "one", "--installpkg", "tox.ini"]).ends_with(1).says("needs a `*.tgz` file");
    let shown = project.run(["config", "-e", "one", "-k", "package"]).succeeds();
    assert!(shown.stdout.ends_with("package = npm\n"), "{shown:?}");
    let result = project.path("result.json");
    project.run(["run", "-e", "one", "--result-json", result.to_str().unwrap()]).succeeds();
    let result = std::fs::read_to_string(result).unwrap();
    assert!(result.contains("\"basename\": \"fruit-1.0.0.tgz\""), "{result}");
}

#[test]
fn a_gem_is_built_and_installed() {
    need(&["ruby", "gem"]);
    let project = Project::new()
        .ini(
            "[testenv:rb]\nruntime = ruby\npackage = gem\ncommands =\n  \
             ruby -rfruit -e 'puts FRUIT, Gem.loaded_specs[\"fruit\"].full_gem_path'\n",
        )
        .file("fruit.gemspec", GEMSPEC)
        .file("lib/fruit.rb", "FRUIT = 'apple'\n");
    let outcome = project.run(["run", "-e", "rb"]).succeeds();
    outcome.says("apple").says("[ROOT]/.tox/rb/ruby/gems/fruit-1.0");
    project.run(["run", "-e", "rb"]).succeeds().says("gem build").never_says("gem install");
    let project = project.file("lib/fruit.rb", "FRUIT = 'a pear'\n");
    project.run(["run", "-e", "rb"]).succeeds().says("gem install").says("a pear");
    assert!(!project.path("fruit.gem").exists() && !project.path("fruit-1.0.gem").exists());
}

#[test]
fn a_gem_that_cannot_be_installed_leaves_what_was_there() {
    need(&["ruby", "gem"]);
    let project = Project::new()
        .ini("[testenv:rb]\nruntime = ruby\npackage = gem\ncommands = ruby -rfruit -e 'puts FRUIT'\n")
        .file("fruit.gemspec", GEMSPEC)
        .file("lib/fruit.rb", "FRUIT = 'apple'\n");
    project.run(["run", "-e", "rb"]).succeeds().says("apple");
    let native =
        GEMSPEC.replace("gem.files = [", "gem.extensions = ['ext/extconf.rb']\n  gem.files = ['ext/extconf.rb', ");
    let project = project
        .file("fruit.gemspec", &native)
        .file("ext/extconf.rb", "abort 'no compiler for this'\n")
        .file("lib/fruit.rb", "FRUIT = 'pear'\n");
    for _ in 0..2 {
        let failed = project.run(["run", "-e", "rb"]).ends_with(1);
        let failed =
            failed.says("which installs what `package` names for rb; what was installed before is left as it was");
        failed.explains("tox.ini:3:").explains("help: something did not compile");
        project.run(["run", "-e", "rb", "--skip-pkg-install"]).succeeds().says("apple");
    }
    let project = project.file("fruit.gemspec", GEMSPEC);
    project.run(["run", "-e", "rb"]).succeeds().says("pear");
}

#[test]
fn programs_of_go_and_rust_are_built_and_found() {
    need(&["go"]);
    let project = Project::new()
        .with_toolchains()
        .ini(
            "[tox]\nenv_list = go, again, rs\n[testenv]\nruntime = go\npackage = binary\nchange_dir = g\ncommands = fruit\n\
             [testenv:rs]\nruntime = rust\nchange_dir = r\ncommands = nut\n",
        )
        .file("g/go.mod", "module example.org/fruit\n\ngo 1.18\n")
        .file("g/main.go", "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"an apple\") }\n")
        .file("r/Cargo.toml", "[package]\nname = \"nut\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
        .file("r/src/main.rs", "fn main() {\n    println!(\"a walnut\");\n}\n");
    let outcome = project.run(["run"]).succeeds().says("an apple").says("a walnut");
    assert_eq!(outcome.stdout.matches("go build").count(), 1, "{outcome:?}");
    assert!(project.path(".tox/again/go/bin/fruit").is_file() && project.path(".tox/rs/rust/bin/nut").is_file());
    assert!(!project.path("r/target").exists() && !project.path("g/fruit").exists());
    let project = project.file("r/src/main.rs", "fn main() {\n    println!(\"a hazelnut\");\n}\n");
    project.run(["run", "-e", "rs"]).succeeds().says("a hazelnut");
}

#[test]
fn a_package_that_cannot_be_built_is_named_with_its_place_and_what_was_there_stays() {
    need(&["go"]);
    let ini = |package: &str| {
        format!("[testenv:go]\nruntime = go\npackage = {package}\nallowlist_externals = *\ncommands = fruit\n")
    };
    let source =
        |body: &str| format!("package main\n\nimport \"fmt\"\n\nfunc main() {{ fmt.Println(\"apple\"){body} }}\n");
    let project = Project::new()
        .ini(&ini("binary"))
        .file("go.mod", "module example.org/fruit\n\ngo 1.18\n")
        .file("main.go", &source(""));
    project.run(["run", "-e", "go"]).succeeds().says("apple");
    let project = project.file("main.go", &source("; nothing()"));
    let failed = project.run(["run", "-e", "go"]).ends_with(2);
    let failed = failed.says("which builds what `go.mod` names for go; what was installed before is left as it was");
    failed.explains("tox.ini:3:").explains("help: something did not compile");
    project.run(["run", "-e", "go", "--skip-pkg-install"]).succeeds().says("apple");
    let project = project.ini(&ini("binry"));
    let failed = project.run(["run", "-e", "go"]).ends_with(1);
    failed
        .says("`package = binry` of go is not a package format of its `runtime`")
        .explains("tox.ini:3:")
        .explains("binary (go)");
}

#[test]
fn a_package_of_npm_that_cannot_be_installed_leaves_what_was_there() {
    need(&["node", "npm"]);
    let ini = |deps: &str| {
        format!(
            "[testenv:js]\nruntime = node\npackage = npm\n{deps}commands = node -e 'console.log(\"got\", require(\"fruit\"))'\n"
        )
    };
    let manifest = |more: &str| {
        format!(r#"{{"name": "fruit", "version": "1.0.0", "main": "fruit.js", "files": ["fruit.js"]{more}}}"#)
    };
    let broken = manifest(r#", "scripts": {"postinstall": "echo half > half; exit 3"}"#);
    let project = Project::new()
        .ini(&ini(""))
        .file("package.json", &manifest(""))
        .file("fruit.js", "module.exports = 'apple';\n")
        .file("greet/package.json", r#"{"name": "greet", "version": "1.0.0"}"#);
    project.run(["run", "-e", "js"]).succeeds().says("got apple");
    let project = project.file("package.json", &broken).file("fruit.js", "module.exports = 'pear';\n");
    let fails = |project: &Project| {
        let failed = project.run(["run", "-e", "js"]);
        assert!(!matches!(failed.code, Some(0) | None), "{failed:?}");
        let failed =
            failed.says("which installs what `package` names for js; what was installed before is left as it was");
        failed.explains("tox.ini:3:").explains("help: something did not compile");
        project.run(["run", "-e", "js", "--skip-env-install"]).succeeds().says("got apple");
    };
    // The manifest changed, so the dependencies are installed again first.
    fails(&project);
    fails(&project);
    let project = project.ini(&ini("node_deps = ./greet\n"));
    fails(&project);
    let project = project.file("package.json", &manifest(""));
    project.run(["run", "-e", "js"]).succeeds().says("got pear");
    assert!(!project.path(".tox/js/.previous-node").exists() && !project.path(".tox/js/.unfinished-node").exists());
}

#[test]
fn what_is_no_package_of_python_is_refused_there_in_toxs_words() {
    let project = Project::new().ini("[testenv:py]\nruntime = python\npackage = npm\n[testenv:plain]\npackage = gem\n");
    for environment in ["py", "plain"] {
        let failed = project.run(["config", "-e", environment, "-k", "package"]);
        let all = failed.stdout + &failed.stderr;
        assert!(all.contains("invalid package config type") && all.contains("must be one of wheel, sdist"), "{all}");
    }
}
