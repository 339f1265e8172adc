//! Completes what uv records about the origin of packages: pip also records the digest of an archive, which
//! `pip freeze` prints. <https://packaging.python.org/en/latest/specifications/direct-url/>

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::digest::sha256;

/// The file of a distribution that names its origin.
const ORIGIN: &str = "direct_url.json";

/// Adds, as far as possible, the digests of archives on this machine that packages in `site_packages` came from.
pub fn record_digests(site_packages: &Path) {
    for entry in fs::read_dir(site_packages).into_iter().flatten().flatten() {
        let folder = entry.path();
        if folder.extension().is_some_and(|extension| extension == "dist-info") {
            // Without it, `pip freeze` prints the path alone.
            let _ = record_digest(&folder);
        }
    }
}

fn record_digest(dist_info: &Path) -> Option<()> {
    let file = dist_info.join(ORIGIN);
    let mut origin: Value = serde_json::from_str(&fs::read_to_string(&file).ok()?).ok()?;
    let path = origin.get("url")?.as_str()?.strip_prefix("file://")?.split(['#', '?']).next()?;
    let archive = percent_decode_str(path).decode_utf8().ok()?.into_owned();
    let info = origin.get_mut("archive_info")?.as_object_mut()?;
    if info.contains_key("hash") || info.get("hashes").is_some_and(|hashes| !hashes.is_null()) {
        return None;
    }
    let digest = sha256(fs::read(archive).ok()?);
    info.insert("hash".to_owned(), format!("sha256={digest}").into());
    info.insert("hashes".to_owned(), json!({ "sha256": digest }));
    let text = origin.to_string();

    let record = dist_info.join("RECORD");
    let row = format!("{}/{ORIGIN},", dist_info.file_name()?.to_str()?);
    let rows = fs::read_to_string(&record).ok()?;
    let own = format!("{row}sha256={},{}", URL_SAFE_NO_PAD.encode(Sha256::digest(&text)), text.len());
    let rows = rows.lines().map(|line| if line.starts_with(&row) { own.as_str() } else { line });
    let rows: String = rows.flat_map(|line| [line, "\n"]).collect();
    replace(&file, &text).and_then(|()| replace(&record, &rows)).ok()
}

/// Writes a new file in place of one that may be a link into a cache.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    fs::remove_file(path)?;
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_local_archive_is_recorded_once() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a b.whl");
        fs::write(&archive, "content").unwrap();
        let dist_info = folder.path().join("site/demo-1.0.dist-info");
        fs::create_dir_all(&dist_info).unwrap();
        let url = format!("file://{}/a%20b.whl", folder.path().display());
        let written = |archive_info: Value| {
            fs::write(dist_info.join(ORIGIN), json!({ "url": url, "archive_info": archive_info }).to_string()).unwrap();
            let rows = "demo.py,,\ndemo-1.0.dist-info/direct_url.json,sha256=old,3\ndemo-1.0.dist-info/RECORD,,\n";
            fs::write(dist_info.join("RECORD"), rows).unwrap();
            record_digests(&folder.path().join("site"));
            let text = fs::read_to_string(dist_info.join(ORIGIN)).unwrap();
            (serde_json::from_str::<Value>(&text).unwrap(), fs::read_to_string(dist_info.join("RECORD")).unwrap())
        };
        let digest = sha256("content");
        let (origin, record) = written(json!({}));
        assert_eq!(
            origin["archive_info"],
            json!({ "hash": format!("sha256={digest}"), "hashes": { "sha256": digest } })
        );
        let content = fs::read(dist_info.join(ORIGIN)).unwrap();
        let own = format!("sha256={},{}", URL_SAFE_NO_PAD.encode(Sha256::digest(&content)), content.len());
        assert_eq!(
            record,
            format!("demo.py,,\ndemo-1.0.dist-info/direct_url.json,{own}\ndemo-1.0.dist-info/RECORD,,\n")
        );
        // What is there already is not changed.
        let (origin, record) = written(json!({ "hash": "md5=1" }));
        assert_eq!((&origin["archive_info"]["hash"], record.contains("sha256=old")), (&json!("md5=1"), true));
    }

    #[test]
    fn folders_and_archives_that_are_gone_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dist_info = folder.path().join("demo-1.0.dist-info");
        fs::create_dir_all(&dist_info).unwrap();
        for text in [
            r#"{"url": "file:///nowhere/demo.whl", "archive_info": {}}"#,
            r#"{"url": "file:///tmp", "dir_info": {"editable": true}}"#,
            r#"{"url": "https://example.org/demo.whl", "archive_info": {}}"#,
            "no JSON",
        ] {
            fs::write(dist_info.join(ORIGIN), text).unwrap();
            record_digests(folder.path());
            assert_eq!(fs::read_to_string(dist_info.join(ORIGIN)).unwrap(), text);
        }
        record_digests(&folder.path().join("nothing"));
    }
}
