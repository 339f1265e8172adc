//! Showing what services write, without ever holding them up: lines wait in a queue of limited size, and what does not
//! fit because the terminal is slow is counted instead. The log file has everything.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::report::{Event, Reporter, Stream};

/// How many bytes may wait to be shown.
const LARGEST_QUEUE: usize = 4 * 1024 * 1024;
/// The stack of a thread that does little.
const SMALL_STACK: usize = 128 * 1024;

#[derive(Debug, Default)]
struct Queue {
    blocks: VecDeque<(usize, Vec<u8>)>,
    bytes: usize,
    /// How many lines of each service were left out since it was last told.
    left_out: Vec<usize>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where threads that read output hand over lines.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Shared>);

impl Lines {
    /// Hands over whole lines of the service with this number; never waits for the terminal.
    pub fn push(&self, service: usize, lines: &[u8]) {
        let mut queue = self.0.lock();
        if queue.bytes + lines.len() > LARGEST_QUEUE {
            queue.left_out[service] += lines.iter().filter(|byte| **byte == b'\n').count();
            return;
        }
        queue.bytes += lines.len();
        match queue.blocks.back_mut() {
            // Blocks grow while the terminal is busy, so that it gets more at once.
            Some((last, block)) if *last == service && block.len() < 64 * 1024 => block.extend_from_slice(lines),
            _ => queue.blocks.push_back((service, lines.to_vec())),
        }
        drop(queue);
        self.0.filled.notify_one();
    }
}

/// The thread that shows lines. Dropping it shows what is left and ends it.
#[derive(Debug)]
pub struct Terminal {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Terminal {
    /// `names`: the services, by their numbers.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn new(names: Vec<String>, reporter: Arc<dyn Reporter>) -> std::io::Result<Self> {
        let queue = Queue { left_out: vec![0; names.len()], ..Queue::default() };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), filled: Condvar::new() });
        let source = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("terminal".to_owned())
            .stack_size(SMALL_STACK)
            .spawn(move || show(&source, &names, &*reporter))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub fn lines(&self) -> Lines {
        Lines(Arc::clone(&self.shared))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn show(shared: &Shared, names: &[String], reporter: &dyn Reporter) {
    loop {
        let mut queue = shared.lock();
        while queue.blocks.is_empty() && !queue.closed {
            queue = shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let blocks = std::mem::take(&mut queue.blocks);
        queue.bytes = 0;
        let left_out: Vec<usize> = queue.left_out.iter_mut().map(std::mem::take).collect();
        let last = queue.closed;
        drop(queue);
        for (service, line) in blocks {
            reporter.event(Event::ServiceOutput { service: names[service].clone(), stream: Stream::Out, line });
        }
        for (service, count) in left_out.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let line = format!("… {count} lines that came too fast are in the log only\n").into_bytes();
            reporter.event(Event::ServiceOutput { service: names[service].clone(), stream: Stream::Out, line });
        }
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Shows nothing until it is let, and keeps what it was given.
    struct Slow {
        gate: Mutex<Receiver<()>>,
        shown: Mutex<Sender<Vec<u8>>>,
    }

    impl Reporter for Slow {
        fn event(&self, event: Event) {
            let _ = self.gate.lock().unwrap().recv();
            if let Event::ServiceOutput { line, .. } = event {
                self.shown.lock().unwrap().send(line).unwrap();
            }
        }
    }

    #[test]
    fn a_slow_terminal_never_holds_up_who_writes() {
        let (open, gate) = channel();
        let (shown, seen) = channel();
        let reporter = Arc::new(Slow { gate: Mutex::new(gate), shown: Mutex::new(shown) });
        let terminal = Terminal::new(vec!["a".into()], reporter).unwrap();
        let lines = terminal.lines();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let pushed = LARGEST_QUEUE / 1024 * 3;
        for _ in 0..pushed {
            lines.push(0, &line);
        }
        drop(open);
        drop(terminal);
        let all: Vec<u8> = seen.try_iter().flatten().collect();
        let text = String::from_utf8(all).unwrap();
        let whole = text.lines().filter(|line| line.len() == 1023).count();
        let counted: usize =
            text.lines().filter_map(|line| line.strip_prefix("… ")?.split(' ').next()?.parse::<usize>().ok()).sum();
        assert!(counted > 0 && whole > 0, "{counted} left out, {whole} shown");
        assert_eq!(whole + counted, pushed, "every line is shown or counted");
    }
}
