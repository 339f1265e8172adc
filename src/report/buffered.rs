//! Buffers the events of one environment, to be replayed later or dropped: `run-parallel` shows the output of
//! an environment if it has failed. Events of the program itself (`ROOT`) pass through.

use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::SpooledTempFile;

use crate::event::{OutputStream, Reporter, RunEvent};
use crate::report::layout::EventLayout;

/// How much is buffered in memory; more goes to an unnamed file.
const IN_MEMORY: usize = 1 << 20;
/// How much is replayed at once.
const STEP: usize = 64 * 1024;
/// The log name of the program itself.
const ROOT: &str = "ROOT";

pub struct Buffered {
    layout: EventLayout,
    /// Receives the events that are not buffered.
    live: Arc<dyn Reporter>,
    kept: Mutex<BufferedText>,
}

/// The buffered output, and the stream of each piece of it.
#[derive(Debug)]
struct BufferedText {
    text: SpooledTempFile,
    pieces: Vec<(OutputStream, u64)>,
}

impl Buffered {
    pub fn new(layout: EventLayout, live: Arc<dyn Reporter>) -> Self {
        let text = SpooledTempFile::new(IN_MEMORY);
        Self { layout, live, kept: Mutex::new(BufferedText { text, pieces: Vec::new() }) }
    }

    /// Sends all buffered output to `target`, in its original order, and clears the buffer.
    pub fn replay(&self, target: &dyn Reporter) {
        let mut kept = self.kept.lock();
        if kept.text.seek(SeekFrom::Start(0)).is_err() {
            return;
        }
        for (stream, length) in std::mem::take(&mut kept.pieces) {
            let mut left = length;
            while left > 0 {
                let mut bytes = vec![0; usize::try_from(left).unwrap_or(STEP).min(STEP)];
                if kept.text.read_exact(&mut bytes).is_err() {
                    return;
                }
                left -= bytes.len() as u64;
                target.event(RunEvent::LaidOut { stream, bytes });
            }
        }
        kept.forget();
    }

    /// The current length of the buffer, for [`Buffered::rewind`].
    pub fn mark(&self) -> u64 {
        let kept = self.kept.lock();
        kept.pieces.iter().map(|(_, length)| length).sum()
    }

    /// Removes the output since `mark` was taken.
    pub fn rewind(&self, mark: u64) {
        let mut kept = self.kept.lock();
        let mut left = mark;
        kept.pieces.retain_mut(|(_, length)| {
            *length = left.min(*length);
            left -= *length;
            *length > 0
        });
        if kept.text.set_len(mark).and_then(|()| kept.text.seek(SeekFrom::Start(mark))).is_err() {
            kept.forget();
        }
    }

    /// Clears the buffer.
    pub fn forget(&self) {
        self.kept.lock().forget();
    }
}

impl BufferedText {
    fn forget(&mut self) {
        self.pieces.clear();
        self.text = SpooledTempFile::new(IN_MEMORY);
    }
}

impl Reporter for Buffered {
    fn event(&self, event: RunEvent) {
        if matches!(&event, RunEvent::Message { environment, .. } if environment == ROOT) {
            return self.live.event(event);
        }
        let Some((stream, bytes)) = self.layout.format(event) else { return };
        let mut kept = self.kept.lock();
        // If it cannot be stored (the disk is full) the rest is lost here; it may still be in the log file.
        if kept.text.write_all(&bytes).is_err() {
            return;
        }
        match kept.pieces.last_mut() {
            Some((last, length)) if *last == stream => *length += bytes.len() as u64,
            _ => kept.pieces.push((stream, bytes.len() as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct BufferedCollector(Mutex<Vec<(OutputStream, Vec<u8>)>>, Mutex<Vec<String>>);

    impl Reporter for BufferedCollector {
        fn event(&self, event: RunEvent) {
            match event {
                RunEvent::LaidOut { stream, bytes } => self.0.lock().push((stream, bytes)),
                RunEvent::Message { environment, .. } => self.1.lock().push(environment),
                other => panic!("{other:?}"),
            }
        }
    }

    fn buffered(live: Arc<BufferedCollector>) -> Buffered {
        Buffered::new(EventLayout::new(2, false, "RED"), live)
    }

    fn output(stream: OutputStream, bytes: &[u8]) -> RunEvent {
        RunEvent::Output { environment: "a".into(), stream, bytes: bytes.to_vec() }
    }

    #[test]
    fn buffered_output_is_replayed_once_in_order_and_by_stream() {
        let live = Arc::new(BufferedCollector::default());
        let buffered = buffered(Arc::clone(&live));
        (&buffered as &dyn Reporter).warning(ROOT, "interrupted");
        assert_eq!(*live.1.lock(), [ROOT]);
        (&buffered as &dyn Reporter).warning("a", "words");
        buffered.event(output(OutputStream::Out, b"one\n"));
        buffered.event(output(OutputStream::Error, b"two\n"));
        buffered.event(output(OutputStream::Out, b"three\n"));
        let target = BufferedCollector::default();
        buffered.replay(&target);
        buffered.replay(&target);
        let expected: Vec<(OutputStream, Vec<u8>)> = vec![
            (OutputStream::Out, b"a: words\none\n".to_vec()),
            (OutputStream::Error, b"two\n".to_vec()),
            (OutputStream::Out, b"three\n".to_vec()),
        ];
        assert_eq!(*target.0.lock(), expected);
        buffered.event(output(OutputStream::Out, b"later\n"));
        buffered.forget();
        buffered.replay(&target);
        assert_eq!(target.0.lock().len(), 3);
    }

    #[test]
    fn output_after_a_mark_can_be_removed() {
        let buffered = buffered(Arc::default());
        buffered.event(output(OutputStream::Out, b"one\n"));
        let mark = buffered.mark();
        buffered.event(output(OutputStream::Out, b"two\n"));
        buffered.event(output(OutputStream::Error, b"three\n"));
        buffered.rewind(mark);
        buffered.event(output(OutputStream::Error, b"four\n"));
        let target = BufferedCollector::default();
        buffered.replay(&target);
        let expected = vec![(OutputStream::Out, b"one\n".to_vec()), (OutputStream::Error, b"four\n".to_vec())];
        assert_eq!(*target.0.lock(), expected);
    }

    #[test]
    fn large_output_is_replayed_whole() {
        let buffered = buffered(Arc::default());
        let chunk: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for _ in 0..30 {
            buffered.event(output(OutputStream::Out, &chunk));
        }
        let target = BufferedCollector::default();
        buffered.replay(&target);
        let all: Vec<u8> = target.0.lock().iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert!(all == chunk.repeat(30));
    }
}
