//! Builds wheels by hand, for installing without a network or a build backend.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;

/// A wheel with one module of its name, in `folder`.
pub fn library(folder: &Path, name: &str, version: &str) -> PathBuf {
    write(folder, (name, version), &[(format!("{name}.py"), format!("VERSION = {version:?}\n"))])
}

/// The same that requires others.
pub fn requiring(folder: &Path, name: &str, version: &str, requirements: &[&str]) -> PathBuf {
    let files = [(format!("{name}.py"), format!("VERSION = {version:?}\n"))];
    let lines: String = requirements.iter().map(|requirement| format!("Requires-Dist: {requirement}\n")).collect();
    write_with(folder, (name, version), &files, &lines)
}

/// The same with this module.
pub fn holding(folder: &Path, name: &str, version: &str, module: &str, requirements: &[&str]) -> PathBuf {
    let lines: String = requirements.iter().map(|requirement| format!("Requires-Dist: {requirement}\n")).collect();
    write_with(folder, (name, version), &[(format!("{name}.py"), module.to_owned())], &lines)
}

/// The same with these lines in its metadata.
pub fn describing(folder: &Path, name: &str, version: &str, lines: &str) -> PathBuf {
    write_with(folder, (name, version), &[(format!("{name}.py"), String::new())], lines)
}

/// A wheel of uv whose program is this shell script.
pub fn uv(folder: &Path, version: &str, script: &str) -> PathBuf {
    write(folder, ("uv", version), &[(format!("uv-{version}.data/scripts/uv"), format!("#!/bin/sh\n{script}\n"))])
}

/// A wheel with these files, some of which may be in its `.dist-info`, and these lines in its metadata.
pub fn containing(folder: &Path, what: (&str, &str), files: &[(&str, &str)], lines: &str) -> PathBuf {
    let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    write_with(folder, what, &files, lines)
}

fn write(folder: &Path, what: (&str, &str), files: &[(String, String)]) -> PathBuf {
    write_with(folder, what, files, "")
}

fn write_with(folder: &Path, (name, version): (&str, &str), files: &[(String, String)], more: &str) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder can be made");
    let path = folder.join(format!("{name}-{version}-py3-none-any.whl"));
    let mut archive = zip::ZipWriter::new(File::create(&path).expect("a file can be made"));
    let dist_info = format!("{name}-{version}.dist-info");
    let mut all = files.to_vec();
    all.push((
        format!("{dist_info}/METADATA"),
        format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}"),
    ));
    let tags = "Wheel-Version: 1.0\nGenerator: envo\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    all.push((format!("{dist_info}/WHEEL"), tags.to_owned()));
    let record: String = all.iter().map(|(name, _)| format!("{name},,\n")).collect();
    all.push((format!("{dist_info}/RECORD"), format!("{record}{dist_info}/RECORD,,\n")));
    for (name, text) in all {
        archive.start_file(name, SimpleFileOptions::default()).expect("a file can be added");
        archive.write_all(text.as_bytes()).expect("a file can be written");
    }
    archive.finish().expect("the archive can be written");
    path
}
