//! Finds the process that listens on a port of this machine, in the tables of Linux's `/proc`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::execute::tree;
use crate::python_text::misleads;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortOwner {
    pub pid: u32,
    /// Its command line, or its name if that cannot be read; shortened.
    pub command: String,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` (pid {})", self.command, self.pid)
    }
}

/// The longest part of a command line that is shown.
const LONGEST_COMMAND: usize = 100;

/// The process that listens on `port`; `None` if no process does, or it is another user's.
#[must_use]
pub fn owner(port: u16) -> Option<PortOwner> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| {
        fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|files| {
            files.flatten().any(|file| {
                fs::read_link(file.path()).is_ok_and(|target| inodes.iter().any(|inode| target.as_os_str() == &**inode))
            })
        })
    })?;
    Some(PortOwner { pid, command: command(pid) })
}

/// The addresses that the processes below `root` listen on, by port; `None` if they cannot be known.
#[must_use]
pub fn listening_below(root: u32) -> Option<Vec<SocketAddr>> {
    let mut sockets: BTreeSet<String> = BTreeSet::new();
    for pid in tree::descendants(root) {
        let files = match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            // Another user's process.
            Err(_) => return None,
        };
        let targets = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        sockets.extend(targets.filter_map(|target| target.to_str().map(str::to_owned)));
    }
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let other = fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let all = listening(&table).into_iter().chain(listening(&other));
    let own = all.filter(|(_, inode)| sockets.contains(&format!("socket:[{inode}]")));
    let mut addresses: Vec<SocketAddr> = own.map(|(address, _)| address).collect();
    addresses.sort_by_key(|address| (address.port(), address.ip()));
    addresses.dedup();
    Some(addresses)
}

fn command(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&words).replace('\0', " ");
    // Text from another process must not reach the terminal unchanged.
    let plain = |text: &str| text.trim().replace(|c| misleads(c) || c == '\n', "?");
    if text.trim().is_empty() {
        return plain(&fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default());
    }
    let text = plain(&text);
    match text.char_indices().nth(LONGEST_COMMAND) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The sockets that listen on `port`, by inode.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    listening(table).into_iter().filter(|(address, _)| address.port() == port).map(|(_, inode)| inode).collect()
}

/// The sockets that listen, with their inodes, from a table as the kernel prints it: `local_address` is the second field,
/// `ADDRESS:PORT` in hexadecimal; the fourth is the state, of which `0A` is listening; the tenth the inode.
fn listening(table: &str) -> Vec<(SocketAddr, u64)> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (ip, port) = fields.get(1)?.rsplit_once(':')?;
            let address = SocketAddr::new(kernel_address(ip)?, u16::from_str_radix(port, 16).ok()?);
            (*fields.get(3)? == "0A").then(|| Some((address, fields.get(9)?.parse().ok()?))).flatten()
        })
        .collect()
}

/// An address as printed by the kernel: words of 32 bits, each in the byte order of the machine.
fn kernel_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_kernel_are_read_with_care() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1\n\
                     1: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 4243 1\n\
                     nonsense\n";
        assert_eq!(listening_inodes(table, 8080), [4242]);
        assert!(listening_inodes(table, 81).is_empty());
        assert!(listening_inodes("", 80).is_empty());
        assert_eq!(listening(table), [(SocketAddr::from(([127, 0, 0, 1], 8080)), 4242)]);
        assert_eq!(kernel_address("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(kernel_address("0000000000000000FFFF00000100007F"), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!((kernel_address("0100"), kernel_address("é100007F")), (None, None));
    }

    #[test]
    fn a_process_is_named_by_its_command() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = owner(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(found.pid, std::process::id());
        assert!(!found.command.is_empty() && found.command.chars().count() <= LONGEST_COMMAND + 1, "{found}");
    }
}
