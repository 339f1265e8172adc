//! Who listens on a port of this machine, from the tables of Linux's `/proc`.

use std::fmt;
use std::fs;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub pid: u32,
    /// Its command line, or its name when that cannot be read; shortened.
    pub command: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` (pid {})", self.command, self.pid)
    }
}

/// How much of a command line is shown.
const LONGEST_COMMAND: usize = 100;

/// The process that listens on `port`; `None` when there is none, or it is another user's.
#[must_use]
pub fn owner(port: u16) -> Option<Owner> {
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
    Some(Owner { pid, command: command(pid) })
}

fn command(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&words).replace('\0', " ");
    // What a process says of itself must not reach the terminal as it is.
    let plain = |text: &str| text.trim().replace(char::is_control, "?");
    if text.trim().is_empty() {
        return plain(&fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default());
    }
    let text = plain(&text);
    match text.char_indices().nth(LONGEST_COMMAND) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The sockets that listen on `port`, by inode, from a table as the kernel prints it: `local_address` is the second
/// field, `ADDRESS:PORT` in hexadecimal; the fourth is the state, of which `0A` is listening; the tenth the inode.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let local = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
            (local == port && *fields.get(3)? == "0A").then(|| fields.get(9)?.parse().ok()).flatten()
        })
        .collect()
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
    }

    #[test]
    fn a_process_is_named_by_its_command() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = owner(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(found.pid, std::process::id());
        assert!(!found.command.is_empty() && found.command.chars().count() <= LONGEST_COMMAND + 1, "{found}");
    }
}
