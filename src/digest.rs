//! Digests in hexadecimal digits.

use sha2::{Digest as _, Sha256};

/// SHA-256 of a text or bytes.
pub fn sha256(content: impl AsRef<[u8]>) -> String {
    hexadecimal(&Sha256::digest(content))
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
