//! Tests that cached files are not fetched again: environments are recreated from caches while no index can be reached.
//! Errors distinguish a package that an index does not have from an unreachable index.

use crate::runtimes::failures::{fails, still_works};
use crate::support::machine::need;
use crate::support::project::Project;
use crate::support::web::Web;

/// An index of RubyGems with one gem.
const GEMS: &str = r#"
import os, subprocess, sys
folder = sys.argv[1]
os.makedirs(folder + "/gems")
os.makedirs(folder + "/source/lib")
with open(folder + "/source/leaf.gemspec", "w") as file:
    file.write("Gem::Specification.new do |gem|\n  gem.name = 'leaf'\n  gem.version = '1.0'\n  gem.summary = 'x'\n"
               "  gem.authors = ['x']\n  gem.files = ['lib/leaf.rb']\nend\n")
with open(folder + "/source/lib/leaf.rb", "w") as file:
    file.write("LEAF = 'a green leaf'\n")
build = ["gem", "build", "--silent", "--output", "../gems/leaf-1.0.gem", "leaf.gemspec"]
subprocess.run(build, cwd=folder + "/source", check=True, stderr=subprocess.DEVNULL)
subprocess.run(["gem", "generate_index", "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
"#;

#[test]
fn a_bundle_comes_from_the_users_cache_when_its_index_is_out_of_reach() {
    need(&["ruby", "gem", "bundle"]);
    let project = Project::new()
        .ini("[testenv:rb]\nruntime = ruby\ncommands = bundle exec ruby -rleaf -e 'puts LEAF'\n")
        .variable("BUNDLE_RETRY", "0")
        .variable("no_proxy", "127.0.0.1");
    let home = project.path("bundler").display().to_string();
    let project = project.variable("BUNDLE_USER_HOME", &home);
    let index = Web::new(project.path("index"), GEMS, None);
    let project = project.file("Gemfile", &format!("source 'http://{}'\ngem 'leaf'\n", index.address));
    project.run(["run", "-e", "rb"]).succeeds().says("a green leaf");
    index.close();
    let offline = project.run(["run", "-r", "-e", "rb"]).succeeds().says("a green leaf");
    offline.says("`bundle install` could not reach an index, so the caches are asked");
    assert!(!project.path(".tox/rb/ruby/.offline").exists());
    // Nothing of it is left to do.
    project.run(["run", "-e", "rb"]).succeeds().says("a green leaf").never_says("bundle install");
    std::fs::remove_dir_all(&home).expect("the gem was kept there");
    let failed = project.run(["run", "-r", "-e", "rb"]);
    failed.explains("help: the index could not be reached").explains("tox.ini:2:");
}

/// A registry of crates with one program.
const CRATES: &str = r#"
import hashlib, io, json, os, sys, tarfile
folder, address = sys.argv[1:]
os.makedirs(folder + "/sm/al")
buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
    for path, text in {
        "Cargo.toml": '[package]\nname = "small-tool"\nversion = "1.0.0"\nedition = "2021"\n',
        "src/main.rs": 'fn main() {\n    println!("a small tool");\n}\n',
    }.items():
        entry = tarfile.TarInfo("small-tool-1.0.0/" + path)
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text.encode()))
with open(folder + "/small-tool-1.0.0.crate", "wb") as file:
    file.write(buffer.getvalue())
with open(folder + "/config.json", "w") as file:
    json.dump({"dl": "http://%s/{crate}-{version}.crate" % address}, file)
with open(folder + "/sm/al/small-tool", "w") as file:
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    json.dump({"name": "small-tool", "vers": "1.0.0", "deps": [], "cksum": digest, "features": {}, "yanked": False}, file)
"#;

#[test]
fn a_crate_comes_from_the_users_cache_when_its_registry_is_out_of_reach() {
    let project = Project::new()
        .with_toolchains()
        .ini("[testenv:rs]\nruntime = rust\nrust_deps = small-tool\ncommands = small-tool\n")
        .variable("CARGO_NET_RETRY", "0")
        .variable("no_proxy", "127.0.0.1");
    let home = project.path("cargo").display().to_string();
    let project = project.variable("CARGO_HOME", &home);
    let registry = Web::new(project.path("registry"), CRATES, None);
    let settings = "[source.crates-io]\nreplace-with = \"mine\"\n[source.mine]\nregistry = \"sparse+http://";
    let project = project.file(".cargo/config.toml", &format!("{settings}{}/\"\n", registry.address));
    project.run(["run", "-e", "rs"]).succeeds().says("a small tool");
    registry.close();
    let offline = project.run(["run", "-r", "-e", "rs"]).succeeds().says("a small tool");
    offline.says("`cargo install small-tool` could not reach an index, so the caches are asked");
}

/// A proxy of Go with one program.
const MODULES: &str = r#"
import os, sys, zipfile
folder = sys.argv[1] + "/example.org/tool/@v"
os.makedirs(folder)
module = "module example.org/tool\n\ngo 1.18\n"
for name, text in {
    "list": "v1.2.0\n",
    "v1.2.0.info": '{"Version": "v1.2.0", "Time": "2024-01-01T00:00:00Z"}',
    "v1.2.0.mod": module,
}.items():
    with open(folder + "/" + name, "w") as file:
        file.write(text)
with zipfile.ZipFile(folder + "/v1.2.0.zip", "w") as archive:
    archive.writestr("example.org/tool@v1.2.0/go.mod", module)
    source = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("a tool of Go") }\n'
    archive.writestr("example.org/tool@v1.2.0/main.go", source)
"#;

#[test]
fn a_module_comes_from_the_users_cache_when_its_proxy_is_out_of_reach() {
    need(&["go"]);
    let project = Project::new()
        .ini(
            "[testenv]\nruntime = go\ncommands = tool\n[testenv:exact]\ngo_deps = example.org/tool@v1.2.0\n\
             [testenv:latest]\ngo_deps = example.org/tool@latest\n",
        )
        // What can be removed with the test.
        .variable("GOFLAGS", "-modcacherw")
        .variable("GONOSUMDB", "*")
        .variable("no_proxy", "127.0.0.1");
    let cache = project.path("modules").display().to_string();
    let proxy = Web::new(project.path("proxy"), MODULES, None);
    let project = project.variable("GOMODCACHE", &cache).variable("GOPROXY", &format!("http://{}", proxy.address));
    project.run(["run", "-e", "exact,latest"]).succeeds().says("a tool of Go");
    proxy.close();
    let offline = project.run(["run", "-r", "-e", "exact,latest"]).succeeds();
    assert_eq!(offline.stdout.matches("a tool of Go").count(), 2, "{offline:?}");
}

/// The errors for a dependency that does not exist, and for one whose index does not respond.
#[track_caller]
fn fails_for_both_reasons(project: Project, index: &Web, [environment, says]: [&str; 2], dependency: [&str; 3]) {
    let [good, unknown, unreachable] = dependency;
    let ini = |dependency: &str| {
        "[testenv:rb]\nruntime = ruby\nruby_deps = DEP\ncommands = ruby -rleaf -e 'puts LEAF'\n\
         [testenv:rs]\nruntime = rust\nrust_deps = DEP\ncommands = small-tool\n\
         [testenv:go]\nruntime = go\ngo_deps = DEP\ncommands = tool\n"
            .replace("DEP", dependency)
    };
    let line = 3 + 4 * ["rb", "rs", "go"].iter().position(|name| *name == environment).expect("it is one of them");
    let project = project.ini(&ini(good));
    project.run(["run", "-e", environment]).succeeds().says(says);
    let cause = "_deps` names";
    let project = project.ini(&ini(unknown));
    fails(&project, (environment, line), (cause, "help: there is no such package or version"));
    still_works(&project, environment, says);
    index.close();
    let project = project.ini(&ini(unreachable));
    fails(&project, (environment, line), (cause, "help: the index could not be reached"));
    still_works(&project, environment, says);
    let project = project.ini(&ini(good));
    project.run(["run", "-e", environment]).succeeds().says(says).never_says("install_");
}

#[test]
fn a_gem_that_its_index_does_not_have_is_told_from_an_index_out_of_reach() {
    need(&["ruby", "gem"]);
    let project = Project::new().variable("no_proxy", "127.0.0.1");
    let index = Web::new(project.path("index"), GEMS, None);
    let project = project.file("gemrc", &format!(":sources:\n- http://{}/\n", index.address));
    let settings = project.path("gemrc").display().to_string();
    let project = project.variable("GEMRC", &settings);
    let dependencies = ["leaf ~> 1.0", "leaf ~> 99.0", "twig"];
    fails_for_both_reasons(project, &index, ["rb", "a green leaf"], dependencies);
}

#[test]
fn a_crate_that_its_registry_does_not_have_is_told_from_a_registry_out_of_reach() {
    let project = Project::new().with_toolchains().variable("CARGO_NET_RETRY", "0").variable("no_proxy", "127.0.0.1");
    let home = project.path("cargo").display().to_string();
    let project = project.variable("CARGO_HOME", &home);
    let registry = Web::new(project.path("registry"), CRATES, None);
    let settings = "[source.crates-io]\nreplace-with = \"mine\"\n[source.mine]\nregistry = \"sparse+http://";
    let project = project.file(".cargo/config.toml", &format!("{settings}{}/\"\n", registry.address));
    let dependencies = ["small-tool@1", "small-tool@99", "other-tool@1"];
    fails_for_both_reasons(project, &registry, ["rs", "a small tool"], dependencies);
}

#[test]
fn a_module_that_its_proxy_does_not_have_is_told_from_a_proxy_out_of_reach() {
    need(&["go"]);
    let project =
        Project::new().variable("GOFLAGS", "-modcacherw").variable("GONOSUMDB", "*").variable("no_proxy", "127.0.0.1");
    let cache = project.path("modules").display().to_string();
    let proxy = Web::new(project.path("proxy"), MODULES, None);
    let project = project.variable("GOMODCACHE", &cache).variable("GOPROXY", &format!("http://{}", proxy.address));
    let dependencies = ["example.org/tool@v1.2.0", "example.org/tool@v99.0.0", "example.org/other@v1.0.0"];
    fails_for_both_reasons(project, &proxy, ["go", "a tool of Go"], dependencies);
}

#[test]
fn a_tool_of_go_that_does_not_compile_leaves_what_was_there() {
    need(&["go"]);
    let source =
        |body: &str| format!("package main\n\nimport \"fmt\"\n\nfunc main() {{ fmt.Println(\"a tool\"){body} }}\n");
    let project = Project::new()
        .ini("[testenv:go]\nruntime = go\ngo_deps = ./tool\ncommands = tool\n")
        .file("tool/go.mod", "module example.org/tool\n\ngo 1.18\n")
        .file("tool/main.go", &source(""));
    project.run(["run", "-e", "go"]).succeeds().says("a tool");
    let project = project.file("tool/main.go", &source("; nothing()"));
    fails(&project, ("go", 3), ("which installs what `go_deps` names", "something did not compile"));
    still_works(&project, "go", "a tool");
}

#[test]
fn a_package_of_npm_whose_native_part_does_not_compile_leaves_what_was_there() {
    need(&["node", "npm"]);
    let manifest = |more: &str| format!(r#"{{"name": "greet", "version": "1.0.0"{more}}}"#);
    let project = Project::new()
        .ini(
            "[testenv:js]\nruntime = node\nnode_deps = ./greet\ncommands = node -e 'console.log(require(\"greet\"))'\n",
        )
        .file("greet/package.json", &manifest(""))
        .file("greet/index.js", "module.exports = 'hello';\n");
    project.run(["run", "-e", "js"]).succeeds().says("hello");
    let script = r#", "scripts": {"install": "cc -o greet.node no-such-file.c"}"#;
    let project = project.file("greet/package.json", &manifest(script));
    fails(&project, ("js", 3), ("which installs what `node_deps` names", "something did not compile"));
    still_works(&project, "js", "hello");
}
