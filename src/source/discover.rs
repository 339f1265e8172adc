//! Finds the configuration as tox does: `-c` names a file or a folder, else every parent folder is searched.
//! <https://tox.wiki/en/4.67.15/reference/config.html#discovery-and-file-types>

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::document::IniDocument;
use super::{ConfigDocument, ConfigFormatKind, ConfigSource, TomlDocument, TomlTree, TomlValue, ini};
use crate::bounded;
use crate::error::{ConfigError, ErrorClass, Location};

/// A configuration, with warnings about how it was found.
#[derive(Debug)]
pub struct Discovery {
    pub source: ConfigSource,
    /// A warning if nothing was found and an empty `tox.ini` is assumed.
    pub warning: Option<String>,
}

/// Finds and reads the configuration.
///
/// # Errors
/// When the named file does not exist or cannot be understood; tox's words.
pub fn discover(config: Option<&Path>, root: Option<&Path>, current_dir: &Path) -> Result<Discovery, ConfigError> {
    match config {
        None => match locate(current_dir)? {
            Some(source) => Ok(Discovery { source, warning: None }),
            None => Ok(assume_empty(root, current_dir)),
        },
        Some(typed) => {
            let typed = &as_python_shows(typed);
            let path = current_dir.join(typed);
            let source = if path.is_dir() { in_folder(&path, typed)? } else { exactly(&path, typed)? };
            Ok(Discovery { source, warning: None })
        }
    }
}

/// A path as Python's `pathlib` writes it: without redundant parts.
fn as_python_shows(path: &Path) -> PathBuf {
    let parts: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    if parts.as_os_str().is_empty() { PathBuf::from(".") } else { parts }
}

fn locate(current_dir: &Path) -> Result<Option<ConfigSource>, ConfigError> {
    for folder in current_dir.ancestors() {
        if let Some(source) = first_of(folder, folder)? {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

/// `shown`: the folder as messages name it.
fn first_of(folder: &Path, shown: &Path) -> Result<Option<ConfigSource>, ConfigError> {
    for format in ConfigFormatKind::ALL {
        let candidate = folder.join(format.file_name());
        if candidate.exists()
            && let Some(source) = load(format, &candidate, &shown.join(format.file_name()))?
        {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

/// `typed` is the folder as the user wrote it, which tox repeats in its message.
fn in_folder(folder: &Path, typed: &Path) -> Result<ConfigSource, ConfigError> {
    first_of(folder, typed)?.ok_or_else(|| {
        ConfigError::handled(format!("could not find any config file in {}", typed.display()))
            .hint("envo looks for tox.ini, setup.cfg, pyproject.toml and tox.toml")
    })
}

/// `typed` is the path as the user wrote it, which tox repeats in its messages.
fn exactly(path: &Path, typed: &Path) -> Result<ConfigSource, ConfigError> {
    if !path.exists() {
        let error = ConfigError::handled(format!("config file {} does not exist", typed.display()));
        return Err(match next_to(path) {
            Some(name) => error.hint(format!("there is a {name}")),
            None => error.hint(
                "`-c` takes a configuration file, or a folder that contains one; without `-c` envo searches for one",
            ),
        });
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let named: Vec<ConfigFormatKind> =
        ConfigFormatKind::ALL.into_iter().filter(|format| format.file_name() == name).collect();
    for format in if named.is_empty() { ConfigFormatKind::ALL.to_vec() } else { named } {
        if let Some(source) = load(format, path, typed)? {
            return Ok(source);
        }
    }
    Err(ConfigError::handled(format!("could not recognize config file {}", typed.display())))
}

/// Like tox, assumes an empty `tox.ini` next to the nearest `pyproject.toml`, or in the current folder.
fn assume_empty(root: Option<&Path>, current_dir: &Path) -> Discovery {
    let folder = root.map(|root| current_dir.join(root)).unwrap_or_else(|| {
        let beside = current_dir.ancestors().find(|folder| folder.join("pyproject.toml").exists());
        beside.unwrap_or(current_dir).to_owned()
    });
    let warning = format!(
        "No loadable tox.ini or setup.cfg or pyproject.toml or tox.toml found, assuming empty tox.ini at {}",
        folder.display()
    );
    let source = ConfigSource {
        path: folder.join(ConfigFormatKind::ToxIni.file_name()),
        format: ConfigFormatKind::ToxIni,
        text: Arc::default(),
        document: ConfigDocument::Ini(IniDocument::default()),
        lines_before: 0,
    };
    Discovery { source, warning: Some(warning) }
}

/// The same configuration file with another text; `None` if that contains no configuration.
pub fn with_text(source: &ConfigSource, text: String) -> Result<Option<ConfigSource>, ConfigError> {
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    parse(source.format, (&source.path, &source.path), text)
}

/// Reads a file in the given format; `None` if it contains no such configuration.
fn load(format: ConfigFormatKind, path: &Path, shown: &Path) -> Result<Option<ConfigSource>, ConfigError> {
    parse(format, (path, shown), read_text(format, path)?)
}

fn parse(
    format: ConfigFormatKind,
    (path, shown): (&Path, &Path),
    text: String,
) -> Result<Option<ConfigSource>, ConfigError> {
    match format {
        ConfigFormatKind::ToxIni => read_ini(format, (path, shown), text, 0).map(Some),
        ConfigFormatKind::SetupCfg => {
            // Most setup.cfg files contain nothing for tox; a quick check avoids parsing them.
            if !text.contains(format.core_section()) {
                return read_ini(format, (path, shown), text, 0).map(|_| None);
            }
            let source = read_ini(format, (path, shown), text, 0)?;
            let ConfigDocument::Ini(document) = &source.document else { return Ok(None) };
            let has_core = document.section(format.core_section()).is_some();
            Ok(has_core.then_some(source))
        }
        ConfigFormatKind::PyProject | ConfigFormatKind::LegacyToml | ConfigFormatKind::ToxToml => {
            read_toml(format, (path, shown), text)
        }
    }
}

/// A configuration in the folder of a missing file.
fn next_to(path: &Path) -> Option<&'static str> {
    let folder = path.parent()?;
    ConfigFormatKind::ALL.into_iter().map(ConfigFormatKind::file_name).find(|name| folder.join(name).is_file())
}

fn read_text(format: ConfigFormatKind, path: &Path) -> Result<String, ConfigError> {
    let bytes = bounded::read(path).map_err(|error| failed_loading(format, path, &python_os_error(&error, path)))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let (bytes, reason) = (error.as_bytes(), error.utf8_error());
        let before = String::from_utf8_lossy(&bytes[..reason.valid_up_to()]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(1, |start| start.chars().count() + 1);
        failed_loading(format, path, &crate::python_text::decode_error(bytes, &reason))
            .at(Location { file: path.to_owned(), line, column, length: 1 })
            .hint("save the file as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn python_os_error(error: &std::io::Error, path: &Path) -> String {
    let Some(number) = error.raw_os_error() else { return error.to_string() };
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    format!("[Errno {number}] {words}: {}", crate::python_text::python_repr(&path.display().to_string()))
}

fn failed_loading(format: ConfigFormatKind, path: &Path, reason: &str) -> ConfigError {
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    ConfigError::new(
        ErrorClass::Handled,
        format!("{} failed loading {} due to {reason}", format.tox_name(), resolved.display()),
    )
}

/// `lines_before`: the number of lines of the file before the text.
fn read_ini(
    format: ConfigFormatKind,
    (path, shown): (&Path, &Path),
    text: String,
    lines_before: usize,
) -> Result<ConfigSource, ConfigError> {
    let text = match crate::os_text::escape(&text) {
        Cow::Owned(escaped) => escaped,
        Cow::Borrowed(_) => text,
    };
    let document = ini::read(&text).map_err(|error| {
        let reason = error.in_python_words(&shown.display().to_string());
        let length = text.lines().nth(error.line - 1).map_or(1, |line| line.trim_end().chars().count().max(1));
        let line = error.line + lines_before;
        let location = Location { file: path.to_owned(), line, column: 1, length };
        failed_loading(format, path, &reason).at(location).hint(error.remedy(lines_before))
    })?;
    Ok(ConfigSource {
        path: path.to_owned(),
        format,
        text: Arc::new(text),
        document: ConfigDocument::Ini(document),
        lines_before,
    })
}

fn read_toml(
    format: ConfigFormatKind,
    (path, shown): (&Path, &Path),
    text: String,
) -> Result<Option<ConfigSource>, ConfigError> {
    if format == ConfigFormatKind::LegacyToml && path.file_name().is_none_or(|name| name != format.file_name()) {
        return Err(failed_loading(format, path, ""));
    }
    // Most pyproject.toml files contain nothing for tox; a quick check avoids parsing them.
    if format != ConfigFormatKind::ToxToml && !text.contains("tox") {
        return Ok(None);
    }
    let text = Arc::new(text);
    let tree = TomlTree::read(&text).map_err(|error| toml_error(format, path, &text, &error))?;
    if format == ConfigFormatKind::ToxToml {
        return Ok(Some(toml_source(format, path, text, tree)));
    }
    let tox = tree.root().get("tool").and_then(|tool| tool.get("tox"));
    let Some(tox) = tox.and_then(TomlValue::as_table) else { return Ok(None) };
    if format == ConfigFormatKind::PyProject {
        // A table with nothing but the old key, or with nothing, belongs to the next format.
        let native = tox.keys().any(|key| key != "legacy_tox_ini");
        return Ok(native.then(|| toml_source(format, path, text, tree)));
    }
    match tox.get("legacy_tox_ini").and_then(TomlValue::as_str) {
        Some(ini_text) => {
            let lines_before = lines_before_value(&text);
            read_ini(format, (path, shown), ini_text.trim_start_matches('\u{feff}').to_owned(), lines_before).map(Some)
        }
        None => Ok(None),
    }
}

/// The number of lines before the value of `legacy_tox_ini`.
fn lines_before_value(text: &str) -> usize {
    let Ok(document) = toml::de::DeTable::parse(text) else { return 0 };
    let step = |table: &toml::de::DeTable<'_>, key: &str| table.get(key).map(toml::Spanned::span);
    let inner = document
        .get_ref()
        .get("tool")
        .and_then(|tool| tool.get_ref().get("tox"))
        .and_then(|tox| tox.get_ref().as_table());
    let Some(span) = inner.and_then(|tox| step(tox, "legacy_tox_ini")) else { return 0 };
    let before = text.get(..span.start).unwrap_or_default().matches('\n').count();
    // A line break directly after the opening quotes does not belong to the value.
    let value = text.get(span).unwrap_or_default().trim_start_matches(['"', '\'']);
    before + usize::from(value.starts_with(['\n', '\r']))
}

fn toml_source(format: ConfigFormatKind, path: &Path, text: Arc<String>, root: TomlTree) -> ConfigSource {
    let prefix: &[&str] = if format == ConfigFormatKind::ToxToml { &[] } else { &["tool", "tox"] };
    let document = ConfigDocument::Toml(TomlDocument { root, prefix });
    ConfigSource { path: path.to_owned(), format, text, document, lines_before: 0 }
}

fn toml_error(format: ConfigFormatKind, path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let failure = failed_loading(format, path, error.message());
    let Some(span) = error.span() else { return failure };
    let before = &text[..span.start.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    failure.at(Location { file: PathBuf::from(path), line, column, length: span.len().max(1) })
}
