//! `envo config`: shows the resolved settings of the selected environments.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value as Json};

use crate::cli::options::{ConfigFormat, EnvironmentChoice, Options};
use crate::commands::open_plan;
use crate::commands::{ProgressDisplay, ROOT};
use crate::error::ConfigError;
use crate::exit_code;
use crate::model::Runner;
use crate::plan::Plan;
use crate::report::config_format;
use crate::report::plain;
use crate::settings::config_set::ConfigSet;
use crate::settings::keys;
use crate::settings::own_keys;
use crate::settings::value::SettingValue;

/// Shows the settings, in INI notation, JSON or TOML.
pub fn execute(options: &Options) -> Result<i32> {
    if options.config.check {
        return crate::commands::config_check::execute(options);
    }
    let plan = open_plan(options)?;
    let (sections, after) = sections(&plan, options)?;
    crate::commands::report_warnings(&plan, options);
    let failed = sections.iter().any(|section| section.failed());
    let colored = options.output.colored && options.config.output_file.is_none();
    // Colours that were asked for go to a terminal only; names of JSON lose their quotes all the same, as with tox.
    let plain =
        |text: String| if options.process.stdout_is_terminal { text } else { config_format::without_color(&text) };
    let mut pieces = match options.config.format {
        ConfigFormat::Ini => ini(&sections, colored && options.process.stdout_is_terminal),
        ConfigFormat::Json => {
            let text = config_format::json(&structured(&sections));
            data(&sections, if colored { plain(config_format::color_json(&text)) } else { text })
        }
        ConfigFormat::Toml => {
            let text = config_format::toml(&structured(&sections));
            data(&sections, if colored { plain(config_format::color_toml(&text)) } else { text })
        }
    };
    // Data comes when everything has been looked at.
    let end = if options.config.format == ConfigFormat::Ini { pieces.len() } else { pieces.len() - 1 };
    pieces.splice(end..end, after.into_iter().map(ConfigPiece::Warning));
    show(&pieces, options)?;
    // The process ends now; freeing a large configuration first would only take time.
    std::mem::forget(plan);
    Ok(if failed { exit_code::CONFIG_EXCEPTION } else { exit_code::OK })
}

/// What is printed, and what is said between.
enum ConfigPiece {
    Text(String),
    Warning(String),
}

fn show(pieces: &[ConfigPiece], options: &Options) -> Result<()> {
    let reporter = crate::commands::reporter(options, ProgressDisplay::Plain);
    let mut written = String::new();
    for piece in pieces {
        match piece {
            ConfigPiece::Warning(text) => reporter.warning(ROOT, text.clone()),
            ConfigPiece::Text(text) if options.config.output_file.is_some() => written.push_str(text),
            ConfigPiece::Text(text) => plain::out(text),
        }
    }
    let Some(path) = &options.config.output_file else { return Ok(()) };
    let path = options.process.current_dir.join(path);
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::write(&path, written).context("the settings could not be written")
}

/// The settings of one environment or of the project.
struct ConfigSection {
    /// What is said of environments that stood before it and are left out.
    before: Vec<String>,
    /// `testenv:py310`, or `tox`.
    title: String,
    /// The environment, when it is one.
    environment: Option<String>,
    type_name: Option<&'static str>,
    rows: ConfigRows,
    unused: Vec<String>,
}

/// A resolved setting, or the error.
struct ResolvedSetting {
    key: &'static str,
    found: Result<ConfigRow, ConfigError>,
    /// What was noticed on the way.
    warnings: Vec<String>,
}

struct ConfigRow {
    value: SettingValue,
    shown: crate::settings::value::IniValue,
}

impl ConfigSection {
    fn failed(&self) -> bool {
        self.rows.iter().any(|setting| setting.found.is_err())
    }
}

/// The sections, and what is said after them.
fn sections(plan: &Plan, options: &Options) -> Result<(Vec<ConfigSection>, Vec<String>)> {
    let wanted = &options.config.keys;
    let mut sections = Vec::new();
    let mut before = Vec::new();
    let environments = plan.config_environments()?;
    crate::commands::report_warnings(plan, options);
    for (entry, left_out) in environments {
        if let Some(text) = left_out {
            before.push(text);
            continue;
        }
        let set = plan.settings.environment_of_kind(&entry.name, entry.kind);
        let type_name = if wanted.is_empty() { plan.settings.runner(&set)?.map(Runner::type_name) } else { None };
        sections.push(ConfigSection {
            before: std::mem::take(&mut before),
            title: format!("testenv:{}", entry.name),
            environment: Some(entry.name),
            type_name,
            rows: rows(plan, &set, wanted)?,
            unused: if wanted.is_empty() { plan.settings.unused_keys(&set)? } else { Vec::new() },
        });
    }
    let everything = options.selection.environments == EnvironmentChoice::All;
    if everything || options.config.show_core {
        let set = plan.settings.core();
        sections.push(ConfigSection {
            before: std::mem::take(&mut before),
            title: "tox".to_owned(),
            environment: None,
            type_name: None,
            rows: core_rows(plan, set, wanted)?,
            unused: if wanted.is_empty() {
                plan.settings.unused_keys_but(set, &plan.unread_keys())?
            } else {
                Vec::new()
            },
        });
    }
    Ok((sections, before))
}

type ConfigRows = Vec<ResolvedSetting>;

fn rows(plan: &Plan, set: &ConfigSet, wanted: &[String]) -> Result<ConfigRows> {
    let mut defined = plan.settings.defined_keys(set)?;
    defined.extend(own_keys(&plan.settings, set)?);
    Ok(chosen(&defined, wanted).into_iter().map(|key| setting(plan, set, key)).collect())
}

fn core_rows(plan: &Plan, set: &ConfigSet, wanted: &[String]) -> Result<ConfigRows> {
    let mut defined = plan.settings.defined_keys(set)?;
    let unread = plan.unread_keys();
    defined.retain(|key| !unread.contains(key));
    Ok(chosen(&defined, wanted).into_iter().map(|key| setting(plan, set, key)).collect())
}

/// The requested keys that exist, by their current names; all if none were requested.
fn chosen(defined: &[&'static str], wanted: &[String]) -> Vec<&'static str> {
    if wanted.is_empty() {
        return defined.to_vec();
    }
    let names = wanted.iter().filter_map(|name| keys::find(name)).map(|key| key.name);
    names.filter(|name| defined.contains(name)).collect()
}

fn setting(plan: &Plan, set: &ConfigSet, key: &'static str) -> ResolvedSetting {
    let found = row(plan, set, key);
    ResolvedSetting { key, found, warnings: plan.settings.take_warnings() }
}

fn row(plan: &Plan, set: &ConfigSet, key: &'static str) -> Result<ConfigRow, ConfigError> {
    let value = plan.settings.value(set, key)?;
    let shown = plan.settings.shown(set, key, &value)?;
    let value = if matches!(value, SettingValue::Requirements(_)) {
        SettingValue::Requirements(shown.text.clone())
    } else {
        value
    };
    Ok(ConfigRow { value, shown })
}

/// Data with everything that was noticed before it.
fn data(sections: &[ConfigSection], text: String) -> Vec<ConfigPiece> {
    let of_section = |section: &ConfigSection| {
        let of_rows = section.rows.iter().flat_map(|setting| &setting.warnings);
        section.before.iter().chain(of_rows).cloned().collect::<Vec<_>>()
    };
    let warnings = sections.iter().flat_map(of_section);
    warnings.map(ConfigPiece::Warning).chain([ConfigPiece::Text(format!("{text}\n"))]).collect()
}

fn ini(sections: &[ConfigSection], colored: bool) -> Vec<ConfigPiece> {
    let paint = |text: &str, color: config_format::IniColor| config_format::paint(text, color, colored);
    let mut pieces = Vec::new();
    let mut text = String::new();
    for (at, section) in sections.iter().enumerate() {
        if !section.before.is_empty() {
            pieces.push(ConfigPiece::Text(std::mem::take(&mut text)));
            pieces.extend(section.before.iter().cloned().map(ConfigPiece::Warning));
        }
        // The project's own settings stand apart even from nothing.
        if section.title == "tox" || at > 0 {
            text.push('\n');
        }
        let _ = writeln!(text, "{}", paint(&format!("[{}]", section.title), config_format::IniColor::Yellow));
        if let Some(name) = section.type_name {
            let _ = writeln!(text, "{} = {name}", paint("type", config_format::IniColor::Green));
        }
        for setting in &section.rows {
            if !setting.warnings.is_empty() {
                pieces.push(ConfigPiece::Text(std::mem::take(&mut text)));
                pieces.extend(setting.warnings.iter().cloned().map(ConfigPiece::Warning));
            }
            let name = paint(setting.key, config_format::IniColor::Green);
            match &setting.found {
                Ok(row) if row.shown.is_list && row.shown.text.contains('\n') => {
                    let _ = writeln!(text, "{name} =\n{}", config_format::indent(&row.shown.text));
                }
                Ok(row) => {
                    let _ = writeln!(text, "{name} = {}", row.shown.text);
                }
                Err(error) => {
                    let error =
                        paint(&format!("# Exception: {}", error.python_repr()), config_format::IniColor::LightRed);
                    let _ = writeln!(text, "{name} = {error}");
                }
            }
        }
        if !section.unused.is_empty() {
            let unused = format!("# !!! unused: {}", section.unused.join(", "));
            let _ = writeln!(text, "{}", paint(&unused, config_format::IniColor::Cyan));
        }
    }
    pieces.push(ConfigPiece::Text(text));
    pieces
}

/// `{"env": {NAME: {…}}, "tox": {…}}`, as tox has it.
fn structured(sections: &[ConfigSection]) -> Json {
    let mut environments = Map::new();
    let mut result = Map::new();
    let mut core = None;
    for section in sections {
        let mut data = Map::new();
        if let Some(name) = section.type_name {
            data.insert("type".to_owned(), Json::from(name));
        }
        for setting in &section.rows {
            let value = match &setting.found {
                Ok(row) => row.value.json(),
                Err(error) => Json::Object(Map::from_iter([("error".to_owned(), Json::from(error.python_repr()))])),
            };
            data.insert(setting.key.to_owned(), value);
        }
        if !section.unused.is_empty() {
            data.insert("unused".to_owned(), Json::from(section.unused.clone()));
        }
        match &section.environment {
            Some(name) => {
                environments.insert(name.clone(), Json::Object(data));
            }
            None => core = Some(Json::Object(data)),
        }
    }
    result.insert("env".to_owned(), Json::Object(environments));
    if let Some(core) = core {
        result.insert("tox".to_owned(), core);
    }
    Json::Object(result)
}
