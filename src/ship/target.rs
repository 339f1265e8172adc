//! What the members of a release need of the machine they run on.

use std::collections::BTreeSet;

use crate::ship::host::is_of_glibc;
use crate::ship::manifest::{NeededLibrary, Target};
use crate::ship::piece::Measured;

/// The target of a release with these members. Files for other processors count as data.
pub fn of(members: &[Measured]) -> Target {
    let machine = std::env::consts::ARCH;
    let names: BTreeSet<&str> = members.iter().filter_map(|one| one.member.path.rsplit('/').next()).collect();
    let mut target =
        Target { system: std::env::consts::OS.to_owned(), machine: machine.to_owned(), ..Target::default() };
    let mut glibc = None;
    for one in members {
        let Some(elf) = one.elf.as_ref().filter(|elf| elf.machine == Some(machine)) else { continue };
        glibc = glibc.max(elf.glibc());
        for name in elf.needed.iter().filter(|name| !is_of_glibc(name) && !names.contains(name.as_str())) {
            let needed = target
                .libraries
                .entry(name.clone())
                .or_insert_with(|| NeededLibrary { by: one.member.path.clone(), ..NeededLibrary::default() });
            needed.versions.extend(elf.versions.get(name).into_iter().flatten().cloned());
        }
    }
    target.glibc = glibc.map(|(major, minor)| format!("{major}.{minor}")).unwrap_or_default();
    target
}
