//! Removes from a lock what its environments can never need. A resolver locks for every Python from the lowest up and
//! for every platform; an environment for Python 3.11 needs neither the wheels of 3.12 nor packages whose markers
//! require it. Undecidable entries are kept.

use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifier};

use crate::lockfile::document::{LockDocument, LockedFile, last_part};
use crate::lockfile::target::LockTarget;
use crate::model::pep508::{Marker, MarkerPart, Operand};

/// A platform that a lock is for: `linux`, `macos`, `windows`, or a triple such as `aarch64-apple-darwin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockPlatform {
    system: LockSystem,
    /// The machine in the triple.
    machine: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LockSystem {
    Linux,
    Macos,
    Windows,
}

impl LockPlatform {
    /// The platform of that name in the notation of uv's `--python-platform`; `None` for an unknown one.
    pub fn named(text: &str) -> Option<Self> {
        let system = match text {
            _ if text.contains("android") || text.contains("ios") => return None,
            "linux" => LockSystem::Linux,
            "macos" => LockSystem::Macos,
            "windows" => LockSystem::Windows,
            _ if text.contains("linux") => LockSystem::Linux,
            _ if text.ends_with("apple-darwin") => LockSystem::Macos,
            _ if text.contains("windows") => LockSystem::Windows,
            _ => return None,
        };
        let machine = text.split_once('-').map(|(machine, _)| machine.to_owned());
        Some(Self { system, machine })
    }

    /// The marker variables that it determines.
    fn values(&self) -> Vec<(&'static str, String)> {
        let (platform, system, os) = match self.system {
            LockSystem::Linux => ("linux", "Linux", "posix"),
            LockSystem::Macos => ("darwin", "Darwin", "posix"),
            LockSystem::Windows => ("win32", "Windows", "nt"),
        };
        let mut values = vec![("sys_platform", platform), ("platform_system", system), ("os_name", os)]
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()))
            .collect::<Vec<_>>();
        let machine = match (self.machine.as_deref(), self.system) {
            (Some("aarch64"), LockSystem::Macos) => Some("arm64"),
            (Some("x86_64"), LockSystem::Windows) => Some("AMD64"),
            (Some("aarch64"), LockSystem::Windows) => Some("ARM64"),
            (Some("i686"), LockSystem::Windows) => Some("x86"),
            (machine, _) => machine,
        };
        values.extend(machine.map(|machine| ("platform_machine", machine.to_owned())));
        values
    }

    /// Whether a wheel with this platform tag may be installed on it.
    fn takes(&self, tag: &str) -> bool {
        let of_system = match self.system {
            LockSystem::Linux => tag.contains("linux"),
            LockSystem::Macos => tag.starts_with("macosx"),
            LockSystem::Windows => tag.starts_with("win"),
        };
        let of_machine = match self.machine.as_deref() {
            None => true,
            Some(machine) if self.system == LockSystem::Macos => {
                let machine = if machine == "aarch64" { "arm64" } else { machine };
                tag.ends_with(machine) || tag.contains("universal") || tag.ends_with("intel")
            }
            Some("x86_64") if self.system == LockSystem::Windows => tag == "win_amd64",
            Some("aarch64") if self.system == LockSystem::Windows => tag == "win_arm64",
            Some("i686") if self.system == LockSystem::Windows => tag == "win32",
            Some(machine) => tag.ends_with(machine),
        };
        tag == "any" || (of_system && of_machine)
    }
}

impl LockDocument {
    /// Removes what neither `target` nor any of `platforms` (empty: all platforms) can need.
    pub fn prune(&mut self, target: &LockTarget, platforms: &[LockPlatform]) {
        let known: Vec<KnownEnvironments> = if platforms.is_empty() {
            vec![KnownEnvironments::of(target, Vec::new())]
        } else {
            platforms.iter().map(|platform| KnownEnvironments::of(target, platform.values())).collect()
        };
        self.packages.retain(|package| {
            let Some(marker) = package.marker.as_deref().and_then(parsed) else { return true };
            known.iter().any(|known| known.holds(&marker) != Some(false))
        });
        for package in &mut self.packages {
            package.wheels.retain(|wheel: &LockedFile| is_useful(&wheel.name, target, platforms));
        }
    }
}

/// uv's output without the lines of wheels that [`LockDocument::prune`] would remove. Some packages have hundreds of
/// them, and parsing them takes longer than everything else that is done with a lock.
pub fn without_useless_wheels(answer: &str, target: &LockTarget, platforms: &[LockPlatform]) -> String {
    let is_needed = |line: &&str| {
        let wheel = line.strip_prefix("    { url = \"").filter(|rest| rest.ends_with(" },"));
        let url = wheel.and_then(|rest| rest.split('"').next());
        url.is_none_or(|url| is_useful(&last_part(url), target, platforms))
    };
    answer.split_inclusive('\n').filter(|line| is_needed(&line.trim_end_matches('\n'))).collect()
}

/// Whether a machine that the lock is for may install the wheel of this name.
fn is_useful(wheel: &str, target: &LockTarget, platforms: &[LockPlatform]) -> bool {
    WheelTags::of(wheel).is_none_or(|tags| {
        (!target.exact || !target.cpython || tags.fit_python(target.version))
            && (platforms.is_empty()
                || tags.platforms.iter().any(|tag| platforms.iter().any(|platform| platform.takes(tag))))
    })
}

/// The marker expression of a text.
fn parsed(text: &str) -> Option<Marker> {
    text.parse().ok()
}

/// Facts about the environments a lock is for.
struct KnownEnvironments {
    values: Vec<(&'static str, String)>,
    /// The Python version, if there is exactly one.
    python: Option<(u32, u32)>,
}

impl KnownEnvironments {
    fn of(target: &LockTarget, mut values: Vec<(&'static str, String)>) -> Self {
        if target.cpython {
            values.push(("implementation_name", "cpython".to_owned()));
            values.push(("platform_python_implementation", "CPython".to_owned()));
        }
        Self { values, python: target.exact.then_some(target.version) }
    }

    /// Whether the marker is true; `None`: that depends.
    fn holds(&self, marker: &Marker) -> Option<bool> {
        let (mut any, mut all) = (Some(false), Some(true));
        for part in &marker.0 {
            match part {
                MarkerPart::And => {}
                MarkerPart::Or => {
                    any = either(any, all);
                    all = Some(true);
                }
                MarkerPart::Group(marker) => all = both(all, self.holds(marker)),
                MarkerPart::Comparison { left, operator, right } => {
                    all = both(all, self.compare(left, operator, right));
                }
            }
        }
        either(any, all)
    }

    fn compare(&self, left: &Operand, operator: &str, right: &Operand) -> Option<bool> {
        let (Operand::Variable(name), Operand::Text(text)) = (left, right) else { return None };
        if let (Some((major, minor)), "python_version" | "python_full_version") = (self.python, name.as_str()) {
            if matches!(operator, "in" | "not in" | "===") {
                return None;
            }
            let specifier = VersionSpecifier::from_str(&format!("{operator}{text}")).ok()?;
            let holds = |version: String| Version::from_str(&version).ok().map(|version| specifier.contains(&version));
            if name == "python_version" {
                return holds(format!("{major}.{minor}"));
            }
            // The last version represents all future patch versions.
            let (first, last) = (holds(format!("{major}.{minor}.0"))?, holds(format!("{major}.{minor}.999"))?);
            let between = specifier.version().release();
            let names_one = between.get(..2) == Some(&[u64::from(major), u64::from(minor)]) && between.len() > 2;
            return (first == last && !names_one).then_some(first);
        }
        let (_, value) = self.values.iter().find(|(known, _)| known == name)?;
        match operator {
            "==" => Some(value == text),
            "!=" => Some(value != text),
            "in" => Some(text.contains(value.as_str())),
            "not in" => Some(!text.contains(value.as_str())),
            _ => None,
        }
    }
}

fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    both(one.map(|holds| !holds), other.map(|holds| !holds)).map(|holds| !holds)
}

/// The tags at the end of a wheel's name (PEP 427).
struct WheelTags<'a> {
    pythons: Vec<&'a str>,
    abis: Vec<&'a str>,
    platforms: Vec<&'a str>,
}

impl<'a> WheelTags<'a> {
    fn of(file: &'a str) -> Option<Self> {
        let mut parts = file.strip_suffix(".whl")?.rsplitn(4, '-');
        let mut tags = || Some(parts.next()?.split('.').collect::<Vec<_>>());
        let (platforms, abis, pythons) = (tags()?, tags()?, tags()?);
        Some(Self { pythons, abis, platforms })
    }

    /// Whether CPython of this version may install it.
    fn fit_python(&self, (major, minor): (u32, u32)) -> bool {
        let is_stable = self.abis.iter().any(|abi| abi.starts_with("abi3"));
        self.pythons.iter().any(|tag| {
            let letters = tag.trim_end_matches(|c: char| c.is_ascii_digit());
            let digits = &tag[letters.len()..];
            let (Some(Ok(own_major)), own_minor) =
                (digits.get(..1).map(str::parse::<u32>), digits.get(1..).and_then(|digits| digits.parse::<u32>().ok()))
            else {
                return true;
            };
            match letters {
                "py" => own_major == major && own_minor.is_none_or(|own| own <= minor),
                "cp" => own_major == major && own_minor.is_none_or(|own| own == minor || (is_stable && own < minor)),
                "pp" | "graalpy" => false,
                _ => true,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::document::LockedPackage;

    fn target() -> LockTarget {
        LockTarget { specs: Vec::new(), version: (3, 11), exact: true, cpython: true }
    }

    fn known(platform: Option<&str>) -> KnownEnvironments {
        KnownEnvironments::of(
            &target(),
            platform.and_then(LockPlatform::named).map_or_else(Vec::new, |platform| platform.values()),
        )
    }

    #[test]
    fn markers_that_can_never_hold_are_told_from_those_that_may() {
        for (marker, holds) in [
            ("python_version < '3.11'", Some(false)),
            ("python_full_version < '3.12'", Some(true)),
            ("python_full_version < '3.11.4'", None),
            ("python_full_version == '3.11.4'", None),
            ("python_full_version == '3.11.*'", Some(true)),
            ("sys_platform == 'win32'", None),
            ("sys_platform == 'win32' and python_version >= '3.12'", Some(false)),
            ("sys_platform == 'win32' or python_version >= '3.11'", Some(true)),
            ("(platform_machine == 'x' or python_version < '3') and implementation_name == 'pypy'", Some(false)),
            ("'3.11' == python_version", None),
        ] {
            assert_eq!(known(None).holds(&parsed(marker).unwrap()), holds, "{marker}");
        }
        for (marker, holds) in [("sys_platform == 'win32'", false), ("sys_platform != 'win32'", true)] {
            assert_eq!(known(Some("linux")).holds(&parsed(marker).unwrap()), Some(holds), "{marker}");
        }
    }

    #[test]
    fn wheels_stay_that_the_python_can_install() {
        for (name, fits) in [
            ("a-1-py3-none-any.whl", true),
            ("a-1-py2.py3-none-any.whl", true),
            ("a-1-py2-none-any.whl", false),
            ("a-1-py312-none-any.whl", false),
            ("a-1-cp311-cp311-win_amd64.whl", true),
            ("a-1-cp312-cp312-win_amd64.whl", false),
            ("a-1-cp37-abi3-musllinux_1_2_x86_64.whl", true),
            ("a-1-cp37-cp37m-musllinux_1_2_x86_64.whl", false),
            ("a-1-cp312-abi3-macosx_11_0_arm64.whl", false),
            ("a-1-1-pp311-pypy311_pp73-any.whl", false),
        ] {
            assert_eq!(WheelTags::of(name).unwrap().fit_python((3, 11)), fits, "{name}");
        }
        assert!(WheelTags::of("a-1.tar.gz").is_none());
    }

    #[test]
    fn platforms_take_their_own_wheels() {
        for (platform, tag, takes) in [
            ("linux", "manylinux_2_17_x86_64", true),
            ("x86_64-unknown-linux-gnu", "manylinux_2_17_aarch64", false),
            ("macos", "macosx_11_0_arm64", true),
            ("aarch64-apple-darwin", "macosx_10_9_universal2", true),
            ("x86_64-apple-darwin", "macosx_11_0_arm64", false),
            ("windows", "win32", true),
            ("windows", "manylinux1_x86_64", false),
            ("linux", "any", true),
        ] {
            assert_eq!(LockPlatform::named(platform).unwrap().takes(tag), takes, "{platform} {tag}");
        }
        assert_eq!(LockPlatform::named("plan9"), None);
    }

    #[test]
    fn only_what_can_be_needed_is_left() {
        let file = |name: &str| LockedFile { name: name.to_owned(), ..LockedFile::default() };
        let package = |name: &str, marker: Option<&str>, wheels: &[&str]| LockedPackage {
            name: name.to_owned(),
            marker: marker.map(str::to_owned),
            wheels: wheels.iter().map(|name| file(name)).collect(),
            ..LockedPackage::default()
        };
        let mut document = LockDocument {
            packages: vec![
                package("a", None, &["a-1-cp311-cp311-win32.whl", "a-1-cp311-cp311-linux_x86_64.whl"]),
                package("b", Some("python_version < '3'"), &[]),
                package("c", Some("sys_platform == 'win32'"), &[]),
            ],
            ..LockDocument::default()
        };
        document.prune(&target(), &[LockPlatform::named("linux").unwrap()]);
        assert_eq!(document.packages, [package("a", None, &["a-1-cp311-cp311-linux_x86_64.whl"])]);
    }

    #[test]
    fn lines_of_useless_wheels_are_left_out_before_anything_is_read() {
        let line = |tags: &str| {
            format!("    {{ url = \"https://h/a-1-{tags}.whl\", size = 1, hashes = {{ sha256 = \"1\" }} }},\n")
        };
        let one = "wheels = [{ url = \"https://h/b-1-cp38-cp38-any.whl\", hashes = { sha256 = \"1\" } }]\n";
        let text = |tags: &[&str]| {
            let lines: String = tags.iter().map(|tags| line(tags)).collect();
            format!("name = \"a\"\nwheels = [\n{lines}]\n\n{one}")
        };
        let all = text(&["cp38-cp38-any", "cp311-cp311-win32", "cp311-cp311-linux_x86_64", "py3-none-any"]);
        let left = |platforms: &[LockPlatform]| without_useless_wheels(&all, &target(), platforms);
        assert_eq!(left(&[]), text(&["cp311-cp311-win32", "cp311-cp311-linux_x86_64", "py3-none-any"]));
        let linux = LockPlatform::named("linux").unwrap();
        assert_eq!(left(&[linux]), text(&["cp311-cp311-linux_x86_64", "py3-none-any"]));
    }
}
