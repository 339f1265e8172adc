//! Reads what a compiled file needs of the machine it runs on, and makes one find its libraries relative to itself.

use std::collections::{BTreeMap, BTreeSet};

use object::Endianness;
use object::build::elf::Builder;
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};
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

/// The loader that starts a program.
pub fn loader(program: &[u8]) -> Option<String> {
    let header = Header::parse(program).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, program).ok()?;
    let path = segments.iter().find_map(|segment| segment.interpreter(endian, program).ok().flatten())?;
    Some(String::from_utf8_lossy(path).into_owned())
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

/// The same file without symbols for linkers and debuggers, which searches `search` for libraries first and nothing else.
pub fn relocatable(data: &[u8], search: &str) -> Result<Vec<u8>, String> {
    let stripped = stripped(data).map_err(|error| error.to_string())?;
    let described = |error: object_rewrite::Error| error.to_string();
    let mut rewriter = Rewriter::read(stripped.as_slice()).map_err(described)?;
    rewriter.elf_delete_runpath().map_err(described)?;
    rewriter.elf_set_runpath(search.as_bytes().to_vec()).map_err(described)?;
    let mut written = Vec::with_capacity(data.len());
    rewriter.write(&mut written).map_err(described)?;
    Ok(written)
}

/// The file without the sections that nothing reads when it runs.
fn stripped(data: &[u8]) -> Result<Vec<u8>, object::build::Error> {
    let mut builder = Builder::read(data)?;
    for section in &mut builder.sections {
        section.delete = is_surplus(&section.name);
    }
    for symbol in &mut builder.symbols {
        symbol.delete = true;
    }
    builder.delete_orphans();
    let mut written = Vec::with_capacity(data.len());
    builder.write(&mut written)?;
    Ok(written)
}

fn is_surplus(section: &[u8]) -> bool {
    section.starts_with(b".debug_") || [b".symtab".as_slice(), b".strtab", b".comment"].contains(&section)
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
