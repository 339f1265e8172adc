//! Assigns ports to services: the configured numbers, or free ones, which stay the same if they are still
//! free. Each is reserved from the choice until the service starts, so that no two services get the same
//! port.

mod owner;
mod registry;

use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::ConfigError;
use crate::model::ServiceSettings;
use crate::serve::instances::InstanceName;

pub use crate::serve::ports::registry::PortRegistry;
pub use owner::{listening_below, owner};

/// The ports of one service, reserved until it starts.
#[derive(Debug, Default)]
pub struct PortReservation {
    pub ports: Vec<(String, u16)>,
    /// In the order of `ports`, if none is in use.
    held: Vec<TcpListener>,
    /// Configured ports that another program uses, which may be the service already.
    taken: Vec<u16>,
}

impl PortReservation {
    /// Whether another program listens on the service's port, which may be the service.
    pub fn is_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Reserves ports that another program used before.
    pub fn regain(&mut self, name: &str, service: &ServiceSettings) -> Result<(), ConfigError> {
        for number in std::mem::take(&mut self.taken) {
            match hold(&service.address.host, number) {
                Ok(held) => self.held.push(held),
                Err(error) => {
                    self.taken.push(number);
                    return Err(refused(name, service, number, &error));
                }
            }
        }
        Ok(())
    }

    /// The listening sockets, in the order of `ports`.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.held.iter().map(AsFd::as_fd)
    }

    /// Releases the ports, for the service to listen on them.
    pub fn release(&mut self) {
        self.held.clear();
    }

    /// Whether a port that envo chose is now used by another program, which was faster between the release
    /// and the service's own attempt to listen. `is_own` recognizes the service's processes.
    pub fn is_lost(&self, service: &ServiceSettings, is_own: impl Fn(u32) -> bool) -> bool {
        self.chosen(service).any(|number| {
            let in_use =
                hold(&service.address.host, number).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
            in_use && !owner(number).is_some_and(|owner| is_own(owner.pid))
        })
    }

    /// The numbers that envo chose.
    fn chosen(&self, service: &ServiceSettings) -> impl Iterator<Item = u16> {
        let chosen = service.address.ports.iter().filter(|port| port.number.is_none());
        chosen.filter_map(|port| self.ports.iter().find(|(known, _)| *known == port.name).map(|(_, number)| *number))
    }
}

/// Reserves the ports of a service.
///
/// # Errors
///
/// A configured port that is in use, with the command of that process if it is known; a host that does not
/// belong to this machine.
pub fn reserve(
    registry: &mut PortRegistry,
    which: &InstanceName,
    service: &ServiceSettings,
) -> Result<PortReservation, ConfigError> {
    let mut reservation = PortReservation::default();
    let name = which.name.as_str();
    for port in &service.address.ports {
        let held = match port.number {
            None => choose(registry, name, &port.name, |number| hold(&service.address.host, number))
                .map_err(|error| refused(name, service, 0, &error))?,
            Some(number) => match hold(&service.address.host, number) {
                Ok(held) => held,
                Err(error) if service.address.adopt && error.kind() == io::ErrorKind::AddrInUse => {
                    reservation.taken.push(number);
                    reservation.ports.push((port.name.clone(), number));
                    continue;
                }
                Err(error) => return Err(refused(name, service, number, &error)),
            },
        };
        let number = held.local_addr().map(|address| address.port()).unwrap_or_default();
        // Ports for one test or worker are not remembered: the number of names is unlimited.
        if port.number.is_none() && !which.is_apart {
            registry.note(name, &port.name, number);
        }
        reservation.ports.push((port.name.clone(), number));
        reservation.held.push(held);
    }
    Ok(reservation)
}

/// A free port: the previous one, else one derived from the name, else one that the system chooses. `hold`
/// listens on a number, of which 0 lets the system choose.
fn choose<T>(registry: &PortRegistry, name: &str, port: &str, hold: impl Fn(u16) -> io::Result<T>) -> io::Result<T> {
    if let Some(held) = registry.before(name, port).and_then(|number| hold(number).ok()) {
        return Ok(held);
    }
    for number in registry.candidates(name, port) {
        match hold(number) {
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {}
            held => return held,
        }
    }
    hold(0)
}

/// Listens on `host:number`; number 0 lets the system choose.
fn hold(host: &str, number: u16) -> io::Result<TcpListener> {
    let addresses: Vec<_> = (host.trim_matches(['[', ']']), number).to_socket_addrs()?.collect();
    TcpListener::bind(addresses.as_slice())
}

fn refused(name: &str, service: &ServiceSettings, number: u16, error: &io::Error) -> ConfigError {
    let place = match &*service.location_of("ports") {
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
            ConfigError::handled(format!("`{name}`{place} cannot listen on `{}`: {error}", service.address.host))
        }
        _ => ConfigError::handled(format!(
            "`{name}`{place} cannot listen on port {number} of `{}`: {error}",
            service.address.host
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::model::service::AddressSettings;
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::model::service::PortSetting;

    fn service(ports: &[(&str, Option<u16>)]) -> ServiceSettings {
        let mut service = ServiceSettings::new("run");
        service.location = "tox.ini:7".into();
        service.address.ports =
            ports.iter().map(|(name, number)| PortSetting { name: (*name).to_owned(), number: *number }).collect();
        service
    }

    fn open(folder: &Path) -> PortRegistry {
        PortRegistry::open(folder, None)
    }

    fn which(name: &str) -> InstanceName {
        InstanceName { name: name.to_owned(), ..InstanceName::default() }
    }

    fn reserved(registry: &mut PortRegistry, name: &str, service: &ServiceSettings) -> PortReservation {
        reserve(registry, &which(name), service).unwrap()
    }

    /// A machine on which only `taken` is in use, whatever else runs on this one.
    fn free_but(taken: &[u16]) -> impl Fn(u16) -> io::Result<u16> {
        |number| if taken.contains(&number) { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(number) }
    }

    #[test]
    fn a_port_stays_the_same_until_another_program_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut registry = open(folder.path());
        let first = choose(&registry, "a", "http", free_but(&[])).unwrap();
        registry.note("a", "http", first);
        assert_eq!(choose(&registry, "a", "http", free_but(&[])).unwrap(), first);
        let other = choose(&registry, "a", "http", free_but(&[first])).unwrap();
        assert_ne!(other, first);
        registry.note("a", "http", other);
        assert_eq!(choose(&registry, "a", "http", free_but(&[])).unwrap(), other, "that is what it was before");
        let all: Vec<u16> = (1..=u16::MAX).collect();
        assert_eq!(choose(&registry, "a", "http", free_but(&all)).unwrap(), 0, "the system chooses");
        let broken = choose(&registry, "a", "http", |_| io::Result::<u16>::Err(io::ErrorKind::AddrNotAvailable.into()));
        assert_eq!(broken.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn ports_reserved_together_differ_and_are_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let mut registry = open(folder.path());
        let both = reserved(&mut registry, "a", &service(&[("http", None), ("admin", None)]));
        let other = reserved(&mut registry, "b", &service(&[("http", None)]));
        let numbers = BTreeSet::from([both.ports[0].1, both.ports[1].1, other.ports[0].1]);
        assert_eq!(numbers.len(), 3);
        registry.close().unwrap();
        let registry = open(folder.path());
        let before = ["http", "admin"].map(|port| (port.to_owned(), registry.before("a", port).unwrap()));
        assert_eq!(both.ports, before);
    }

    #[test]
    fn a_port_in_use_is_refused_with_the_command_of_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        let error = reserve(&mut open(folder.path()), &which("a"), &service(&[("http", Some(number))])).unwrap_err();
        let expected = format!("`a` (tox.ini:7) needs port {number}, which is in use by `");
        assert!(error.message.starts_with(&expected), "{error}");
        assert!(error.message.ends_with(&format!("` (pid {})", std::process::id())), "{error}");
        let adopting = ServiceSettings {
            address: AddressSettings { adopt: true, ..service(&[("http", Some(number))]).address },
            ..service(&[("http", Some(number))])
        };
        let mut reservation = reserved(&mut open(folder.path()), "a", &adopting);
        assert_eq!(reservation.ports, [("http".to_owned(), number)]);
        assert!(reservation.is_taken());
        assert!(reservation.regain("a", &adopting).unwrap_err().message.starts_with(&expected));
        drop(taken);
    }

    #[test]
    fn a_host_of_another_machine_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut elsewhere = service(&[("http", None)]);
        elsewhere.address.host = "192.0.2.1".into();
        let error = reserve(&mut open(folder.path()), &which("a"), &elsewhere).unwrap_err();
        assert!(error.message.contains("cannot listen on `192.0.2.1`"), "{error}");
    }

    #[test]
    fn a_chosen_port_that_a_stranger_has_taken_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let free = service(&[("http", None)]);
        // This process holds the port all the time: it stands for the stranger, or for the service itself.
        let reservation = reserved(&mut open(folder.path()), "a", &free);
        let number = reservation.ports[0].1;
        assert!(reservation.is_lost(&free, |_| false));
        assert!(!reservation.is_lost(&free, |pid| pid == std::process::id()), "the service itself has it");
        assert!(!reservation.is_lost(&service(&[("http", Some(number))]), |_| false), "it was not free to choose");
    }
}
