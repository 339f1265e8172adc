//! The supervisor's side of one connection: a thread that reads requests and writes replies. Invalid input
//! (not JSON, a line that is too long or has no end) ends this connection and nothing else, and so does a
//! client that does not read: the supervisor never waits for a client.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, SyncSender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::serve::protocol::{self, ClientRequest, Reply, RequestRefusal};
use crate::serve::supervisor::SupervisorMessage;
use crate::serve::supervisor::faults;

/// How many bytes may wait for a slow client before the connection is closed.
const LARGEST_OUTBOX: usize = 8 * 1024 * 1024;
/// How many unanswered requests a client may have; more are read when some are answered.
const MOST_OPEN: usize = 256;
/// How long a line may take from its first byte to its end, and the first line to arrive.
const LINE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the remaining output is sent when the connection ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The stack of a thread that reads requests, which may be nested.
const STACK: usize = 1024 * 1024;
/// How much is read at once.
const STEP: usize = 64 * 1024;

#[derive(Default)]
struct OutboxQueue {
    bytes: Vec<u8>,
    /// How many requests have no reply yet.
    open: usize,
    /// No more input is read, and the connection ends when the bytes are sent.
    closed: bool,
    /// The thread has ended.
    ended: bool,
}

/// The queue of output for a client.
pub struct Outbox {
    queue: Mutex<OutboxQueue>,
    ended: Condvar,
    wake: io::PipeWriter,
    /// Open while the thread owns it.
    stream: Weak<UnixStream>,
}

impl Outbox {
    /// Never waits. Closes the connection of a client that has left too much unread.
    pub fn push(&self, reply: &Reply) {
        let Ok(line) = protocol::to_line(reply) else { return };
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        if !matches!(reply, Reply::Event(_)) {
            queue.open = queue.open.saturating_sub(1);
        }
        if queue.bytes.len() + line.len() > LARGEST_OUTBOX {
            (queue.bytes, queue.closed) = (Vec::new(), true);
        } else {
            queue.bytes.extend_from_slice(&line);
        }
        drop(queue);
        self.wake();
    }

    /// Whether a request has no reply yet.
    pub fn is_owed(&self) -> bool {
        self.queue.lock().open > 0
    }

    /// Whether the other side has ended the connection, although the thread may not have noticed.
    pub fn is_hung_up(&self) -> bool {
        let Some(stream) = self.stream.upgrade() else { return true };
        let mut looked = [PollFd::new(&*stream, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut looked, Some(&now)).is_ok() && looked[0].revents().contains(PollFlags::HUP)
    }

    /// Ends the connection when the queued output has been sent.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.wake();
    }

    /// Waits until the connection has ended, which takes at most `LAST_WORDS`.
    pub fn wait_until_ended(&self) {
        let mut queue = self.queue.lock();
        self.ended.wait_while_for(&mut queue, |queue| !queue.ended, LAST_WORDS);
    }

    fn wake(&self) {
        // A pipe that is full wakes as well.
        let _ = (&self.wake).write(&[1]);
    }
}

/// A connection before it is served.
pub struct Accepted {
    pub stream: Arc<UnixStream>,
    pub id: u64,
    /// It uses the last available descriptors.
    pub is_last: bool,
}

/// Serves a client on a thread of its own. `ended` receives a message when the connection has ended.
pub fn serve(accepted: &Accepted, sender: Sender<SupervisorMessage>, ended: SyncSender<()>) -> io::Result<()> {
    let Accepted { stream, id, is_last } = accepted;
    let (stream, id, is_last) = (Arc::clone(stream), *id, *is_last);
    let (woken, wake) = io::pipe()?;
    rustix::io::ioctl_fionbio(&woken, true)?;
    rustix::io::ioctl_fionbio(&wake, true)?;
    stream.set_nonblocking(true)?;
    let outbox =
        Arc::new(Outbox { queue: Mutex::default(), ended: Condvar::new(), wake, stream: Arc::downgrade(&stream) });
    let talk = ConnectionThreads {
        stream,
        woken,
        outbox: Arc::clone(&outbox),
        id,
        sender,
        partial: Vec::new(),
        line_due: None,
    };
    let thread = thread::Builder::new().name("client".to_owned()).stack_size(STACK);
    let sender = talk.sender.clone();
    let failure = move |_| SupervisorMessage::Disconnected(id);
    faults::spawn(thread, &sender.clone(), failure, move || {
        if sender.send(SupervisorMessage::Connected(id, Arc::clone(&outbox), is_last)).is_ok() {
            talk.run();
            let _ = sender.send(SupervisorMessage::Disconnected(id));
        }
        outbox.queue.lock().ended = true;
        outbox.ended.notify_all();
        // The stream and the pipes are closed by now. One pending message is enough.
        drop(outbox);
        let _ = ended.try_send(());
    })?;
    Ok(())
}

struct ConnectionThreads {
    stream: Arc<UnixStream>,
    woken: io::PipeReader,
    outbox: Arc<Outbox>,
    id: u64,
    sender: Sender<SupervisorMessage>,
    /// The received part of a line that has no end yet.
    partial: Vec<u8>,
    /// The deadline for the end of that line.
    line_due: Option<Instant>,
}

impl ConnectionThreads {
    fn run(mut self) {
        self.line_due = Some(Instant::now() + LINE_PATIENCE);
        let mut closing: Option<Instant> = None;
        loop {
            let (waits, closed, open) = {
                let queue = self.outbox.queue.lock();
                (!queue.bytes.is_empty(), queue.closed, queue.open)
            };
            if closed {
                let until = *closing.get_or_insert_with(|| Instant::now() + LAST_WORDS);
                if !waits || until <= Instant::now() {
                    return;
                }
            }
            let listens = !closed && open < MOST_OPEN;
            let due = closing.or(self.line_due.filter(|_| listens));
            let Some((readable, writable)) = self.wait(listens, waits, due) else { return };
            if writable && !self.write() {
                return;
            }
            if readable && listens && !self.read() {
                return;
            }
            if listens && self.line_due.is_some_and(|due| due <= Instant::now()) {
                self.refuse("the line took too long");
            }
        }
    }

    /// Waits until there is something to do; `None`: the connection is broken.
    fn wait(&self, listens: bool, waits: bool, due: Option<Instant>) -> Option<(bool, bool)> {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, listens);
        events.set(PollFlags::OUT, waits);
        let mut waiting = [PollFd::new(&*self.stream, events), PollFd::new(&self.woken, PollFlags::IN)];
        let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = timeout.map(|time| Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ });
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
        let events = waiting[0].revents();
        let woken = !waiting[1].revents().is_empty();
        if woken {
            while matches!((&self.woken).read(&mut [0; 64]), Ok(1..)) {}
        }
        if events.intersects(PollFlags::ERR | PollFlags::NVAL)
            || (events.contains(PollFlags::HUP) && !events.contains(PollFlags::IN))
        {
            return None;
        }
        Some((events.contains(PollFlags::IN), events.contains(PollFlags::OUT)))
    }

    /// Returns whether the connection continues.
    fn write(&self) -> bool {
        let mut queue = self.outbox.queue.lock();
        match (&*self.stream).write(&queue.bytes) {
            Ok(length) => {
                queue.bytes.drain(..length);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// Returns whether the connection continues.
    fn read(&mut self) -> bool {
        let mut buffer = vec![0; STEP];
        let length = match (&*self.stream).read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => length,
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        let mut rest = &buffer[..length];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.line_due = None;
            let line = std::mem::take(&mut self.partial);
            if !line.trim_ascii().is_empty() && !self.handle_line(&line) {
                return true;
            }
        }
        if rest.is_empty() {
            return true;
        }
        if self.partial.is_empty() {
            self.line_due = Some(Instant::now() + LINE_PATIENCE);
        }
        self.partial.extend_from_slice(rest);
        if self.partial.len() > protocol::LONGEST_LINE {
            self.partial = Vec::new();
            self.refuse(&format!("the line is longer than {} bytes", protocol::LONGEST_LINE));
        }
        true
    }

    /// Returns whether more lines should be read.
    fn handle_line(&mut self, line: &[u8]) -> bool {
        match serde_json::from_slice::<ClientRequest>(line) {
            Ok(request) => {
                self.outbox.queue.lock().open += 1;
                self.sender.send(SupervisorMessage::Asked(self.id, request)).is_ok()
            }
            Err(error) => {
                self.refuse(&format!("not a request: {error}"));
                false
            }
        }
    }

    /// Reports an error and ends the connection.
    fn refuse(&mut self, text: &str) {
        self.line_due = None;
        self.outbox.push(&Reply::Refusal { id: 0, error: RequestRefusal::new("protocol", text) });
        self.outbox.close();
    }
}
