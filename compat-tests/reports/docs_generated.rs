//! Checks that the reference pages match the program's tables, which they are generated from.
//! `ENVO_WRITE_DOCS=1 cargo test --test compat docs` (or `just docs`) generates them again.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use envo::cli::arguments::CommandWord;
use envo::settings::keys::{self, CORE, DefaultValue, SettingKey};
use envo::settings::value::ValueKind;

use crate::support::project::Project;

/// Compares a page with what it should be, or writes it.
#[track_caller]
fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if env::var_os("ENVO_WRITE_DOCS").is_some() {
        fs::write(&path, expected).expect("docs can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/{name} is stale: run `ENVO_WRITE_DOCS=1 cargo test --test compat docs`");
}

/// What a value of the kind looks like in an INI file.
fn kind(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Text | ValueKind::OptionalText => "text",
        ValueKind::Plain => "text; in TOML also a number, a boolean or a list",
        ValueKind::Line => "one command",
        ValueKind::Boolean | ValueKind::OptionalBoolean => "true or false",
        ValueKind::Integer => "whole number",
        ValueKind::Float => "number",
        ValueKind::Path => "path",
        ValueKind::List | ValueKind::Set => "words, one a line or with commas",
        ValueKind::Environments => "environment names, with `{a,b}` and ranges",
        ValueKind::Labels => "`label = environments`, one a line",
        ValueKind::Command => "one command",
        ValueKind::Commands => "commands, one a line",
        ValueKind::Variables => "`NAME = value`, one a line; or `file|path`",
        ValueKind::Requirements => "lines of a requirements file",
        ValueKind::Constraints => "constraint files or URLs",
        ValueKind::RequirementList => "requirements, one a line",
        ValueKind::OptionalMapping => "keys and values",
    }
}

fn initial(key: &SettingKey) -> String {
    match (key.initial, key.kind) {
        (DefaultValue::Nothing, ValueKind::Boolean) => "`false`".to_owned(),
        (DefaultValue::Nothing, ValueKind::Integer) => "`0`".to_owned(),
        (DefaultValue::Nothing, _) => "–".to_owned(),
        (DefaultValue::True, _) => "`true`".to_owned(),
        (DefaultValue::Text(text), _) => format!("`{text}`"),
        (DefaultValue::Number(number), _) => format!("`{number:?}`"),
        (DefaultValue::Computed, _) => "depends on others".to_owned(),
        (DefaultValue::Constant, _) => "cannot be set".to_owned(),
    }
}

fn table<'a>(page: &mut String, title: &str, keys: impl Iterator<Item = &'a SettingKey>) {
    let _ = write!(page, "\n## {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for key in keys {
        let old: String = key.aliases.iter().map(|alias| format!(", `{alias}`")).collect();
        let meaning = key.doc.replace('|', "\\|");
        let _ = writeln!(page, "| `{}`{old} | {} | {} | {meaning} |", key.name, kind(key.kind), initial(key));
    }
}

#[test]
fn docs_of_the_settings_are_those_of_the_table() {
    let mut page = String::from(
        "# Settings\n\nThis page lists every key that envo reads, with older spellings after the current one. `just docs` \
         generates it from\n`src/settings/keys/`. [services.md](services.md) explains the keys of services in detail.\n",
    );
    let is_core = |key: &&SettingKey| CORE.contains(&key.name);
    let belongs_to =
        |key: &SettingKey, mut group: Box<dyn Iterator<Item = &SettingKey>>| group.any(|other| other.name == key.name);
    let is_special = |key: &&SettingKey| {
        belongs_to(key, Box::new(keys::of_services())) || belongs_to(key, Box::new(keys::of_runtimes()))
    };
    table(&mut page, "Project keys: `[tox]`", keys::all().filter(is_core));
    table(
        &mut page,
        "Environment keys: `[testenv]`, `[testenv:NAME]` and packaging environments",
        keys::all().filter(|key| !is_core(key) && !is_special(key)),
    );
    table(&mut page, "Service keys, in the same sections", keys::of_services());
    table(&mut page, "Language keys, in the same sections", keys::of_runtimes());
    check("settings.md", &page);
}

#[test]
fn docs_have_the_schema_of_all_keys() {
    check("envo.schema.json", &Project::new().run(["schema", "--all-keys"]).succeeds().stdout);
}

#[test]
fn docs_of_the_command_line_are_its_help() {
    let mut page = String::from(
        "# Command line\n\nThis page contains the help of every command, as `envo COMMAND --help` prints it. `just docs` generates \
         it.\n",
    );
    let project = Project::new();
    for command in CommandWord::all().map(CommandWord::name) {
        let help = project.run([command, "--help"]).succeeds().stdout;
        let _ = write!(page, "\n## envo {command}\n\n```text\n{}\n```\n", help.trim_end());
    }
    check("cli.md", &page);
}
