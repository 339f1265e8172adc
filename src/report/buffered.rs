//! Keeps what one environment would have written, to be written later or not at all: `run-parallel` shows the output of
//! an environment when it has failed. What the program says of itself (`ROOT`) is no environment's and is not kept back.

use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::SpooledTempFile;

use crate::event::{Event, Reporter, Stream};
use crate::report::layout::Layout;

/// How much is kept in memory; more goes to an unnamed file.
const IN_MEMORY: usize = 1 << 20;
/// How much is replayed at once.
const STEP: usize = 64 * 1024;
/// The name under which the program itself reports.
const ROOT: &str = "ROOT";

pub struct Buffered {
    layout: Layout,
    /// Where that goes which is not kept back.
    live: Arc<dyn Reporter>,
    kept: Mutex<Kept>,
}

/// One text after the other, and which stream each piece of it belongs to.
#[derive(Debug)]
struct Kept {
    text: SpooledTempFile,
    pieces: Vec<(Stream, u64)>,
}

impl Buffered {
    pub fn new(layout: Layout, live: Arc<dyn Reporter>) -> Self {
        let text = SpooledTempFile::new(IN_MEMORY);
        Self { layout, live, kept: Mutex::new(Kept { text, pieces: Vec::new() }) }
    }

    /// Hands all that was kept to `target`, in the order it came, and forgets it.
    pub fn replay(&self, target: &dyn Reporter) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
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
                target.event(Event::LaidOut { stream, bytes });
            }
        }
        kept.forget();
    }

    /// How much was kept so far, for [`Buffered::rewind`].
    pub fn mark(&self) -> u64 {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pieces.iter().map(|(_, length)| length).sum()
    }

    /// Forgets what was kept since `mark` was taken.
    pub fn rewind(&self, mark: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Forgets all that was kept.
    pub fn forget(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }
}

impl Kept {
    fn forget(&mut self) {
        self.pieces.clear();
        self.text = SpooledTempFile::new(IN_MEMORY);
    }
}

impl Reporter for Buffered {
    fn event(&self, event: Event) {
        if matches!(&event, Event::Message { environment, .. } if environment == ROOT) {
            return self.live.event(event);
        }
        let Some((stream, bytes)) = self.layout.lay_out(event) else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // With nowhere to put it (the disk is full) the rest is lost; the log file has it unless that was lost too.
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
    struct Collector(Mutex<Vec<(Stream, Vec<u8>)>>, Mutex<Vec<String>>);

    impl Reporter for Collector {
        fn event(&self, event: Event) {
            match event {
                Event::LaidOut { stream, bytes } => self.0.lock().unwrap().push((stream, bytes)),
                Event::Message { environment, .. } => self.1.lock().unwrap().push(environment),
                other => panic!("{other:?}"),
            }
        }
    }

    fn buffered(live: Arc<Collector>) -> Buffered {
        Buffered::new(Layout::new(2, false, "RED"), live)
    }

    fn output(stream: Stream, bytes: &[u8]) -> Event {
        Event::Output { environment: "a".into(), stream, bytes: bytes.to_vec() }
    }

    #[test]
    fn what_was_kept_is_replayed_once_in_order_and_by_stream() {
        let live = Arc::new(Collector::default());
        let buffered = buffered(Arc::clone(&live));
        (&buffered as &dyn Reporter).warning(ROOT, "interrupted");
        assert_eq!(*live.1.lock().unwrap(), [ROOT]);
        (&buffered as &dyn Reporter).warning("a", "words");
        buffered.event(output(Stream::Out, b"one\n"));
        buffered.event(output(Stream::Error, b"two\n"));
        buffered.event(output(Stream::Out, b"three\n"));
        let target = Collector::default();
        buffered.replay(&target);
        buffered.replay(&target);
        let expected: Vec<(Stream, Vec<u8>)> = vec![
            (Stream::Out, b"a: words\none\n".to_vec()),
            (Stream::Error, b"two\n".to_vec()),
            (Stream::Out, b"three\n".to_vec()),
        ];
        assert_eq!(*target.0.lock().unwrap(), expected);
        buffered.event(output(Stream::Out, b"later\n"));
        buffered.forget();
        buffered.replay(&target);
        assert_eq!(target.0.lock().unwrap().len(), 3);
    }

    #[test]
    fn what_came_after_a_mark_can_be_forgotten() {
        let buffered = buffered(Arc::default());
        buffered.event(output(Stream::Out, b"one\n"));
        let mark = buffered.mark();
        buffered.event(output(Stream::Out, b"two\n"));
        buffered.event(output(Stream::Error, b"three\n"));
        buffered.rewind(mark);
        buffered.event(output(Stream::Error, b"four\n"));
        let target = Collector::default();
        buffered.replay(&target);
        let expected = vec![(Stream::Out, b"one\n".to_vec()), (Stream::Error, b"four\n".to_vec())];
        assert_eq!(*target.0.lock().unwrap(), expected);
    }

    #[test]
    fn large_output_is_replayed_whole() {
        let buffered = buffered(Arc::default());
        let chunk: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for _ in 0..30 {
            buffered.event(output(Stream::Out, &chunk));
        }
        let target = Collector::default();
        buffered.replay(&target);
        let all: Vec<u8> = target.0.lock().unwrap().iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert!(all == chunk.repeat(30));
    }
}
