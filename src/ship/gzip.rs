//! Compresses with gzip on all processors. Every mebibyte is compressed by itself, so that the bytes do not depend on
//! how many there are; one after the other they are one gzip file (RFC 1952, 2.2).

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use rayon::prelude::*;

const BLOCK: usize = 1024 * 1024;
/// How many blocks are compressed at a time.
const BLOCKS: usize = 16;

/// Compresses what is written to it.
pub struct GzipWriter<W: Write> {
    target: W,
    pending: Vec<u8>,
}

impl<W: Write> GzipWriter<W> {
    pub fn new(target: W) -> Self {
        Self { target, pending: Vec::new() }
    }

    /// Writes what is left and returns the target.
    pub fn finish(mut self) -> io::Result<W> {
        self.compress(self.pending.len())?;
        Ok(self.target)
    }

    fn compress(&mut self, length: usize) -> io::Result<()> {
        let compressed = |block: &[u8]| compressed(block, Compression::default());
        let blocks: io::Result<Vec<Vec<u8>>> = self.pending[..length].par_chunks(BLOCK).map(compressed).collect();
        blocks?.iter().try_for_each(|block| self.target.write_all(block))?;
        self.pending.drain(..length);
        Ok(())
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BLOCK * BLOCKS {
            self.compress(self.pending.len() / BLOCK * BLOCK)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

fn compressed(block: &[u8], level: Compression) -> io::Result<Vec<u8>> {
    // Neither a time nor an operating system.
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), level);
    encoder.write_all(block)?;
    encoder.finish()
}

/// Compresses a small file as far as possible.
pub fn whole(bytes: &[u8]) -> io::Result<Vec<u8>> {
    compressed(bytes, Compression::best())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn blocks_are_read_as_one_file_however_they_were_written() {
        let text: Vec<u8> = (0..3 * BLOCK + 7).map(|at| (at / 1000) as u8).collect();
        let written = |step: usize| {
            let mut writer = GzipWriter::new(Vec::new());
            text.chunks(step).for_each(|part| writer.write_all(part).unwrap());
            writer.finish().unwrap()
        };
        let all = written(text.len());
        assert_eq!(all, written(100_003));
        let mut read = Vec::new();
        flate2::read::MultiGzDecoder::new(all.as_slice()).read_to_end(&mut read).unwrap();
        assert!(read == text);
    }
}
