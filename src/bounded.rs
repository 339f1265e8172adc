//! Reads the files of a project up to a limit, since they may be endless devices or pipes, or larger than the memory.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::digest::hexadecimal;

/// Larger than any file written by hand, and than any lock.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The content of a file. Pipes are read to their end.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    read_up_to(path.as_ref(), LARGEST)
}

/// The content of a UTF-8 text file.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let utf8 = |_| Error::new(ErrorKind::InvalidData, "stream did not contain valid UTF-8");
    String::from_utf8(read(path)?).map_err(utf8)
}

/// The content of a file with another limit.
pub fn read_up_to(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut content = Vec::new();
    if size <= limit {
        content.reserve_exact(usize::try_from(size).unwrap_or_default());
        // Devices and pipes have no size, and a file may grow.
        file.take(limit + 1).read_to_end(&mut content)?;
    }
    if size.max(content.len() as u64) > limit {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("file too large (more than {} MiB)", limit >> 20)));
    }
    Ok(content)
}

/// SHA-256 of a file in hexadecimal digits. A regular file may have any size; anything else is read as by [`read`].
pub fn digest(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let mut digest = Sha256::new();
    if path.metadata()?.is_file() {
        std::io::copy(&mut File::open(path)?, &mut digest)?;
    } else {
        digest.update(read(path)?);
    }
    Ok(hexadecimal(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_the_limit_and_not_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_up_to(&path, 5).unwrap(), b"12345");
        assert_eq!(read_up_to(&path, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read_text(&path).unwrap(), "12345");
        File::options().write(true).open(&path).unwrap().set_len(10 << 30).unwrap();
        for endless in [path.as_path(), Path::new("/dev/zero")] {
            assert_eq!(read(endless).unwrap_err().to_string(), "file too large (more than 64 MiB)");
        }
    }

    #[test]
    fn files_have_a_digest_unless_they_never_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(&path).unwrap(), expected);
        assert_eq!(digest("/dev/zero").unwrap_err().to_string(), "file too large (more than 64 MiB)");
    }
}
