//! The supervisor's process: `envo __supervise STATE_DIR USER_DIR MARK`, started by the first client that
//! needs one, ended when it is no longer needed. Its standard input is the listening socket and its standard
//! output the lock, so that the client that started it can connect at once; its own errors go to its standard
//! error.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::event::{Reporter, RunEvent};
use crate::execute::process::{self, ForkSide};
use crate::execute::tree;
use crate::platform::memory;
use crate::serve::client::socket_path::{self, ProjectClaim};
use crate::serve::protocol::SUPERVISOR_VERB;
use crate::serve::shim::forker::ShimForker;
use crate::serve::shim::instance_mark;
use crate::serve::supervisor::accept;
use crate::serve::supervisor::listening::Listening;
use crate::serve::supervisor::{Supervisor, SupervisorMessage, SupervisorParts, SupervisorRecord};

/// How long the shims of a killed supervisor have to end their services.
const LEFT_PATIENCE: Duration = Duration::from_secs(3);
/// How long processes with neither a shim nor a supervisor have to end.
const STRAY_PATIENCE: Duration = Duration::from_secs(1);
/// The stack of a thread that does little.
const SMALL_STACK: usize = 128 * 1024;

/// Runs the supervisor of the project with the state folder `state_dir`. `mark`: identifies its processes;
/// envo's own have it among their arguments, as this one does. The process that was started ends at once, so
/// that the supervisor is an orphan.
///
/// # Safety
///
/// This process has one thread, as for [`process::fork`].
pub unsafe fn main(state_dir: &Path, user_dir: Option<&Path>, mark: Option<String>) -> u8 {
    let user_dir = user_dir.filter(|path| path.is_absolute()).map(Path::to_path_buf);
    // SAFETY: this process has one thread, by the contract of this function.
    match unsafe { process::fork() } {
        Ok(ForkSide::Parent(_)) => 0,
        Ok(ForkSide::Child) => {
            let mark = mark.filter(|mark| instance_mark::is_supervisor(mark));
            let mark = mark.unwrap_or_else(|| instance_mark::supervisor(&instance_mark::project(state_dir)));
            u8::from(run(state_dir.to_path_buf(), user_dir, mark).is_err())
        }
        Err(_) => 1,
    }
}

fn run(state_dir: PathBuf, user_dir: Option<PathBuf>, mark: String) -> io::Result<()> {
    let _ = rustix::process::setsid();
    // Its working directory must not keep a folder from being removed or unmounted.
    let _ = std::env::set_current_dir("/");
    process::ignore_signals(&[libc::SIGHUP, libc::SIGPIPE]);
    process::descriptors::raise_limit();
    let (listener, lock) = (io::stdin(), io::stdout());
    socket_path::write_owner(&lock, &state_dir);
    end_what_was_left(&state_dir);
    // SAFETY: `main` has forked this process, and nothing has started a thread in it.
    let forker = unsafe { ShimForker::fork(&mark, leave_streams) }?;
    // After forking the forker, which would inherit the lock.
    let listener = UnixListener::from(rustix::io::fcntl_dupfd_cloexec(listener, 3)?);
    let lock = File::from(rustix::io::fcntl_dupfd_cloexec(lock, 3)?);
    let claim = ProjectClaim::new(lock, &listener, &state_dir);
    leave_streams();
    memory::stay_small();
    let (sender, receiver) = channel();
    listen_to_signals(sender.clone())?;
    let reporter = Arc::new(EventSender(Mutex::new(sender.clone())));
    serve_with(&receiver, listener, SupervisorParts { state_dir, user_dir, claim, forker, mark, sender, reporter })
}

/// Serves clients until it is no longer needed.
#[cfg(test)]
pub(in crate::serve) fn serve(
    (sender, receiver): (Sender<SupervisorMessage>, Receiver<SupervisorMessage>),
    (listener, lock): (UnixListener, File),
    forker: ShimForker,
    mark: String,
    state_dir: PathBuf,
) -> io::Result<()> {
    let claim = ProjectClaim::new(lock, &listener, &state_dir);
    let reporter = Arc::new(EventSender(Mutex::new(sender.clone())));
    let user_dir = None;
    serve_with(&receiver, listener, SupervisorParts { state_dir, user_dir, claim, forker, mark, sender, reporter })
}

fn serve_with(
    receiver: &Receiver<SupervisorMessage>,
    listener: UnixListener,
    parts: SupervisorParts,
) -> io::Result<()> {
    let (sender, ends) = (parts.sender.clone(), Arc::clone(&parts.claim.ends));
    let supervisor = Supervisor::new(parts)?;
    thread::Builder::new()
        .name("listener".to_owned())
        .stack_size(SMALL_STACK)
        .spawn(move || accept::run(Listening::new(listener, ends), &sender))?;
    supervisor.run(receiver);
    Ok(())
}

fn listen_to_signals(sender: Sender<SupervisorMessage>) -> io::Result<()> {
    let wanted = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    thread::Builder::new().name("signals".to_owned()).stack_size(SMALL_STACK).spawn(move || {
        for (times, signal) in signals.forever().enumerate() {
            let name = if signal == signal_hook::consts::SIGINT { "SIGINT" } else { "SIGTERM" };
            if sender.send(SupervisorMessage::Signalled(times + 1, name.to_owned())).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Passes reports of commands around services to the clients that receive events.
struct EventSender(Mutex<Sender<SupervisorMessage>>);

impl Reporter for EventSender {
    fn event(&self, event: RunEvent) {
        let sender = self.0.lock();
        let _ = sender.send(SupervisorMessage::Report(event));
    }
}

/// Ends what a killed supervisor has left: its shims end their services by themselves, unless they were
/// killed as well.
fn end_what_was_left(state_dir: &Path) {
    let Some(mark) = SupervisorRecord::left(state_dir).filter(|mark| !is_of_another(mark, state_dir)) else { return };
    let shims = || tree::with_argument(&mark);
    tree::wait_until_gone_or(&shims, LEFT_PATIENCE);
    tree::end(&shims, Duration::ZERO);
    tree::end(&|| tree::marked(instance_mark::VARIABLE, &mark), STRAY_PATIENCE);
    SupervisorRecord::forget(state_dir);
}

/// Whether the mark is that of another project, which still has its lock in its original folder: its
/// processes are not ended, whatever the record contains.
fn is_of_another(mark: &str, state_dir: &Path) -> bool {
    let own = socket_path::lock_id(state_dir);
    let started_for =
        tree::with_argument(mark).into_iter().filter_map(|pid| tree::argument_after(pid, SUPERVISOR_VERB));
    started_for.into_iter().any(|other| socket_path::lock_id(Path::new(&other)).is_some_and(|lock| Some(lock) != own))
}

/// Leaves standard input and output as they are.
fn leave_streams() {
    let Ok(null) = File::options().read(true).write(true).open("/dev/null") else { return };
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
}
