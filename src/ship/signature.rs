//! Signatures of packed files, as `minisign` makes and checks them: `FILE.minisig` next to the file.
//! <https://jedisct1.github.io/minisign/>

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use minisign::{PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};

use crate::bounded;
use crate::ship::reading::PackedFile;
use crate::ship::refusal::Refusal;

/// The file with the signature of `file`.
pub fn path_for(file: &Path) -> PathBuf {
    let mut path = OsString::from(file);
    path.push(".minisig");
    PathBuf::from(path)
}

/// A secret key without a password.
pub fn secret_key(path: &Path) -> Result<SecretKey, Refusal> {
    let unusable = |reason: String| {
        let help = "create one without a password, since a pipeline cannot type it: minisign -G -W";
        Refusal::new(format!("cannot sign with {}: {reason}", path.display())).help(help)
    };
    let text = fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let boxed = SecretKeyBox::from_string(&text).map_err(|error| unusable(error.to_string()))?;
    boxed.into_unencrypted_secret_key().map_err(|error| unusable(error.to_string()))
}

/// Signs `file`. `comment` is signed too.
pub fn sign(file: &Path, key: &SecretKey, comment: &str) -> anyhow::Result<PathBuf> {
    let public = PublicKey::from_secret_key(key)?;
    let content = File::open(file)?;
    let signature = minisign::sign(Some(&public), key, content, Some(comment), Some("signature from envo pack"))?;
    let path = path_for(file);
    crate::lockfile::write::replace(&path, signature.to_string().as_bytes())?;
    Ok(path)
}

/// Checks the signature of `file` and returns the file as it was checked, and the signed comment. `key`: a file of
/// `minisign -G`, or the key itself.
pub fn verify<'a>(file: &'a Path, key: &str) -> anyhow::Result<(PackedFile<'a>, String)> {
    let key = public_key(key)?;
    let path = path_for(file);
    let text = bounded::read_text(&path).map_err(|error| {
        let reason = format!("{} is not signed: {}: {error}", file.display(), path.display());
        Refusal::new(reason).help("copy the file's .minisig too, or set `pack_sign` and pack again")
    })?;
    let invalid = |error: minisign::PError| {
        let reason = format!("the signature of {} is not valid for this key: {error}", file.display());
        Refusal::new(reason).help("do not use the file; check that it is complete and that the key is its packer's")
    };
    let signature = SignatureBox::from_string(&text).map_err(invalid)?;
    let (packed, content) = PackedFile::copied(file)?;
    minisign::verify(&key, &signature, content, true, false, false).map_err(invalid)?;
    Ok((packed, signature.trusted_comment().map_err(invalid)?))
}

fn public_key(key: &str) -> Result<PublicKey, Refusal> {
    let unusable = |error: String| {
        Refusal::new(format!("`{key}` is not a public key of minisign: {error}"))
            .help("name the file minisign.pub, or give the key itself, which begins with RW")
    };
    match bounded::read_text(key) {
        Ok(text) => {
            let boxed = PublicKeyBox::from_string(&text).map_err(|error| unusable(error.to_string()))?;
            boxed.into_public_key().map_err(|error| unusable(error.to_string()))
        }
        Err(_) => PublicKey::from_base64(key.trim()).map_err(|error| unusable(error.to_string())),
    }
}
