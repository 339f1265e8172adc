//! Where a value of a TOML file is written. The document that settings are read from keeps no places, so the text is
//! parsed once more when one is wanted for an error.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// What stands before tox's own tables in `pyproject.toml`.
const PROJECT_PREFIX: &str = "tool.tox";

/// The line, from one, on which `key` of the table `table` is written.
pub fn line_of(text: &str, table: &str, key: &str) -> Option<usize> {
    place_of(text, table, key).map(|(line, _)| line)
}

/// Line and column, both from one, of `key` in the table `table`, which is named by its path with or without what
/// stands before tox's own tables.
pub fn place_of(text: &str, table: &str, key: &str) -> Option<(usize, usize)> {
    let document = DeTable::parse(text).ok()?;
    let in_project = if table.is_empty() { PROJECT_PREFIX.to_owned() } else { format!("{PROJECT_PREFIX}.{table}") };
    let found = find(document.get_ref(), table, key).or_else(|| find(document.get_ref(), &in_project, key))?;
    let before = text.get(..found.start)?;
    let line = before.matches('\n').count() + 1;
    Some((line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1))
}

/// Names may have dots of their own, so each way of splitting the path is tried.
fn find(table: &DeTable<'_>, path: &str, key: &str) -> Option<Range<usize>> {
    if path.is_empty() {
        return table.get_key_value(key).map(|(name, _)| name.span());
    }
    table.iter().find_map(|(name, value)| {
        let rest = path.strip_prefix(name.get_ref().as_ref())?;
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix('.')? };
        match value.get_ref() {
            DeValue::Table(inner) => find(inner, rest, key),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_however_its_table_is_written() {
        let text = "ready = 1\n[env.a]\nready_timeout = 2\nready = 3\n[ env.\"b.c\" ]\nready.x = 4\n[env]\nd = { ready = 1 }\n";
        assert_eq!(place_of(text, "", "ready"), Some((1, 1)));
        assert_eq!(place_of(text, "env.a", "ready"), Some((4, 1)));
        assert_eq!(place_of(text, "env.b.c", "ready"), Some((6, 1)));
        assert_eq!(place_of(text, "env.d", "ready"), Some((8, 7)));
        assert_eq!(place_of(text, "env.c", "ready"), None);
        assert_eq!(place_of("[broken", "", "broken"), None);
    }

    #[test]
    fn tables_of_pyproject_are_found_by_their_short_path_too() {
        let text = "[tool.tox]\nenv_list = []\n[tool.tox.env.a]\ndeps = []\n";
        assert_eq!(line_of(text, "", "env_list"), Some(2));
        assert_eq!(line_of(text, "env.a", "deps"), Some(4));
        assert_eq!(line_of(text, "tool.tox.env.a", "deps"), Some(4));
    }
}
