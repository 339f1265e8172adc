//! Tests how packed files are checked: what was altered is named, and what cannot run here is refused before it is unpacked.

use std::fs;

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::json;

use crate::shipping::application::{
    SETTINGS, frame, frames, locked, locked_with, manifest, packed, paths, put_packed, with_manifest, write,
};
use crate::support::project::Project;
use crate::support::wheels;

#[test]
fn one_flipped_byte_is_named_by_its_file() {
    let project = Project::new();
    let file = put_packed(&project, "1.0");
    project.run(["verify", "packed.tar.zst"]).succeeds().says("as packed").says("1, can be imported");
    let (frames, paths) = (frames(&file), paths(&file));
    assert_eq!(frames.len(), paths.len() + 2);
    let count = frames.len();
    for at in [1, 2, count / 3, count / 2, count - 2] {
        for place in [0.2, 0.5, 0.9] {
            let mut altered = frames.clone();
            let length = altered[at].len();
            altered[at][(length as f64 * place) as usize] ^= 0x10;
            write(&file, &altered);
            let path = &paths[at - 1];
            project.run(["verify", "packed.tar.zst"]).ends_with(1).explains(&format!("`{path}` "));
        }
    }
    let mut altered = frames.clone();
    let middle = altered[0].len() / 2;
    altered[0][middle] ^= 1;
    write(&file, &altered);
    project.run(["verify", "packed.tar.zst"]).ends_with(1);
    write(&file, &frames[..count / 2]);
    project.run(["verify", "packed.tar.zst"]).ends_with(1).explains("the file was cut off");
    for foreign in ["", "not an archive"] {
        fs::write(&file, foreign).expect("it can be written");
        project.run(["verify", "packed.tar.zst"]).ends_with(1).explains("was not written by `envo pack`");
    }
    project.run(["verify", "missing"]).ends_with(1).explains("missing: No such file");
}

#[test]
fn a_file_that_was_replaced_or_added_is_named() {
    let project = Project::new();
    let file = put_packed(&project, "1.0");
    let original = frames(&file);
    let manifest = manifest(&file);
    let top =
        format!("{}-{}", manifest["name"].as_str().expect("a text"), manifest["version"].as_str().expect("a text"));
    let position = |name: &str| paths(&file).iter().position(|path| path.ends_with(name)).expect("it is there");
    let at = position("site-packages/library.py");
    let path = paths(&file)[at].clone();
    let mut altered = original.clone();
    altered[at + 1] = frame(&format!("{top}/{path}"), b"VERSION = '2.0'\n");
    write(&file, &altered);
    project.run(["verify", "packed.tar.zst"]).ends_with(1).explains(&format!("`{path}` was altered"));
    let last = original.len() - 1;
    for (member, reason) in [
        (format!("{top}/extra"), "is not listed in the manifest"),
        ("../outside".to_owned(), "`../outside` is not a path inside of the release"),
        ("/tmp/outside".to_owned(), "`/tmp/outside` is not a path inside of the release"),
    ] {
        let mut altered = original.clone();
        altered.insert(last, frame(&member, b""));
        write(&file, &altered);
        project.run(["verify", "packed.tar.zst"]).ends_with(1).explains(reason);
        project.run(["install", "packed.tar.zst", "--root", "root"]).ends_with(1).explains(reason);
    }
    write(&file, &original);
    with_manifest(&file, |manifest| manifest["members"][3]["path"] = json!("../outside"));
    project
        .run(["install", "packed.tar.zst", "--root", "root"])
        .ends_with(1)
        .explains("`../outside` is not a path inside");
    assert!(!project.path("outside").exists() && !project.path("root/outside").exists());
}

#[test]
fn what_this_machine_lacks_is_refused_with_a_remedy() {
    let project = Project::new();
    let file = put_packed(&project, "1.0");
    let original = fs::read(&file).expect("it can be read");
    let refused = |change: &dyn Fn(&mut serde_json::Value), reason: &str, remedy: &str| {
        fs::write(&file, &original).expect("it can be written");
        with_manifest(&file, change);
        for verb in ["verify", "install"] {
            let arguments = if verb == "verify" {
                vec![verb, "packed.tar.zst"]
            } else {
                vec![verb, "packed.tar.zst", "--root", "root"]
            };
            project.run(arguments).ends_with(1).explains(reason).explains(remedy);
        }
        assert!(!project.path("root/current").exists());
    };
    refused(
        &|manifest| manifest["target"]["machine"] = json!("sparc64"),
        "packed for linux on sparc64",
        "help: pack it on",
    );
    refused(
        &|manifest| manifest["target"]["glibc"] = json!("99.1"),
        "it needs glibc 99.1, but this machine has",
        "help: use a newer system",
    );
    let library = json!({"libpq.so.77": {"by": "env/x.so", "versions": []}});
    refused(
        &|manifest| manifest["target"]["libraries"] = library.clone(),
        "`env/x.so` needs the library libpq.so.77",
        "help: install the package",
    );
    refused(&|manifest| manifest["format"] = json!(99), "has format 99", "help: use the version of envo");
}

#[test]
fn a_console_script_that_cannot_be_imported_is_refused() {
    let project = locked();
    let broken = [
        ("app/__init__.py", "import nothing_of_the_kind\n"),
        ("app-2.0.dist-info/entry_points.txt", "[console_scripts]\napp = app:main\n"),
    ];
    wheels::containing(&project.path("links"), ("app", "2.0"), &broken, "");
    project.run(["lock", "--upgrade"]).succeeds();
    packed(&project);
    let reason =
        "the console script `app` cannot be imported: ModuleNotFoundError: No module named 'nothing_of_the_kind'";
    project.run(["verify", "packed.tar.zst"]).ends_with(1).explains(reason);
    project.run(["install", "packed.tar.zst", "--root", "root"]).ends_with(1).explains(reason);
    assert!(!project.path("root/current").exists());
}

#[test]
fn a_signature_is_checked_with_the_key_of_the_packer() {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("keys can be made");
    let other = minisign::KeyPair::generate_unencrypted_keypair().expect("keys can be made");
    let settings = SETTINGS.replace("pack_tests = test\n", "pack_sign = minisign:secret.key\n");
    let secret = pair.sk.to_box(None).expect("it can be written").to_string();
    let public = pair.pk.to_box().expect("it can be written").to_string();
    let project = locked_with(&settings).file("secret.key", &secret).file("public.key", &public);
    project.run(["verify", "packed.tar.zst", "--key", "public.key"]).ends_with(1).explains("is not signed");
    let file = packed(&project);
    project.run(["verify", "packed.tar.zst"]).succeeds().says("not checked; name the key with --key");
    project.run(["verify", "packed.tar.zst", "--key", "public.key"]).succeeds().says("signature  valid, of web 0+");
    project.run(["verify", "packed.tar.zst", "--key", &pair.pk.to_base64()]).succeeds().says("signature  valid");
    let wrong = other.pk.to_base64();
    for verb in [vec!["verify", "packed.tar.zst"], vec!["install", "packed.tar.zst", "--root", "root"]] {
        project.run([verb, vec!["--key", &wrong]].concat()).ends_with(1).explains("is not valid for this key");
    }
    project
        .run(["verify", "packed.tar.zst", "--key", "nonsense"])
        .ends_with(1)
        .explains("is not a public key of minisign");
    let mut bytes = fs::read(&file).expect("it can be read");
    // What was checked is what is read: the file cannot be exchanged in between, since it is opened once.
    let pipe = project.path("pipe.tar.zst");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("a pipe can be made");
    let content = bytes.clone();
    let writer = std::thread::spawn(move || fs::write(pipe, content));
    fs::copy(project.path("packed.tar.zst.minisig"), project.path("pipe.tar.zst.minisig")).expect("it can be copied");
    project.run(["verify", "pipe.tar.zst", "--key", "public.key"]).succeeds().says("signature  valid, of web 0+");
    writer.join().expect("it ran").expect("all of it was read");
    *bytes.last_mut().expect("it is not empty") ^= 1;
    fs::write(&file, bytes).expect("it can be written");
    project.run(["verify", "packed.tar.zst", "--key", "public.key"]).ends_with(1).explains("is not valid for this key");
    fs::write(project.path("secret.key"), "nonsense").expect("it can be written");
    project.run(["pack", "--untested"]).ends_with(1).explains("cannot sign with").explains("minisign -G -W");
}
