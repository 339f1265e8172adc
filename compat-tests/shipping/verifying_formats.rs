//! Tests how Debian packages and container images are checked: what was altered is named, and nothing of them is installed.

use std::fs;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::shipping::debian::with_packages;
use crate::shipping::images::with_image;
use crate::support::project::Project;

/// The bytes before a member of a package, and the place of its size in them.
const HEADER: usize = 60;
const SIZE: std::ops::Range<usize> = 48..58;

/// A member of a tar archive, with its padding.
fn member(path: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().expect("it is one").name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut member = header.as_bytes().to_vec();
    member.extend_from_slice(content);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// Where the content of the member with this path begins.
fn content_of(archive: &[u8], path: &str) -> usize {
    let mut archive = tar::Archive::new(archive);
    let found = archive.entries().expect("it is an archive").map(|entry| entry.expect("it is whole"));
    let mut found = found.filter(|entry| entry.path().expect("it has one").to_string_lossy().ends_with(path));
    found.next().expect("it is there").raw_file_position() as usize
}

/// The package up to the header of its files, and the unpacked archive of these.
fn parts(package: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut at = 8;
    for _ in 0..2 {
        let size = String::from_utf8_lossy(&package[at..][SIZE]).trim().parse::<usize>().expect("a number");
        at += HEADER + size + size % 2;
    }
    let mut files = Vec::new();
    MultiGzDecoder::new(&package[at + HEADER..]).read_to_end(&mut files).expect("it can be unpacked");
    (package[..at + HEADER].to_vec(), files)
}

/// Writes a package with these files.
fn write_package(project: &Project, start: &[u8], files: &[u8]) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(files).expect("it can be compressed");
    let content = encoder.finish().expect("it can be compressed");
    let mut package = start.to_vec();
    let at = package.len() - HEADER;
    package[at..][SIZE].copy_from_slice(format!("{:<10}", content.len()).as_bytes());
    package.extend_from_slice(&content);
    package.resize(package.len().next_multiple_of(2), b'\n');
    fs::write(project.path("altered.deb"), package).expect("it can be written");
}

#[test]
fn the_altered_file_of_a_package_is_named() {
    let project = with_packages();
    project.run(["verify", "old.deb"]).succeeds().says("web 0+").says("as packed").says("1, can be imported");
    let package = fs::read(project.path("old.deb")).expect("it can be read");
    let (start, files) = parts(&package);
    let refused = |files: &[u8], reason: &str| {
        write_package(&project, &start, files);
        project.run(["verify", "altered.deb"]).ends_with(1).explains(reason);
    };
    write_package(&project, &start, &files);
    project.run(["verify", "altered.deb"]).succeeds();
    for (path, named) in [
        ("site-packages/library.py", "/site-packages/library.py` was altered"),
        ("system/web.service", "`usr/lib/systemd/system/web.service` was altered"),
        (".envo/manifest.json", "manifest.json"),
    ] {
        let mut altered = files.clone();
        altered[content_of(&files, path) + 1] ^= 1;
        refused(&altered, named);
    }
    let end = files.len() - 1024;
    for (path, reason) in [
        ("../outside", "`../outside` is not a path inside of the release"),
        ("/outside", "`/outside` is not a path inside of the release"),
        ("opt/web/extra", "`opt/web/extra` is not listed in the manifest"),
        ("usr/bin/extra", "`usr/bin/extra` is not listed in the manifest"),
    ] {
        refused(&[&files[..end], &member(path, b"x"), &files[end..]].concat(), reason);
    }
    // The last file is that of lintian.
    let last = content_of(&files, "overrides/web") - 512;
    refused(&[&files[..last], &files[end..]].concat(), "`usr/share/lintian/overrides/web` is missing");
    for (bytes, reason) in [
        (package[..package.len() / 2].to_vec(), "the file was cut off"),
        ([package.as_slice(), b"more"].concat(), "the file has data after its end"),
        (package[..40].to_vec(), "was not written by `envo pack`"),
    ] {
        fs::write(project.path("altered.deb"), bytes).expect("it can be written");
        project.run(["verify", "altered.deb"]).ends_with(1).explains(reason);
    }
    let refused = project.run(["install", "old.deb", "--root", "root"]).ends_with(1);
    refused.explains("old.deb is a Debian package").explains("`apt install FILE`");
}

#[test]
fn the_altered_layer_of_an_image_is_named() {
    let project = with_image();
    let verified = project.run(["verify", "image.tar"]).succeeds();
    verified.says("web 0+").says("layers     4, ").says("starts     /opt/web/env/bin/app\n");
    let image = fs::read(project.path("image.tar")).expect("it can be read");
    let refused = |bytes: &[u8], reason: &str| {
        fs::write(project.path("altered.tar"), bytes).expect("it can be written");
        project.run(["verify", "altered.tar"]).ends_with(1).explains(reason);
    };
    let described: serde_json::Value = {
        let at = content_of(&image, "manifest.json");
        let document = serde_json::Deserializer::from_slice(&image[at..]).into_iter().next();
        document.expect("it has one").expect("it is JSON")
    };
    let layers = described[0]["Layers"].as_array().expect("a list");
    for (layer, title) in layers.iter().zip(["base", "interpreter", "dependencies", "application"]) {
        let mut altered = image.clone();
        altered[content_of(&image, layer.as_str().expect("a text")) + 40] ^= 1;
        refused(&altered, &format!("the layer `{title}` ("));
    }
    for (path, reason) in [
        (described[0]["Config"].as_str().expect("a text"), "the configuration of the image ("),
        ("manifest.json", "`manifest.json` was altered"),
        ("index.json", "`index.json` was altered"),
    ] {
        let mut altered = image.clone();
        altered[content_of(&image, path)] = b' ';
        refused(&altered, reason);
    }
    let end = image.len() - 1024;
    let unlisted = format!("blobs/sha256/{:064}", 0);
    for (path, reason) in [
        ("../outside", "`../outside` is not a path inside of the release"),
        ("/outside", "`/outside` is not a path inside of the release"),
        (&unlisted, "is not listed in the manifest"),
        ("extra", "`extra` is not listed in the manifest"),
    ] {
        refused(&[&image[..end], &member(path, b"x"), &image[end..]].concat(), reason);
    }
    refused(&image[..image.len() / 2], "was cut off");
    refused(&member("notes.txt", b"x"), "`notes.txt` is not listed");
    refused(&member("oci-layout", b"x"), "`index.json` is missing");
    let installed = project.run(["install", "image.tar", "--root", "root"]).ends_with(1);
    installed.explains("image.tar is a container image").explains("`docker load -i FILE`");
}
