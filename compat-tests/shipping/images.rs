//! Tests packed container images: they are read by the programs of the field and run, and a change of the code changes
//! one layer.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::shipping::application::{SETTINGS, locked, locked_with};
use crate::support::machine;
use crate::support::project::Project;

/// Only the administrator's PATH has it.
const RUNC: &str = "/usr/sbin/runc";

/// The members of an image's file.
fn members(file: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(File::open(file).expect("it can be read"));
    let entries = archive.entries().expect("it is an archive").map(|entry| entry.expect("it is whole"));
    let read = |mut entry: tar::Entry<'_, File>| {
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("it can be read");
        (entry.path().expect("it has one").display().to_string(), content)
    };
    entries.map(read).filter(|(path, _)| !path.ends_with('/')).collect()
}

/// The manifest and the configuration of the image.
fn described(file: &Path) -> (Value, Value) {
    let members = members(file);
    let json = |path: &str| serde_json::from_slice::<Value>(&members[path]).expect("it is JSON");
    let blob = |described: &Value| {
        let digest = described["digest"].as_str().expect("a text").replace(':', "/");
        json(&format!("blobs/{digest}"))
    };
    let manifest = blob(&json("index.json")["manifests"][0]);
    let configuration = blob(&manifest["config"]);
    (manifest, configuration)
}

/// The paths in a layer, with their modes.
fn layer(file: &Path, number: usize) -> BTreeMap<String, u32> {
    let digest = described(file).0["layers"][number]["digest"].as_str().expect("a text").replace(':', "/");
    let blob = members(file).remove(&format!("blobs/{digest}")).expect("it is there");
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(blob.as_slice()));
    let entries = archive.entries().expect("it is an archive").map(|entry| entry.expect("it is whole"));
    let path = |entry: &tar::Entry<'_, _>| entry.path().expect("it has one").display().to_string();
    entries.map(|entry| (path(&entry), entry.header().mode().expect("it has one"))).collect()
}

/// A project that has only `image.tar`, which is packed once for all tests.
pub fn with_image() -> Project {
    static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let project = locked();
        project.run(["pack", "--untested", "--format", "oci", "-o", "image.tar"]).succeeds().says("image.tar (");
        fs::read(project.path("image.tar")).expect("it was written")
    });
    let project = Project::new();
    fs::write(project.path("image.tar"), &*IMAGE).expect("it can be written");
    project
}

#[test]
fn an_image_is_read_by_other_programs_and_runs() {
    let project = with_image();
    let tag = members(&project.path("image.tar"))["index.json"].clone();
    let tag: Value = serde_json::from_slice(&tag).expect("it is JSON");
    let tag =
        tag["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"].as_str().expect("a text").to_owned();
    if machine::has("skopeo") {
        for kind in ["oci-archive", "docker-archive"] {
            let inspected = project.run_program("skopeo", &["inspect", &format!("{kind}:image.tar")]).succeeds();
            inspected.says("\"org.opencontainers.image.title\": \"web\"");
        }
        // It compares every digest.
        let copy = ["copy", "--insecure-policy", "oci-archive:image.tar", "oci:copied:latest"];
        project.run_program("skopeo", &copy).succeeds();
    } else {
        machine::notice("an image was not read by skopeo, which is not here");
    }
    if !machine::has("umoci") {
        machine::notice("an image was not unpacked and started: umoci is not here");
        return;
    }
    fs::create_dir(project.path("layout")).expect("it can be made");
    project.run_program("tar", &["-xf", "image.tar", "-C", "layout"]).succeeds();
    let is_root = rustix::process::geteuid().is_root();
    let image = format!("layout:{tag}");
    let mut unpack = vec!["unpack", "--image", &image, "bundle"];
    if !is_root {
        unpack.insert(1, "--rootless");
    }
    project.run_program("umoci", &unpack).succeeds();
    let mut printed = None;
    if is_root && Path::new(RUNC).exists() {
        let text = fs::read_to_string(project.path("bundle/config.json")).expect("it is there");
        let mut settings: Value = serde_json::from_str(&text).expect("it is JSON");
        settings["process"]["terminal"] = json!(false);
        settings["root"]["readonly"] = json!(true);
        fs::write(project.path("bundle/config.json"), settings.to_string()).expect("it can be written");
        let name = format!("envo-{}", std::process::id());
        let ran = project.run_program("/bin/sh", &["-c", &format!("cd bundle && {RUNC} --root ../state run {name}")]);
        // Only where the machine allows no containers is it not the image's fault.
        if !ran.stderr.contains("runc run failed: unable to") {
            printed = Some(ran.succeeds().stdout);
        }
    }
    let printed = printed.unwrap_or_else(|| {
        machine::notice("an image was started in a chroot only: runc is not here, or may not start a container");
        let script = "mkdir -p bundle/rootfs/proc && mount --rbind /proc bundle/rootfs/proc && exec chroot bundle/rootfs /opt/web/env/bin/app";
        project.run_program("unshare", &["--user", "--map-root-user", "--mount", "sh", "-c", script]).succeeds().stdout
    });
    assert!(printed.contains("version 1.0 1.0\n") && printed.contains("prefix /opt/web/env\n"), "{printed}");
    assert!(printed.contains("code /opt/web/env/lib/"), "{printed}");
}

#[test]
fn a_change_of_the_code_changes_one_layer() {
    let settings = SETTINGS.replace("pack_tests = test\n", "pack_include = /shop/\n");
    let project = locked_with(&settings.replace("pack_command = app", "pack_command = python -m shop"));
    fs::create_dir(project.path("shop")).expect("it can be made");
    let pack = |text: &str| {
        fs::write(project.path("shop/__main__.py"), text).expect("it can be written");
        project.run(["pack", "--untested", "--format", "oci", "-o", "image.tar"]).succeeds();
        members(&project.path("image.tar"))
    };
    let before = pack("print(1)\n");
    let after = pack("print(2)\n");
    let new: Vec<&Vec<u8>> = after
        .iter()
        .filter(|(path, _)| path.starts_with("blobs/") && !before.contains_key(*path))
        .map(|(_, content)| content)
        .collect();
    // The layer, the configuration and the manifest.
    assert_eq!(new.len(), 3, "{:?}", after.keys());
    assert!(new.iter().map(|content| content.len()).sum::<usize>() < 10_000);
    let file = project.path("image.tar");
    let application: Vec<String> = layer(&file, 3).into_keys().filter(|path| !path.contains("__pycache__")).collect();
    assert_eq!(
        application,
        [
            "opt/web/.envo/",
            "opt/web/.envo/provenance.json",
            "opt/web/.envo/sbom.cdx.json",
            "opt/web/app/",
            "opt/web/app/shop/",
            "opt/web/app/shop/__main__.py",
        ]
    );
    assert!(layer(&file, 2).contains_key("opt/web/env/bin/app"));
    assert_eq!(layer(&file, 0).get("tmp/"), Some(&0o1777));
    // Kept layers that were damaged are written again.
    for entry in fs::read_dir(project.path(".tox/.envo/pack/layers")).expect("it is there").flatten() {
        if entry.path().extension().is_none() {
            let length = entry.metadata().expect("it is there").len();
            fs::write(entry.path(), vec![0; length as usize]).expect("it can be written");
        }
    }
    assert!(pack("print(2)\n") == after);
}

#[test]
fn an_image_starts_the_command_as_its_keys_say() {
    let settings = SETTINGS.replace(
        "pack_tests = test\n",
        "serve = app\nports = http=8080, other\nstop_signal = SIGINT\npack_prefix = /srv/shop\npack_user = shop\n",
    );
    let project = locked_with(&settings.replace("pack_command = app", "pack_command = {envbindir}/app --fast"));
    project.run(["pack", "--untested", "--format", "oci"]).succeeds();
    let file = fs::read_dir(project.root()).expect("it can be listed").flatten().map(|entry| entry.path());
    let file = file.into_iter().find(|path| path.to_string_lossy().ends_with(".oci.tar")).expect("it was written");
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o644);
    let (manifest, configuration) = described(&file);
    let settings = &configuration["config"];
    assert_eq!(settings["Entrypoint"], json!(["/srv/shop/env/bin/app", "--fast"]));
    assert_eq!((&settings["User"], &settings["StopSignal"]), (&json!("65532:65532"), &json!("SIGINT")));
    assert_eq!((&settings["ExposedPorts"], &settings["WorkingDir"]), (&json!({"8080/tcp": {}}), &json!("/srv/shop")));
    assert_eq!(manifest["annotations"]["org.opencontainers.image.title"], "web");
    let count = configuration["rootfs"]["diff_ids"].as_array().map(Vec::len);
    assert_eq!((count, manifest["layers"].as_array().map(Vec::len)), (Some(4), Some(4)));
}

#[test]
fn what_an_image_cannot_start_is_refused() {
    let project = locked();
    let refused = |from: &str, to: &str, reason: &str, remedy: &str| {
        fs::write(project.path("tox.ini"), SETTINGS.replace(from, to)).expect("it can be written");
        project
            .run(["pack", "-e", "web", "--untested", "--format", "oci"])
            .ends_with(1)
            .explains(reason)
            .explains(remedy);
        let left = fs::read_dir(project.root()).expect("it can be listed").flatten();
        assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains(".oci")));
    };
    let command = "pack_command = app";
    refused(
        command,
        "pack_command = sh -c app",
        "starts `sh`, which is not in the image",
        "`pack_base = debian:bookworm`",
    );
    refused(
        command,
        "description = x",
        "`pack_command` is not set, so the image would start nothing",
        "set `pack_command`",
    );
    let system = "pack_command = app\npack_interpreter = system";
    refused(command, system, "an image has no Python of its own", "`pack_interpreter = bundled`");
}

#[test]
fn packages_of_debian_are_the_lowest_layer() {
    let settings = SETTINGS.replace("pack_command = app", "pack_command = sh -c app\npack_base = debian:bookworm");
    // In the place of mmdebstrap, which needs a mirror: writes down its arguments, and an archive.
    let tool = "#!/bin/sh\necho \"$@ $SOURCE_DATE_EPOCH\" > asked\nfor last; do :; done\nmkdir -p lib usr\ncp \"$LIBC\" lib/libc.so.6\ntar --sort=name --mtime=@0 -cf \"$last\" lib usr\n";
    let project = with_mmdebstrap(locked_with(&settings), "#!/bin/sh\necho no mirror >&2\nexit 1\n");
    let refused = project.run(["pack", "--untested", "--format", "oci"]).ends_with(1);
    refused.explains("could not get packages of Debian bookworm: no mirror").explains("install mmdebstrap");
    let project = with_mmdebstrap(project, tool);
    let pack = ["pack", "--untested", "--format", "oci", "-o", "image.tar"];
    project.run(pack).succeeds();
    let asked = fs::read_to_string(project.path("asked")).expect("it was asked");
    assert!(asked.contains("--variant=extract --include=ca-certificates,libc6,netbase,tzdata bookworm /"), "{asked}");
    assert!(asked.ends_with(" 315532800\n"), "{asked}");
    let paths: Vec<String> = layer(&project.path("image.tar"), 0).into_keys().collect();
    assert_eq!(paths, ["lib/", "lib/libc.so.6", "usr/"]);
    assert!(!layer(&project.path("image.tar"), 1).keys().any(|path| path.contains("libc.so")));
    // They are kept.
    fs::remove_file(project.path("asked")).expect("it is there");
    project.run(pack).succeeds();
    assert!(!project.path("asked").exists());
}

/// A project that finds this script as `mmdebstrap`.
fn with_mmdebstrap(project: Project, script: &str) -> Project {
    let tools = project.path("tools");
    fs::create_dir_all(&tools).expect("a folder can be made");
    fs::write(tools.join("mmdebstrap"), script).expect("it can be written");
    fs::set_permissions(tools.join("mmdebstrap"), fs::Permissions::from_mode(0o755)).expect("it can be changed");
    let path = format!("{}:{}", tools.display(), machine::search_path(false).to_string_lossy());
    project.variable("PATH", &path).variable("LIBC", &machine_libc())
}

/// The path of this machine's glibc.
fn machine_libc() -> String {
    let maps = fs::read_to_string("/proc/self/maps").expect("it can be read");
    let path = maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.contains("/libc.so.6"));
    path.expect("the tests are linked with it").to_owned()
}
