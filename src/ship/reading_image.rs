//! Reads a container image of `envo pack`: every blob must have the digest that it is named after, and be one that the
//! image lists.
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType};

use crate::bounded::Allowance;
use crate::digest::hexadecimal;
use crate::execute::interrupt::Interrupt;
use crate::ship::image_config;
use crate::ship::reading::{self, LARGEST_HEADER, PackedFile, altered, damaged, outside, unlisted};
use crate::ship::refusal::Refusal;

const BLOBS: &str = "blobs/sha256/";
/// The documents of an image are far smaller, and its layers larger or not JSON.
const LARGEST_DOCUMENT: u64 = 4 * 1024 * 1024;

/// What an image is.
#[derive(Debug)]
pub struct ImageSummary {
    pub name: String,
    pub version: String,
    /// `linux amd64`.
    pub machine: String,
    pub start: Vec<String>,
    pub layers: usize,
    pub size: u64,
}

/// A file in the layout.
struct Stored {
    /// Where its content begins in the file.
    at: u64,
    size: u64,
    is_intact: bool,
    /// The content of a small file.
    document: Vec<u8>,
}

/// The files of the layout by their paths.
struct Layout(BTreeMap<String, Stored>);

impl Layout {
    fn document(&self, path: &str) -> Result<Value, Refusal> {
        let missing = || Refusal::new(format!("`{path}` is missing")).help(reading::COPY_AGAIN);
        let stored = self.0.get(path).ok_or_else(missing)?;
        let document = serde_json::from_slice(&stored.document).ok().filter(|_| stored.is_intact);
        document.ok_or_else(|| altered(path))
    }

    /// The file that `described` means, intact and of its size. `title`: what it is.
    fn blob(&self, described: &Value, title: &str) -> Result<(String, &Stored), Refusal> {
        let digest = described["digest"].as_str().unwrap_or_default();
        let path = format!("{BLOBS}{}", digest.trim_start_matches("sha256:"));
        let wrong = |what: &str| Refusal::new(format!("the {title} (`{path}`) {what}")).help(reading::COPY_AGAIN);
        let stored = self.0.get(&path).ok_or_else(|| wrong("is missing"))?;
        if !stored.is_intact || described["size"].as_u64() != Some(stored.size) {
            return Err(wrong("was altered"));
        }
        Ok((path, stored))
    }
}

/// Reads the image; nothing is unpacked.
pub fn read(file: &PackedFile<'_>, interrupt: &Interrupt) -> anyhow::Result<ImageSummary> {
    // It is opened once, so that every pass reads the same file.
    let opened = file.seekable()?;
    let layout = stored(&opened, interrupt)?.ok_or_else(|| reading::foreign(file.path))?;
    let index = layout.document("index.json")?;
    let (image_path, _) = layout.blob(&index["manifests"][0], "manifest of the image")?;
    let image = layout.document(&image_path)?;
    // The configuration names the layers, so it comes before they are compared.
    let (configuration_path, _) = layout.blob(&image["config"], "configuration of the image")?;
    let configuration = layout.document(&configuration_path)?;
    let machine = machine(&configuration)?;
    let layers = image["layers"].as_array().cloned().unwrap_or_default();
    let mut used = vec![image_path, configuration_path.clone()];
    let mut paths = Vec::new();
    for (number, described) in layers.iter().enumerate() {
        let title = format!("layer `{}`", configuration["history"][number]["comment"].as_str().unwrap_or("?"));
        let (path, stored) = layout.blob(described, &title)?;
        let diff = configuration["rootfs"]["diff_ids"][number].as_str().unwrap_or_default();
        if format!("sha256:{}", unpacked(&opened, stored, &title, interrupt)?) != diff {
            return Err(altered(&configuration_path).into());
        }
        paths.push(path);
    }
    let for_docker = layout.document("manifest.json")?;
    if for_docker[0]["Config"] != configuration_path || for_docker[0]["Layers"] != Value::from(paths.clone()) {
        return Err(altered("manifest.json").into());
    }
    used.extend(paths);
    if let Some(path) = layout.0.keys().find(|path| path.starts_with(BLOBS) && !used.contains(path)) {
        return Err(unlisted(path).into());
    }
    let annotation = |key: &str| {
        let value = &image["annotations"][format!("org.opencontainers.image.{key}")];
        crate::python_text::escaped(value.as_str().unwrap_or("?"))
    };
    let words = configuration["config"]["Entrypoint"].as_array().into_iter().flatten();
    Ok(ImageSummary {
        name: annotation("title"),
        version: annotation("version"),
        machine,
        start: words.filter_map(Value::as_str).map(crate::python_text::escaped).collect(),
        layers: layers.len(),
        size: layout.0.values().map(|stored| stored.size).sum(),
    })
}

/// The machine that the image is for, which must be this one.
fn machine(configuration: &Value) -> Result<String, Refusal> {
    let text = |key: &str| configuration[key].as_str().unwrap_or_default();
    let found = format!("{} {}", text("os"), text("architecture"));
    let here = format!("{} {}", std::env::consts::OS, image_config::architecture(std::env::consts::ARCH));
    if found == here {
        return Ok(found);
    }
    let reason = format!("it was packed for {found}, but this machine is {here}");
    Err(Refusal::new(reason).help("pack it on a machine of this kind"))
}

/// The files of the layout if it is one, each compared with the digest in its name.
fn stored(mut file: &File, interrupt: &Interrupt) -> anyhow::Result<Option<Layout>> {
    file.rewind()?;
    let left = Rc::new(Cell::new(LARGEST_HEADER));
    let mut archive = Archive::new(Allowance::new(BufReader::new(file), Rc::clone(&left)));
    let mut found = BTreeMap::new();
    for entry in archive.entries()? {
        if interrupt.requested() {
            return Err(reading::interrupted());
        }
        let mut entry = entry.map_err(|_| Refusal::new("the file is damaged").help(reading::COPY_AGAIN))?;
        let path = reading::path_of(&entry);
        if reading::is_unsafe(&path) {
            return Err(outside(&path).into());
        }
        let (at, size) = (entry.raw_file_position(), entry.size());
        match entry.header().entry_type() {
            EntryType::Directory => continue,
            EntryType::Regular if is_of_layout(&path) && !found.contains_key(&path) => {}
            _ => return Err(unlisted(&path).into()),
        }
        left.set(size.saturating_add(1));
        let mut document = Vec::new();
        let mut digest = Sha256::new();
        let read = if size <= LARGEST_DOCUMENT {
            let read = entry.read_to_end(&mut document);
            digest.update(&document);
            read.map(|read| read as u64)
        } else {
            io::copy(&mut entry, &mut digest)
        };
        if read.ok() != Some(size) {
            return Err(Refusal::new("the file was cut off").help(reading::COPY_AGAIN).into());
        }
        let digest = hexadecimal(&digest.finalize());
        let is_intact = path.strip_prefix(BLOBS).is_none_or(|name| name == digest);
        found.insert(path, Stored { at, size, is_intact, document });
        left.set(LARGEST_HEADER);
    }
    Ok(Some(Layout(found)).filter(|layout| layout.0.contains_key("oci-layout")))
}

fn is_of_layout(path: &str) -> bool {
    let is_digest = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(path, "index.json" | "manifest.json" | "oci-layout") || path.strip_prefix(BLOBS).is_some_and(is_digest)
}

/// The digest of an unpacked layer, whose members must stay inside of the image.
fn unpacked(file: &File, stored: &Stored, title: &str, interrupt: &Interrupt) -> anyhow::Result<String> {
    let mut opened = file.try_clone()?;
    opened.seek(SeekFrom::Start(stored.at))?;
    let content = MultiGzDecoder::new(BufReader::new(opened.take(stored.size)));
    let left = Rc::new(Cell::new(LARGEST_HEADER));
    let mut digest = Sha256::new();
    let teeing = Teeing { source: content, target: &mut digest };
    let mut archive = Archive::new(Allowance::new(teeing, Rc::clone(&left)));
    let broken = || damaged(title);
    for entry in archive.entries()? {
        if interrupt.requested() {
            return Err(reading::interrupted());
        }
        let mut entry = entry.map_err(|_| broken())?;
        let path = reading::path_of(&entry);
        if reading::is_unsafe(&path) {
            return Err(outside(&path).into());
        }
        left.set(entry.size().saturating_add(1));
        io::copy(&mut entry, &mut io::sink()).map_err(|_| broken())?;
        left.set(LARGEST_HEADER);
    }
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|_| broken())?;
    Ok(hexadecimal(&digest.finalize()))
}

/// Copies what is read from the source.
struct Teeing<'a, R, W> {
    source: R,
    target: &'a mut W,
}

impl<R: Read, W: Write> Read for Teeing<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.target.write_all(&buffer[..read])?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ship::gzip;
    use crate::ship::tar_member::{Content, END, member};

    /// The image with one layer, which has one member.
    fn image(path: &str, architecture: &str, diff: Option<&str>) -> tempfile::NamedTempFile {
        let mut layer = member("x", 0o644, Content::File(b"text"), 0).unwrap();
        layer[..path.len()].copy_from_slice(path.as_bytes());
        let sum: u32 = layer[..512]
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        layer[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        layer.extend([0; END]);
        let diff = diff.map_or_else(|| format!("sha256:{}", crate::digest::sha256(&layer)), str::to_owned);
        let mut blobs = Vec::new();
        let mut add = |bytes: Vec<u8>| {
            let digest = crate::digest::sha256(&bytes);
            let described = json!({"digest": format!("sha256:{digest}"), "size": bytes.len()});
            blobs.push((format!("{BLOBS}{digest}"), bytes));
            described
        };
        let path_of = |described: &Value| described["digest"].as_str().unwrap().replace("sha256:", BLOBS);
        let layer = add(gzip::whole(&layer).unwrap());
        let configuration = json!({"os": "linux", "architecture": architecture, "rootfs": {"diff_ids": [diff]},
            "history": [{"comment": "application"}]});
        let configuration = add(configuration.to_string().into_bytes());
        let for_docker = json!([{"Config": path_of(&configuration), "Layers": [path_of(&layer)]}]);
        let image = add(json!({"config": configuration, "layers": [layer]}).to_string().into_bytes());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for (path, content) in blobs.into_iter().chain([
            ("index.json".to_owned(), json!({"manifests": [image]}).to_string().into_bytes()),
            ("manifest.json".to_owned(), for_docker.to_string().into_bytes()),
            ("oci-layout".to_owned(), b"{}".to_vec()),
        ]) {
            file.write_all(&member(&path, 0o644, Content::File(&content), 0).unwrap()).unwrap();
        }
        file.write_all(&[0; END]).unwrap();
        file
    }

    fn refusal(file: &tempfile::NamedTempFile) -> Option<String> {
        read(&PackedFile::new(file.path()), &Interrupt::default()).err().map(|error| error.to_string())
    }

    #[test]
    fn an_image_is_refused_for_what_its_layers_contain_and_for_its_machine() {
        let here = image_config::architecture(std::env::consts::ARCH);
        assert_eq!(refusal(&image("x", here, None)), None);
        for path in ["../x", "/x", "a/../../x"] {
            let refused = refusal(&image(path, here, None)).unwrap();
            assert!(refused.contains(&format!("`{path}` is not a path inside of the release")), "{refused}");
        }
        let refused = refusal(&image("x", "sparc64", None)).unwrap();
        assert!(refused.contains("it was packed for linux sparc64, but this machine is"), "{refused}");
        let refused = refusal(&image("x", here, Some("sha256:00"))).unwrap();
        assert!(refused.contains("was altered"), "{refused}");
    }
}
