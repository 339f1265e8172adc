//! Reads what a compiled file needs of the machine it runs on, and makes one find its libraries relative to itself.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader};
use object_rewrite::Rewriter;

type Header = FileHeader64<Endianness>;

/// What a compiled file needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ElfFacts {
    /// `x86_64`; `None` for a processor that envo has no name for.
    pub machine: Option<&'static str>,
    pub needed: Vec<String>,
    /// The folders it searches for libraries first.
    pub search: Vec<String>,
    /// The versions of symbols, by the library that has them.
    pub versions: BTreeMap<String, BTreeSet<String>>,
    /// The versions of symbols that it provides itself.
    pub provides: BTreeSet<String>,
}

impl ElfFacts {
    /// The newest `GLIBC_` version it needs.
    pub fn glibc(&self) -> Option<(u32, u32)> {
        newest_glibc(self.versions.values().flatten())
    }
}

/// The newest of the versions that name a glibc.
pub fn newest_glibc<'a>(versions: impl IntoIterator<Item = &'a String>) -> Option<(u32, u32)> {
    versions.into_iter().filter_map(|version| glibc_version(version.strip_prefix("GLIBC_")?)).max()
}

/// `2.28`, or `2.2.5`, whose last number does not count.
pub fn glibc_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The facts of a 64-bit ELF file; `None` for any other content, or a damaged one.
pub fn read(data: &[u8]) -> Option<ElfFacts> {
    if !data.starts_with(&elf::ELFMAG) {
        return None;
    }
    let header = Header::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut facts = ElfFacts { machine: machine(header.e_machine(endian)), ..ElfFacts::default() };
    if let Some((entries, strings)) = sections.dynamic(endian, data).ok()? {
        let strings = sections.strings(endian, data, strings).ok()?;
        for entry in entries {
            let Ok(value) = entry.string(endian, strings).map(text) else { continue };
            match entry.tag32(endian) {
                Some(elf::DT_NEEDED) => facts.needed.push(value),
                Some(elf::DT_RUNPATH | elf::DT_RPATH) => facts.search.extend(value.split(':').map(str::to_owned)),
                _ => {}
            }
        }
    }
    if let Some((mut needs, strings)) = sections.gnu_verneed(endian, data).ok()? {
        let strings = sections.strings(endian, data, strings).ok()?;
        while let Some((need, mut versions)) = needs.next().ok()? {
            let file = text(need.file(endian, strings).ok()?);
            let of_file = facts.versions.entry(file).or_default();
            while let Some(version) = versions.next().ok()? {
                // A weak reference may be missing.
                if version.vna_flags.get(endian) & elf::VER_FLG_WEAK == 0 {
                    of_file.insert(text(version.name(endian, strings).ok()?));
                }
            }
        }
    }
    if let Some((mut defined, strings)) = sections.gnu_verdef(endian, data).ok()? {
        let strings = sections.strings(endian, data, strings).ok()?;
        while let Some((_, mut names)) = defined.next().ok()? {
            if let Some(name) = names.next().ok()? {
                facts.provides.insert(text(name.name(endian, strings).ok()?));
            }
        }
    }
    Some(facts)
}

/// Names as in `uname -m`.
fn machine(number: u16) -> Option<&'static str> {
    Some(match number {
        elf::EM_X86_64 => "x86_64",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_RISCV => "riscv64",
        elf::EM_S390 => "s390x",
        elf::EM_PPC64 => "powerpc64",
        _ => return None,
    })
}

/// The same file without debugging information, which searches `search` for libraries first and nothing else.
pub fn relocatable(data: &[u8], search: &str) -> Result<Vec<u8>, String> {
    let described = |error: object_rewrite::Error| error.to_string();
    let mut rewriter = Rewriter::read(data).map_err(described)?;
    rewriter.elf_delete_runpath().map_err(described)?;
    rewriter.elf_set_runpath(search.as_bytes().to_vec()).map_err(described)?;
    rewriter.delete_sections(&debug_sections(data));
    let mut written = Vec::with_capacity(data.len());
    rewriter.write(&mut written).map_err(described)?;
    Ok(written)
}

fn debug_sections(data: &[u8]) -> HashSet<Vec<u8>> {
    let names = || -> object::Result<HashSet<Vec<u8>>> {
        let header = Header::parse(data)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, data)?;
        let name = |section| sections.section_name(endian, section).ok();
        Ok(sections.iter().filter_map(name).filter(|name| name.starts_with(b".debug_")).map(<[u8]>::to_vec).collect())
    };
    names().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_this_program_are_read() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let is_elf = program.starts_with(&elf::ELFMAG);
        assert_eq!(read(&program).map(|facts| facts.machine), is_elf.then_some(Some(std::env::consts::ARCH)));
        assert_eq!(read(b"#!/bin/sh\n"), None);
        assert_eq!(read(&program[..100]), None);
    }

    #[test]
    fn versions_of_glibc_are_compared_as_numbers() {
        let versions = ["GLIBC_2.2.5", "GLIBC_2.10", "GLIBC_2.9", "GLIBC_PRIVATE", "GLIBCXX_3.4"].map(str::to_owned);
        assert_eq!(newest_glibc(&versions), Some((2, 10)));
        assert_eq!(newest_glibc(&versions[3..]), None);
    }
}
