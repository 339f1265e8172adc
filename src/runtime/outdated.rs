//! Describes how tools list locked packages with newer versions, as plain values: the commands and the parsing of their
//! output. [`crate::builder`] carries them out.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::runtime::InstallStep;

/// The commands that list newer versions of the packages in one lock.
#[derive(Debug, Clone)]
pub struct OutdatedQuery {
    /// Commands to run in order; none of them changes a file.
    pub steps: Vec<InstallStep>,
    /// Parses the output of each step; the error is for users.
    pub read: fn(&[OutdatedOutput]) -> Result<Vec<NewerVersion>, String>,
}

/// The result of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutdatedOutput {
    pub code: i32,
    pub out: String,
    pub error: String,
}

/// A package with a newer version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewerVersion {
    pub name: String,
    /// The newest version that the project allows, if the tool reports it.
    pub compatible: Option<String>,
    /// The newest version.
    pub newest: Option<String>,
}

impl OutdatedOutput {
    /// The failure in the tool's own words.
    fn failure(&self) -> String {
        let words = if self.error.trim().is_empty() { &self.out } else { &self.error };
        format!("it ended with code {}: {}", self.code, words.trim())
    }
}

fn step(argv: &[&str], lock: &Path) -> InstallStep {
    let cause = lock.file_name().unwrap_or_default().to_string_lossy().into_owned();
    InstallStep {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        cwd: lock.parent().unwrap_or(Path::new(".")).to_owned(),
        variables: Vec::new(),
        cause,
        offline: None,
    }
}

/// <https://docs.npmjs.com/cli/v11/commands/npm-outdated>
pub fn npm(lock: &Path) -> OutdatedQuery {
    OutdatedQuery { steps: vec![step(&["npm", "outdated", "--json"], lock)], read: read_npm }
}

/// Runs twice: for all versions and for those the project allows. <https://pnpm.io/cli/outdated>
pub fn pnpm(lock: &Path) -> OutdatedQuery {
    let all = ["pnpm", "outdated", "--format", "json"];
    let steps = vec![step(&all, lock), step(&[&all[..], &["--compatible"]].concat(), lock)];
    OutdatedQuery { steps, read: read_pnpm }
}

/// Yarn 1; later versions have no such command. <https://classic.yarnpkg.com/lang/en/docs/cli/outdated/>
pub fn yarn(lock: &Path) -> OutdatedQuery {
    OutdatedQuery { steps: vec![step(&["yarn", "outdated", "--json", "--non-interactive"], lock)], read: read_yarn }
}

/// Runs twice: for all versions and for those the project allows. <https://bundler.io/man/bundle-outdated.1.html>
pub fn bundler(lock: &Path) -> OutdatedQuery {
    let gemfile = lock.with_file_name("Gemfile").display().to_string();
    let asked = |more: &[&str]| {
        let mut step = step(&[&["bundle", "outdated", "--parseable"], more].concat(), lock);
        let settings = [("BUNDLE_GEMFILE", gemfile.as_str()), ("BUNDLE_FROZEN", "false")];
        step.variables = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        step
    };
    OutdatedQuery { steps: vec![asked(&[]), asked(&["--strict"])], read: read_bundler }
}

/// <https://doc.rust-lang.org/cargo/commands/cargo-update.html>
pub fn cargo(lock: &Path) -> OutdatedQuery {
    let words = ["cargo", "update", "--dry-run", "--verbose", "--color", "never"];
    OutdatedQuery { steps: vec![step(&words, lock)], read: read_cargo }
}

/// A newer version of a module never requires another major one. <https://go.dev/ref/mod#go-list-m>
pub fn go(lock: &Path) -> OutdatedQuery {
    OutdatedQuery {
        steps: vec![step(&["go", "list", "-m", "-u", "-mod=readonly", "-json", "all"], lock)],
        read: read_go,
    }
}

fn read_npm(answers: &[OutdatedOutput]) -> Result<Vec<NewerVersion>, String> {
    let mut found = Vec::new();
    for answer in answers {
        for (name, one) in packages(answer)? {
            // A package that several parts of a workspace depend on is listed several times.
            let told = one.as_array().cloned().unwrap_or_else(|| vec![one.clone()]);
            found.extend(told.iter().map(|one| NewerVersion {
                name: name.clone(),
                compatible: text(one, "wanted"),
                newest: text(one, "latest"),
            }));
        }
    }
    found.dedup();
    Ok(found)
}

fn read_pnpm(answers: &[OutdatedOutput]) -> Result<Vec<NewerVersion>, String> {
    let [all, fitting] = answers else { return Err("the tool was not run twice".to_owned()) };
    let fitting: BTreeMap<String, Value> = packages(fitting)?.into_iter().collect();
    let newer = |(name, one): (String, Value)| {
        let compatible = fitting.get(&name).and_then(|one| text(one, "latest")).or_else(|| text(&one, "wanted"));
        NewerVersion { name, compatible, newest: text(&one, "latest") }
    };
    Ok(packages(all)?.into_iter().map(newer).collect())
}

/// The packages in a JSON object.
fn packages(answer: &OutdatedOutput) -> Result<Vec<(String, Value)>, String> {
    let told = if answer.out.trim().is_empty() && answer.code == 0 { "{}" } else { &answer.out };
    match serde_json::from_str(told) {
        Ok(Value::Object(packages)) if matches!(answer.code, 0 | 1) && !packages.contains_key("error") => {
            Ok(packages.into_iter().collect())
        }
        _ => Err(answer.failure()),
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn read_yarn(answers: &[OutdatedOutput]) -> Result<Vec<NewerVersion>, String> {
    let mut found = Vec::new();
    for answer in answers {
        let mut has_table = false;
        for line in answer.out.lines() {
            let told: Value = serde_json::from_str(line).map_err(|_| answer.failure())?;
            if told["type"] != "table" {
                continue;
            }
            has_table = true;
            let head: Vec<&str> =
                told["data"]["head"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let location = |name: &str| head.iter().position(|column| *column == name).ok_or_else(|| answer.failure());
            let [name, compatible, newest] = [location("Package")?, location("Wanted")?, location("Latest")?];
            for row in told["data"]["body"].as_array().into_iter().flatten() {
                let cell = |at: usize| row[at].as_str().map(str::to_owned);
                let name = cell(name).ok_or_else(|| answer.failure())?;
                found.push(NewerVersion { name, compatible: cell(compatible), newest: cell(newest) });
            }
        }
        if answer.code != 0 && !has_table {
            return Err(answer.failure());
        }
    }
    Ok(found)
}

fn read_bundler(answers: &[OutdatedOutput]) -> Result<Vec<NewerVersion>, String> {
    let [all, fitting] = answers else { return Err("the tool was not run twice".to_owned()) };
    let fitting: BTreeMap<String, String> = gems(fitting)?.into_iter().collect();
    let newer = |(name, newest)| NewerVersion { compatible: fitting.get(&name).cloned(), name, newest: Some(newest) };
    Ok(gems(all)?.into_iter().map(newer).collect())
}

/// Parses lines such as `leaf (newest 1.1.0, installed 1.0.0, requested ~> 1.0)`.
fn gems(answer: &OutdatedOutput) -> Result<Vec<(String, String)>, String> {
    let gem = |line: &str| {
        let (name, rest) = line.split_once(" (newest ")?;
        Some((name.trim_start_matches("* ").to_owned(), rest.split([',', ' ', ')']).next()?.to_owned()))
    };
    let found: Vec<_> = answer.out.lines().filter_map(gem).collect();
    if answer.code == 0 || (answer.code == 1 && !found.is_empty()) { Ok(found) } else { Err(answer.failure()) }
}

/// Parses lines such as `Updating leaf v1.0.0 -> v1.1.0 (available: v2.0.0)` and `Unchanged leaf v1.0.0 (available:
/// v2.0.0)`.
fn read_cargo(answers: &[OutdatedOutput]) -> Result<Vec<NewerVersion>, String> {
    let mut found = Vec::new();
    for answer in answers {
        if answer.code != 0 {
            return Err(answer.failure());
        }
        for line in answer.error.lines() {
            let mut words = line.split_whitespace();
            let (Some("Updating" | "Unchanged"), Some(name), Some(version)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let Some(version) = version.strip_prefix('v') else { continue };
            let after = |mark: &str| {
                let rest = line.split_once(mark)?.1.trim_start().strip_prefix('v')?;
                rest.split([' ', ',', ')']).next().map(str::to_owned)
            };
            let compatible = after("->").unwrap_or_else(|| version.to_owned());
            let newest = after("(available:").or_else(|| after("(latest:")).unwrap_or_else(|| compatible.clone());
            found.push(NewerVersion { name: name.to_owned(), compatible: Some(compatible), newest: Some(newest) });
        }
    }
    Ok(found)
}

fn read_go(answers: &[OutdatedOutput]) -> Result<Vec<NewerVersion>, String> {
    let mut found = Vec::new();
    for answer in answers {
        if answer.code != 0 {
            return Err(answer.failure());
        }
        for module in serde_json::Deserializer::from_str(&answer.out).into_iter::<Value>() {
            let module = module.map_err(|_| answer.failure())?;
            if let (Some(name), Some(newest)) = (text(&module, "Path"), text(&module["Update"], "Version")) {
                found.push(NewerVersion { name, compatible: Some(newest.clone()), newest: Some(newest) });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: i32, out: &str, error: &str) -> OutdatedOutput {
        OutdatedOutput { code, out: out.to_owned(), error: error.to_owned() }
    }

    fn reported(
        read: fn(&[OutdatedOutput]) -> Result<Vec<NewerVersion>, String>,
        answers: &[OutdatedOutput],
    ) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let line =
            |newer: NewerVersion| format!("{} {} {}", newer.name, or_dash(newer.compatible), or_dash(newer.newest));
        read(answers).expect("it can be read").into_iter().map(line).collect()
    }

    #[test]
    fn every_tool_is_understood() {
        let npm = r#"{"debug": {"wanted": "2.6.9", "latest": "4.4.3"}, "b": [{"wanted": "1", "latest": "1"}]}"#;
        assert_eq!(reported(read_npm, &[answer(1, npm, "")]), ["debug 2.6.9 4.4.3", "b 1 1"]);
        assert_eq!(reported(read_npm, &[answer(0, "\n", "")]), [] as [String; 0]);
        let all = r#"{"debug": {"current": "2.6.0", "latest": "4.4.3", "wanted": "2.6.0"}}"#;
        let pnpm = [answer(1, all, ""), answer(1, r#"{"debug": {"latest": "2.6.9"}}"#, "")];
        assert_eq!(reported(read_pnpm, &pnpm), ["debug 2.6.9 4.4.3"]);
        let yarn = "{\"type\":\"info\",\"data\":\"x\"}\n{\"type\":\"table\",\"data\":{\"head\":[\"Package\",\"Current\",\"Wanted\",\
                    \"Latest\"],\"body\":[[\"debug\",\"2.6.0\",\"2.6.9\",\"4.4.3\"]]}}\n";
        assert_eq!(reported(read_yarn, &[answer(1, yarn, "")]), ["debug 2.6.9 4.4.3"]);
        let all = "\nleaf (newest 2.0.0, installed 1.0.0, requested ~> 1.0)\nmore (newest 1.1, installed 1.0)\n";
        let bundler = [answer(1, all, ""), answer(1, "leaf (newest 1.1.0, installed 1.0.0)\n", "")];
        assert_eq!(reported(read_bundler, &bundler), ["leaf 1.1.0 2.0.0", "more - 1.1"]);
        let cargo = "    Updating crates.io index\n     Locking 1 package\n    Updating log v0.4.17 -> v0.4.35\n    Updating a \
                     v1.0.0 -> v1.1.0 (available: v2.0.0, requires Rust 1.99)\n   Unchanged bitflags v1.3.2 (available: v2.13.2)\n";
        assert_eq!(
            reported(read_cargo, &[answer(0, "", cargo)]),
            ["log 0.4.35 0.4.35", "a 1.1.0 2.0.0", "bitflags 1.3.2 2.13.2"]
        );
        let go = "{\"Path\": \"m\", \"Main\": true}\n{\"Path\": \"x\", \"Version\": \"v1.0.0\", \"Update\": {\"Version\": \"v1.1.0\"}}\n";
        assert_eq!(reported(read_go, &[answer(0, go, "")]), ["x v1.1.0 v1.1.0"]);
    }

    #[test]
    fn a_tool_that_fails_is_no_tool_that_says_nothing() {
        let failed = answer(1, "", "no network");
        let twice = [failed.clone(), failed.clone()];
        for read in [read_npm, read_yarn, read_cargo, read_go] {
            assert_eq!(read(&twice[..1]), Err("it ended with code 1: no network".to_owned()));
        }
        for read in [read_pnpm, read_bundler] {
            assert_eq!(read(&twice), Err("it ended with code 1: no network".to_owned()));
            assert!(read(&[]).is_err());
        }
        assert!(read_npm(&[answer(1, r#"{"error": {"code": "E404"}}"#, "")]).is_err());
        assert!(read_npm(&[answer(0, "[]", "")]).is_err());
        assert!(read_yarn(&[answer(0, "text", "")]).is_err());
        assert!(read_go(&[answer(0, "{", "")]).is_err());
    }
}
