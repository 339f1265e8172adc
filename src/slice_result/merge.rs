//! Puts the results of slices together, so that the whole cannot be told from the result of one run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{KEY, SliceResult, VERSION};
use crate::error::ConfigError;
use crate::event::{EnvironmentResult, JunitPart};

/// A result file that was read.
#[derive(Debug)]
pub struct ResultFile {
    /// Its path as typed, for messages.
    pub name: String,
    content: Map<String, Value>,
    /// `None`: not the result of a slice.
    slice: Option<SliceResult>,
}

/// The results of all files.
#[derive(Debug, PartialEq)]
pub struct MergedResult {
    /// What one run would have written.
    pub content: Value,
    /// In the order of the selection.
    pub results: Vec<EnvironmentResult>,
    pub fail_fast: bool,
    /// The JUnit reports, if the files have them.
    pub suites: Vec<JunitPart>,
}

impl ResultFile {
    /// Reads the content of a file.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::handled(format!("`{name}` is not a complete result: {reason}"));
        let content: Value = serde_json::from_slice(bytes).map_err(|error| {
            refused(error.to_string()).hint("a run that was interrupted may have left it, or its upload was cut short")
        })?;
        let Value::Object(mut content) = content else { return Err(refused("it is not an object".to_owned())) };
        if !content.contains_key("reportversion") {
            return Err(
                refused("`reportversion` is missing".to_owned()).hint("`envo run --result-json` writes results")
            );
        }
        let slice = match content.remove(KEY) {
            None => None,
            Some(part) if part["version"] != VERSION => {
                let text = format!("`{name}` was written by another version of envo");
                return Err(ConfigError::handled(text).hint("run all slices and `merge` with the same version"));
            }
            Some(part) => Some(serde_json::from_value(part).map_err(|error| refused(format!("`{KEY}`: {error}")))?),
        };
        Ok(Self { name: name.to_owned(), content, slice })
    }

    fn environments(&self) -> impl Iterator<Item = (&String, &Map<String, Value>)> {
        let parts = self.content.get("testenvs").and_then(Value::as_object).into_iter().flatten();
        parts.filter_map(|(name, part)| Some((name, part.as_object()?)))
    }

    /// The environments that ran, with their results.
    fn results(&self) -> Vec<EnvironmentResult> {
        match &self.slice {
            Some(slice) => slice.results.clone(),
            None => self.environments().filter_map(|(name, part)| plain_result(name, part.get("result")?)).collect(),
        }
    }
}

/// The result in a file that knows nothing of slices.
fn plain_result(name: &str, result: &Value) -> Option<EnvironmentResult> {
    Some(EnvironmentResult {
        name: name.to_owned(),
        skipped: result.get("skipped").and_then(Value::as_bool).unwrap_or(false),
        code: i32::try_from(result.get("exit_code")?.as_i64()?).ok()?,
        duration_seconds: result.get("duration").and_then(Value::as_f64).unwrap_or(0.0),
        ..EnvironmentResult::default()
    })
}

/// Puts the files together. `expected`: environments that must have a result.
///
/// # Errors
/// Everything that is missing, is there twice or does not belong together, by name.
pub fn merge(files: &[ResultFile], expected: &[String]) -> Result<MergedResult, ConfigError> {
    let mut wrong = Vec::new();
    let slices: Vec<(&ResultFile, &SliceResult)> =
        files.iter().filter_map(|file| Some((file, file.slice.as_ref()?))).collect();
    if let Some(whole) = files.iter().find(|file| file.slice.is_none())
        && let Some((slice, _)) = slices.first()
    {
        wrong.push(format!("`{}` is not the result of a slice, but `{}` is", whole.name, slice.name));
    } else {
        check_configurations(&slices, &mut wrong);
        // Jobs may have divided different environments; each division must be complete.
        let mut divisions: Vec<&[String]> = Vec::new();
        for (_, slice) in &slices {
            if !divisions.contains(&slice.selected.as_slice()) {
                divisions.push(&slice.selected);
            }
        }
        for selected in divisions {
            let of_division: Vec<_> = slices.iter().copied().filter(|(_, slice)| slice.selected == selected).collect();
            check_slices(&of_division, &mut wrong);
        }
    }
    let mut owners: BTreeMap<String, &ResultFile> = BTreeMap::new();
    let mut results: BTreeMap<String, EnvironmentResult> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for name in expected.iter().chain(slices.iter().flat_map(|(_, slice)| &slice.selected)) {
        if !order.contains(name) {
            order.push(name.clone());
        }
    }
    for file in files {
        for result in file.results() {
            if let Some(other) = owners.insert(result.name.clone(), file) {
                wrong.push(format!("`{}` has a result in `{}` and in `{}`", result.name, other.name, file.name));
            }
            if !order.contains(&result.name) {
                order.push(result.name.clone());
            }
            results.insert(result.name.clone(), result);
        }
    }
    let needed: BTreeSet<&String> = order.iter().chain(expected).collect();
    // One sentence for a slice that is missing is enough.
    if wrong.is_empty() {
        let missing = needed.into_iter().filter(|name| !results.contains_key(*name));
        wrong.extend(missing.map(|name| format!("`{name}` has no result")));
    }
    if let Some(error) = ConfigError::of_several(wrong.into_iter().map(ConfigError::handled).collect()) {
        return Err(error);
    }
    let mut suites: Vec<JunitPart> = slices.iter().flat_map(|(_, slice)| slice.suites.clone()).collect();
    let position = |name: &String| order.iter().position(|one| one == name).unwrap_or(usize::MAX);
    suites.sort_by_key(|suite| position(&suite.environment));
    let mut named = BTreeSet::new();
    // Every slice that builds a package reports about it.
    suites.retain(|suite| named.insert(suite.environment.clone()));
    Ok(MergedResult {
        content: content(files, &owners),
        results: order.iter().filter_map(|name| results.remove(name)).collect(),
        fail_fast: slices.iter().any(|(_, slice)| slice.fail_fast || slice.results.iter().any(|one| one.fail_fast)),
        suites,
    })
}

fn check_configurations(slices: &[(&ResultFile, &SliceResult)], wrong: &mut Vec<String>) {
    let Some((first_file, first)) = slices.first() else { return };
    let others = slices.iter().filter(|(_, slice)| slice.configuration != first.configuration);
    wrong.extend(
        others.map(|(file, _)| {
            format!("`{}` and `{}` are results of different configurations", first_file.name, file.name)
        }),
    );
}

/// Checks that each slice of one division is there once.
fn check_slices(slices: &[(&ResultFile, &SliceResult)], wrong: &mut Vec<String>) {
    let Some((first_file, first)) = slices.first() else { return };
    let shards: Vec<_> = slices.iter().filter_map(|(file, slice)| Some((file, slice.shard?))).collect();
    let total = shards.first().map_or(0, |(_, shard)| shard.total);
    for (file, slice) in slices {
        if let Some(shard) = slice.shard.filter(|shard| shard.total != total) {
            wrong.push(format!(
                "`{}` is one of {} slices, `{}` one of {total}",
                file.name, shard.total, first_file.name
            ));
        }
        let unfinished = slice.names.iter().filter(|name| slice.results.iter().all(|result| result.name != **name));
        wrong.extend(unfinished.map(|name| format!("`{name}` has no result in `{}`", file.name)));
    }
    let mut seen: BTreeMap<usize, &str> = BTreeMap::new();
    for (file, shard) in &shards {
        if let Some(other) = seen.insert(shard.index, &file.name) {
            wrong.push(format!("slice {}/{total} is there twice: `{other}` and `{}`", shard.index, file.name));
        }
    }
    if wrong.is_empty() {
        let missing = (1..=total).filter(|index| !seen.contains_key(index));
        wrong.extend(missing.map(|index| format!("slice {index}/{total} is missing")));
        let has_rest = slices.iter().any(|(_, slice)| slice.shard.is_none());
        if total == 0 {
            wrong.push(format!("`{}` is the result of what runs after the slices, which are missing", first_file.name));
        } else if !first.after.is_empty() && !has_rest {
            let names = first.after.join(", ");
            wrong.push(format!("the result of `envo run --after-shards` is missing: {names}"));
        }
    }
}

/// The content of the first file with the environments of all.
fn content(files: &[ResultFile], owners: &BTreeMap<String, &ResultFile>) -> Value {
    let Some(first) = files.first() else { return Value::Object(Map::new()) };
    let mut content = first.content.clone();
    let mut environments: Map<String, Value> = Map::new();
    for file in files {
        for (name, part) in file.environments() {
            let is_owner = owners.get(name).is_some_and(|owner| std::ptr::eq(*owner, file));
            // Environments that build packages have no owner: every slice may have built them.
            let is_better = |known: &Value| known.as_object().map_or(0, Map::len) < part.len();
            let has_owner = owners.contains_key(name);
            if is_owner || environments.get(name).is_none_or(|known| !has_owner && is_better(known)) {
                environments.insert(name.clone(), Value::Object(part.clone()));
            }
        }
    }
    if !environments.is_empty() {
        content.insert("testenvs".to_owned(), Value::Object(environments));
    }
    Value::Object(content)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::options::Shard;

    fn slice(shard: Option<(usize, usize)>, names: &[&str]) -> SliceResult {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let result = |name: &&str| EnvironmentResult { name: (*name).to_owned(), ..EnvironmentResult::default() };
        SliceResult {
            version: VERSION,
            shard: shard.map(|(index, total)| Shard { index, total }),
            configuration: "1".to_owned(),
            selected: owned(&["a", "b", "c"]),
            after: owned(&["c"]),
            names: owned(names),
            fail_fast: false,
            results: names.iter().map(result).collect(),
            suites: Vec::new(),
        }
    }

    fn file(name: &str, slice: &SliceResult) -> ResultFile {
        let ran: Map<String, Value> = ["a", "b", "c", ".pkg"]
            .iter()
            .map(|name| {
                (
                    (*name).to_owned(),
                    if slice.names.iter().any(|one| one == name) { json!({"test": 1}) } else { json!({}) },
                )
            })
            .collect();
        let content = json!({"reportversion": "1", "testenvs": ran, "envo": slice});
        ResultFile::parse(name, content.to_string().as_bytes()).expect("it is a result")
    }

    fn reasons(files: &[ResultFile]) -> String {
        match merge(files, &[]) {
            Ok(_) => String::new(),
            Err(error) => std::iter::once(&error)
                .chain(&error.further)
                .map(|one| one.message.clone())
                .collect::<Vec<_>>()
                .join("; "),
        }
    }

    #[test]
    fn slices_in_any_order_are_one_result_in_the_order_of_the_selection() {
        let (one, two) = (slice(Some((1, 2)), &["a"]), slice(Some((2, 2)), &["b"]));
        let after = slice(None, &["c"]);
        let merged = merge(&[file("2", &two), file("after", &after), file("1", &one)], &[]).expect("it is complete");
        assert_eq!(merged.results.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        let expected = json!({"a": {"test": 1}, "b": {"test": 1}, "c": {"test": 1}, ".pkg": {}});
        assert_eq!(merged.content["testenvs"], expected);
        assert!(merged.content.get("envo").is_none());
    }

    #[test]
    fn what_is_missing_or_doubled_is_named() {
        let (one, two, after) = (slice(Some((1, 2)), &["a"]), slice(Some((2, 2)), &["b"]), slice(None, &["c"]));
        let files =
            |parts: &[(&str, &SliceResult)]| parts.iter().map(|(name, part)| file(name, part)).collect::<Vec<_>>();
        assert_eq!(reasons(&files(&[("1", &one), ("after", &after)])), "slice 2/2 is missing");
        let without_after = reasons(&files(&[("1", &one), ("2", &two)]));
        assert_eq!(without_after, "the result of `envo run --after-shards` is missing: c");
        let twice = reasons(&files(&[("1", &one), ("x", &one), ("2", &two), ("after", &after)]));
        assert_eq!(twice, "slice 1/2 is there twice: `1` and `x`; `a` has a result in `1` and in `x`");
        let other = SliceResult { configuration: "2".to_owned(), ..two.clone() };
        let mixed = reasons(&files(&[("1", &one), ("2", &other), ("after", &after)]));
        assert_eq!(mixed, "`1` and `2` are results of different configurations");
        let third = SliceResult { shard: Some(Shard { index: 3, total: 3 }), ..two.clone() };
        assert!(reasons(&files(&[("1", &one), ("3", &third)])).contains("one of 3 slices"));
        let unfinished = SliceResult { results: Vec::new(), ..two };
        assert_eq!(reasons(&files(&[("1", &one), ("2", &unfinished), ("after", &after)])), "`b` has no result in `2`");
    }

    #[test]
    fn results_without_slices_are_merged_by_their_environments() {
        let plain = |name: &str, environment: &str, code: i32| {
            let result =
                json!({"result": {"success": code == 0, "exit_code": code, "duration": 1.5, "skipped": false}});
            let content = json!({"reportversion": "1", "testenvs": {environment: result}});
            ResultFile::parse(name, content.to_string().as_bytes()).expect("it is a result")
        };
        let merged = merge(&[plain("1", "b", 0), plain("2", "a", 3)], &["a".to_owned()]).expect("it is complete");
        let codes: Vec<(&str, i32)> = merged.results.iter().map(|one| (one.name.as_str(), one.code)).collect();
        // What is expected comes first.
        assert_eq!(codes, [("a", 3), ("b", 0)]);
        assert!(merge(&[plain("1", "a", 0), plain("2", "a", 0)], &[]).is_err());
        let missing = merge(&[plain("1", "a", 0)], &["z".to_owned()]).expect_err("z is missing");
        assert_eq!(missing.message, "`z` has no result");
        assert!(
            reasons(&[plain("1", "a", 0), file("2", &slice(Some((1, 1)), &["b"]))])
                .contains("not the result of a slice")
        );
    }

    #[test]
    fn files_that_are_no_results_are_refused() {
        for text in
            ["", "{\"reportversion\": \"1\", \"testenvs\": {", "[]", "{}", "{\"reportversion\": \"1\", \"envo\": {}}"]
        {
            assert!(ResultFile::parse("x.json", text.as_bytes()).is_err(), "{text}");
        }
    }
}
