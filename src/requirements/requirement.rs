//! One requirement of a file: a PEP 508 requirement, a URL or a path.

use std::path::Path;

use crate::model::pep508::Requirement;
use crate::os_text;
use crate::python_text::path;

const VERSION_CONTROL: [&str; 7] = ["ftp", "ssh", "git", "hg", "bzr", "sftp", "svn"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequirementContent {
    /// With its printed form.
    Named(Requirement, String),
    /// A path or URL, or invalid text, which the installer will report.
    Other(String),
    /// A file behind a URL that the installer reads.
    RemoteFile(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParsedRequirement {
    pub content: RequirementContent,
    pub is_editable: bool,
    pub is_constraint: bool,
    pub hashes: Vec<String>,
    pub config_settings: Vec<String>,
    /// The file it comes from.
    pub file: String,
    pub line: usize,
}

impl RequirementContent {
    /// Reads `text`; a relative path in it is relative to the folder of `file`.
    pub(super) fn read(text: &str, file: &str) -> Self {
        if let Ok(requirement) = text.parse::<Requirement>() {
            let printed = requirement.to_string();
            return Self::Named(requirement, printed);
        }
        if is_url(text) || is_version_control(text) || has_version_operator(text) {
            return Self::Other(text.to_owned());
        }
        Self::Other(local_path(text, &path::parent(file)))
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Named(_, text) | Self::Other(text) | Self::RemoteFile(text) => text,
        }
    }
}

fn is_url(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    let scheme = scheme.to_lowercase();
    ["http", "https", "file"].contains(&scheme.as_str()) || VERSION_CONTROL.contains(&scheme.as_str())
}

fn is_version_control(text: &str) -> bool {
    text.split_once('+').is_some_and(|(system, url)| VERSION_CONTROL.contains(&system) && is_url(url))
}

fn has_version_operator(text: &str) -> bool {
    text.contains(['<', '>']) || ["==", "!=", "~="].iter().any(|operator| text.contains(operator))
}

/// The path as passed to pip: relative to `root` if it is inside, without sorting its extras.
fn local_path(text: &str, root: &Path) -> String {
    let (folder, name) = path::split_name(text);
    let (path, extras) = match split_extras(&name) {
        Some((name, extras)) => {
            (path::joined(root, &os_text::decode(folder.join(os_text::encode(name)).as_os_str())), extras)
        }
        None => (path::joined(root, text), Vec::new()),
    };
    let resolved = path::resolved(&path);
    let mut result = match resolved.strip_prefix(root) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => {
            let inside = os_text::decode(inside.as_os_str());
            // A path that looks like a name or an option is marked as a path.
            if inside.contains('/') && !inside.starts_with('-') { inside } else { format!("./{inside}") }
        }
        Err(_) => os_text::decode(resolved.as_os_str()),
    };
    if !extras.is_empty() {
        result.push_str(&format!("[{}]", extras.join(",")));
    }
    result
}

/// `name[b,a]` as `name` and its sorted extras; `None` if it does not end in a list of extras.
fn split_extras(name: &str) -> Option<(&str, Vec<&str>)> {
    let open = name.rfind('[')?;
    let list = name[open + 1..].strip_suffix(']')?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || matches!(c, '-' | '.' | '_' | ',');
    if !list.chars().all(allowed) {
        return None;
    }
    let mut extras: Vec<&str> = list.split(',').map(str::trim).filter(|extra| !extra.is_empty()).collect();
    // Only the last character may be other than a letter or digit.
    let valid = |extra: &&str| {
        let start = &extra[..extra.len() - 1];
        start.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !extra.ends_with(char::is_whitespace)
    };
    if !extras.iter().all(valid) {
        return None;
    }
    extras.sort_unstable();
    Some((&name[..open], extras))
}

impl ParsedRequirement {
    /// Whether it has options besides the requirement.
    pub(super) fn has_options(&self) -> bool {
        self.is_editable || !self.hashes.is_empty() || !self.config_settings.is_empty()
    }

    /// As an argument for pip.
    pub(super) fn arguments(&self) -> impl Iterator<Item = String> {
        let flag = match self.content {
            RequirementContent::RemoteFile(_) if self.is_constraint => Some("-c"),
            RequirementContent::RemoteFile(_) => Some("-r"),
            _ => self.is_editable.then_some("-e"),
        };
        flag.map(str::to_owned).into_iter().chain([self.content.text().to_owned()])
    }

    /// In tox's stored form.
    pub(super) fn stored(&self) -> String {
        let mut parts = Vec::new();
        if self.is_constraint {
            parts.push("-c");
        } else if matches!(self.content, RequirementContent::RemoteFile(_)) {
            parts.push("-r");
        }
        if self.is_editable {
            parts.push("-e");
        }
        parts.push(self.content.text());
        for hash in &self.hashes {
            parts.extend(["--hash", hash]);
        }
        for setting in &self.config_settings {
            parts.extend(["--config-settings", setting]);
        }
        parts.join(" ")
    }

    /// tox's order: requirements, then editable ones, then constraints; among them names before paths and URLs.
    pub(super) fn sort_key(&self) -> (u8, u8, String, String) {
        let group = if self.is_constraint { 2 } else { u8::from(self.is_editable) };
        let kind = if matches!(self.content, RequirementContent::Named(..)) { 0 } else { 2 };
        let options = format!("{:?}{:?}", self.hashes, self.config_settings);
        (group, kind, self.content.text().to_lowercase(), options)
    }

    /// As a line of a constraints file: pip accepts no extras there, nothing editable and nothing without a
    /// name.
    pub(super) fn constraint_line(&self) -> Option<String> {
        if self.is_constraint {
            return self.stored().strip_prefix("-c ").map(|line| match self.content {
                RequirementContent::RemoteFile(_) => format!("-c {line}"),
                _ => line.to_owned(),
            });
        }
        if self.is_editable {
            return None;
        }
        let mut line = match &self.content {
            RequirementContent::Named(requirement, _) => {
                let mut named = requirement.clone();
                named.extras.clear();
                named.to_string()
            }
            RequirementContent::Other(text) => {
                let text = match text.strip_suffix(']').and_then(|rest| rest.rfind('[')) {
                    Some(open) if !text[open..text.len() - 1].contains(']') => &text[..open],
                    _ => text,
                };
                text_has_name(text).then(|| text.to_owned())?
            }
            RequirementContent::RemoteFile(_) => return None,
        };
        for hash in &self.hashes {
            line.push_str(&format!(" --hash {hash}"));
        }
        Some(line)
    }
}

/// Whether pip finds a name in it: a wheel's file name, or the fragment of a URL.
fn text_has_name(text: &str) -> bool {
    if !text.contains("://") {
        return text.ends_with(".whl");
    }
    let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
    let path = url.split('?').next().unwrap_or_default();
    let named = |part: &str| part.strip_prefix("egg=").is_some_and(|name| !name.is_empty());
    path.ends_with(".whl") || fragment.split('&').any(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_folder(text: &str) -> std::io::Result<String> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().canonicalize()?.join("tox.ini");
        Ok(RequirementContent::read(text, &file.display().to_string()).text().to_owned())
    }

    #[test]
    fn requirements_urls_and_paths_read_as_tox_reads_them() -> std::io::Result<()> {
        for (text, expected) in [
            ("f ==5.4 ; python_version < '2.7'", "f==5.4; python_version < \"2.7\""),
            ("http://w.org/w-3.whl", "http://w.org/w-3.whl"),
            ("git+ssh://g/p#egg=p", "git+ssh://g/p#egg=p"),
            ("a.b >= nonsense", "a.b >= nonsense"),
            (".", "."),
            (".[2,1]", ".[1,2]"),
            (".[\t, a1. , B2-\t, C3_, ]", ".[B2-,C3_,a1.]"),
            (".[a.1]", "./.[a.1]"),
            ("./a/b", "a/b"),
            ("./a", "./a"),
            ("./--log=outside/sentinel", "./--log=outside/sentinel"),
            ("a/../-routside/sentinel", "./-routside/sentinel"),
            ("/elsewhere/x[t]", "/elsewhere/x[t]"),
            ("${ENV_VAR}", "./${ENV_VAR}"),
        ] {
            assert_eq!(in_folder(text)?, expected, "{text}");
        }
        Ok(())
    }

    #[test]
    fn constraints_name_no_extras_and_no_paths() {
        let line = |text: &str| {
            let content = RequirementContent::read(text, "/x/tox.ini");
            let requirement = ParsedRequirement {
                content,
                is_editable: false,
                is_constraint: false,
                hashes: vec!["sha256:1".to_owned()],
                config_settings: Vec::new(),
                file: String::new(),
                line: 1,
            };
            requirement.constraint_line()
        };
        assert_eq!(line("a[b]>=1").as_deref(), Some("a>=1 --hash sha256:1"));
        assert_eq!(line("./x"), None);
        assert_eq!(line("./dist/x.whl[t]").as_deref(), Some("dist/x.whl --hash sha256:1"));
        assert_eq!(line("git+https://g/p#egg=p").as_deref(), Some("git+https://g/p#egg=p --hash sha256:1"));
        assert_eq!(line("git+https://g/p"), None);
    }
}
