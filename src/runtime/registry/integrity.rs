//! Checks downloaded packages against the hashes that a registry publishes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The published hash of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishedFile {
    /// As in the subresource integrity standard: `sha512-` and the hash in base 64.
    Integrity { algorithm: DigestAlgorithm, hash: String },
    /// SHA-1 in hexadecimal digits, the only hash of old packages.
    Shasum(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestAlgorithm {
    Sha512,
    Sha384,
    Sha256,
}

/// The strongest first.
const ALGORITHMS: [(&str, DigestAlgorithm); 3] =
    [("sha512-", DigestAlgorithm::Sha512), ("sha384-", DigestAlgorithm::Sha384), ("sha256-", DigestAlgorithm::Sha256)];

impl PublishedFile {
    /// The strongest hash in `dist`; `None` if not found.
    pub fn of(dist: &Value) -> Option<Self> {
        let words = dist["integrity"].as_str().unwrap_or_default();
        for (prefix, algorithm) in ALGORITHMS {
            if let Some(hash) = words.split_whitespace().find_map(|word| word.strip_prefix(prefix)) {
                let hash = hash.split('?').next().unwrap_or_default().to_owned();
                return Some(Self::Integrity { algorithm, hash });
            }
        }
        dist["shasum"].as_str().map(|digits| Self::Shasum(digits.to_ascii_lowercase()))
    }

    pub fn check(&self, file: &Path) -> Result<()> {
        let (wanted, found) = match self {
            Self::Integrity { algorithm, hash } => (hash, STANDARD.encode(digest(*algorithm, &fs_err::read(file)?))),
            Self::Shasum(digits) => {
                // The download script writes it next to the file.
                let mut name = file.as_os_str().to_owned();
                name.push(".sha1");
                (digits, fs_err::read_to_string(PathBuf::from(name)).context("its SHA-1 is missing")?.trim().to_owned())
            }
        };
        if *wanted != found {
            bail!("what was fetched is not what the registry published: its hash is {found}, not {wanted}");
        }
        Ok(())
    }
}

fn digest(algorithm: DigestAlgorithm, content: &[u8]) -> Vec<u8> {
    match algorithm {
        DigestAlgorithm::Sha512 => Sha512::digest(content).to_vec(),
        DigestAlgorithm::Sha384 => Sha384::digest(content).to_vec(),
        DigestAlgorithm::Sha256 => Sha256::digest(content).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_strongest_hash_that_is_published_must_be_right() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tgz");
        std::fs::write(&file, "abc").unwrap();
        std::fs::write(folder.path().join("a.tgz.sha1"), "a9993e364706816aba3e25717850c26c9cd0d89d").unwrap();
        let check = |dist: Value| PublishedFile::of(&dist).map(|published| published.check(&file).is_ok());
        let right = "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
        let shasum = "a9993e364706816aba3e25717850c26c9cd0d89d";
        assert_eq!(check(json!({"integrity": right, "shasum": "wrong"})), Some(true));
        assert_eq!(check(json!({"integrity": format!("sha1-x {right}?x")})), Some(true));
        assert_eq!(check(json!({"integrity": "sha512-AAAA", "shasum": shasum})), Some(false));
        assert_eq!(check(json!({"shasum": shasum})), Some(true));
        assert_eq!(check(json!({"shasum": "b"})), Some(false));
        assert_eq!(check(json!({})), None);
    }
}
