//! The reference pages are written from the tables of the program and fail here when they are stale.
//! `ENVO_WRITE_DOCS=1 cargo test --test compat docs` (or `just docs`) writes them anew.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use envo::cli::arguments::CommandWord;
use envo::settings::keys::{self, CORE, Initial, Key};
use envo::settings::value::Kind;

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
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::OptionalText => "text",
        Kind::Plain => "text; in TOML also a number, a boolean or a list",
        Kind::Line => "one command",
        Kind::Boolean | Kind::OptionalBoolean => "true or false",
        Kind::Integer => "whole number",
        Kind::Float => "number",
        Kind::Path => "path",
        Kind::List | Kind::Set => "words, one a line or with commas",
        Kind::Environments => "environment names, with `{a,b}` and ranges",
        Kind::Labels => "`label = environments`, one a line",
        Kind::Command => "one command",
        Kind::Commands => "commands, one a line",
        Kind::Variables => "`NAME = value`, one a line; or `file|path`",
        Kind::Requirements => "lines of a requirements file",
        Kind::Constraints => "constraint files or URLs",
        Kind::RequirementList => "requirements, one a line",
        Kind::OptionalMapping => "keys and values",
    }
}

fn initial(key: &Key) -> String {
    match (key.initial, key.kind) {
        (Initial::Nothing, Kind::Boolean) => "`false`".to_owned(),
        (Initial::Nothing, Kind::Integer) => "`0`".to_owned(),
        (Initial::Nothing, _) => "–".to_owned(),
        (Initial::True, _) => "`true`".to_owned(),
        (Initial::Text(text), _) => format!("`{text}`"),
        (Initial::Number(number), _) => format!("`{number:?}`"),
        (Initial::Computed, _) => "depends on others".to_owned(),
        (Initial::Constant, _) => "cannot be set".to_owned(),
    }
}

fn table<'a>(page: &mut String, title: &str, keys: impl Iterator<Item = &'a Key>) {
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
        "# Settings\n\nEvery key envo reads, with older spellings after the current one. This page is written from \
         `src/settings/keys/`\nby `just docs`. [services.md](services.md) explains the keys of services at length.\n",
    );
    let is_core = |key: &&Key| CORE.contains(&key.name);
    let belongs_to = |key: &Key, mut group: Box<dyn Iterator<Item = &Key>>| group.any(|other| other.name == key.name);
    let is_special =
        |key: &&Key| belongs_to(key, Box::new(keys::of_services())) || belongs_to(key, Box::new(keys::of_runtimes()));
    table(&mut page, "Of the project: `[tox]`", keys::all().filter(is_core));
    table(
        &mut page,
        "Of environments: `[testenv]`, `[testenv:NAME]` and packaging environments",
        keys::all().filter(|key| !is_core(key) && !is_special(key)),
    );
    table(&mut page, "Of services, in the same sections", keys::of_services());
    table(&mut page, "Of languages, in the same sections", keys::of_runtimes());
    check("settings.md", &page);
}

#[test]
fn docs_of_the_command_line_are_its_help() {
    let mut page = String::from(
        "# Command line\n\nThe help of every command, as `envo COMMAND --help` shows it. This page is written from it by \
         `just docs`.\n",
    );
    let project = Project::new();
    for command in CommandWord::all().map(CommandWord::name) {
        let help = project.run([command, "--help"]).succeeds().stdout;
        let _ = write!(page, "\n## envo {command}\n\n```text\n{}\n```\n", help.trim_end());
    }
    check("cli.md", &page);
}
