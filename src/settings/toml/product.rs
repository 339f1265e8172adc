//! Environment names written as groups of factors: products, ranges and labelled groups.
//! <https://tox.wiki/en/4.67.15/reference/config.html#env_list> (TOML)

use rustc_hash::FxHashSet;
use toml::Value as Toml;

use super::convert::{python_text, python_type};
use crate::error::{ConfigError, ErrorClass};
use crate::settings::factor::{LATEST_PYTHON_MINOR_MAX, LATEST_PYTHON_MINOR_MIN, MOST_NAMES, too_many};
use crate::source::Node;

/// Labels that mean something in expressions already.
const RESERVED: [&str; 5] = ["env", "posargs", "tty", "glob", "factor"];

/// A group of factors that has a label or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactorGroup {
    pub label: String,
    pub values: Vec<String>,
    /// Stands in where an environment carries none of the values.
    pub default: Option<String>,
}

fn wrong(message: String) -> ConfigError {
    ConfigError::new(ErrorClass::Type, message)
}

/// The names of an `env_list`.
///
/// # Errors
/// In tox's words, when an entry is neither a name nor a group.
pub fn environments(value: &Toml) -> Result<Vec<String>, ConfigError> {
    let Toml::Array(entries) = value else {
        return Err(wrong(format!("env_list must be a list, got {}", python_type(value))));
    };
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        match entry {
            Toml::String(name) => names.push(name.clone()),
            Toml::Table(table) if table.contains_key("product") => {
                if table.contains_key("prefix") {
                    return Err(wrong("env_list dict items cannot combine 'product' with 'prefix'".to_owned()));
                }
                names.extend(product(table)?);
            }
            Toml::Table(_) => names.extend(group(entry)?),
            other => {
                return Err(wrong(format!(
                    "env_list items must be strings, product dicts, range dicts, or labeled dicts, got {}",
                    python_type(other)
                )));
            }
        }
    }
    let mut seen = FxHashSet::default();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

fn product(table: &toml::Table) -> Result<Vec<String>, ConfigError> {
    let groups = match table.get("product") {
        Some(Toml::Array(groups)) => groups,
        Some(other) => {
            return Err(wrong(format!("product value must be a list of factor groups, got {}", python_type(other))));
        }
        None => return Ok(Vec::new()),
    };
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let groups = groups.iter().map(group).collect::<Result<Vec<_>, _>>()?;
    let excluded: FxHashSet<String> = match table.get("exclude") {
        None => FxHashSet::default(),
        Some(Toml::Array(names)) => names.iter().map(python_text).collect(),
        Some(other) => {
            return Err(wrong(format!("product exclude must be a list, got {}", python_type(other))));
        }
    };
    let mut names = combinations(&groups)?;
    names.retain(|name| !excluded.contains(name));
    Ok(names)
}

/// Every combination of one factor from each group, joined by dashes.
///
/// # Errors
/// When there are too many.
pub fn combinations(groups: &[Vec<String>]) -> Result<Vec<String>, ConfigError> {
    let mut names: Vec<String> = vec![String::new()];
    for (at, group) in groups.iter().enumerate() {
        let dash = if at == 0 { "" } else { "-" };
        if names.len().saturating_mul(group.len()) > MOST_NAMES {
            return Err(too_many("product"));
        }
        names =
            names.iter().flat_map(|start| group.iter().map(move |factor| format!("{start}{dash}{factor}"))).collect();
    }
    Ok(names)
}

/// The factors of one group: a list, a range, or either with a label.
///
/// # Errors
/// In tox's words.
pub fn group(value: &Toml) -> Result<Vec<String>, ConfigError> {
    match value {
        Toml::Array(items) => items.iter().map(plain_factor).collect(),
        Toml::Table(table) if table.contains_key("prefix") => range(table),
        Toml::Table(table) if table.len() == 1 => match table.iter().next() {
            Some((label, values)) => labelled(label, values),
            None => Ok(Vec::new()),
        },
        other => Err(wrong(format!(
            "factor group must be a list, a range dict, or a labeled dict, got {}",
            python_type(other)
        ))),
    }
}

fn plain_factor(item: &Toml) -> Result<String, ConfigError> {
    if let Toml::String(text) = item {
        return Ok(text.clone());
    }
    let hint = if item.is_table() {
        " — pass range or labeled dicts directly as sibling factor groups, not nested inside a list"
    } else {
        ""
    };
    Err(wrong(format!("factor group list items must be strings, got {}{hint}", python_type(item))))
}

fn labelled(label: &str, values: &Toml) -> Result<Vec<String>, ConfigError> {
    if RESERVED.contains(&label) {
        return Err(wrong(format!("'{label}' is reserved and cannot be used as a factor label")));
    }
    match values {
        Toml::Table(table) if table.contains_key("prefix") => range(table),
        Toml::Table(table) => match table.get("values") {
            Some(Toml::Array(items)) => Ok(items.iter().map(python_text).collect()),
            Some(other) => Err(wrong(format!(
                "labeled factor group '{label}' 'values' must be a list, got {}",
                python_type(other)
            ))),
            None => Err(wrong(format!(
                "labeled factor group '{label}' maps to a dict with neither a 'prefix' nor a 'values' key"
            ))),
        },
        Toml::Array(items) => Ok(items.iter().map(python_text).collect()),
        other => Err(wrong(format!(
            "labeled factor group '{label}' must map to a list, a range dict, or a values dict, got {}",
            python_type(other)
        ))),
    }
}

fn range(table: &toml::Table) -> Result<Vec<String>, ConfigError> {
    let bound = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(Toml::Integer(number)) => Ok(Some(*number)),
        Some(other) => Err(wrong(format!("range '{key}' must be an integer, got {}", python_type(other)))),
    };
    let prefix = table.get("prefix").map(python_text).unwrap_or_default();
    let (oldest, newest) = (LATEST_PYTHON_MINOR_MIN as i64, LATEST_PYTHON_MINOR_MAX as i64);
    let (start, stop) = match (bound("start")?, bound("stop")?) {
        (None, None) => return Err(wrong("range must have at least 'start' or 'stop'".to_owned())),
        (Some(start), Some(stop)) => (start, stop),
        (Some(start), None) => (start, newest.max(start)),
        (None, Some(stop)) => (oldest.min(stop), stop),
    };
    if usize::try_from(stop.saturating_sub(start)).is_ok_and(|more| more >= MOST_NAMES) {
        return Err(too_many(&format!("{prefix}{start}-{stop}")));
    }
    Ok((start..=stop).map(|number| format!("{prefix}{number}")).collect())
}

/// The groups of a list of factor groups, each under its number and, if it has one, its label.
///
/// # Errors
/// In tox's words.
pub fn labelled_groups(groups: &[Toml]) -> Result<Vec<FactorGroup>, ConfigError> {
    let mut found = Vec::new();
    for (at, one) in groups.iter().enumerate() {
        let values = group(one)?;
        let default = default_of(one, &values)?;
        found.push(FactorGroup { label: at.to_string(), values: values.clone(), default: default.clone() });
        if let Some(label) = label_of(one) {
            found.push(FactorGroup { label, values, default });
        }
    }
    Ok(found)
}

/// The labels of an `env_list`.
///
/// # Errors
/// In tox's words.
pub fn env_list_groups(env_list: Option<Node<'_>>) -> Result<Vec<FactorGroup>, ConfigError> {
    let mut found = Vec::new();
    let entries = env_list.filter(|list| list.is_array()).into_iter().flat_map(Node::entries);
    for entry in entries.filter_map(|(_, entry)| entry.as_table()).map(Node::to_value) {
        let Toml::Table(table) = &entry else { continue };
        match table.get("product") {
            Some(Toml::Array(groups)) => found.extend(labelled_groups(groups)?),
            Some(_) => {}
            None => {
                if let Some(label) = label_of(&entry) {
                    let values = group(&entry)?;
                    let default = default_of(&entry, &values)?;
                    found.push(FactorGroup { label, values, default });
                }
            }
        }
    }
    Ok(found)
}

fn label_of(group: &Toml) -> Option<String> {
    let table = group.as_table()?;
    (table.len() == 1 && !table.contains_key("prefix")).then(|| table.keys().next().cloned()).flatten()
}

fn default_of(group: &Toml, values: &[String]) -> Result<Option<String>, ConfigError> {
    let Toml::Table(table) = group else { return Ok(None) };
    let table = if table.contains_key("prefix") { Some(table) } else { table.values().next().and_then(Toml::as_table) };
    match table.and_then(|table| table.get("default")) {
        None => Ok(None),
        Some(Toml::String(default)) if values.contains(default) => Ok(Some(default.clone())),
        Some(Toml::String(default)) => {
            Err(wrong(format!("factor group 'default' '{default}' is not one of its factors: {}", values.join(", "))))
        }
        Some(other) => Err(wrong(format!("factor group 'default' must be a string, got {}", python_type(other)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let table: toml::Table = toml::from_str(text).expect("valid");
        environments(&table["env_list"]).map_err(|error| error.message)
    }

    #[test]
    fn products_combine_groups_and_leave_out_what_is_excluded() {
        assert_eq!(
            names(
                "env_list = [{ product = [['a', 'b'], { prefix = 'c', start = 1, stop = 2 }], exclude = ['b-c1'] }, 'd']"
            ),
            Ok(vec!["a-c1".into(), "a-c2".into(), "b-c2".into(), "d".into()])
        );
        assert_eq!(names("env_list = [{ py = { values = ['x', 'y'] } }]"), Ok(vec!["x".into(), "y".into()]));
        assert_eq!(names("env_list = [{ prefix = 'py3', start = 14 }]"), Ok(vec!["py314".into(), "py315".into()]));
    }

    #[test]
    fn what_is_no_group_is_refused_in_toxs_words() {
        assert_eq!(names("env_list = 'a'"), Err("env_list must be a list, got str".into()));
        assert_eq!(
            names("env_list = [{ env = ['a'] }]"),
            Err("'env' is reserved and cannot be used as a factor label".into())
        );
    }
}
