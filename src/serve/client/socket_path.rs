//! Locates a project's supervisor: a Unix socket in a folder that belongs to the user alone, with a short
//! name made from the project's state folder, so that a long project path is no problem; and the lock that
//! prevents a second supervisor. A moved project still has the path of its socket in its state folder. The
//! lock file identifies the supervisor's project: it moves with the folder, and a copy has another one.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{AddressFamily, SocketAddrUnix};

use rustix::process::Pid;

use crate::execute::tree;
use crate::model::EnvVariables;
use crate::platform::{processes, sockets};
use crate::python_text::misleads;
use crate::serve::client::socket_folders::{folder_apart, folders, is_apart, own_name, temporary_folder};
use crate::serve::private;
use crate::serve::protocol::SUPERVISOR_VERB;
use crate::serve::shim::instance_mark;

/// The longest socket path, including its closing zero, on the systems with the lowest limit.
const LONGEST_PATH: usize = 104;

/// How many other names are tried for a socket.
const MOST_NAMES: usize = 9;

/// In the state folder: locked by the supervisor. Its text is the supervisor's process number and the
/// identity of the folder.
const LOCK: &str = "supervisor.lock";

/// In the state folder: the path of the socket.
const RECORD: &str = "socket";

#[derive(Debug, Clone)]
pub struct SupervisorLocation {
    /// `.envo` in the work folder, absolute. It contains logs, ports and the lock.
    pub state_dir: PathBuf,
    /// The user's state for all projects. `None`: there is no such folder.
    pub user_dir: Option<PathBuf>,
    /// Where the supervisor listens, as far as is known.
    pub socket: PathBuf,
    /// Where a supervisor started now would listen; `None`: in a folder that has to be created for it.
    usual: Option<PathBuf>,
    /// Why that is not the usual path.
    pub warning: Option<String>,
}

/// Another user whose supervisor runs the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherUser {
    pub name: String,
    /// Of the supervisor; `None`: not known.
    pub pid: Option<u32>,
}

/// The result of connecting to a supervisor.
#[derive(Debug)]
pub enum Reached {
    Supervisor(UnixStream),
    /// It listens, but its queue of connections is full.
    Busy,
    Nothing,
}

impl Reached {
    pub fn is_listening(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

impl SupervisorLocation {
    /// The location for the project with the state folder `state_dir`, which is created. `variables`: those
    /// this process was started with.
    pub fn of(state_dir: &Path, variables: &EnvVariables) -> io::Result<Self> {
        let state_dir = own_folder(state_dir)?;
        let name = format!("{}.socket", instance_mark::project(&state_dir));
        let user_dir = variables.state_folder();
        let recorded = recorded(&state_dir);
        if let Some(socket) = recorded.as_ref().filter(|socket| socket.file_name().is_some_and(|own| *own == *name)) {
            let (socket, usual) = (socket.clone(), Some(socket.clone()));
            return Ok(Self { state_dir, user_dir, socket, usual, warning: None });
        }
        let mut refused = Vec::new();
        let mut usual = None;
        for socket in folders(variables).into_iter().map(|folder| folder.join(&name)).filter(|path| is_short(path)) {
            let folder = socket.parent().unwrap_or(&socket);
            match private::folder(folder) {
                Ok(()) => {
                    usual = Some(socket);
                    break;
                }
                Err(error) => refused.push(format!("cannot use {} ({error})", folder.display())),
            }
        }
        let warning = if usual.is_none() { refused.pop() } else { None };
        let socket = recorded.or_else(|| usual.clone()).unwrap_or_default();
        Ok(Self { state_dir, user_dir, socket, usual, warning })
    }

    /// Connects to the supervisor without waiting.
    pub fn connect(&self) -> Reached {
        match connect(&self.socket) {
            Ok(stream) if sockets::is_own(&stream) => Reached::Supervisor(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Reached::Busy,
            _ => Reached::Nothing,
        }
    }

    /// Where its supervisor may listen, the most likely location first.
    pub fn candidates(&self) -> Vec<Self> {
        // A record may have come with a copy of another project.
        let usual = self.usual.iter();
        let named = usual.flat_map(|usual| (0..=MOST_NAMES).map(|number| other_name(usual, number)));
        let named = named.filter(|socket| socket.exists());
        let sockets = recorded(&self.state_dir).into_iter().chain(named).chain(self.bound_elsewhere());
        sockets.map(|socket| Self { socket, ..self.clone() }).collect()
    }

    /// Bound sockets of this project anywhere: the record may have been removed with its folder, and this
    /// process may have other variables than the one that started the supervisor.
    fn bound_elsewhere(&self) -> Vec<PathBuf> {
        let name = self.name();
        sockets::bound_paths().into_iter().filter(|path| path.ends_with(&name) && is_ours(path)).collect()
    }

    fn name(&self) -> String {
        format!("{}.socket", instance_mark::project(&self.state_dir))
    }

    /// The lock of a supervisor; `None` if another process has it.
    pub fn try_lock(&self) -> io::Result<Option<File>> {
        match try_lock(&self.state_dir)? {
            Some(lock) if !is_linked(&lock) => Ok(Some(lock)),
            // In a copy made of hard links, the lock of the original is not taken.
            Some(_) => own_lock(&self.state_dir),
            None if self.is_copy_by_links() => own_lock(&self.state_dir),
            None => Ok(None),
        }
    }

    /// Whether the lock is that of another folder, whose files were linked into this one.
    fn is_copy_by_links(&self) -> bool {
        let path = self.state_dir.join(LOCK);
        let lock = private::open(&path, File::options().read(true));
        let text = private::read(&path).and_then(|text| String::from_utf8(text).ok()).unwrap_or_default();
        let mut words = text.split_ascii_whitespace().skip(1).map(str::parse);
        let (Some(Ok(device)), Some(Ok(inode))) = (words.next(), words.next()) else { return false };
        lock.is_ok_and(|lock| is_linked(&lock)) && folder_id(&self.state_dir) != Some((device, inode))
    }

    /// Another user whose supervisor runs this project.
    pub fn other_user(&self) -> Option<OtherUser> {
        let owner = std::fs::metadata(&self.state_dir).ok()?.uid();
        let user = rustix::process::geteuid();
        // The superuser can look into every folder.
        let (owner, pid) = if owner == user.as_raw() || user.is_root() {
            let pid = self.supervisor_pid()?;
            (processes::user(pid)?, Some(pid))
        } else {
            (owner, tree::with_argument(SUPERVISOR_VERB).into_iter().find(|pid| self.is_supervised_by(*pid)))
        };
        (owner != user.as_raw()).then(|| OtherUser { name: user_name(owner), pid })
    }

    /// Whether the process was started as the supervisor of this project, by its command line.
    fn is_supervised_by(&self, pid: u32) -> bool {
        let is_leader = rustix::process::getsid(Pid::from_raw(pid.cast_signed()))
            .is_ok_and(|session| session.as_raw_nonzero().get().cast_unsigned() == pid);
        is_leader && self.state_dir.to_str().is_some_and(|state_dir| tree::has_argument(pid, state_dir))
    }

    /// The supervisor's process number from the lock. By now the number may belong to another process.
    pub fn supervisor_pid(&self) -> Option<u32> {
        let text = String::from_utf8(private::read(&self.state_dir.join(LOCK))?).ok()?;
        let pid = text.split_ascii_whitespace().next()?.parse().ok()?;
        (tree::is_running(pid) && tree::has_argument(pid, SUPERVISOR_VERB)).then_some(pid)
    }

    /// Listens in place of a supervisor that is gone. Only the owner of the lock may call it.
    pub fn listen(&mut self) -> io::Result<UnixListener> {
        let usual = match &self.usual {
            Some(usual) => usual.clone(),
            None => folder_apart()?.join(self.name()),
        };
        // A supervisor that answers there belongs to a project that was here before and was moved.
        let mut names = (0..=MOST_NAMES).map(|number| other_name(&usual, number));
        let free = names.find(|name| UnixStream::connect(name).is_err());
        self.socket = free.ok_or(io::ErrorKind::AddrInUse)?;
        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = bind(&self.socket)?;
        record(&self.state_dir, &self.socket);
        Ok(listener)
    }
}

/// A supervisor's claim to its project: the lock and the socket. The socket is removed before the lock is
/// released, since the next supervisor creates its own.
pub struct ProjectClaim {
    lock: File,
    /// The identity of the state folder, which moving preserves.
    folder: Option<(u64, u64)>,
    socket: PathBuf,
    /// Set before the socket is removed on purpose.
    pub ends: Arc<AtomicBool>,
}

impl ProjectClaim {
    pub fn new(lock: File, listener: &UnixListener, state_dir: &Path) -> Self {
        Self { lock, folder: folder_id(state_dir), socket: socket_of(listener), ends: Arc::default() }
    }

    /// Whether the project's state is in this folder, rather than in a copy whose files are hard links.
    pub fn is_in(&self, state_dir: &Path) -> bool {
        let is_same = self.lock.metadata().is_ok_and(|own| lock_id(state_dir) == Some(id(&own)));
        is_same && (!is_linked(&self.lock) || folder_id(state_dir) == self.folder)
    }

    /// Sets the path where the supervisor listens from now on.
    pub fn listens_at(&mut self, socket: PathBuf, state_dir: &Path) {
        record(state_dir, &socket);
        self.socket = socket;
    }

    /// Takes the lock in a folder if its own was deleted, for example because the project was moved to
    /// another file system. Returns whether it has the lock now.
    pub fn renew_in(&mut self, state_dir: &Path) -> bool {
        let is_deleted = self.lock.metadata().is_ok_and(|own| own.nlink() == 0);
        let Some(lock) = is_deleted.then(|| try_lock(state_dir).ok().flatten()).flatten() else { return false };
        (self.lock, self.folder) = (lock, folder_id(state_dir));
        write_owner(&self.lock, state_dir);
        record(state_dir, &self.socket);
        true
    }
}

impl Drop for ProjectClaim {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = std::fs::remove_file(&self.socket);
        if let Some(folder) = self.socket.parent().filter(|folder| is_apart(folder)) {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Writes the owner into the lock: this process's number, for clients to name if it does not answer, and the
/// identity of the folder.
pub fn write_owner(lock: impl AsFd, state_dir: &Path) {
    let folder = folder_id(state_dir).map_or(String::new(), |(device, inode)| format!(" {device} {inode}"));
    // If this fails, clients do not know the owner.
    let _ = rustix::fs::ftruncate(&lock, 0);
    let _ = rustix::io::write(&lock, format!("{}{folder}", std::process::id()).as_bytes());
}

/// Listens again at the path `socket`, which was removed, or in the folder that always exists.
pub fn listen_again(socket: &Path) -> io::Result<UnixListener> {
    let own = socket.parent().map(Path::to_path_buf);
    let name = socket.file_name().unwrap_or_default();
    let mut result = Err(io::ErrorKind::NotFound.into());
    for folder in own.into_iter().chain([temporary_folder("/tmp".into())]) {
        result = private::folder(&folder).and_then(|()| bind(&folder.join(name)));
        if result.is_ok() {
            return result;
        }
    }
    result.or_else(|_| bind(&folder_apart()?.join(name)))
}

fn bind(socket: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// The path that a listener is bound to.
pub fn socket_of(listener: &UnixListener) -> PathBuf {
    let address = listener.local_addr().ok();
    address.and_then(|address| address.as_pathname().map(Path::to_path_buf)).unwrap_or_default()
}

/// The identity of the lock in a folder, which moving preserves.
pub fn lock_id(state_dir: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(state_dir.join(LOCK)).ok().map(|metadata| id(&metadata))
}

fn folder_id(state_dir: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(state_dir).ok().map(|metadata| id(&metadata))
}

fn is_linked(lock: &File) -> bool {
    lock.metadata().is_ok_and(|metadata| metadata.nlink() > 1)
}

fn id(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn try_lock(state_dir: &Path) -> io::Result<Option<File>> {
    // Others must not be able to open it: who can open it can lock it as well.
    let file = private::open(&state_dir.join(LOCK), File::options().create(true).append(true))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // On a file system without locks (some network file systems) the socket has to suffice.
        Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = sockets::nonblocking(AddressFamily::UNIX)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Replaces a lock file that has several hard links; `None` if another process has done so.
fn own_lock(state_dir: &Path) -> io::Result<Option<File>> {
    let (path, new) = (state_dir.join(LOCK), state_dir.join(format!("{LOCK}.new")));
    let file = private::open(&new, File::options().create(true).append(true))?;
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Ok(None);
    }
    if !is_linked(&private::open(&path, File::options().read(true))?) {
        let _ = std::fs::remove_file(&new);
        return Ok(None);
    }
    std::fs::rename(&new, &path)?;
    Ok(Some(file))
}

/// Alternative names for a socket.
fn other_name(socket: &Path, number: usize) -> PathBuf {
    if number == 0 { socket.to_path_buf() } else { socket.with_extension(format!("{number}.socket")) }
}

/// Without the record, only clients with the same variables find the supervisor, and only until the project
/// is moved.
fn record(state_dir: &Path, socket: &Path) {
    let _ = private::replace(&state_dir.join(RECORD), socket.as_os_str().as_bytes());
}

/// The recorded path where a supervisor listens or has listened: commands that envo runs have fewer variables
/// than the shell that ran `envo up`, and should find its services; and the project may have been moved.
fn recorded(state_dir: &Path) -> Option<PathBuf> {
    let socket = PathBuf::from(OsString::from_vec(private::read(&state_dir.join(RECORD))?));
    is_ours(&socket).then_some(socket)
}

/// Whether the path is one where supervisors of this user listen: a record must not lead to other users'
/// sockets or other programs'.
fn is_ours(socket: &Path) -> bool {
    let Some(folder) = socket.parent().filter(|_| socket.is_absolute()) else { return false };
    let is_socket = std::fs::symlink_metadata(socket).is_ok_and(|metadata| metadata.file_type().is_socket());
    let in_own = is_apart(folder) || folder.file_name().is_some_and(|name| name == "envo" || *name == *own_name());
    in_own && socket.extension().is_some_and(|end| end == "socket") && is_socket && private::folder(folder).is_ok()
}

/// The name of a user, or the number of a user without a name.
fn user_name(user: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.replace(misleads, "?"))
    });
    named.unwrap_or_else(|| format!("uid {user}"))
}

/// Whether a socket can have the path, with all alternative names.
fn is_short(socket: &Path) -> bool {
    other_name(socket, MOST_NAMES).as_os_str().len() < LONGEST_PATH
}

/// Creates the state folder for this user alone. Another user's folder stays as it is: see
/// [`SupervisorLocation::other_user`].
fn own_folder(state_dir: &Path) -> io::Result<PathBuf> {
    if let Some(above) = state_dir.parent() {
        fs_err::create_dir_all(above)?;
    }
    if !std::fs::symlink_metadata(state_dir).is_ok_and(|found| found.is_dir() && !private::is_own(&found)) {
        private::project_folder(state_dir)?;
    }
    fs_err::canonicalize(state_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(runtime: &Path) -> EnvVariables {
        [("XDG_RUNTIME_DIR".into(), runtime.into())].into_iter().collect()
    }

    #[test]
    fn the_socket_has_a_short_path_in_a_private_folder() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(200)).join("y".repeat(200));
        let mut place = SupervisorLocation::of(&long, &variables(folder.path())).unwrap();
        assert!(place.socket.starts_with(folder.path().join("envo")));
        assert_eq!(std::fs::metadata(folder.path().join("envo")).unwrap().mode() & 0o777, 0o700);
        let _listener = place.listen().unwrap();
        assert!(place.connect().is_listening());
        let other = SupervisorLocation::of(&folder.path().join("other"), &variables(folder.path())).unwrap();
        assert_ne!(other.socket, place.socket);
        assert!(!other.connect().is_listening());
    }

    #[test]
    fn a_runtime_folder_with_too_long_a_path_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(120));
        let place = SupervisorLocation::of(&folder.path().join("state"), &variables(&long)).unwrap();
        assert!(!place.socket.starts_with(folder.path()), "{place:?}");
    }

    #[test]
    fn other_variables_find_the_recorded_socket_while_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let (state, other) = (folder.path().join("state"), folder.path().join("other"));
        std::fs::create_dir(&other).unwrap();
        let mut place = SupervisorLocation::of(&state, &variables(folder.path())).unwrap();
        let _listener = place.listen().unwrap();
        assert_eq!(SupervisorLocation::of(&state, &variables(&other)).unwrap().socket, place.socket);
        std::fs::remove_file(&place.socket).unwrap();
        assert!(SupervisorLocation::of(&state, &variables(&other)).unwrap().socket.starts_with(&other));
        // A path of another file is not a record.
        std::fs::write(state.join(RECORD), "/etc/passwd").unwrap();
        assert!(SupervisorLocation::of(&state, &variables(&other)).unwrap().socket.starts_with(&other));
    }

    #[test]
    fn a_socket_in_use_by_another_project_gets_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let (state, moved) = (folder.path().join("state"), folder.path().join("moved"));
        let mut place = SupervisorLocation::of(&state, &variables(folder.path())).unwrap();
        let first = place.listen().unwrap();
        std::fs::rename(&state, &moved).unwrap();
        let mut own = SupervisorLocation::of(&state, &variables(folder.path())).unwrap();
        let _second = own.listen().unwrap();
        assert_ne!(own.socket, place.socket);
        assert_eq!(SupervisorLocation::of(&moved, &variables(folder.path())).unwrap().socket, place.socket);
        assert_eq!(SupervisorLocation::of(&state, &variables(folder.path())).unwrap().socket, own.socket);
        // The folder is recreated.
        drop(first);
        own.listen().unwrap();
        assert_eq!(own.socket, place.socket);
    }

    #[test]
    fn a_record_leads_to_no_socket_of_another_program() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let place = SupervisorLocation::of(&state, &variables(folder.path())).unwrap();
        std::fs::create_dir(folder.path().join("agent")).unwrap();
        for name in ["agent/a.socket", "envo/agent"] {
            let _listener = UnixListener::bind(folder.path().join(name)).unwrap();
            record(&state, &folder.path().join(name));
            assert_eq!(
                SupervisorLocation::of(&state, &variables(folder.path())).unwrap().socket,
                place.socket,
                "{name}"
            );
            assert_eq!(place.candidates().len(), 0);
        }
        assert_eq!(
            std::fs::metadata(folder.path().join("agent")).unwrap().mode() & 0o077,
            0o055,
            "it is left as it is"
        );
    }

    #[test]
    fn a_claim_moves_with_its_folder_and_is_renewed_after_a_deleted_lock() {
        let folder = tempfile::tempdir().unwrap();
        let [state, moved, copy] = ["state", "moved", "copy"].map(|name| folder.path().join(name));
        let mut place = SupervisorLocation::of(&state, &variables(folder.path())).unwrap();
        let lock = place.try_lock().unwrap().unwrap();
        let mut claim = ProjectClaim::new(lock, &place.listen().unwrap(), &state);
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(state.join(LOCK), copy.join(LOCK)).unwrap();
        std::fs::rename(&state, &moved).unwrap();
        assert!(claim.is_in(&moved) && !claim.is_in(&state) && !claim.is_in(&copy));
        assert!(!claim.renew_in(&copy));
        std::fs::remove_dir_all(&moved).unwrap();
        assert!(claim.renew_in(&copy) && claim.is_in(&copy));
        let (device, inode) = folder_id(&copy).unwrap();
        let owner = format!("{} {device} {inode}", std::process::id());
        assert_eq!(std::fs::read_to_string(copy.join(LOCK)).unwrap(), owner);
        assert_eq!(recorded(&copy).as_ref(), Some(&place.socket));
        drop(claim);
        assert!(!place.socket.exists());
    }

    #[test]
    fn a_supervisor_with_a_full_queue_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut place = SupervisorLocation::of(&folder.path().join("state"), &variables(folder.path())).unwrap();
        let _listener = place.listen().unwrap();
        let mut waiting = Vec::new();
        loop {
            match place.connect() {
                Reached::Supervisor(stream) => waiting.push(stream),
                Reached::Busy => break,
                Reached::Nothing => panic!("it listens"),
            }
        }
        assert!(!waiting.is_empty());
    }

    #[test]
    fn only_one_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let place = SupervisorLocation::of(&folder.path().join("state"), &variables(folder.path())).unwrap();
        let lock = place.try_lock().unwrap().unwrap();
        assert!(place.try_lock().unwrap().is_none());
        // A process that another test is starting may have it open as well.
        lock.unlock().unwrap();
        assert!(place.try_lock().unwrap().is_some());
    }

    #[test]
    fn a_lock_with_hard_links_is_replaced_unless_this_folders_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let variables = variables(folder.path());
        let place = |name: &str| SupervisorLocation::of(&folder.path().join(name), &variables).unwrap();
        let (one, two) = (place("one"), place("two"));
        let held = one.try_lock().unwrap().expect("it is free");
        write_owner(&held, &one.state_dir);
        std::fs::hard_link(one.state_dir.join(LOCK), two.state_dir.join(LOCK)).unwrap();
        assert!(one.try_lock().unwrap().is_none(), "it is this folder's");
        assert_eq!(one.supervisor_pid(), None, "this process is not a supervisor");
        let other = two.try_lock().unwrap().expect("it is another's");
        assert_ne!(lock_id(&one.state_dir), lock_id(&two.state_dir));
        assert!(two.try_lock().unwrap().is_none() && one.try_lock().unwrap().is_none());
        drop((held, other));
        std::fs::remove_file(two.state_dir.join(LOCK)).unwrap();
        std::fs::hard_link(one.state_dir.join(LOCK), two.state_dir.join(LOCK)).unwrap();
        let (first, second) = (one.try_lock().unwrap(), two.try_lock().unwrap());
        assert!(first.is_some() && second.is_some());
    }

    #[test]
    fn a_socket_is_recreated_in_the_temporary_folder_if_necessary() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("{}.socket", folder.path().file_name().unwrap().display());
        let elsewhere = listen_again(&folder.path().join("gone/envo").join(&name)).unwrap();
        assert_eq!(socket_of(&elsewhere), temporary_folder("/tmp".into()).join(&name));
        std::fs::remove_file(socket_of(&elsewhere)).unwrap();
        let again = listen_again(&folder.path().join("envo").join(&name)).unwrap();
        assert_eq!(socket_of(&again), folder.path().join("envo").join(&name));
    }
}
