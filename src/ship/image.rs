//! Writes a release as a container image: an OCI image layout in one tar archive, which `docker load` reads, too. Its
//! layers are those of the parts of a release, so that a change of the code changes only the last one.
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::digest::{hexadecimal, sha256};
use crate::runtime::cache;
use crate::ship::contents::PackedRelease;
use crate::ship::gzip::GzipWriter;
use crate::ship::image_base::{self, BaseLayer};
use crate::ship::image_config;
use crate::ship::manifest::{Manifest, MemberKind};
use crate::ship::piece::{Measured, Part};
use crate::ship::refusal::Refusal;
use crate::ship::tar_member::{self, Content, END};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What a kept layer was written by; another number forgets them.
const GENERATION: &str = "layer 1";
/// The time of all files: one that followed the commit would change every layer.
const TIME: u64 = super::contents::EARLIEST;

/// A compressed layer in the folder of layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// What it contains, for people.
    pub title: String,
    /// SHA-256 of the compressed layer, and its number of bytes.
    digest: String,
    size: u64,
    /// SHA-256 of what was compressed.
    pub diff: String,
}

/// Writes images, and keeps the layers of the last one.
#[derive(Debug)]
pub struct ImageWriter {
    /// The folder of layers.
    layers: PathBuf,
}

impl ImageWriter {
    pub fn new(work_dir: &Path) -> Result<Self> {
        let layers = work_dir.join(".envo").join("pack").join("layers");
        fs::create_dir_all(&layers).with_context(|| format!("cannot write {}", layers.display()))?;
        Ok(Self { layers })
    }

    /// Writes the image of a release. `base`: its lowest layers.
    pub fn write(&self, release: PackedRelease, base: Vec<BaseLayer>, target: &mut dyn Write) -> Result<()> {
        let PackedRelease { manifest, members, facts } = release;
        let mut layers = Vec::new();
        for layer in base {
            layers.push(match layer {
                BaseLayer::Members(members) => self.layer("base", &members, &[image_base::TEMPORARY])?,
                BaseLayer::Archive { key, create } => {
                    self.kept("debian", &sha256(format!("{GENERATION}\n{key}")), &mut |target| {
                        io::copy(&mut create()?, target)?;
                        Ok(())
                    })?
                }
            });
        }
        let placed = image_base::below(members, &facts.prefix)?;
        for (title, part) in [
            ("interpreter", Part::Interpreter),
            ("dependencies", Part::Dependencies),
            ("application", Part::Application),
        ] {
            let members: Vec<Measured> = placed.iter().filter(|one| one.piece.part == part).cloned().collect();
            if !members.is_empty() {
                layers.push(self.layer(title, &members, &[])?);
            }
        }
        self.forget_others(&layers);
        let mut documents = BTreeMap::new();
        let config = add(&mut documents, CONFIG, &image_config::document(&manifest, &facts, &layers));
        let described: Vec<Value> = layers
            .iter()
            .map(|layer| json!({"mediaType": LAYER, "digest": format!("sha256:{}", layer.digest), "size": layer.size}))
            .collect();
        let image = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": described,
            "annotations": image_config::annotations(&manifest, &facts),
        });
        let mut image = add(&mut documents, MANIFEST, &image);
        let tag = tag(&manifest);
        image["annotations"] = json!({"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": format!("docker.io/library/{}:{tag}", manifest.name)});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image]});
        let blob = |digest: &str| format!("blobs/sha256/{digest}");
        let for_docker = json!([{
            "Config": blob(config["digest"].as_str().unwrap_or_default().trim_start_matches("sha256:")),
            "RepoTags": [format!("{}:{tag}", manifest.name)],
            "Layers": layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
        }]);
        self.write_layout(&layers, &documents, (&index, &for_docker), target)
    }

    /// The layer with these members, and with folders that every user may write to.
    fn layer(&self, title: &str, members: &[Measured], open: &[&str]) -> Result<Layer> {
        let mut key = Sha256::new();
        key.update(format!("{GENERATION}\n{TIME}\n{open:?}\n"));
        for one in members {
            let what = match &one.member.kind {
                MemberKind::File { sha256, executable, .. } => format!("{sha256} {executable}"),
                MemberKind::Link(target) => format!("-> {target}"),
                MemberKind::Folder => String::new(),
            };
            key.update(format!("{}\0{what}\n", one.member.path));
        }
        self.kept(title, &hexadecimal(&key.finalize()), &mut |target| {
            for folder in open {
                target.write_all(&tar_member::member(folder, 0o1777, Content::Folder, TIME)?)?;
            }
            tar_member::each(members, ("", TIME), &Ok, &mut |member| target.write_all(member))?;
            Ok(target.write_all(&[0; END])?)
        })
    }

    /// The layer that was kept with this key, or a new one with what `write` writes.
    fn kept(&self, title: &str, key: &str, write: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<Layer> {
        let record = self.layers.join(format!("{key}.json"));
        if let Some(layer) = cache::read::<Layer>(&record)
            && crate::bounded::digest(self.layers.join(&layer.digest)).is_ok_and(|found| found == layer.digest)
        {
            return Ok(layer);
        }
        let cannot = || format!("cannot write {}", self.layers.display());
        let file = crate::scratch::file_in(&self.layers, ".layer-", 0o644).with_context(cannot)?;
        let compressed = Digesting::new(BufWriter::new(file));
        let mut content = Digesting::new(GzipWriter::new(compressed));
        write(&mut content).map_err(|error| match error.downcast::<Refusal>() {
            Ok(refusal) => refusal.into(),
            Err(error) => error.context(cannot()),
        })?;
        let (gzip, diff, _) = content.finish();
        let (file, digest, size) = gzip.finish().with_context(cannot)?.finish();
        let file = file.into_inner().map_err(io::IntoInnerError::into_error).with_context(cannot)?;
        file.persist(self.layers.join(&digest)).map_err(|error| error.error).with_context(cannot)?;
        let layer = Layer { title: title.to_owned(), digest, size, diff };
        cache::write(&record, &layer).with_context(cannot)?;
        Ok(layer)
    }

    /// Removes the layers of earlier images.
    fn forget_others(&self, layers: &[Layer]) {
        for entry in fs::read_dir(&self.layers).into_iter().flatten().flatten() {
            let path = entry.path();
            let digest = if path.extension().is_some_and(|extension| extension == "json") {
                cache::read::<Layer>(&path).map(|layer| layer.digest)
            } else {
                path.file_name().map(|name| name.to_string_lossy().into_owned())
            };
            if !layers.iter().any(|layer| Some(&layer.digest) == digest.as_ref()) {
                // One that stays does no harm.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Writes the members of the layout in order.
    fn write_layout(
        &self,
        layers: &[Layer],
        documents: &BTreeMap<String, Vec<u8>>,
        (index, for_docker): (&Value, &Value),
        target: &mut dyn Write,
    ) -> Result<()> {
        let mut digests: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        digests.extend(documents.keys().map(String::as_str));
        digests.sort_unstable();
        digests.dedup();
        for folder in ["blobs", "blobs/sha256"] {
            target.write_all(&tar_member::member(folder, 0o755, Content::Folder, TIME)?)?;
        }
        for digest in digests {
            let path = format!("blobs/sha256/{digest}");
            match documents.get(digest) {
                Some(document) => {
                    target.write_all(&tar_member::member(&path, 0o644, Content::File(document), TIME)?)?;
                }
                None => self.copy_layer(digest, &path, target)?,
            }
        }
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
        for (path, content) in [
            ("index.json", index.to_string().as_bytes()),
            ("manifest.json", for_docker.to_string().as_bytes()),
            ("oci-layout", layout),
        ] {
            target.write_all(&tar_member::member(path, 0o644, Content::File(content), TIME)?)?;
        }
        Ok(target.write_all(&[0; END])?)
    }

    fn copy_layer(&self, digest: &str, path: &str, target: &mut dyn Write) -> Result<()> {
        let kept = self.layers.join(digest);
        let content = fs::read(&kept).with_context(|| format!("cannot read {}", kept.display()))?;
        Ok(target.write_all(&tar_member::member(path, 0o644, Content::File(&content), TIME)?)?)
    }
}

/// Adds a document to the blobs and describes it.
fn add(documents: &mut BTreeMap<String, Vec<u8>>, media_type: &str, document: &Value) -> Value {
    let bytes = document.to_string().into_bytes();
    let digest = sha256(&bytes);
    let described = json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()});
    documents.insert(digest, bytes);
    described
}

/// The version as a tag, in which `+` is not allowed.
fn tag(manifest: &Manifest) -> String {
    manifest.version.replace(['+', '!'], "_").chars().take(128).collect()
}

/// Computes the SHA-256 of what passes through it.
struct Digesting<W> {
    target: W,
    digest: Sha256,
    size: u64,
}

impl<W: Write> Digesting<W> {
    fn new(target: W) -> Self {
        Self { target, digest: Sha256::new(), size: 0 }
    }

    fn finish(self) -> (W, String, u64) {
        (self.target, hexadecimal(&self.digest.finalize()), self.size)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.target.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}
