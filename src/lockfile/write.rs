//! Formats a lock file, the same for the same content, and replaces files atomically.

use std::io::Write as _;
use std::path::Path;

use crate::lockfile::document::{LockDocument, LockedFile, LockedPackage, LockedSource};

const HEAD: &str =
    "# Written by `envo lock`; `envo update NAME` changes a version. Edits by hand are refused by `--locked`.\n";

impl LockDocument {
    /// The content of the file.
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        text.push_str("lock-version = \"1.0\"\n");
        if !self.requires_python.is_empty() {
            text.push_str(&format!("requires-python = {}\n", quoted(&self.requires_python)));
        }
        text.push_str("created-by = \"envo\"\n");
        if self.packages.is_empty() {
            text.push_str("packages = []\n");
        }
        for package in &self.packages {
            text.push_str(&package.text());
        }
        if self.inputs.values().any(|lines| !lines.is_empty()) {
            text.push_str("\n[tool.envo]\n");
        }
        for (name, lines) in self.inputs.iter().filter(|(_, lines)| !lines.is_empty()) {
            text.push_str(&format!("{} = [\n", key(name)));
            lines.iter().for_each(|line| text.push_str(&format!("    {},\n", quoted(line))));
            text.push_str("]\n");
        }
        text
    }
}

impl LockedPackage {
    fn text(&self) -> String {
        let mut text = format!("\n[[packages]]\nname = {}\n", quoted(&self.name));
        let mut add = |key: &str, value: &Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!("{key} = {}\n", quoted(value)));
            }
        };
        add("version", &self.version);
        add("marker", &self.marker);
        add("requires-python", &self.requires_python);
        add("index", &self.index);
        if let Some(source) = &self.source {
            text.push_str(&source.text());
        }
        if let Some(sdist) = &self.sdist {
            text.push_str(&format!("sdist = {}\n", sdist.text(&[])));
        }
        if !self.wheels.is_empty() {
            text.push_str("wheels = [\n");
            self.wheels.iter().for_each(|wheel| text.push_str(&format!("    {},\n", wheel.text(&[]))));
            text.push_str("]\n");
        }
        text
    }
}

impl LockedSource {
    fn text(&self) -> String {
        let optional =
            |key: &str, value: &Option<String>| value.as_ref().map(|value| format!("{key} = {}", quoted(value)));
        match self {
            Self::Directory { path, editable, subdirectory } => {
                let mut parts = vec![format!("path = {}", quoted(path))];
                parts.extend(editable.then(|| "editable = true".to_owned()));
                parts.extend(optional("subdirectory", subdirectory));
                format!("directory = {{ {} }}\n", parts.join(", "))
            }
            Self::Repository { kind, url, requested, commit, subdirectory } => {
                let mut parts = vec![format!("type = {}", quoted(kind)), format!("url = {}", quoted(url))];
                parts.extend(optional("requested-revision", requested));
                parts.push(format!("commit-id = {}", quoted(commit)));
                parts.extend(optional("subdirectory", subdirectory));
                format!("vcs = {{ {} }}\n", parts.join(", "))
            }
            Self::Archive { file, subdirectory } => {
                let more: Vec<String> = optional("subdirectory", subdirectory).into_iter().collect();
                format!("archive = {}\n", file.text(&more))
            }
        }
    }
}

impl LockedFile {
    fn text(&self, more: &[String]) -> String {
        let mut parts = Vec::new();
        let from = self.url.as_deref().or(self.path.as_deref()).unwrap_or_default();
        if crate::lockfile::document::last_part(from) != self.name {
            parts.push(format!("name = {}", quoted(&self.name)));
        }
        parts.extend(self.url.as_ref().map(|url| format!("url = {}", quoted(url))));
        parts.extend(self.path.as_ref().map(|path| format!("path = {}", quoted(path))));
        parts.extend(more.iter().cloned());
        let hashes: Vec<String> =
            self.hashes.iter().map(|(algorithm, value)| format!("{} = {}", key(algorithm), quoted(value))).collect();
        parts.push(format!("hashes = {{ {} }}", hashes.join(", ")));
        format!("{{ {} }}", parts.join(", "))
    }
}

/// A TOML key: those of an updated lock come from a file that others may have written.
fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + 2);
    result.push('"');
    for character in text.chars() {
        match character {
            '"' => result.push_str("\\\""),
            '\\' => result.push_str("\\\\"),
            '\n' => result.push_str("\\n"),
            character if character.is_control() => result.push_str(&format!("\\u{:04X}", u32::from(character))),
            character => result.push(character),
        }
    }
    result.push('"');
    result
}

/// Replaces a file in one step, with the permissions of a new file: others see the old content or the new.
pub fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let mut file = crate::scratch::file_in(folder, ".envo-", 0o666)?;
    file.write_all(content)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::strategy::Strategy as _;

    use super::*;

    /// Texts that try to break out of a string.
    const HOSTILE: &str = "(\"|\\\\|'|\n|\r|\t|\u{1b}\\[2J|\u{202e}|\u{7}|\u{0}|\n\\[\\[packages\\]\\]\nname = \"evil\"|= |#|\\]|\\}|--index-url=x| |[a-z0-9.é])";

    proptest::proptest! {
        #[test]
        fn no_text_can_leave_its_place(
            texts in proptest::collection::vec(proptest::collection::vec(HOSTILE, 0..6).prop_map(|parts| parts.concat()), 8),
        ) {
            let text = |at: usize| texts[at].clone();
            let mut file = LockedFile { name: text(0), url: Some(format!("https://x/{}", texts[1])), ..LockedFile::default() };
            file.hashes.insert(text(2), text(3));
            let package = LockedPackage {
                name: format!("a{}", texts[4]),
                version: Some(text(5)),
                marker: Some(text(6)),
                sdist: Some(file),
                ..LockedPackage::default()
            };
            let mut document = LockDocument { packages: vec![package], ..LockDocument::default() };
            document.inputs.insert(text(7), vec![text(0), text(1)]);
            let written = document.text();
            let table: toml::Table = written.parse().unwrap();
            proptest::prop_assert_eq!(table["packages"].as_array().map(Vec::len), Some(1));
            let found = &table["packages"][0];
            proptest::prop_assert_eq!(found["name"].as_str(), Some(document.packages[0].name.as_str()));
            proptest::prop_assert_eq!(found["version"].as_str(), Some(texts[5].as_str()));
            proptest::prop_assert_eq!(found["sdist"]["hashes"][texts[2].as_str()].as_str(), Some(texts[3].as_str()));
            proptest::prop_assert_eq!(table["tool"]["envo"].as_table().map(toml::Table::len), Some(1));
            // An installer gets one line of words for each package.
            if let Ok(read) = LockDocument::parse(&written) {
                let (hashed, others) = crate::lockfile::lines::of(&read.packages, Path::new("/x"));
                for line in hashed.iter().chain(&others) {
                    proptest::prop_assert!(!line.contains(char::is_control), "{:?}", line);
                    let words: Vec<&str> = line.split(' ').collect();
                    proptest::prop_assert!(words[1..].iter().all(|word| word.starts_with("--hash=")), "{:?}", line);
                }
            }
        }
    }

    const UVS: &str = r#"lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.11"

[[packages]]
name = "six"
version = "1.17.0"
marker = "sys_platform == 'win32'"
wheels = [
    { url = "https://h/z/six-1.17.0-py3-none-any.whl", upload-time = 2024-12-04T17:35:26Z, size = 3, hashes = { sha256 = "2" } },
    { url = "https://h/a/six-1.17.0-py2-none-any.whl", hashes = { sha256 = "1" } },
]

[[packages]]
name = "lib"
directory = { path = "../lib", editable = true }

[[packages]]
name = "again"
version = "1"
vcs = { type = "git", url = "https://h/x.git", requested-revision = "main", commit-id = "abc" }

[[packages]]
name = "zip"
version = "1"
archive = { url = "https://h/zip-1.zip", subdirectory = "s", hashes = { sha256 = "3" } }
"#;

    #[test]
    fn what_is_written_is_read_again_and_sorted() {
        let mut document = LockDocument::parse(UVS).unwrap();
        document.inputs.insert("deps".to_owned(), vec!["six; sys_platform == \"win32\"".to_owned()]);
        let text = document.text();
        assert_eq!(LockDocument::parse(&text), Ok(document));
        assert!(!text.contains("upload-time") && !text.contains("size"), "{text}");
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        assert_eq!(names, ["\"again\"", "\"lib\"", "\"six\"", "\"zip\""]);
    }

    #[test]
    fn the_order_in_which_a_resolver_writes_makes_no_difference() {
        let mut parts: Vec<&str> = UVS.split("\n[[packages]]").collect();
        parts[1..].reverse();
        let reversed = LockDocument::parse(&parts.join("\n[[packages]]")).unwrap();
        assert_eq!(reversed.text(), LockDocument::parse(UVS).unwrap().text());
    }

    #[test]
    fn a_lock_without_packages_says_so() {
        let document = LockDocument { requires_python: ">=3.9".to_owned(), ..LockDocument::default() };
        assert_eq!(LockDocument::parse(&document.text()), Ok(document));
    }

    #[test]
    fn inputs_that_are_no_lists_are_none() {
        for inputs in ["le.deps = [\"six\"]", "le = []", "le = [1]", "le = \"six\""] {
            let text = format!("lock-version = \"1.0\"\npackages = []\n[tool.envo]\n{inputs}\n");
            let document = LockDocument::parse(&text).unwrap();
            assert_eq!(LockDocument::parse(&document.text()), Ok(document), "{inputs}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_can_be_read_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("locks/pylock.a.toml");
        replace(&file, b"1").unwrap();
        replace(&file, b"2").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"2");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o444, 0o444);
        assert_eq!(std::fs::read_dir(folder.path().join("locks")).unwrap().count(), 1);
    }
}
