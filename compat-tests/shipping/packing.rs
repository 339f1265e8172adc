//! Tests what is packed: the very files that were tested, and nothing of the machine that packed them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::shipping::application::{
    self, SETTINGS, add_version, locked, locked_with, manifest, packed, paths, put_packed_with_python,
};
use crate::support::machine;
use crate::support::project::Project;

fn output(program: &Path, folder: &Path) -> String {
    let output = Command::new(program).current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin").output();
    let output = output.expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_release_runs_elsewhere_and_maps_only_its_own_files() {
    // The project it was packed in is gone.
    let project = Project::new();
    let file = put_packed_with_python(&project, "1.0");
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("first");
    project.run(["install".as_ref(), file.as_os_str(), "--root".as_ref(), root.as_os_str()]).succeeds();
    // Neither is the folder where it was unpacked there any more.
    fs::rename(&root, folder.path().join("second")).expect("it can be moved");
    let moved = folder.path().join("third/deeper");
    fs::create_dir_all(moved.parent().expect("it has one")).expect("a folder can be made");
    fs::rename(folder.path().join("second/releases/1"), &moved).expect("it can be moved");
    Command::new("chmod").args(["-R", "a-w"]).arg(&moved).status().expect("it can be started");
    for program in ["run", "env/bin/app"] {
        let printed = output(&moved.join(program), Path::new("/"));
        assert!(printed.contains("version 1.0 1.0\n"), "{printed}");
        assert!(printed.contains(&format!("prefix {}\n", moved.join("env").display())), "{printed}");
        assert!(printed.contains(&format!("code {}/", moved.join("env/lib").display())), "{printed}");
        let mapped = printed.lines().filter_map(|line| line.strip_prefix("mapped "));
        let foreign: Vec<&str> = mapped.filter(|path| !Path::new(path).starts_with(&moved)).collect();
        let of_glibc = |path: &&str| {
            ["/libc.so", "/libm.so", "/ld-linux", "/libdl", "/libpthread", "/librt", "/libutil", "/locale", "/gconv"]
                .iter()
                .any(|name| path.contains(name))
        };
        assert!(foreign.iter().all(of_glibc), "{foreign:?}");
    }
    // A script that is called through a link finds its interpreter, too.
    std::os::unix::fs::symlink(moved.join("env/bin/app"), folder.path().join("app")).expect("a link can be made");
    output(&folder.path().join("app"), folder.path());
    Command::new("chmod").args(["-R", "u+w"]).arg(folder.path()).status().expect("it can be started");
}

#[test]
fn folders_umasks_and_time_zones_do_not_change_the_bytes() {
    let pack = |umask: &str, zone: &str| {
        let project = locked().variable("TZ", zone).variable("SOURCE_DATE_EPOCH", "1700000000");
        project.run(["run", "-e", "test"]).succeeds();
        let envo = env!("CARGO_BIN_EXE_envo");
        project
            .run_program("/bin/sh", &["-c", &format!("umask {umask}; exec {envo} pack -o packed.tar.zst")])
            .succeeds();
        let other_formats = ["oci", "deb"].map(|format| {
            let mail = "export DEBEMAIL=jane@example.org";
            let pack = format!("umask {umask}; {mail}; exec {envo} pack --format {format} -o packed.{format}");
            project.run_program("/bin/sh", &["-c", &pack]).succeeds();
            fs::read(project.path(&format!("packed.{format}"))).expect("it was written")
        });
        (fs::read(project.path("packed.tar.zst")).expect("it was written"), other_formats, project)
    };
    let (one, one_formats, project) = pack("022", "UTC");
    let (other, other_formats, _) = pack("077", "Asia/Tokyo");
    assert!(one_formats == other_formats);
    assert!(one == other, "the files differ: {} and {} bytes", one.len(), other.len());
    // Modules that are compiled in another order, and not all at once, are the same.
    let cache = project.path("cache").display().to_string();
    let project = project.variable("ENVO_CACHE_DIR", &cache);
    project.run(["pack", "-o", "again.tar.zst"]).succeeds();
    for (at, entry) in fs::read_dir(project.path("cache/compiled-1")).expect("it is there").flatten().enumerate() {
        match at % 3 {
            0 => fs::write(entry.path(), "damaged").expect("it can be written"),
            1 => fs::remove_file(entry.path()).expect("it can be removed"),
            _ => {}
        }
    }
    project.run(["pack", "-o", "again.tar.zst"]).succeeds();
    assert!(one == fs::read(project.path("again.tar.zst")).expect("it was written"));
    let manifest = manifest(&project.path("again.tar.zst"));
    let version = manifest["version"].as_str().expect("a text");
    let content = manifest["content"].as_str().expect("a text");
    assert_eq!(version, format!("0+{}", &content[..8]));
}

#[test]
fn the_tests_must_have_passed_on_exactly_these_files() {
    let project = locked();
    let refused = |reason: &str| {
        project
            .run(["pack"])
            .ends_with(1)
            .explains("the tests of `test` have not passed on exactly these files")
            .explains(reason);
    };
    refused("there is no record");
    // Neither a part of the tests nor other settings count.
    project.run(["run", "-e", "test", "--", "1"]).succeeds();
    project.run(["run", "-e", "test", "-x", "testenv:test.commands=python -c 1"]).succeeds();
    project.run(["run", "-e", "test", "--notest"]).succeeds();
    refused("there is no record");
    project.run(["run", "-e", "test"]).succeeds();
    project.run(["pack", "-o", "packed.tar.zst"]).succeeds().says("packed.tar.zst (");
    let paths = paths(&project.path("packed.tar.zst"));
    for part in ["checker", "pip-", "site-packages/pip/", "ensurepip", "idlelib", "/test/", "direct_url", "INSTALLER"] {
        assert!(!paths.iter().any(|path| path.contains(part)), "{part}");
    }
    let has = |name: &str| paths.iter().any(|path| path.ends_with(name));
    for part in ["site-packages/app/__init__.py", "site-packages/library.py", "env/bin/app", ".envo/sbom.cdx.json"] {
        assert!(has(part), "{part}");
    }
    // Other files than those that were tested are refused until they are tested.
    add_version(&project, "1.1");
    project.run(["lock", "--upgrade"]).succeeds();
    refused("app");
    project.run(["pack", "--untested", "-o", "untested.tar.zst"]).succeeds();
    let root = project.path("root");
    project.run(["install", "untested.tar.zst", "--root", "root"]).succeeds();
    let provenance = fs::read_to_string(root.join("current/.envo/provenance.json")).expect("it is there");
    assert!(provenance.contains("\"untested\": true") && provenance.contains("\"tested\": false"), "{provenance}");
    // Tests that fail take back that they have passed.
    project.run(["run", "--locked", "-e", "test"]).succeeds();
    project.run(["pack"]).succeeds();
    project.run(["run", "-e", "test", "--", "raise SystemExit(1)"]).ends_with(1);
    refused("there is no record");
}

#[test]
fn a_lock_that_is_missing_or_out_of_date_is_refused() {
    let project = locked();
    let settings = SETTINGS.replace("[testenv:web]\ndeps = app\n", "[testenv:web]\ndeps =\n  app\n  checker\n");
    fs::write(project.path("tox.ini"), settings).expect("it can be written");
    project.run(["pack", "--untested"]).ends_with(1).says("deps changed: added checker");
    fs::remove_file(project.path("envo.lock")).expect("it is there");
    project.run(["pack", "--untested"]).ends_with(1).explains("web is not locked");
    let left: Vec<_> =
        fs::read_dir(project.root()).expect("it can be listed").flatten().map(|one| one.file_name()).collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().contains(".tar.zst") && !name.to_string_lossy().contains(".packed")),
        "{left:?}"
    );
}

#[test]
fn what_was_changed_after_it_was_installed_is_not_packed() {
    let project = locked();
    packed(&project);
    let lib = fs::read_dir(project.path(".tox/web/lib")).expect("it was made").flatten().next().expect("one").path();
    let module = lib.join("site-packages/app/__init__.py");
    let text = fs::read_to_string(&module).expect("it is there");
    fs::remove_file(&module).expect("it can be removed");
    project.run(["pack", "--untested"]).ends_with(1).explains("`app/__init__.py` of app 1.0").explains("recreate");
    fs::write(&module, format!("{text}# {}\n", project.path(".tox/web").display())).expect("it can be written");
    project
        .run(["pack", "--untested"])
        .ends_with(1)
        .explains("site-packages/app/__init__.py` names the folder it was built in");
}

#[test]
fn files_of_the_project_are_included_and_left_out_by_patterns() {
    let settings =
        SETTINGS.replace("pack_tests = test\n", "pack_include =\n  *.txt\n  data/\npack_exclude = secret.txt\n");
    let project = locked_with(
        &settings.replace("pack_command = app", "pack_command = python -c \"print(open('a.txt').read())\""),
    )
    .file("a.txt", "the text")
    .file("secret.txt", "x")
    .file("data/deep/b.bin", "x");
    let file = packed(&project);
    let included: Vec<String> = paths(&file).into_iter().filter(|path| path.starts_with("app/")).collect();
    assert_eq!(included, ["app/a.txt", "app/data", "app/data/deep", "app/data/deep/b.bin"]);
    project.run(["install", "packed.tar.zst", "--root", "root"]).succeeds();
    assert_eq!(output(&project.path("root/current/run"), Path::new("/")), "the text\n");
}

#[test]
fn the_interpreter_of_the_target_machine_is_used_on_request() {
    let settings = SETTINGS.replace("pack_tests = test\n", "pack_interpreter = system\n");
    let project = locked_with(&settings);
    let file = packed(&project);
    assert!(paths(&file).iter().all(|path| !path.starts_with("python")));
    project.run(["install", "packed.tar.zst", "--root", "root"]).succeeds();
    assert!(output(&project.path("root/current/run"), Path::new("/")).contains("version 1.0 1.0\n"));
    application::with_manifest(&file, |manifest| {
        manifest["python"]["path"] = "/nowhere/python3".into();
    });
    project.run(["verify", "packed.tar.zst"]).ends_with(1);
}

#[test]
fn keys_with_invalid_values_are_errors_with_their_lines() {
    for (key, message) in [
        ("pack_interpreter = none", "`pack_interpreter` is `none`, must be one of bundled, system"),
        ("pack_keep = 0", "`pack_keep` is `0`, must be a number of at least 1"),
        ("pack_sign = gpg:me", "`pack_sign` is `gpg:me`, must be `minisign:`"),
        ("pack_base = alpine", "`pack_base` is `alpine`, must be none or debian:SUITE"),
        ("pack_prefix = opt/web", "`pack_prefix` is `opt/web`, must be an absolute path"),
        ("pack_user = Web User", "`pack_user` is `Web User`, must be at most 32"),
        ("pack_units = service, timer", "`pack_units` names `timer`, must be of service, socket"),
        ("pack_units = socket", "`pack_units` names a socket without its service"),
        ("pack_tests = nobody", "`pack_tests` names `nobody`, which is not an environment"),
    ] {
        let project = Project::new().ini(&format!("[tox]\nno_package = true\n[testenv:web]\n{key}\n"));
        project.run(["pack", "-e", "web"]).ends_with(254).says(message).explains("tox.ini:4");
    }
    let project = Project::new().ini("[tox]\nno_package = true\nenv_list = a, b\n");
    project.run(["pack"]).ends_with(254).says("one environment is packed at a time, found none");
    project.run(["pack", "-e", "a,b"]).ends_with(254).says("one environment is packed at a time, found a, b");
}

#[test]
fn every_python_that_is_here_can_be_packed() {
    machine::need(&["python3"]);
    for minor in 8..=13 {
        let python = format!("python3.{minor}");
        if !machine::has(&python) {
            machine::notice(&format!("`envo pack` was not tried with {python}, which is not here"));
            continue;
        }
        let settings = format!(
            "[tox]\nno_package = true\n[testenv:web]\nbase_python = {python}\npack_command = python -c \"import sys, ssl, sqlite3; print(sys.version_info[1], sys.prefix)\"\n"
        );
        let project = Project::new().with_uv().with_old_interpreters().ini(&settings);
        project.run(["lock", "-e", "web"]).succeeds();
        packed(&project);
        project.run(["install", "packed.tar.zst", "--root", "root"]).succeeds();
        let printed = output(&project.path("root/current/run"), Path::new("/"));
        assert!(printed.starts_with(&format!("{minor} ")) && printed.contains("/releases/1/env"), "{printed}");
    }
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let project = locked().variable("DEBEMAIL", "jane@example.org").file("out/packed", "the old one");
    let allowed = project.run_program("unshare", &["--user", "--map-root-user", "--mount", "true"]);
    if !machine::has("unshare") || allowed.code != Some(0) {
        machine::notice("packing onto a full disk was not tried: this machine has no user namespaces");
        return;
    }
    let envo = env!("CARGO_BIN_EXE_envo");
    for format in ["tar", "oci", "deb"] {
        let script = format!(
            "mount -t tmpfs -o size=4m tmpfs out && echo old > out/packed && \
             {envo} pack --untested --format {format} -o out/packed; echo code $?; cat out/packed; ls -A out"
        );
        let unshare = ["--user", "--map-root-user", "--mount", "sh", "-c", &script];
        let full = project.run_program("unshare", &unshare).succeeds();
        full.says("code 1\nold\npacked\n").explains("cannot write").explains("No space left on device");
    }
}

#[test]
fn a_module_that_the_command_names_and_that_is_not_packed_is_an_error() {
    let settings = SETTINGS.replace("pack_tests = test\n", "pack_include = /other.py\n");
    let project = locked_with(&settings).file("other.py", "").file("shop/__init__.py", "").file("serve.py", "");
    let pack = |command: &str| {
        let settings = settings.replace("pack_command = app", &format!("pack_command = {command}"));
        fs::write(project.path("tox.ini"), settings).expect("it can be written");
        project.run(["pack", "--untested"])
    };
    for (command, reason, remedy) in [
        ("python -m shop", "starts the module `shop`, which is not in the release", "`pack_include = /shop/`"),
        ("python3 -u -m shop.web --port 1", "starts the module `shop.web`", "`pack_include = /shop/`"),
        ("python -m nowhere", "starts the module `nowhere`", "`package = wheel`"),
        ("app shop:app", "starts the module `shop`", "`pack_include = /shop/`"),
        ("python serve.py", "starts the script `serve.py`", "`pack_include = /serve.py`"),
    ] {
        pack(command).ends_with(1).explains(reason).explains(remedy);
    }
    for command in ["python -m app", "python -m other", "python -m http.server", "app localhost:http", "python -c 1"] {
        pack(command).succeeds();
    }
}
