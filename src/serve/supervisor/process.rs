//! The supervisor's process: `envo __supervise STATE_DIR USER_DIR MARK`, started by the first client that needs one, gone when nobody
//! does. It has the listening socket as its standard input and the lock as its standard output, so that whoever started
//! it can speak to it at once, and writes what goes wrong with itself to its standard error.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::event::{Reporter, RunEvent};
use crate::execute::process::{self, ForkSide};
use crate::execute::tree;
use crate::serve::client::socket_path::{self, ProjectClaim};
use crate::serve::protocol::SUPERVISOR_VERB;
use crate::serve::shim::forker::ShimForker;
use crate::serve::shim::instance_mark;
use crate::serve::supervisor::accept;
use crate::serve::supervisor::listening::Listening;
use crate::serve::supervisor::memory;
use crate::serve::supervisor::{Supervisor, SupervisorMessage, SupervisorParts, SupervisorRecord};

/// How long shims that a killed supervisor left have to end their services.
const LEFT_PATIENCE: Duration = Duration::from_secs(3);
/// How long what has neither a shim nor a supervisor any more has to end.
const STRAY_PATIENCE: Duration = Duration::from_secs(1);
/// The stack of a thread that does little.
const SMALL_STACK: usize = 128 * 1024;

/// Runs the supervisor of the project whose state is in `state_dir`. `mark`: what tells its processes from those of others;
/// those that are envo's own have it among their arguments, the same as this one. The process that was started ends at once: the
/// supervisor is its child, and nobody's.
///
/// # Safety
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
    // It must not keep a folder from being removed or unmounted.
    let _ = std::env::set_current_dir("/");
    process::ignore_signals(&[libc::SIGHUP, libc::SIGPIPE]);
    process::descriptors::raise_limit();
    let (listener, lock) = (io::stdin(), io::stdout());
    socket_path::write_owner(&lock, &state_dir);
    end_what_was_left(&state_dir);
    // SAFETY: `main` has forked this process, and nothing has started a thread in it.
    let keeper = unsafe { ShimForker::fork(&mark, leave_streams) }?;
    // Not before the keeper was forked, which would have the lock as well.
    let listener = UnixListener::from(rustix::io::fcntl_dupfd_cloexec(listener, 3)?);
    let lock = File::from(rustix::io::fcntl_dupfd_cloexec(lock, 3)?);
    let claim = ProjectClaim::new(lock, &listener, &state_dir);
    leave_streams();
    memory::stay_small();
    let (sender, receiver) = channel();
    listen_to_signals(sender.clone())?;
    let reporter = Arc::new(EventSender(Mutex::new(sender.clone())));
    serve_with(&receiver, listener, SupervisorParts { state_dir, user_dir, claim, keeper, mark, sender, reporter })
}

/// Serves clients until nobody needs anything.
#[cfg(test)]
pub(in crate::serve) fn serve(
    (listener, lock): (UnixListener, File),
    keeper: ShimForker,
    mark: String,
    state_dir: PathBuf,
) -> io::Result<()> {
    let claim = ProjectClaim::new(lock, &listener, &state_dir);
    let (sender, receiver) = channel();
    let reporter = Arc::new(EventSender(Mutex::new(sender.clone())));
    let user_dir = None;
    serve_with(&receiver, listener, SupervisorParts { state_dir, user_dir, claim, keeper, mark, sender, reporter })
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

/// Hands what commands around services report to whoever listens.
struct EventSender(Mutex<Sender<SupervisorMessage>>);

impl Reporter for EventSender {
    fn event(&self, event: RunEvent) {
        let sender = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = sender.send(SupervisorMessage::Told(event));
    }
}

/// Ends what a supervisor has left that was killed: its shims end their services by themselves, unless they were killed
/// as well.
fn end_what_was_left(state_dir: &Path) {
    let Some(mark) = SupervisorRecord::left(state_dir).filter(|mark| !is_of_another(mark, state_dir)) else { return };
    let shims = || tree::with_argument(&mark);
    tree::wait_until_gone_or(&shims, LEFT_PATIENCE);
    tree::end(&shims, Duration::ZERO);
    tree::end(&|| tree::marked(instance_mark::VARIABLE, &mark), STRAY_PATIENCE);
    SupervisorRecord::forget(state_dir);
}

/// Whether the mark is that of another project, which still has its lock where it was started: what runs for that is not
/// ended, whatever the record says.
fn is_of_another(mark: &str, state_dir: &Path) -> bool {
    let own = socket_path::lock_id(state_dir);
    let started_for =
        tree::with_argument(mark).into_iter().filter_map(|pid| tree::argument_after(pid, SUPERVISOR_VERB));
    started_for.into_iter().any(|other| socket_path::lock_id(Path::new(&other)).is_some_and(|lock| Some(lock) != own))
}

/// Puts nothing in place of standard input and output.
fn leave_streams() {
    let Ok(null) = File::options().read(true).write(true).open("/dev/null") else { return };
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
}
