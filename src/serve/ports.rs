//! Which ports a service gets: the numbers it names, or free ones, the same again next time if they are still free.
//! Each is held from choosing until the service starts, so that two services never get one port.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};

use crate::error::ConfigError;
use crate::model::Service;

/// The ports of one service, held until it starts.
#[derive(Debug, Default)]
pub struct Lease {
    pub ports: Vec<(String, u16)>,
    held: Vec<TcpListener>,
    /// Ports with a number that something else has, which may be the service already.
    taken: Vec<u16>,
}

impl Lease {
    /// Whether something else listens where the service is to be, and the service may be that.
    pub fn is_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Holds what something else had before.
    ///
    /// # Errors
    /// When it has it still.
    pub fn regain(&mut self, name: &str, service: &Service) -> Result<(), ConfigError> {
        for number in std::mem::take(&mut self.taken) {
            match hold(&service.host, number) {
                Ok(held) => self.held.push(held),
                Err(error) => {
                    self.taken.push(number);
                    return Err(refused(name, service, number, &error));
                }
            }
        }
        Ok(())
    }

    /// Lets go of the ports, for the service to listen on them.
    pub fn release(&mut self) {
        self.held.clear();
    }
}

/// What was given to whom before: `ports.json` in the state folder. Losing it costs only the sameness of numbers.
#[derive(Debug)]
pub struct Book {
    file: PathBuf,
    given: Given,
    /// What was given that differs from before.
    changed: Given,
}

/// Ports by service and name.
type Given = BTreeMap<String, BTreeMap<String, u16>>;

fn read(file: &Path) -> Given {
    fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

impl Book {
    pub fn open(state_dir: &Path) -> Self {
        let file = state_dir.join("ports.json");
        Self { given: read(&file), file, changed: Given::new() }
    }

    /// The ports of a service that is about to be started.
    ///
    /// # Errors
    /// A port with a number that something else has, with the name of that process if it can be told; a host that is not
    /// this machine's.
    pub fn lease(&mut self, name: &str, service: &Service) -> Result<Lease, ConfigError> {
        let mut lease = Lease::default();
        for port in &service.ports {
            let before = self.given.get(name).and_then(|ports| ports.get(&port.name)).copied();
            let held = match (port.number, before) {
                (Some(number), _) => match hold(&service.host, number) {
                    Ok(held) => held,
                    Err(error) if service.adopt && error.kind() == io::ErrorKind::AddrInUse => {
                        lease.taken.push(number);
                        lease.ports.push((port.name.clone(), number));
                        continue;
                    }
                    Err(error) => return Err(refused(name, service, number, &error)),
                },
                (None, Some(number)) => match hold(&service.host, number) {
                    Ok(held) => held,
                    Err(_) => free(name, service)?,
                },
                (None, None) => free(name, service)?,
            };
            let number = held.local_addr().map(|address| address.port()).unwrap_or_default();
            if port.number.is_none() && before != Some(number) {
                self.changed.entry(name.to_owned()).or_default().insert(port.name.clone(), number);
            }
            lease.ports.push((port.name.clone(), number));
            lease.held.push(held);
        }
        Ok(lease)
    }

    /// Keeps what was given for the next time.
    ///
    /// # Errors
    /// When the file cannot be written; the services can run all the same.
    pub fn save(&self) -> io::Result<()> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let folder = self.file.parent().unwrap_or(Path::new("."));
        // Others may have given ports to their services meanwhile.
        let lock = fs::File::create(folder.join("ports.lock"))?;
        lock.lock()?;
        let mut given = read(&self.file);
        for (name, ports) in &self.changed {
            given.entry(name.clone()).or_default().extend(ports.clone());
        }
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, &given)?;
        file.persist(&self.file)?;
        Ok(())
    }
}

/// Listens on `host:number`; number 0 lets the system choose.
fn hold(host: &str, number: u16) -> io::Result<TcpListener> {
    let addresses: Vec<_> = (host.trim_matches(['[', ']']), number).to_socket_addrs()?.collect();
    TcpListener::bind(addresses.as_slice())
}

fn free(name: &str, service: &Service) -> Result<TcpListener, ConfigError> {
    hold(&service.host, 0).map_err(|error| refused(name, service, 0, &error))
}

fn refused(name: &str, service: &Service, number: u16, error: &io::Error) -> ConfigError {
    let place = if service.location.is_empty() { String::new() } else { format!(" ({})", service.location) };
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let by = owner(number).map_or(String::new(), |owner| format!(" by {owner}"));
            ConfigError::handled(format!("`{name}`{place} needs port {number}, which is in use{by}"))
                .hint("stop that process, or leave the number out of `ports` to get a free one")
        }
        _ => ConfigError::handled(format!(
            "`{name}`{place} cannot listen on port {number} of `{}`: {error}",
            service.host
        )),
    }
}

/// The process that listens on a port of this machine, as `NAME (pid N)`; `None` when it is another user's, or gone.
#[must_use]
pub fn owner(port: u16) -> Option<String> {
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
    let pid = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
        fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|files| {
            files.flatten().any(|file| {
                fs::read_link(file.path()).is_ok_and(|target| inodes.iter().any(|inode| target.as_os_str() == &**inode))
            })
        })
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} (pid {pid})", name.trim_end()))
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
    use crate::model::service::Port;

    fn service(ports: &[(&str, Option<u16>)]) -> Service {
        let mut service = Service::new("run");
        service.location = "tox.ini:7".into();
        service.ports = ports.iter().map(|(name, number)| Port { name: (*name).to_owned(), number: *number }).collect();
        service
    }

    #[test]
    fn free_ports_differ_and_stay_the_same_while_they_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = Book::open(folder.path());
        let both = service(&[("http", None), ("admin", None)]);
        let mut first = book.lease("a", &both).unwrap();
        let other = book.lease("b", &service(&[("http", None)])).unwrap();
        assert_ne!(first.ports[0].1, first.ports[1].1);
        assert!(first.ports.iter().all(|(_, number)| *number != other.ports[0].1));
        book.save().unwrap();
        first.release();
        let ports = first.ports.clone();
        drop(first);
        assert_eq!(Book::open(folder.path()).lease("a", &both).unwrap().ports, ports);
        let taken = TcpListener::bind(("127.0.0.1", ports[0].1)).unwrap();
        assert_ne!(Book::open(folder.path()).lease("a", &both).unwrap().ports[0].1, ports[0].1);
        drop(taken);
    }

    #[test]
    fn a_port_in_use_is_refused_with_the_name_of_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        let error = Book::open(folder.path()).lease("a", &service(&[("http", Some(number))])).unwrap_err();
        let expected = format!("`a` (tox.ini:7) needs port {number}, which is in use by ");
        assert!(error.message.starts_with(&expected), "{error}");
        assert!(error.message.ends_with(&format!("(pid {})", std::process::id())), "{error}");
        drop(taken);
        let lease = Book::open(folder.path()).lease("a", &service(&[("http", Some(number))])).unwrap();
        assert_eq!(lease.ports, [("http".to_owned(), number)]);
    }

    #[test]
    fn a_host_that_is_not_this_machines_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut elsewhere = service(&[("http", None)]);
        elsewhere.host = "192.0.2.1".into();
        let error = Book::open(folder.path()).lease("a", &elsewhere).unwrap_err();
        assert!(error.message.contains("cannot listen on port 0 of `192.0.2.1`"), "{error}");
    }

    #[test]
    fn two_who_keep_ports_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (Book::open(folder.path()), Book::open(folder.path()));
        let lease = |book: &mut Book, name: &str| book.lease(name, &service(&[("http", None)])).unwrap();
        let _held = (lease(&mut one, "a"), lease(&mut other, "b"));
        one.save().unwrap();
        other.save().unwrap();
        let kept = Book::open(folder.path()).given;
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_book_that_cannot_be_read_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ports.json"), "{\"a\": [").unwrap();
        assert!(Book::open(folder.path()).given.is_empty());
    }

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
}
