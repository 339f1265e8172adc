//! Reads the user's own configuration file, which contains defaults for options
//! (<https://tox.wiki/en/stable/config.html#cli-configuration>).

use std::io::ErrorKind;
use std::path::PathBuf;

use super::options::ProcessContext;
use super::{OptionNotice, Severity};
use crate::bounded;
use crate::model::EnvVariables;
use crate::os_text;
use crate::platform::system;
use crate::python_text::python_repr;
use crate::source::IniDocument;
use crate::source::ini;

/// The variable for another path of the file.
pub const VARIABLE: &str = "TOX_USER_CONFIG_FILE";

pub struct UserFile {
    pub path: PathBuf,
    document: Option<IniDocument>,
}

impl UserFile {
    /// Reads the file if it exists. Errors in it are reported as warnings.
    pub fn read(context: &ProcessContext, notices: &mut Vec<OptionNotice>) -> Self {
        let path = path(context);
        let document = match bounded::read(&path) {
            Ok(bytes) => parse(&bytes, &os_text::decode(path.as_os_str())).map(Some),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
                ErrorKind::IsADirectory => Err("IsADirectoryError(21, 'Is a directory')".to_owned()),
                ErrorKind::PermissionDenied => Err("PermissionError(13, 'Permission denied')".to_owned()),
                _ => Err(format!("OSError({})", python_repr(&error.to_string()))),
            },
        };
        let document = document.unwrap_or_else(|reason| {
            let text = format!("failed to read config file {} because {reason}", os_text::decode(path.as_os_str()));
            notices.push(OptionNotice { severity: Severity::Error, text });
            None
        });
        Self { path, document: document.filter(|document| document.section("tox").is_some()) }
    }

    /// The value of a key of `[tox]`, without comments and with continued lines joined.
    pub fn get(&self, key: &str) -> Option<String> {
        let entry = self.document.as_ref()?.get("tox", key)?;
        let lines: Vec<String> =
            entry.value.split('\n').filter(|line| !line.starts_with('#')).map(without_comment).collect();
        Some(lines.join("\n").replace('\r', "").replace("\\\n", ""))
    }
}

/// The line of the help about the file.
pub fn describe(context: &ProcessContext) -> String {
    let mut notices = Vec::new();
    let file = UserFile::read(context, &mut notices);
    let state = match (notices.is_empty(), file.path.exists()) {
        (false, _) => "failed to parse",
        (true, true) => "active",
        (true, false) => "missing",
    };
    let changed = if context.variables.get(VARIABLE).is_some() { "changed" } else { "change" };
    let path = python_repr(&os_text::decode(file.path.as_os_str()));
    format!("config file {path} {state} ({changed} via env var {VARIABLE})")
}

fn path(context: &ProcessContext) -> PathBuf {
    match context.variables.get(VARIABLE) {
        Some(path) => context.current_dir.join(path),
        None => configuration_folder(&context.variables).join("config.ini"),
    }
}

/// The platform's path of the user's configuration of tox.
fn configuration_folder(variables: &EnvVariables) -> PathBuf {
    let home = PathBuf::from(variables.get("HOME").unwrap_or_default());
    if let Some(support) = system::application_support(&home) {
        return support.join("tox");
    }
    let configured = variables.text("XDG_CONFIG_HOME").filter(|folder| !folder.trim().is_empty());
    configured.map_or_else(|| home.join(".config"), PathBuf::from).join("tox")
}

/// The document, or the exception Python raises.
fn parse(bytes: &[u8], path: &str) -> Result<IniDocument, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err("UnicodeDecodeError('utf-8')".to_owned());
    };
    // Python prints `configparser`'s exceptions as their messages only.
    ini::read(&os_text::escape(text)).map_err(|error| error.in_python_words(path))
}

/// A line up to the first unescaped `#`, without the backslashes of escaped ones.
fn without_comment(line: &str) -> String {
    let end = line.match_indices('#').map(|(at, _)| at).find(|&at| !line[..at].ends_with('\\'));
    let kept = end.map_or(line, |end| line[..end].trim_end());
    kept.replace("\\#", "#")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> UserFile {
        UserFile { path: PathBuf::new(), document: parse(text.as_bytes(), "f").ok() }
    }

    #[test]
    fn values_lose_their_comments() {
        let file = file("\u{feff}[tox]\na = 1 # one\nb = x\\#y\nc = 1 \\\n  2\nd = “Grüße” %(b)s\n");
        assert_eq!(file.get("a").as_deref(), Some("1"));
        assert_eq!(file.get("b").as_deref(), Some("x#y"));
        assert_eq!(file.get("c").as_deref(), Some("1 2"));
        assert_eq!(file.get("d").as_deref(), Some("“Grüße” %(b)s"));
        assert_eq!(file.get("e"), None);
    }

    #[test]
    fn errors_are_reported_in_pythons_words() {
        assert_eq!(
            parse(b"[tox\n", "/c.ini").expect_err("no section"),
            "File contains no section headers.\nfile: '/c.ini', line: 1\n'[tox\\n'"
        );
    }
}
