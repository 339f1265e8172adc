//! `RECORD`, the list of a distribution's installed files.
//! <https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file>

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digest::hexadecimal;

/// One installed file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordRow {
    /// Relative to `site-packages`.
    pub path: String,
    /// `sha256=…`, or another algorithm, or empty.
    pub hash: String,
    pub size: String,
}

impl RecordRow {
    /// The SHA-256 in hexadecimal digits.
    pub fn sha256(&self) -> Option<String> {
        let encoded = self.hash.strip_prefix("sha256=")?;
        URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok().map(|digest| hexadecimal(&digest))
    }
}

pub fn parse(text: &str) -> Vec<RecordRow> {
    let row = |line: &str| {
        let mut fields = fields(line).into_iter();
        let path = fields.next().filter(|path| !path.is_empty())?;
        Some(RecordRow { path, hash: fields.next().unwrap_or_default(), size: fields.next().unwrap_or_default() })
    };
    text.lines().filter_map(row).collect()
}

pub fn text(rows: &[RecordRow]) -> String {
    rows.iter().map(|row| format!("{},{},{}\n", quoted(&row.path), row.hash, row.size)).collect()
}

fn quoted(path: &str) -> String {
    if path.contains([',', '"']) { format!("\"{}\"", path.replace('"', "\"\"")) } else { path.to_owned() }
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut();
        match (character, field) {
            ('"', Some(field)) if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            ('"', _) => is_quoted = !is_quoted,
            (',', _) if !is_quoted => fields.push(String::new()),
            (other, Some(field)) => field.push(other),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_as_they_were_read() {
        let written = "a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n\"b,\"\"c.py\",,\nx/RECORD,,\n";
        let rows = parse(written);
        assert_eq!(rows[1].path, "b,\"c.py");
        assert_eq!(rows[0].sha256(), Some(crate::digest::sha256("")));
        assert_eq!(rows[2].sha256(), None);
        assert_eq!(text(&rows), written);
        assert_eq!(parse("\n,,\n"), []);
    }
}
