//! Finds the location of a value in a TOML file.

use crate::source::{ConfigDocument, ConfigSource, TomlValue};

/// What stands before tox's own tables in `pyproject.toml`.
const PROJECT_PREFIX: &str = "tool.tox";

/// The line, from one, on which `key` of the table `table` is written.
pub fn line_of(source: &ConfigSource, table: &str, key: &str) -> Option<usize> {
    location_of(source, table, key).map(|(line, _)| line)
}

/// Line and column, both from one, of `key` in the table `table`, which is named by its path with or without what
/// stands before tox's own tables.
pub fn location_of(source: &ConfigSource, table: &str, key: &str) -> Option<(usize, usize)> {
    let ConfigDocument::Toml(document) = &source.document else { return None };
    let root = document.root.root();
    let in_project = if table.is_empty() { PROJECT_PREFIX.to_owned() } else { format!("{PROJECT_PREFIX}.{table}") };
    let found = find(root, table, key).or_else(|| find(root, &in_project, key))?;
    let before = source.text.get(..found.place())?;
    let line = memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1;
    Some((line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1))
}

/// Names may have dots of their own, so each way of splitting the path is tried.
fn find<'a>(table: &'a TomlValue, path: &str, key: &str) -> Option<&'a TomlValue> {
    if path.is_empty() {
        return table.get(key);
    }
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    ends.into_iter().find_map(|end| find(table.get(&path[..end])?, path.get(end + 1..).unwrap_or_default(), key))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::source::{ConfigFormatKind, TomlDocument, TomlTree};

    fn source(text: &str) -> ConfigSource {
        let text = Arc::new(text.to_owned());
        let root = TomlTree::read(&text).expect("valid");
        let document = ConfigDocument::Toml(TomlDocument { root, prefix: &[] });
        ConfigSource { path: PathBuf::new(), format: ConfigFormatKind::ToxToml, text, document, lines_before: 0 }
    }

    #[test]
    fn a_key_is_found_however_its_table_is_written() {
        let text = &source(
            "ready = 1\n[env.a]\nready_timeout = 2\nready = 3\n[ env.\"b.c\" ]\nready.x = 4\n[env]\nd = { ready = 1 }\n",
        );
        assert_eq!(location_of(text, "", "ready"), Some((1, 1)));
        assert_eq!(location_of(text, "env.a", "ready"), Some((4, 1)));
        assert_eq!(location_of(text, "env.b.c", "ready"), Some((6, 1)));
        assert_eq!(location_of(text, "env.d", "ready"), Some((8, 7)));
        assert_eq!(location_of(text, "env.c", "ready"), None);
    }

    #[test]
    fn tables_of_pyproject_are_found_by_their_short_path_too() {
        let text = &source("[tool.tox]\nenv_list = []\n[tool.tox.env.a]\ndeps = []\n");
        assert_eq!(line_of(text, "", "env_list"), Some(2));
        assert_eq!(line_of(text, "env.a", "deps"), Some(4));
        assert_eq!(line_of(text, "tool.tox.env.a", "deps"), Some(4));
    }
}
