//! Tests environments with the machine's real Node.js, Ruby, Go and Rust.

use std::path::Path;

use crate::support::machine::need;
use crate::support::project::Project;

#[test]
fn five_languages_serve_one_application() {
    need(&["node", "npm", "ruby", "bundle", "go"]);
    let project = Project::fixture("polyglot").with_toolchains().with_kept_cache();
    let outcome = project.run(["run"]).succeeds().says("gems: OK").says("app: OK");
    assert!(outcome.stderr.contains("Ran 5 tests") || outcome.stdout.contains("Ran 5 tests"), "{outcome:?}");
    assert_eq!(project.processes(), [] as [&str; 0]);
    for foreign in ["shop/node_modules", "page/node_modules", "ledger/target", "rates/rates"] {
        assert!(!project.path(foreign).exists(), "{foreign} was left beside the sources");
    }
    // Nothing is installed twice.
    project.run(["run"]).succeeds().never_says("npm ci").never_says("bundle install").never_says("cargo fetch");
}

#[test]
fn packages_of_npm_are_found_by_require_and_by_import() {
    need(&["node", "npm"]);
    let project = Project::new()
        .ini(
            "[tox]\nno_package = true\n[testenv:js]\nruntime = node\nnode_deps = ./greet\ncommands =\n  \
             node -e 'console.log(\"required\", require(\"greet\"))'\n  node look.mjs\n",
        )
        .file("greet/package.json", r#"{"name": "greet", "version": "1.0.0", "main": "index.js"}"#)
        .file("greet/index.js", "module.exports = 'hello';\n")
        .file("look.mjs", "import greet from 'greet';\nconsole.log('imported', greet);\n");
    project.run(["run", "-e", "js"]).succeeds().says("required hello").says("imported hello");
    assert!(!project.path("node_modules").exists());
    project.run(["run", "-e", "js"]).succeeds().never_says("npm install");
    let project = project.file("greet/index.js", "module.exports = 'other';\n");
    project.run(["run", "-r", "-e", "js"]).succeeds().says("required other");
}

#[test]
fn a_failing_installation_leaves_what_was_there() {
    need(&["node", "npm"]);
    let ini = |deps: &str| {
        format!(
            "[tox]\nno_package = true\n[testenv:js]\nruntime = node\nnode_deps = {deps}\n\
             commands = node -e 'console.log(require(\"greet\"))'\n"
        )
    };
    let project = Project::new()
        .ini(&ini("./greet"))
        .file("greet/package.json", r#"{"name": "greet", "version": "1.0.0"}"#)
        .file("greet/index.js", "module.exports = 'hello';\n");
    project.run(["run", "-e", "js"]).succeeds();
    let project = project.ini(&ini("./missing"));
    let failed = project.run(["run", "-e", "js"]).ends_with(254);
    assert!(
        failed
            .stdout
            .contains("which installs what `node_deps` names for js; what was installed before is left as it was"),
        "{failed:?}"
    );
    let project = project.ini(&ini("./greet"));
    project.run(["run", "-e", "js"]).succeeds().says("hello").never_says("npm install");
}

#[test]
fn a_lock_file_out_of_step_is_refused() {
    need(&["node", "npm"]);
    let project = Project::new()
        .ini("[tox]\nno_package = true\n[testenv:js]\nruntime = node\ncommands = node --version\n")
        .file("package.json", r#"{"name": "a", "version": "1.0.0", "dependencies": {"greet": "file:./greet"}}"#)
        .file("package-lock.json", r#"{"name": "a", "version": "1.0.0", "lockfileVersion": 3, "packages": {}}"#);
    let failed = project.run(["run", "-e", "js"]).ends_with(1);
    assert!(failed.stdout.contains("which installs what `package-lock.json` names"), "{failed:?}");
    assert!(failed.stdout.contains("npm ci"), "{failed:?}");
}

#[test]
fn a_runtime_that_is_not_there_is_named_with_its_place_and_a_remedy() {
    let project = Project::new().ini(
        "[tox]\nno_package = true\n[testenv:js]\nruntime = node@1.2.3\ncommands = node --version\n\
         [testenv:odd]\nruntime = nod\n[testenv:lts]\nruntime = node@lts\n[testenv:py]\nruntime = python@3.11\n\
         [testenv:deps]\nruntime = system\ndeps = six\n",
    );
    let failed = project.run(["run", "-e", "js"]).ends_with(1).says("could not find the runtime node@1.2.3 of js");
    assert!(failed.stderr.contains("tox.ini:4:"), "{failed:?}");
    assert!(failed.stderr.contains("help: install Node.js"), "{failed:?}");
    project.run(["run", "-s", "true", "-e", "js"]).ends_with(1).says("js: SKIP");
    let odd = project.run(["run", "-e", "odd"]).ends_with(1).says("unknown runtime `nod` of odd");
    assert!(odd.stderr.contains("did you mean `node`?"), "{odd:?}");
    project.run(["run", "-e", "lts"]).ends_with(1).says("`lts` in `runtime` of lts is not a valid version of node");
    project.run(["run", "-e", "py"]).ends_with(1).says("the version of Python is set in `base_python`");
    project.run(["run", "-e", "deps"]).ends_with(1).says("`deps` of deps are Python's");
}

#[test]
fn of_each_language_a_version_that_is_not_there_is_named_with_how_to_get_it() {
    for (language, remedy) in [("node", "Node.js"), ("ruby", "Ruby"), ("go", "Go"), ("rust", "Rust")] {
        let text = format!("[testenv:x]\nallowlist_externals = true\nruntime = {language}@987\ncommands = true\n");
        let failed = Project::new().with_toolchains().ini(&text).run(["run", "-e", "x"]).ends_with(1);
        failed
            .says(&format!("could not find the runtime {language}@987 of x"))
            .explains("[ROOT]/tox.ini:3:1")
            .explains(&format!("help: install {remedy} ("));
    }
}

#[test]
fn a_factor_of_the_name_asks_for_a_version() {
    let project = Project::new()
        .ini("[tox]\nno_package = true\n[testenv:node1-unit]\nruntime = node\ncommands = node --version\n");
    project.run(["run", "-e", "node1-unit"]).ends_with(1).says("could not find the runtime node@1 of node1-unit");
}

#[test]
fn the_machines_own_programs_need_no_leave() {
    let project =
        Project::new().ini("[tox]\nno_package = true\n[testenv:sys]\nruntime = system\ncommands = uname -s\n");
    project.run(["run", "-e", "sys"]).succeeds().says("Linux");
    assert!(!project.path(".tox/sys/bin").exists());
}

#[test]
fn keys_of_runtimes_are_shown_only_where_they_are_used() {
    let project = Project::new().ini(
        "[tox]\nno_package = true\n[testenv:js]\nruntime = node\nnode_deps = a\n  b\n[testenv:py]\ncommands = python -V\n",
    );
    let shown = project.run(["config", "-e", "js"]).succeeds();
    assert!(shown.stdout.contains("runtime = node\nnode_deps =\n  a\n  b\n"), "{shown:?}");
    project.run(["config", "-e", "py"]).succeeds().never_says("runtime").never_says("node_deps");
}

#[test]
fn gems_go_into_the_environment() {
    need(&["ruby", "gem"]);
    let project = Project::new()
        .ini(
            "[tox]\nno_package = true\n[testenv:gem]\nruntime = ruby\nchange_dir = fruit\n\
             commands = gem build --quiet --output {tox_root}{/}fruit.gem fruit.gemspec\n\
             [testenv:rb]\nruntime = ruby\nruby_deps = ./fruit.gem\ncommands = ruby -e 'require \"fruit\"; puts FRUIT'\n",
        )
        .file(
            "fruit/fruit.gemspec",
            "Gem::Specification.new do |gem|\n  gem.name = 'fruit'\n  gem.version = '1.0'\n  gem.summary = 'fruit'\n  \
             gem.authors = ['x']\n  gem.files = ['lib/fruit.rb']\nend\n",
        )
        .file("fruit/lib/fruit.rb", "FRUIT = 'apple'\n");
    project.run(["run", "-e", "gem"]).succeeds();
    project.run(["run", "-e", "rb"]).succeeds().says("apple");
    assert!(Path::new(&project.path(".tox/rb/ruby/gems/fruit-1.0")).is_dir());
}
