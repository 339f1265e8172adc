//! `-x section.key=value` and `TOX_OVERRIDE`. <https://tox.wiki/en/4.67.15/how-to/usage.html> (overriding settings)

/// One override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The section, as a key of the file (`testenv:py310`); empty for the top of a TOML file.
    pub section: String,
    pub key: String,
    pub value: String,
    /// `+=`: append to the file's value.
    pub append: bool,
}

impl Override {
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((target, value)) = text.split_once('=') else {
            return Err(format!("override {text} has no = sign in it"));
        };
        let (target, append) = target.strip_suffix('+').map_or((target, false), |target| (target, true));
        let mut parts = split_at_dots(target);
        let key = parts.pop().unwrap_or_default();
        Ok(Self { section: parts.join("."), key, value: value.to_owned(), append })
    }
}

/// Splits at unescaped dots.
fn split_at_dots(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let current = parts.len() - 1;
        match character {
            '\\' if characters.peek() == Some(&'.') => {
                characters.next();
                parts[current].push('.');
            }
            '.' => parts.push(String::new()),
            other => parts[current].push(other),
        }
    }
    parts
}

/// All overrides of a run, by section; few, so the search is linear.
#[derive(Debug, Clone, Default)]
pub struct Overrides(Vec<(String, Vec<Override>)>);

impl Overrides {
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let mut by_section: Vec<(String, Vec<Override>)> = Vec::new();
        for text in texts {
            let parsed = Override::parse(text)?;
            match by_section.iter_mut().find(|(section, _)| *section == parsed.section) {
                Some((_, known)) => known.push(parsed),
                None => by_section.push((parsed.section.clone(), vec![parsed])),
            }
        }
        Ok(Self(by_section))
    }

    pub fn of_section(&self, section: &str) -> &[Override] {
        self.0.iter().find(|(name, _)| name == section).map_or(&[], |(_, found)| found.as_slice())
    }

    pub fn has_section(&self, section: &str) -> bool {
        self.0.iter().any(|(name, _)| name == section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_dot_separates_section_and_key() {
        let parsed = Override::parse("testenv:py3\\.10.set_env+=A=B").expect("valid");
        assert_eq!(parsed.section, "testenv:py3.10");
        assert_eq!((parsed.key.as_str(), parsed.value.as_str(), parsed.append), ("set_env", "A=B", true));
        assert_eq!(Override::parse("x"), Err("override x has no = sign in it".to_owned()));
    }
}
