//! Which ports a service gets: the numbers it names, or free ones, the same again next time if they are still free.
//! Each is held from choosing until the service starts, so that two services never get one port.

mod book;
mod owner;

use std::io;
use std::net::{TcpListener, ToSocketAddrs};

use crate::error::ConfigError;
use crate::model::Service;

pub use book::{Book, user_folder};
pub use owner::owner;

/// The ports of one service, held until it starts.
#[derive(Debug, Default)]
pub struct Lease {
    pub ports: Vec<(String, u16)>,
    /// In the order of `ports`, when none is taken.
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

    /// Whether a port that was free to choose now belongs to a stranger: somebody was faster between the release and the
    /// service's own attempt to listen. `is_own` tells which processes are the service's.
    pub fn is_lost(&self, service: &Service, is_own: impl Fn(u32) -> bool) -> bool {
        let chosen = service.ports.iter().filter(|port| port.number.is_none());
        let number = |name: &str| self.ports.iter().find(|(known, _)| known == name).map(|(_, number)| *number);
        chosen.filter_map(|port| number(&port.name)).any(|number| {
            let in_use = hold(&service.host, number).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
            in_use && !owner(number).is_some_and(|owner| is_own(owner.pid))
        })
    }
}

/// Gives a service its ports.
///
/// # Errors
/// A port with a number that something else has, with the command of that process if it can be told; a host that is not
/// this machine's.
pub fn lease(book: &mut Book, name: &str, service: &Service) -> Result<Lease, ConfigError> {
    let mut lease = Lease::default();
    for port in &service.ports {
        let held = match port.number {
            None => choose(book, name, &port.name, service)?,
            Some(number) => match hold(&service.host, number) {
                Ok(held) => held,
                Err(error) if service.adopt && error.kind() == io::ErrorKind::AddrInUse => {
                    lease.taken.push(number);
                    lease.ports.push((port.name.clone(), number));
                    continue;
                }
                Err(error) => return Err(refused(name, service, number, &error)),
            },
        };
        let number = held.local_addr().map(|address| address.port()).unwrap_or_default();
        if port.number.is_none() {
            book.note(name, &port.name, number);
        }
        lease.ports.push((port.name.clone(), number));
        lease.held.push(held);
    }
    Ok(lease)
}

/// A free port: what it was before, else what its name leads to, else whatever the system has.
fn choose(book: &Book, name: &str, port: &str, service: &Service) -> Result<TcpListener, ConfigError> {
    if let Some(held) = book.before(name, port).and_then(|number| hold(&service.host, number).ok()) {
        return Ok(held);
    }
    for number in book.candidates(name, port) {
        match hold(&service.host, number) {
            Ok(held) => return Ok(held),
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {}
            Err(error) => return Err(refused(name, service, 0, &error)),
        }
    }
    hold(&service.host, 0).map_err(|error| refused(name, service, 0, &error))
}

/// Listens on `host:number`; number 0 lets the system choose.
fn hold(host: &str, number: u16) -> io::Result<TcpListener> {
    let addresses: Vec<_> = (host.trim_matches(['[', ']']), number).to_socket_addrs()?.collect();
    TcpListener::bind(addresses.as_slice())
}

fn refused(name: &str, service: &Service, number: u16, error: &io::Error) -> ConfigError {
    let place = match service.place_of("ports") {
        "" => String::new(),
        place => format!(" ({place})"),
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let by = owner(number).map_or(String::new(), |owner| format!(" by {owner}"));
            ConfigError::handled(format!("`{name}`{place} needs port {number}, which is in use{by}"))
                .hint("stop that process, or leave the number out of `ports` to get a free one")
        }
        io::ErrorKind::PermissionDenied if number > 0 && number < 1024 => ConfigError::handled(format!(
            "`{name}`{place} needs port {number}, which only the system's administrator may listen on"
        ))
        .hint("choose a number from 1024 on, or leave it out of `ports` to get a free one"),
        _ if number == 0 => {
            ConfigError::handled(format!("`{name}`{place} cannot listen on `{}`: {error}", service.host))
        }
        _ => ConfigError::handled(format!(
            "`{name}`{place} cannot listen on port {number} of `{}`: {error}",
            service.host
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::service::Port;

    fn service(ports: &[(&str, Option<u16>)]) -> Service {
        let mut service = Service::new("run");
        service.location = "tox.ini:7".into();
        service.ports = ports.iter().map(|(name, number)| Port { name: (*name).to_owned(), number: *number }).collect();
        service
    }

    fn open(folder: &Path) -> Book {
        Book::open(folder, None)
    }

    fn leased(book: &mut Book, name: &str, service: &Service) -> Lease {
        lease(book, name, service).unwrap()
    }

    #[test]
    fn free_ports_differ_and_stay_the_same_while_they_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = open(folder.path());
        let both = service(&[("http", None), ("admin", None)]);
        let mut first = leased(&mut book, "a", &both);
        let other = leased(&mut book, "b", &service(&[("http", None)]));
        assert_ne!(first.ports[0].1, first.ports[1].1);
        assert!(first.ports.iter().all(|(_, number)| *number != other.ports[0].1));
        book.close().unwrap();
        first.release();
        let ports = first.ports.clone();
        drop(first);
        assert_eq!(leased(&mut open(folder.path()), "a", &both).ports, ports);
        let taken = TcpListener::bind(("127.0.0.1", ports[0].1)).unwrap();
        assert_ne!(leased(&mut open(folder.path()), "a", &both).ports[0].1, ports[0].1);
        drop(taken);
    }

    #[test]
    fn a_port_in_use_is_refused_with_the_command_of_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        let error = lease(&mut open(folder.path()), "a", &service(&[("http", Some(number))])).unwrap_err();
        let expected = format!("`a` (tox.ini:7) needs port {number}, which is in use by `");
        assert!(error.message.starts_with(&expected), "{error}");
        assert!(error.message.ends_with(&format!("` (pid {})", std::process::id())), "{error}");
        drop(taken);
        let lease = leased(&mut open(folder.path()), "a", &service(&[("http", Some(number))]));
        assert_eq!(lease.ports, [("http".to_owned(), number)]);
    }

    #[test]
    fn a_host_that_is_not_this_machines_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut elsewhere = service(&[("http", None)]);
        elsewhere.host = "192.0.2.1".into();
        let error = lease(&mut open(folder.path()), "a", &elsewhere).unwrap_err();
        assert!(error.message.contains("cannot listen on `192.0.2.1`"), "{error}");
    }

    #[test]
    fn a_chosen_port_that_a_stranger_has_taken_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let free = service(&[("http", None)]);
        let mut lease = leased(&mut open(folder.path()), "a", &free);
        lease.release();
        assert!(!lease.is_lost(&free, |_| false), "nobody has it");
        let number = lease.ports[0].1;
        let taken = TcpListener::bind(("127.0.0.1", number)).unwrap();
        assert!(lease.is_lost(&free, |_| false));
        assert!(!lease.is_lost(&free, |pid| pid == std::process::id()), "the service itself has it");
        assert!(!lease.is_lost(&service(&[("http", Some(number))]), |_| false), "it was not free to choose");
        drop(taken);
    }
}
