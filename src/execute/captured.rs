//! The output of a command, kept in memory while it is small and in an unnamed file when it is not.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// How much of one stream is kept in memory.
const IN_MEMORY: usize = 1 << 20;
/// How much of a file is read in one step.
const STEP: usize = 64 * 1024;

/// The bytes of one output stream. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct CapturedOutput {
    memory: Arc<Vec<u8>>,
    /// The part that did not fit, and its length.
    rest: Option<(Arc<File>, u64)>,
}

impl CapturedOutput {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> u64 {
        self.memory.len() as u64 + self.rest.as_ref().map_or(0, |(_, length)| *length)
    }

    /// The whole output in memory.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to a vector cannot fail; a file that cannot be read back ends the text early.
        let _ = self.write_to(&mut bytes);
        bytes
    }

    /// The whole output as text; invalid UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8(self.to_vec()).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    pub fn write_to(&self, target: &mut dyn Write) -> io::Result<()> {
        target.write_all(&self.memory)?;
        let Some((file, length)) = &self.rest else { return Ok(()) };
        let mut buffer = vec![0; STEP];
        let mut at = 0;
        while at < *length {
            let wanted = usize::try_from(*length - at).unwrap_or(STEP).min(STEP);
            file.read_exact_at(&mut buffer[..wanted], at)?;
            target.write_all(&buffer[..wanted])?;
            at += wanted as u64;
        }
        Ok(())
    }

    /// At most the last `length` bytes.
    pub fn tail(&self, length: usize) -> Vec<u8> {
        let mut bytes = self.memory[self.memory.len().saturating_sub(length)..].to_vec();
        if let Some((file, written)) = &self.rest {
            let mut end = vec![0; usize::try_from(*written).unwrap_or(length).min(length)];
            let begin = written - end.len() as u64;
            if file.read_exact_at(&mut end, begin).is_ok() {
                bytes.append(&mut end);
            }
        }
        bytes.split_off(bytes.len().saturating_sub(length))
    }

    /// The last byte.
    pub fn ends_with(&self, byte: u8) -> bool {
        match &self.rest {
            Some((file, length)) if *length > 0 => {
                let mut last = [0];
                file.read_exact_at(&mut last, length - 1).is_ok() && last[0] == byte
            }
            _ => self.memory.last() == Some(&byte),
        }
    }
}

impl From<Vec<u8>> for CapturedOutput {
    fn from(bytes: Vec<u8>) -> Self {
        Self { memory: Arc::new(bytes), rest: None }
    }
}

/// Collects a [`CapturedOutput`].
#[derive(Debug)]
pub(super) struct CaptureCollector<'a> {
    /// The folder for the file of a large output.
    folder: &'a Path,
    memory: Vec<u8>,
    rest: Option<(File, u64)>,
}

impl<'a> CaptureCollector<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder, memory: Vec::new(), rest: None }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.rest.is_none() && self.memory.len() + bytes.len() > IN_MEMORY {
            // Without a file (the disk may be full) memory has to suffice.
            self.rest = std::fs::create_dir_all(self.folder)
                .and_then(|()| tempfile::tempfile_in(self.folder))
                .ok()
                .map(|file| (file, 0));
        }
        match &mut self.rest {
            Some((file, length)) => match file.write_all_at(bytes, *length) {
                Ok(()) => *length += bytes.len() as u64,
                Err(_) => self.take_back(bytes),
            },
            None => self.memory.extend_from_slice(bytes),
        }
    }

    /// Continues in memory if the file cannot be written any more.
    fn take_back(&mut self, bytes: &[u8]) {
        if let Some((file, length)) = self.rest.take() {
            let memory = std::mem::take(&mut self.memory);
            self.memory = CapturedOutput { memory: Arc::new(memory), rest: Some((Arc::new(file), length)) }.to_vec();
        }
        self.memory.extend_from_slice(bytes);
    }

    pub(super) fn finish(self) -> CapturedOutput {
        CapturedOutput { memory: Arc::new(self.memory), rest: self.rest.map(|(file, length)| (Arc::new(file), length)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_output_is_complete_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("log");
        let mut collector = CaptureCollector::new(&folder);
        let mut expected = Vec::new();
        for number in 0..40_000 {
            let line = format!("line number {number} of a large output that does not fit\n");
            collector.add(line.as_bytes());
            expected.extend_from_slice(line.as_bytes());
        }
        let captured = collector.finish();
        assert!(captured.rest.is_some() && captured.memory.len() <= IN_MEMORY);
        assert_eq!(captured.len(), expected.len() as u64);
        for length in [0, 10, IN_MEMORY + 10, expected.len() + 1] {
            let end = &expected[expected.len().saturating_sub(length)..];
            assert!(captured.tail(length) == end, "{length}");
        }
        assert!(captured.to_vec() == expected && captured.ends_with(b'\n') && !captured.is_empty());
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "the file has no name");
    }

    #[test]
    fn small_output_needs_no_folder() {
        let mut collector = CaptureCollector::new(Path::new("/nonexistent/folder"));
        collector.add(b"a\xff");
        let captured = collector.finish();
        assert_eq!(captured.text(), "a\u{fffd}");
        assert!(!captured.ends_with(b'\n'));
        assert!(CapturedOutput::default().is_empty() && !CapturedOutput::default().ends_with(b'a'));
    }

    #[test]
    fn memory_is_used_if_no_file_can_be_created() {
        let mut collector = CaptureCollector::new(Path::new("/proc/no/folder"));
        collector.add(&vec![b'x'; IN_MEMORY + 1]);
        collector.add(b"y");
        let captured = collector.finish();
        assert!(captured.rest.is_none());
        assert_eq!(captured.len(), IN_MEMORY as u64 + 2);
    }
}
