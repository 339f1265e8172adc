//! Reads processes from the system by `libproc` and `sysctl`, and waits for their end by `kqueue`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::process::{Signal, kill_process};

use super::recognition::{self, ProcessRecord};
use super::{ProcessUsage, to_pid};

/// Here no process can adopt another.
pub fn adopt_orphans() {}

/// Runs `work`. Its orphans outlive this process, as no process adopts them.
pub fn without_adopting<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Processes that may have come from this one although they are not below it: those of this user that have lost their
/// parent, and were started after this process.
pub fn orphans() -> Vec<u32> {
    let (own, user) = (std::process::id(), rustix::process::geteuid().as_raw());
    let Some(begin) = start_time(own) else { return Vec::new() };
    let infos = all_pids().into_iter().filter_map(info);
    infos
        .filter(|info| info.pbi_ppid == 1 && info.pbi_uid == user && start(info) >= begin && info.pbi_pid != own)
        .map(|info| info.pbi_pid)
        .collect()
}

/// What a service leaves behind: the other members of its session, and processes that have its mark.
#[derive(Debug)]
pub struct ServiceOrphans {
    leader: u32,
    start: Option<u64>,
    mark: Vec<u8>,
}

impl ServiceOrphans {
    /// `leader`: the service's first process, which leads a session; `mark`: a variable of all its processes.
    pub fn of(leader: u32, mark: &[u8]) -> Self {
        Self { leader, start: start_time(leader), mark: mark.to_vec() }
    }

    /// Those that are not children of this process.
    pub fn running(&self) -> Vec<ProcessHandle> {
        let own = std::process::id();
        let records = records();
        let mut found =
            self.start.map_or_else(Vec::new, |start| recognition::session_members(&records, self.leader, start));
        let is_marked = |pid: u32| {
            !self.mark.is_empty()
                && variables(pid).is_some_and(|all| all.split(|byte| *byte == 0).any(|one| one == self.mark))
        };
        let others = records.iter().map(|record| record.pid).filter(|pid| !found.contains(pid) && is_marked(*pid));
        let others: Vec<u32> = others.collect();
        found.extend(others);
        found.retain(|pid| *pid != own && parent(*pid) != Some(own));
        found.into_iter().filter_map(ProcessHandle::open).collect()
    }
}

/// The system cannot end a child with its parent: the process that waits for the parent ends what has its mark.
pub fn die_with_parent(_command: &mut Command) {}

/// One process, also after its number belongs to another one. The descriptor becomes readable when it has ended.
#[derive(Debug)]
pub struct ProcessHandle {
    pub pid: u32,
    start: u64,
    descriptor: OwnedFd,
}

impl ProcessHandle {
    /// `None`: there is no such process, or it has ended.
    pub fn open(pid: u32) -> Option<Self> {
        let start = start_time(pid)?;
        let descriptor = kqueue().ok()?;
        let filter = EventFilter::Proc { pid: to_pid(pid)?, flags: ProcessEvents::EXIT };
        let change = [Event::new(filter, EventFlags::ADD, std::ptr::null_mut())];
        let mut none: [Event; 0] = [];
        // SAFETY: a process is watched, and no descriptor that could be closed meanwhile.
        unsafe { kevent(&descriptor, &change, &mut none, Some(std::time::Duration::ZERO)) }.ok()?;
        (start_time(pid)? == start).then_some(Self { pid, start, descriptor })
    }

    /// A process that has ended in the meantime, or belongs to another user, is left alone.
    pub fn signal(&self, signal: Signal) {
        if start_time(self.pid) == Some(self.start)
            && let Some(pid) = to_pid(self.pid)
        {
            let _ = kill_process(pid, signal);
        }
    }

    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }
}

impl AsFd for ProcessHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Each running process and its parent, without processes that have ended and wait to be reaped.
pub fn processes() -> Vec<(u32, u32)> {
    recognition::parents(&records())
}

pub fn children(pid: u32) -> Vec<u32> {
    processes().into_iter().filter(|(_, parent)| *parent == pid).map(|(pid, _)| pid).collect()
}

/// The parent of a process: for an orphan, the leader of its group or session.
pub fn parent(pid: u32) -> Option<u32> {
    let own = record(&info(pid)?)?;
    let leaders = [own.group, own.session].into_iter().filter(|leader| *leader != pid).filter_map(info);
    let records: Vec<ProcessRecord> = leaders.filter_map(|info| record(&info)).chain([own]).collect();
    recognition::parents(&records).last().map(|(_, parent)| *parent)
}

/// The number of its process group.
pub fn group(pid: u32) -> Option<u32> {
    Some(info(pid)?.pbi_pgid)
}

/// The user it runs as.
pub fn user(pid: u32) -> Option<u32> {
    Some(info(pid)?.pbi_uid)
}

/// The name of its program.
pub fn program(pid: u32) -> Vec<u8> {
    let name = info(pid).map(|info| info.pbi_comm).unwrap_or_default();
    name.iter().take_while(|byte| **byte != 0).map(|byte| byte.cast_unsigned()).collect()
}

/// The words of its command line, each with a zero at its end.
pub fn arguments(pid: u32) -> Option<Vec<u8>> {
    Some(recognition::words_and_variables(&start_text(pid)?)?.0.to_vec())
}

/// The variables that it was started with, each with a zero at its end. The system hides those of its own programs.
pub fn variables(pid: u32) -> Option<Vec<u8>> {
    Some(recognition::words_and_variables(&start_text(pid)?)?.1.to_vec())
}

/// When it was started, in microseconds of the clock: together with its number it identifies one process. `None`: there is
/// no such process.
pub fn start_time(pid: u32) -> Option<u64> {
    info(pid).map(|info| start(&info))
}

pub fn usage(pid: u32) -> Option<ProcessUsage> {
    let info: libc::proc_taskinfo = process_info(pid, libc::PROC_PIDTASKINFO)?;
    let (numerator, denominator) = timebase();
    let nanoseconds = info.pti_total_user.saturating_add(info.pti_total_system) as f64 * numerator / denominator;
    Some(ProcessUsage { processor_seconds: nanoseconds / 1e9, resident_bytes: info.pti_resident_size })
}

/// Whether there is such a process that has not ended.
pub fn is_running(pid: u32) -> bool {
    info(pid).is_some()
}

/// Whether a signal has stopped the process, until it is continued.
pub fn is_stopped(pid: u32) -> bool {
    info(pid).is_some_and(|info| info.pbi_status == libc::SSTOP)
}

fn all_pids() -> Vec<u32> {
    let mut pids: Vec<u32> = Vec::new();
    loop {
        // More may be started between the two calls.
        // SAFETY: without a buffer the call only counts.
        let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
        pids.resize(usize::try_from(count).unwrap_or(0) + 64, 0);
        let size = i32::try_from(size_of_val(&pids[..])).unwrap_or(i32::MAX);
        // SAFETY: the buffer has this size.
        let found = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), size) };
        let found = usize::try_from(found).unwrap_or(0);
        if found < pids.len() {
            pids.truncate(found);
            pids.retain(|pid| *pid != 0);
            return pids;
        }
    }
}

fn records() -> Vec<ProcessRecord> {
    all_pids().into_iter().filter_map(info).filter_map(|info| record(&info)).collect()
}

fn record(info: &libc::proc_bsdinfo) -> Option<ProcessRecord> {
    let session = rustix::process::getsid(to_pid(info.pbi_pid)).ok()?;
    Some(ProcessRecord {
        pid: info.pbi_pid,
        parent: info.pbi_ppid,
        group: info.pbi_pgid,
        session: session.as_raw_nonzero().get().unsigned_abs(),
        start: start(info),
    })
}

fn start(info: &libc::proc_bsdinfo) -> u64 {
    info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec
}

/// What the system says about a process of this user that has not ended.
fn info(pid: u32) -> Option<libc::proc_bsdinfo> {
    process_info(pid, libc::PROC_PIDTBSDINFO).filter(|info: &libc::proc_bsdinfo| info.pbi_status != libc::SZOMB)
}

/// `T` must be the type that belongs to the kind of information.
fn process_info<T>(pid: u32, kind: i32) -> Option<T> {
    let pid = i32::try_from(pid).ok()?;
    let mut info = std::mem::MaybeUninit::<T>::zeroed();
    let size = i32::try_from(size_of::<T>()).ok()?;
    // SAFETY: the buffer has this size, and the types are of numbers only, for which zeros are valid too.
    let filled = unsafe { libc::proc_pidinfo(pid, kind, 0, info.as_mut_ptr().cast(), size) };
    // SAFETY: all of it was filled.
    (filled == size).then(|| unsafe { info.assume_init() })
}

/// The command line and the variables, as `KERN_PROCARGS2` returns them.
fn start_text(pid: u32) -> Option<Vec<u8>> {
    let mut largest: i32 = 0;
    read_system(&mut [libc::CTL_KERN, libc::KERN_ARGMAX], std::ptr::from_mut(&mut largest).cast(), size_of::<i32>())?;
    let mut text = vec![0; usize::try_from(largest).ok()?];
    let name = &mut [libc::CTL_KERN, libc::KERN_PROCARGS2, i32::try_from(pid).ok()?];
    let length = read_system(name, text.as_mut_ptr(), text.len())?;
    text.truncate(length);
    Some(text)
}

fn read_system(name: &mut [i32], buffer: *mut u8, size: usize) -> Option<usize> {
    let mut length = size;
    let count = u32::try_from(name.len()).ok()?;
    // SAFETY: the name has this many numbers, and the callers' buffers have this size.
    let status =
        unsafe { libc::sysctl(name.as_mut_ptr(), count, buffer.cast(), &raw mut length, std::ptr::null_mut(), 0) };
    (status == 0).then_some(length)
}

/// How many nanoseconds, and in how many of the units in which processor time is counted.
fn timebase() -> (f64, f64) {
    #[repr(C)]
    struct Timebase {
        numerator: u32,
        denominator: u32,
    }
    unsafe extern "C" {
        fn mach_timebase_info(info: *mut Timebase) -> i32;
    }
    let mut info = Timebase { numerator: 1, denominator: 1 };
    // SAFETY: the call fills the two numbers.
    unsafe { mach_timebase_info(&raw mut info) };
    (f64::from(info.numerator), f64::from(info.denominator.max(1)))
}
