//! Checks whether wheels fit the interpreter they are installed for. pip rejects others; if it is not obvious from the
//! name, uv is not used, so that pip decides.
//! <https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/>

use crate::model::Interpreter;

/// The first of an installer's arguments that is a wheel which may be for another interpreter or machine.
pub fn possibly_foreign<'a>(arguments: &'a [String], interpreter: &Interpreter) -> Option<&'a str> {
    let names = arguments.iter().map(|argument| argument.rsplit('/').next().unwrap_or(argument));
    names.filter(|name| name.ends_with(".whl")).find(|name| !is_native(name, interpreter))
}

/// Whether a wheel of that name fits this interpreter and machine, judging by its tags alone.
fn is_native(name: &str, interpreter: &Interpreter) -> bool {
    let mut parts = name.trim_end_matches(".whl").rsplitn(4, '-');
    let (Some(platforms), Some(abis), Some(pythons)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let machine = interpreter.machine.as_deref().unwrap_or_default().replace(['-', '.'], "_");
    let own_platform = format!("{}_{machine}", interpreter.platform);
    platforms.split('.').any(|platform| platform == "any" || platform == own_platform)
        && pythons.split('.').any(|python| abis.split('.').any(|abi| is_of(python, abi, interpreter)))
}

fn is_of(python: &str, abi: &str, interpreter: &Interpreter) -> bool {
    let (major, minor) = (interpreter.version.major, interpreter.version.minor);
    let is_cpython = interpreter.implementation == "CPython";
    let own = format!("cp{major}{minor}");
    // `3` or `311` of this major version, up to the interpreter's own.
    let reaches = |version: &str| {
        let later = version.strip_prefix(&major.to_string()).map(|minor| (minor.is_empty(), minor.parse::<u32>()));
        later.is_some_and(|(is_major, of_tag)| is_major || of_tag.is_ok_and(|of_tag| of_tag <= minor))
    };
    match abi {
        "none" => python.strip_prefix("py").is_some_and(reaches) || (is_cpython && python == own),
        "abi3" => {
            let known = python.strip_prefix("cp").filter(|version| version.len() > 1);
            is_cpython && !interpreter.free_threaded && known.is_some_and(reaches)
        }
        _ => {
            let old = if (major, minor) < (3, 8) { "m" } else { "" };
            let threaded = if interpreter.free_threaded { "t" } else { "" };
            let debug = if interpreter.debug { "d" } else { "" };
            is_cpython && python == own && abi == format!("{own}{threaded}{debug}{old}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::interpreter::PythonVersion;

    fn interpreter() -> Result<Interpreter, serde_json::Error> {
        serde_json::from_value(serde_json::json!({
            "executable": "/python", "system_executable": "/python", "implementation": "CPython",
            "version": PythonVersion { major: 3, minor: 11, micro: 1, release_level: "final".to_owned(), serial: 0 },
            "version_text": "", "is_64_bit": true, "platform": "linux", "machine": "x86_64", "free_threaded": false,
            "debug": false, "base_prefix": "/", "base_exec_prefix": "/", "standard_library": "/", "bundled_wheels": [],
            "purelib": "", "platlib": "", "markers": {},
        }))
    }

    #[test]
    fn wheels_are_told_apart_by_their_tags() -> Result<(), serde_json::Error> {
        let interpreter = interpreter()?;
        let native = |tags: &str| is_native(&format!("a-1.0-{tags}.whl"), &interpreter);
        for tags in [
            "py3-none-any",
            "py2.py3-none-any",
            "py38-none-any",
            "py311-none-linux_x86_64",
            "7-cp311-cp311-linux_x86_64",
            "cp311-none-any",
            "cp38-abi3-linux_x86_64",
            "cp311-cp311-manylinux_2_17_x86_64.linux_x86_64",
        ] {
            assert!(native(tags), "{tags}");
        }
        for tags in [
            "py2-none-any",
            "py312-none-any",
            "cp312-cp312-linux_x86_64",
            "cp311-cp311-win_amd64",
            "cp311-cp311-manylinux_2_99_x86_64",
            "cp311-cp311-linux_aarch64",
            "cp312-abi3-linux_x86_64",
            "pp311-pypy311_pp73-linux_x86_64",
            "cp311-cp311t-linux_x86_64",
            "none-any",
        ] {
            assert!(!native(tags), "{tags}");
        }
        Ok(())
    }

    #[test]
    fn only_wheels_are_looked_at() -> Result<(), serde_json::Error> {
        let words = ["--no-deps", "/x/a-1-py3-none-any.whl", "b", "/x/c-1-cp39-cp39-win32.whl"].map(str::to_owned);
        assert_eq!(possibly_foreign(&words, &interpreter()?), Some("c-1-cp39-cp39-win32.whl"));
        assert_eq!(possibly_foreign(&words[..3], &interpreter()?), None);
        Ok(())
    }
}
