//! Parses the specification of an interpreter (`py311`, `3.12`, `pypy3.10`, `python3.8-64`, `>=3.11`, a path)
//! as python-discovery's `PythonSpec.from_string_spec` does, and checks whether an interpreter matches it.

use std::path::{Path, PathBuf};

use super::Interpreter;
use super::version_specifier::{VersionSpecifier, operator_length};

/// Missing parts are `None` and match anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PythonSpec {
    /// The text as written.
    pub text: String,
    /// In its original case; `py` and `python` mean any and give `None`.
    pub implementation: Option<String>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub micro: Option<u32>,
    /// 32 or 64.
    pub architecture: Option<u32>,
    /// In its canonical spelling ([`canonical_machine`]).
    pub machine: Option<String>,
    /// `Some` if a version is given: `3.13` means a build with the global lock.
    pub free_threaded: Option<bool>,
    pub debug: Option<bool>,
    /// A path to an interpreter, if the text is one.
    pub path: Option<PathBuf>,
    /// A version specifier such as `>=3.11,<3.13` (PEP 440), if the text is one.
    pub specifier: Option<String>,
}

impl PythonSpec {
    /// Parses `text`. Any text is a spec: one that is neither a version nor a specifier is a path, and a
    /// malformed specifier matches no interpreter.
    pub fn parse(text: &str) -> Self {
        if Path::new(text).is_absolute() {
            return Self::of_path(text);
        }
        Self::parse_version(text).or_else(|| Self::parse_specifier(text)).unwrap_or_else(|| Self::of_path(text))
    }

    fn of_path(text: &str) -> Self {
        Self { text: text.to_owned(), path: Some(PathBuf::from(text)), ..Self::default() }
    }

    /// `[implementation][version][modifiers]`.
    fn parse_version(text: &str) -> Option<Self> {
        let (implementation, rest) = split_letters(text);
        let digits = rest.find(|character: char| !matches!(character, '0'..='9' | '.')).unwrap_or(rest.len());
        let (version, rest) = rest.split_at(digits);
        let modifiers = PythonModifiers::parse(rest)?;
        let mut spec = Self { text: text.to_owned(), implementation: known(implementation), ..Self::default() };
        if !version.is_empty() {
            (spec.major, spec.minor, spec.micro) = parse_release(version)?;
            spec.free_threaded = Some(modifiers.free_threaded);
        }
        Some(spec.with(modifiers))
    }

    /// `[implementation]specifier[modifiers]`. The end of the specifier is not marked, so the shortest one is
    /// used that only modifiers follow.
    fn parse_specifier(text: &str) -> Option<Self> {
        let (implementation, rest) = split_letters(text.trim());
        let rest = if implementation.is_empty() { rest } else { rest.trim_start() };
        let operator = operator_length(rest)?;
        let ends = rest.char_indices().map(|(position, _)| position).filter(|position| *position >= operator);
        let (end, modifiers) =
            ends.chain([rest.len()]).find_map(|end| Some((end, PythonModifiers::parse(&rest[end..])?)))?;
        let spec = Self {
            text: text.to_owned(),
            implementation: known(implementation),
            specifier: Some(rest[..end].trim().to_owned()),
            // The bounds do not restrict the build, so without a `t` any build matches.
            free_threaded: modifiers.free_threaded.then_some(true),
            ..Self::default()
        };
        Some(spec.with(modifiers))
    }

    fn with(self, modifiers: PythonModifiers) -> Self {
        Self {
            architecture: modifiers.architecture,
            machine: modifiers.machine,
            debug: modifiers.debug.then_some(true),
            ..self
        }
    }

    /// Whether `interpreter` matches. A relative path is compared with the interpreter's whole path as text,
    /// so it must be made absolute first; a bare file name matches an interpreter that was run under that
    /// name.
    pub fn fits(&self, interpreter: &Interpreter) -> bool {
        self.fits_but_implementation(interpreter)
            && self
                .implementation
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(&interpreter.implementation))
    }

    /// [`PythonSpec::fits`], for any implementation: for a program with the name of the spec (`jython2.7`).
    pub fn fits_but_implementation(&self, interpreter: &Interpreter) -> bool {
        let same = |wanted: Option<u32>, is: u32| wanted.is_none_or(|wanted| wanted == is);
        let version = &interpreter.version;
        self.path.as_ref().is_none_or(|path| path_fits(path, &interpreter.executable))
            && same(self.architecture, if interpreter.is_64_bit { 64 } else { 32 })
            && self.machine.as_ref().is_none_or(|wanted| {
                interpreter.machine.as_ref().is_some_and(|machine| *wanted == canonical_machine(machine))
            })
            && self.free_threaded.is_none_or(|wanted| wanted == interpreter.free_threaded)
            && self.debug.is_none_or(|wanted| wanted == interpreter.debug)
            && self
                .specifier
                .as_ref()
                .is_none_or(|text| VersionSpecifier::parse(text).is_some_and(|specifier| specifier.contains(version)))
            && same(self.major, version.major)
            && same(self.minor, version.minor)
            && same(self.micro, version.micro)
    }
}

fn path_fits(path: &Path, executable: &Path) -> bool {
    path.is_absolute() || path == executable || executable.file_name().is_some_and(|name| path.as_os_str() == name)
}

/// The instruction set under the name python-discovery gives it: `amd64` is `x86_64`, `aarch64` is `arm64`.
pub fn canonical_machine(machine: &str) -> String {
    let lower = machine.to_lowercase();
    let canonical = match lower.as_str() {
        "amd64" => "x86_64",
        "aarch64" => "arm64",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "powerpc" => "ppc",
        "powerpc64" => "ppc64",
        "powerpc64le" => "ppc64le",
        "sparcv9" => "sparc64",
        _ => return lower,
    };
    canonical.to_owned()
}

fn split_letters(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(text.len()))
}

fn known(implementation: &str) -> Option<String> {
    match implementation {
        "" | "py" | "python" => None,
        "graalvm" => Some("graalpy".to_owned()),
        other => Some(other.to_owned()),
    }
}

/// `3.11` and `3.11.4` part by part; a single number is a major version and the minor version after its first digit.
fn parse_release(version: &str) -> Option<(Option<u32>, Option<u32>, Option<u32>)> {
    let parts: Vec<u32> =
        version.split('.').filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match parts[..] {
        [single] => {
            let digits = single.to_string();
            let (major, minor) = digits.split_at(1);
            Some((major.parse().ok(), minor.parse().ok(), None))
        }
        [major, minor] => Some((Some(major), Some(minor), None)),
        [major, minor, micro] => Some((Some(major), Some(minor), Some(micro))),
        _ => None,
    }
}

/// The possible suffixes of a version: `t`, then `d`, `-dbg` or `-debug`, then `-32` or `-64`, then `-` and a
/// machine.
struct PythonModifiers {
    free_threaded: bool,
    debug: bool,
    architecture: Option<u32>,
    machine: Option<String>,
}

impl PythonModifiers {
    fn parse(text: &str) -> Option<Self> {
        let (free_threaded, rest) = strip(text, "t");
        let (debug, rest) = if let Some(rest) = rest.strip_prefix('d') {
            (true, rest)
        } else {
            ["-dbg", "-debug"].iter().find_map(|mark| strip_word(rest, mark)).map_or((false, rest), |rest| (true, rest))
        };
        let (architecture, rest) = [("-32", 32), ("-64", 64)]
            .iter()
            .find_map(|(mark, bits)| Some((Some(*bits), strip_word(rest, mark)?)))
            .unwrap_or((None, rest));
        let machine = match rest.strip_prefix('-') {
            Some(machine) if is_machine(machine) => Some(canonical_machine(machine)),
            None if rest.is_empty() => None,
            _ => return None,
        };
        Some(Self { free_threaded, debug, architecture, machine })
    }
}

fn strip<'a>(text: &'a str, mark: &str) -> (bool, &'a str) {
    text.strip_prefix(mark).map_or((false, text), |rest| (true, rest))
}

/// Removes `mark` from the front if a further part or nothing follows it.
fn strip_word<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.strip_prefix(mark).filter(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn is_machine(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::interpreter::InterpreterLayout;
    use crate::model::interpreter::PythonVersion;

    type Release = (Option<u32>, Option<u32>, Option<u32>);

    fn release(text: &str) -> Release {
        let spec = PythonSpec::parse(text);
        assert_eq!(spec.text, text);
        assert_eq!(spec.path, None, "{text}");
        (spec.major, spec.minor, spec.micro)
    }

    #[test]
    fn versions_are_read_with_and_without_dots() {
        for (text, expected) in [
            ("py", (None, None, None)),
            ("py3", (Some(3), None, None)),
            ("py311", (Some(3), Some(11), None)),
            ("py3.11", (Some(3), Some(11), None)),
            ("3.12", (Some(3), Some(12), None)),
            ("27", (Some(2), Some(7), None)),
            ("python3.8", (Some(3), Some(8), None)),
            ("3.12.1", (Some(3), Some(12), Some(1))),
            ("3.13t", (Some(3), Some(13), None)),
            ("pypy", (None, None, None)),
        ] {
            assert_eq!(release(text), expected, "{text}");
        }
    }

    #[test]
    fn the_implementation_is_kept_unless_it_is_python() {
        let implementation = |text: &str| PythonSpec::parse(text).implementation;
        assert_eq!(implementation("py311"), None);
        assert_eq!(implementation("python3.8"), None);
        assert_eq!(implementation("cpython3.9").as_deref(), Some("cpython"));
        assert_eq!(implementation("pypy3.10").as_deref(), Some("pypy"));
        assert_eq!(implementation("graalvm").as_deref(), Some("graalpy"));
        assert_eq!(implementation("jython2.7").as_deref(), Some("jython"));
    }

    #[test]
    fn modifiers_follow_the_version() {
        let spec = PythonSpec::parse("cpython3.13td-64-amd64");
        assert_eq!((spec.free_threaded, spec.debug, spec.architecture), (Some(true), Some(true), Some(64)));
        assert_eq!(spec.machine.as_deref(), Some("x86_64"));
        let spec = PythonSpec::parse("python3.8-32");
        assert_eq!((spec.free_threaded, spec.debug, spec.architecture), (Some(false), None, Some(32)));
        assert_eq!(PythonSpec::parse("3.13-dbg").debug, Some(true));
        assert_eq!(PythonSpec::parse("3.13-dbgx").machine.as_deref(), Some("dbgx"));
        assert_eq!(PythonSpec::parse("3.13-32bit").machine.as_deref(), Some("32bit"));
        assert_eq!(PythonSpec::parse("py").free_threaded, None);
    }

    #[test]
    fn specifiers_may_carry_an_implementation_and_modifiers() {
        let spec = PythonSpec::parse("cpython >=3.11,<3.14t-64");
        assert_eq!(spec.specifier.as_deref(), Some(">=3.11,<3.14"));
        assert_eq!(spec.implementation.as_deref(), Some("cpython"));
        assert_eq!((spec.free_threaded, spec.architecture), (Some(true), Some(64)));
        assert_eq!(PythonSpec::parse(">=3.11").free_threaded, None);
        assert_eq!(PythonSpec::parse("==3.11.*").specifier.as_deref(), Some("==3.11.*"));
    }

    #[test]
    fn other_text_than_a_version_is_a_path() {
        for text in
            ["/usr/bin/python3.11", "bin/python", "./python3", "3.1.2.3", "3.8-a/b", "", "3.8é", "99999999999", "."]
        {
            let path = PythonSpec::parse(text).path;
            let expected = (!text.is_empty()).then(|| PathBuf::from(text));
            assert_eq!(path, expected, "{text}");
        }
    }

    fn interpreter(executable: &str) -> Interpreter {
        Interpreter {
            executable: PathBuf::from(executable),
            system_executable: PathBuf::from(executable),
            implementation: "CPython".to_owned(),
            version: PythonVersion { major: 3, minor: 11, micro: 7, release_level: "final".to_owned(), serial: 0 },
            version_text: String::new(),
            is_64_bit: true,
            platform: "linux".to_owned(),
            machine: Some("x86_64".to_owned()),
            free_threaded: false,
            debug: false,
            layout: InterpreterLayout {
                base_prefix: PathBuf::new(),
                base_exec_prefix: PathBuf::new(),
                bundled_wheels: Vec::new(),
                standard_library: PathBuf::new(),
                purelib: PathBuf::new(),
                platlib: PathBuf::new(),
            },
            markers: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn an_interpreter_fits_when_every_written_part_agrees() {
        let interpreter = interpreter("/opt/bin/python3.11");
        for text in [
            "py",
            "py3",
            "py311",
            "3.11",
            "3.11.7",
            "cpython3.11",
            "CPython",
            "3.11-64",
            "3.11-amd64",
            ">=3.11,<3.12",
            "python",
            "/elsewhere/python",
            "/opt/bin/python3.11",
        ] {
            assert!(PythonSpec::parse(text).fits(&interpreter), "{text}");
        }
        for text in
            ["py2", "py310", "3.11.8", "pypy3.11", "3.11t", "3.11d", "3.11-32", "3.11-arm64", ">=3.12", ">=x", "./p"]
        {
            assert!(!PythonSpec::parse(text).fits(&interpreter), "{text}");
        }
    }
}
