//! Expands environment names from groups of factors: products, ranges and labelled groups.
//! <https://tox.wiki/en/4.67.15/reference/config.html#env_list> (TOML)

use std::sync::Arc;

use rustc_hash::FxHashSet;
use toml::Value as Toml;

use crate::error::{ConfigError, ErrorClass};
use crate::factor::{LATEST_PYTHON_MINOR_MAX, LATEST_PYTHON_MINOR_MIN, MOST_NAMES, too_many};
use crate::settings::toml::convert::{python_text, python_type, wrong};
use crate::source::{TomlContent, TomlTable, TomlValue};

/// Labels that mean something in expressions already.
const RESERVED: [&str; 5] = ["env", "posargs", "tty", "glob", "factor"];

/// A group of factors that has a label or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactorGroup {
    pub label: String,
    pub values: Vec<String>,
    /// Stands in where an environment carries none of the values.
    pub default: Option<String>,
    position: Option<Position>,
}

/// Which group of a product it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    /// What the names begin with: that of the template.
    prefix: Option<String>,
    groups: Arc<Vec<Vec<String>>>,
    at: usize,
}

impl FactorGroup {
    /// The value the group has in an environment of its product: the same factor may be in other groups, too.
    pub fn value_in(&self, environment: &str) -> Option<&str> {
        let Position { prefix, groups, at } = self.position.as_ref()?;
        let factors = match prefix {
            Some(prefix) => environment.strip_prefix(prefix.as_str())?.strip_prefix('-')?,
            None => environment,
        };
        combination(groups, factors)?.get(*at).copied()
    }
}

/// One factor of each group, which make up the name; of several ways the last, as in tox.
fn combination<'g>(groups: &'g [Vec<String>], name: &str) -> Option<Vec<&'g str>> {
    let (first, more) = groups.split_first()?;
    first.iter().rev().find_map(|factor| {
        let rest = name.strip_prefix(factor.as_str())?;
        let mut found = vec![factor.as_str()];
        if more.is_empty() {
            return rest.is_empty().then_some(found);
        }
        found.extend(combination(more, rest.strip_prefix('-')?)?);
        Some(found)
    })
}

/// The names of an `env_list`.
pub fn environments(value: &TomlValue) -> Result<Vec<String>, ConfigError> {
    let Some(entries) = value.array() else {
        return Err(wrong(value, format!("env_list must be a list, got {}", python_type(value))));
    };
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        match &entry.content {
            TomlContent::Scalar(Toml::String(name)) => names.push(name.clone()),
            TomlContent::Table(table) if table.contains_key("product") => {
                if table.contains_key("prefix") {
                    return Err(wrong(entry, "env_list dict items cannot combine 'product' with 'prefix'".to_owned()));
                }
                names.extend(product(table).map_err(|error| error.in_part(entry.span()))?);
            }
            TomlContent::Table(_) => names.extend(group(entry)?),
            _ => {
                let message = "env_list items must be strings, product dicts, range dicts, or labeled dicts, got";
                return Err(wrong(entry, format!("{message} {}", python_type(entry))));
            }
        }
    }
    let mut seen = FxHashSet::default();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

fn product(table: &TomlTable) -> Result<Vec<String>, ConfigError> {
    let Some(product) = table.get("product") else { return Ok(Vec::new()) };
    let Some(groups) = product.array() else {
        let message = format!("product value must be a list of factor groups, got {}", python_type(product));
        return Err(wrong(product, message));
    };
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let groups = groups.iter().map(group).collect::<Result<Vec<_>, _>>()?;
    let excluded: FxHashSet<String> = match table.get("exclude") {
        None => FxHashSet::default(),
        Some(exclude) => match exclude.array() {
            Some(names) => names.iter().map(python_text).collect(),
            None => {
                let message = format!("product exclude must be a list, got {}", python_type(exclude));
                return Err(wrong(exclude, message));
            }
        },
    };
    let mut names = combinations(&groups)?;
    names.retain(|name| !excluded.contains(name));
    Ok(names)
}

/// Every combination of one factor from each group, joined by dashes.
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
pub fn group(value: &TomlValue) -> Result<Vec<String>, ConfigError> {
    match &value.content {
        TomlContent::Array(items) => items.iter().map(plain_factor).collect(),
        TomlContent::Table(table) if table.contains_key("prefix") => range(value),
        TomlContent::Table(table) if table.len() == 1 => match table.iter().next() {
            Some((label, values)) => labelled(label, values),
            None => Ok(Vec::new()),
        },
        _ => {
            let message = "factor group must be a list, a range dict, or a labeled dict, got";
            Err(wrong(value, format!("{message} {}", python_type(value))))
        }
    }
}

fn plain_factor(item: &TomlValue) -> Result<String, ConfigError> {
    if let Some(text) = item.as_str() {
        return Ok(text.to_owned());
    }
    let hint = if item.is_table() {
        " — pass range or labeled dicts directly as sibling factor groups, not nested inside a list"
    } else {
        ""
    };
    Err(wrong(item, format!("factor group list items must be strings, got {}{hint}", python_type(item))))
}

fn labelled(label: &str, values: &TomlValue) -> Result<Vec<String>, ConfigError> {
    if RESERVED.contains(&label) {
        let message = format!("'{label}' is reserved and cannot be used as a factor label");
        let written = values.place()..values.place() + label.len();
        return Err(ConfigError::new(ErrorClass::Type, message).in_part(written));
    }
    let fails = |value: &TomlValue, text: &str| Err(wrong(value, format!("labeled factor group '{label}' {text}")));
    match &values.content {
        TomlContent::Table(table) if table.contains_key("prefix") => range(values),
        TomlContent::Table(table) => match table.get("values") {
            Some(list) => match list.array() {
                Some(items) => Ok(items.iter().map(python_text).collect()),
                None => fails(list, &format!("'values' must be a list, got {}", python_type(list))),
            },
            None => fails(values, "maps to a dict with neither a 'prefix' nor a 'values' key"),
        },
        TomlContent::Array(items) => Ok(items.iter().map(python_text).collect()),
        TomlContent::Scalar(_) => {
            fails(values, &format!("must map to a list, a range dict, or a values dict, got {}", python_type(values)))
        }
    }
}

fn range(table: &TomlValue) -> Result<Vec<String>, ConfigError> {
    let bound = |key: &str| match table.get(key).map(|value| (value, value.scalar())) {
        None => Ok(None),
        Some((_, Some(Toml::Integer(number)))) => Ok(Some(*number)),
        Some((other, _)) => Err(wrong(other, format!("range '{key}' must be an integer, got {}", python_type(other)))),
    };
    let prefix = table.get("prefix").map(python_text).unwrap_or_default();
    let (oldest, newest) = (LATEST_PYTHON_MINOR_MIN as i64, LATEST_PYTHON_MINOR_MAX as i64);
    let (start, stop) = match (bound("start")?, bound("stop")?) {
        (None, None) => return Err(wrong(table, "range must have at least 'start' or 'stop'".to_owned())),
        (Some(start), Some(stop)) => (start, stop),
        (Some(start), None) => (start, newest.max(start)),
        (None, Some(stop)) => (oldest.min(stop), stop),
    };
    if usize::try_from(stop.saturating_sub(start)).is_ok_and(|more| more >= MOST_NAMES) {
        return Err(too_many(&format!("{prefix}{start}-{stop}")).in_part(table.span()));
    }
    Ok((start..=stop).map(|number| format!("{prefix}{number}")).collect())
}

/// The groups of a list of factor groups, each under its number and, if it has one, its label; names made of them begin
/// with `prefix`.
pub fn labelled_groups(groups: &[TomlValue], prefix: Option<&str>) -> Result<Vec<FactorGroup>, ConfigError> {
    let mut found = Vec::new();
    let all = Arc::new(groups.iter().map(group).collect::<Result<Vec<_>, _>>()?);
    for (at, one) in groups.iter().enumerate() {
        let default = default_of(one, &all[at])?;
        let position = Position { prefix: prefix.map(str::to_owned), groups: Arc::clone(&all), at };
        let group = FactorGroup { label: at.to_string(), values: all[at].clone(), default, position: Some(position) };
        let labelled = label_of(one).map(|label| FactorGroup { label, ..group.clone() });
        found.push(group);
        found.extend(labelled);
    }
    Ok(found)
}

/// The labels of an `env_list`.
pub fn env_list_groups(env_list: Option<&TomlValue>) -> Result<Vec<FactorGroup>, ConfigError> {
    let mut found = Vec::new();
    let entries = env_list.filter(|list| list.is_array()).into_iter().flat_map(TomlValue::entries);
    for entry in entries.filter_map(|(_, entry)| entry.as_table()) {
        match entry.get("product") {
            Some(product) => found.extend(labelled_groups(product.array().unwrap_or_default(), None)?),
            None => {
                if let Some(label) = label_of(entry) {
                    let values = group(entry)?;
                    let default = default_of(entry, &values)?;
                    found.push(FactorGroup { label, values, default, position: None });
                }
            }
        }
    }
    Ok(found)
}

fn label_of(group: &TomlValue) -> Option<String> {
    let table = group.table()?;
    (table.len() == 1 && !table.contains_key("prefix")).then(|| table.keys().next().cloned()).flatten()
}

fn default_of(group: &TomlValue, values: &[String]) -> Result<Option<String>, ConfigError> {
    let Some(table) = group.table() else { return Ok(None) };
    let table = if table.contains_key("prefix") { Some(group) } else { table.values().next() };
    let Some(default) = table.and_then(|table| table.get("default")) else { return Ok(None) };
    let Some(text) = default.as_str() else {
        return Err(wrong(default, format!("factor group 'default' must be a string, got {}", python_type(default))));
    };
    if !values.iter().any(|value| value == text) {
        let factors = values.join(", ");
        return Err(wrong(default, format!("factor group 'default' '{text}' is not one of its factors: {factors}")));
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::TomlTree;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let tree = TomlTree::read(&Arc::new(text.to_owned())).expect("valid");
        environments(tree.root().get("env_list").expect("a list")).map_err(|error| error.message)
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
    fn a_group_has_in_an_environment_the_value_of_its_position() {
        let text = "g = [['a', 'b'], { x = ['b', 'a-b', 'b-a'] }]";
        let tree = TomlTree::read(&Arc::new(text.to_owned())).expect("valid");
        let groups = tree.root().get("g").and_then(TomlValue::array).expect("a list");
        let groups = labelled_groups(groups, Some("t")).expect("groups");
        let labels: Vec<&str> = groups.iter().map(|group| group.label.as_str()).collect();
        assert_eq!(labels, ["0", "1", "x"]);
        let values = |name: &str| groups.iter().map(|group| group.value_in(name).unwrap_or("-")).collect::<Vec<_>>();
        assert_eq!(values("t-a-b"), ["a", "b", "b"]);
        assert_eq!(values("t-b-a-b"), ["b", "a-b", "a-b"]);
        assert_eq!(values("t-b-b"), ["b", "b", "b"]);
        assert_eq!(values("t-c-b"), ["-", "-", "-"]);
        assert_eq!(values("u-a-b"), ["-", "-", "-"]);
    }

    #[test]
    fn invalid_groups_are_rejected_in_toxs_words() {
        assert_eq!(names("env_list = 'a'"), Err("env_list must be a list, got str".into()));
        assert_eq!(
            names("env_list = [{ env = ['a'] }]"),
            Err("'env' is reserved and cannot be used as a factor label".into())
        );
    }
}
