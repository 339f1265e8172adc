//! Where a value of a TOML file is written, found by its text: the parser keeps no places.

/// The line, from one, on which `key` of the table `table` is written, as far as the table has a header of its own.
pub fn line_of(text: &str, table: &str, key: &str) -> Option<usize> {
    let mut inside = table.is_empty();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            inside = header.split(']').next().is_some_and(|name| plain(name) == plain(table));
        }
        let rest = line.strip_prefix(key).filter(|_| inside);
        if rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.'])) {
            return Some(at + 1);
        }
    }
    None
}

/// A header without what TOML lets people write differently.
fn plain(header: &str) -> String {
    header.chars().filter(|c| !matches!(c, ' ' | '\t' | '"' | '\'')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_below_the_header_of_its_table() {
        let text = "ready = 1\n[env.a]\nready_timeout = 2\nready = 3\n[ env.\"b\" ]\nready.x = 4\n";
        assert_eq!(line_of(text, "", "ready"), Some(1));
        assert_eq!(line_of(text, "env.a", "ready"), Some(4));
        assert_eq!(line_of(text, "env.b", "ready"), Some(6));
        assert_eq!(line_of(text, "env.c", "ready"), None);
    }
}
