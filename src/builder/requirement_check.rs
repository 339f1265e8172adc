//! Checks requirements before an installer sees them: malformed ones and local paths that do not exist.

use std::path::Path;

use crate::error::ConfigError;
use crate::model::pep508::Requirement;

/// Rejects a malformed requirement. What a URL leads to and options are left to the installer.
///
/// # Errors
/// The fault in the requirement.
pub fn check_form(line: &str) -> Result<(), ConfigError> {
    let text = line.strip_prefix("-c ").unwrap_or(line);
    let text = text.strip_prefix("-e ").unwrap_or(text);
    let text = text.split(" --").next().unwrap_or_default().trim();
    let invalid = |error| ConfigError::fail(format!("`{}` is not a valid requirement: {error}", as_written(text)));
    if text.contains(['$', '\0']) {
        return Ok(());
    }
    let is_path = |first: char| matches!(first, '.' | '-' | '~' | '"' | '\'');
    if !text.is_empty() && !text.starts_with(is_path) && !text.contains(['/', '\\']) {
        return text.parse::<Requirement>().map(drop).map_err(invalid);
    }
    if let Some(fault) = fault_of_url(text) {
        return Err(ConfigError::fail(format!("`{text}` is not a valid URL: {fault}")));
    }
    let was_written = as_written(text);
    if was_written != text && was_written.split(';').next().is_some_and(|name| name.contains([' ', '=', '<', '>', '@']))
    {
        return was_written.parse::<Requirement>().map(drop).map_err(invalid);
    }
    // The installers also accept a marker after a path.
    let Some((before, marker)) = text.split_once(" ;").or_else(|| text.split_once("; ")) else { return Ok(()) };
    if before.contains("://") {
        return Ok(());
    }
    format!("name ; {marker}").parse::<Requirement>().map(drop).map_err(invalid)
}

/// What no installer could ask of the address in a requirement.
fn fault_of_url(text: &str) -> Option<&'static str> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match host.strip_prefix('[') {
        Some(address) => match address.split_once(']') {
            Some((address, rest)) => (address, rest.strip_prefix(':').or((!rest.is_empty()).then_some("?"))),
            None => return Some("its `[` is not closed"),
        },
        // What follows the host of a repository may be its path.
        None => (host.split(':').next().unwrap_or_default(), host.split_once(':').map(|(_, port)| port)),
    };
    let is_file = scheme.rsplit(['+', ' ']).next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("file"));
    let is_web = ["http", "https"].iter().any(|web| scheme.ends_with(web));
    if name.is_empty() && !is_file {
        return Some("it names no host");
    }
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    (is_web && port.is_some_and(|port| !is_port(port))).then_some("its port is not a number up to 65535")
}

/// Text that is not a valid requirement was turned into a path; the `./` added to it is not the user's.
fn as_written(text: &str) -> &str {
    text.strip_prefix("./").filter(|rest| !rest.contains('/')).unwrap_or(text)
}

/// Rejects a path that does not exist, or a folder without a project in it.
///
/// # Errors
/// The fault in the path.
pub fn check_path(line: &str, root: &Path) -> Result<(), ConfigError> {
    let Some(named) = path_of(line) else { return Ok(()) };
    let path = root.join(named);
    if !path.exists() {
        return Err(ConfigError::fail(format!("`{named}` does not exist")));
    }
    let has_project = ["pyproject.toml", "setup.py"].iter().any(|file| path.join(file).exists());
    if path.is_dir() && !has_project {
        let text = format!("`{named}` cannot be installed: it has neither pyproject.toml nor setup.py");
        return Err(ConfigError::fail(text));
    }
    Ok(())
}

/// The path that a requirement names, if any.
fn path_of(line: &str) -> Option<&str> {
    if line.starts_with("-c ") || line.starts_with("-r ") || line.contains('$') {
        return None;
    }
    let editable = line.strip_prefix("-e ");
    let text = editable.unwrap_or(line).split(" --").next()?;
    let text = text.split_once(" ;").map_or(text, |(before, _)| before).trim();
    let text = text.split_once(" @ ").map_or(text, |(_, address)| address);
    let path = match text.strip_prefix("file:") {
        Some(rest) if rest.contains(['%', '?']) => return None,
        Some(rest) => {
            let rest = rest.split('#').next()?;
            rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest)
        }
        None if text.contains(':') => return None,
        None if editable.is_some() || text.starts_with('.') || text.contains('/') => text,
        None => return None,
    };
    let path = path.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')).map_or(path, |(before, _)| before);
    (!path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_that_no_installer_understands_are_refused_and_no_others() {
        for right in [
            "six",
            "six==1.*",
            "six (>1)",
            "six[a,b]>=1,<2; python_version<'3' and extra=='x'",
            "six===odd",
            "six @ https://h/six.whl",
            "-c six<2",
            "six==1 --hash=sha256:00",
            "-e gone",
            "./gone",
            "./gone ; python_version < '3'",
            "folder/gone",
            ".[test]",
            "six-1.0.tar.gz",
            "git+https://h/six",
            "git+https://h/six ; nonsense",
            "six==${VERSION}",
            "https://user:p%40ss@h:8080/six.whl",
            "six @ http://[::1]:80/six.whl",
            "file:///six.whl",
            "git+file:///six",
            "git+ssh://git@h:group/six.git",
            "./a folder/six",
        ] {
            assert_eq!(check_form(right).map_err(|error| error.message), Ok(()), "{right}");
        }
        for wrong in [
            "six ==",
            "six; nosuch == 'x'",
            "six ; python_version",
            "six @",
            "-c six >",
            "six six",
            "./six ; python_version",
            "-e ./six ; python_version <",
            "a/six ; ",
            "./six @",
            "./====",
            "====",
            "@ x",
        ] {
            let text = wrong.trim_start_matches("-c ").trim_start_matches("-e ").trim_start_matches("./").trim();
            let start = format!("`{text}` is not a valid requirement: ");
            assert!(check_form(wrong).is_err_and(|error| error.message.starts_with(&start)), "{wrong}");
        }
    }

    #[test]
    fn addresses_that_cannot_be_asked_are_refused() {
        for (wrong, why) in [
            ("http://[::1/six.whl", "its `[` is not closed"),
            ("git+https://", "it names no host"),
            ("six @ https:///six.whl", "it names no host"),
            ("https://h:port/six.whl", "its port is not a number up to 65535"),
            ("http://[::1]x/six.whl", "its port is not a number up to 65535"),
        ] {
            let message = check_form(wrong).expect_err(wrong).message;
            assert_eq!(message, format!("`{wrong}` is not a valid URL: {why}"));
        }
    }

    #[test]
    fn paths_are_those_that_an_installer_would_open() {
        for (line, path) in [
            ("-e gone", Some("gone")),
            ("-e .[test]", Some(".")),
            ("./gone", Some("./gone")),
            ("a/gone[x] ; python_version < '3'", Some("a/gone")),
            ("file:./gone#egg=x", Some("./gone")),
            ("x @ file:///a/gone", Some("/a/gone")),
            ("six", None),
            ("-c ./a", None),
            ("-r https://h/a", None),
            ("-e git+https://h/x", None),
            ("https://h/six.whl", None),
            ("file:///a%20b", None),
            ("./${HOME}", None),
        ] {
            assert_eq!(path_of(line), path, "{line}");
        }
    }
}
