//! Finds the values of a set in its sections, in order, and converts raw text to values.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::{ConfigError, ErrorClass, Location};
use crate::factor::{ActiveFactors, filter};
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::convert::convert;
use crate::settings::expand::parse::parse;
use crate::settings::expand::replace::{ReplaceStyle, replace};
use crate::settings::expand::{TOML_PREFIX, Trail};
use crate::settings::keys::{self, SettingKey};
use crate::settings::lookup::LookupContext;
use crate::settings::overrides::Override;
use crate::settings::secrets::with_parts;
use crate::settings::toml;
use crate::settings::toml::load::toml_entry;
use crate::settings::value::{SettingValue, ValueKind};
use crate::settings::{PACKAGE_BASE, Settings, TEST_PREFIX, toml_section};
use crate::source::{ConfigDocument, IniEntry};

/// A section from which values are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SectionLoader {
    /// The requested name of the section, used by overrides and in errors about cycles.
    pub section: String,
    /// The section of the file; `None` if there are only overrides.
    pub file_section: Option<String>,
    /// The index of that section in an INI file.
    pub position: Option<usize>,
    /// Whether any override names the section.
    pub overridden: bool,
    /// In a TOML file, the path to the section from tox's own table.
    pub path: Vec<String>,
}

impl SectionLoader {
    /// The prefix of environments' sections, seen from here: `testenv` from `testenv:py310`.
    pub fn prefix(&self) -> &str {
        self.section.split(':').next().unwrap_or_default()
    }
}

/// A key being read from a section for a set, and how it was reached.
pub struct KeyLocation<'a> {
    pub set: &'a ConfigSet,
    pub loader: &'a SectionLoader,
    pub key: &'static SettingKey,
    pub trail: &'a Trail,
}

impl KeyLocation<'_> {
    pub fn kind(&self) -> ValueKind {
        self.key.kind_in(self.set.kind)
    }

    /// tox's error for a value that cannot be resolved.
    pub fn failed(&self, error: ConfigError) -> ConfigError {
        self.failed_as(self.key.name, error)
    }

    /// The same for the given spelling of the key.
    pub fn failed_as(&self, spelling: &str, error: ConfigError) -> ConfigError {
        failed_to_load(self.set, spelling, error)
    }
}

impl Settings {
    pub(super) fn loader(&self, section: &str) -> Option<SectionLoader> {
        let key = self.header_of(section);
        let position = self.ini().and_then(|document| document.position(key));
        let overridden = self.overrides.has_section(section);
        if position.is_none() && !overridden {
            return None;
        }
        let file_section = position.map(|_| key.to_owned());
        Some(SectionLoader { section: section.to_owned(), file_section, position, overridden, path: Vec::new() })
    }

    /// The text in the brackets of an INI section; a header may expand to several sections.
    pub(super) fn header_of<'s>(&'s self, section: &'s str) -> &'s str {
        let (prefix, name) = section.split_once(':').unwrap_or(("", section));
        let written = self.generated.get(name).and_then(|sections| {
            let fits = |key: &&String| prefix.is_empty() || key.split(':').next() == Some(prefix);
            sections.iter().find(fits)
        });
        written.map_or(section, String::as_str)
    }

    fn own_loader(&self, set: &ConfigSet) -> Result<Option<SectionLoader>, ConfigError> {
        match (&self.source.document, &set.name) {
            (ConfigDocument::Ini(_), _) => Ok(self.loader(&set.section)),
            (ConfigDocument::Toml(document), Some(name)) => self.toml_loader(document, &[toml::ENV, name]),
            (ConfigDocument::Toml(document), None) => self.toml_loader(document, &[]),
        }
    }

    /// The set's own section, then those it inherits from.
    pub(super) fn loaders<'a>(&self, set: &'a ConfigSet) -> Result<&'a [Arc<SectionLoader>], ConfigError> {
        if let Some(found) = set.loaders.get() {
            return Ok(found);
        }
        let own = match set.own_loaders.get() {
            Some(own) => own,
            None => {
                let own = self.own_loader(set)?.into_iter().map(Arc::new).collect();
                set.own_loaders.get_or_init(|| own)
            }
        };
        // As in tox, references in `base` are resolved in the set's own section only.
        if set.kind != SetKind::Core && set.is_loading("base") {
            return Ok(own);
        }
        let mut found = own.clone();
        if set.kind != SetKind::Core
            && let SettingValue::List(bases) = self.value(set, "base")?
        {
            for base in bases {
                found.extend(self.base_loaders(&base)?.iter().cloned());
            }
        }
        Ok(set.loaders.get_or_init(|| found))
    }

    /// The sections that a name in `base` means; the same for all that inherit from it.
    pub(super) fn base_loaders(&self, base: &str) -> Result<Arc<[Arc<SectionLoader>]>, ConfigError> {
        if let Some(known) = self.bases.lock().get(base) {
            return Ok(Arc::clone(known));
        }
        let found = match &self.source.document {
            ConfigDocument::Toml(document) => self.toml_base_loaders(document, base)?,
            ConfigDocument::Ini(_) => {
                let sections = [base.to_owned(), format!("{TEST_PREFIX}:{base}")];
                sections.iter().filter_map(|section| self.loader(section)).collect()
            }
        };
        let found: Arc<[Arc<SectionLoader>]> = found.into_iter().map(Arc::new).collect();
        self.bases.lock().insert(base.to_owned(), Arc::clone(&found));
        Ok(found)
    }

    pub(super) fn load_written(
        &self,
        set: &ConfigSet,
        key: &'static SettingKey,
        trail: &Trail,
    ) -> Result<Option<SettingValue>, ConfigError> {
        self.load_first(set, key, self.loaders(set)?, trail)
    }

    fn load_first(
        &self,
        set: &ConfigSet,
        key: &'static SettingKey,
        loaders: &[Arc<SectionLoader>],
        trail: &Trail,
    ) -> Result<Option<SettingValue>, ConfigError> {
        let mut appended = Vec::new();
        for loader in loaders {
            if !self.mentions(loader, key) {
                continue;
            }
            // A value without references cannot be part of a cycle.
            let entered = if self.may_refer(loader, key) { Some(self.entering(loader, key, trail)?) } else { None };
            let trail = entered.as_ref().unwrap_or(trail);
            let place = KeyLocation { set, loader, key, trail };
            let written = self.load_written_at(&place)?;
            let only_appends = written.is_none() && self.overrides_of(loader, key).all(|one| one.append);
            let Some(value) = self.overridden(&place, written)? else { continue };
            if !only_appends {
                return self.with_appended(set, key, value, appended).map(Some);
            }
            appended.push((loader, value));
        }
        let Some((_, base)) = appended.pop() else { return Ok(None) };
        self.with_appended(set, key, base, appended).map(Some)
    }

    /// Text that an override appends to a section without the key follows the inherited value.
    fn with_appended(
        &self,
        set: &ConfigSet,
        key: &'static SettingKey,
        base: SettingValue,
        appended: Vec<(&Arc<SectionLoader>, SettingValue)>,
    ) -> Result<SettingValue, ConfigError> {
        appended.into_iter().rev().try_fold(base, |base, (loader, more)| {
            let place = KeyLocation { set, loader, key, trail: &Trail::default() };
            append(base, more).map_err(|error| place.failed(error))
        })
    }

    /// A text without references, so that it always has the same value.
    pub fn plain_text(&self, set: &ConfigSet, name: &str) -> Result<Option<String>, ConfigError> {
        let Some(key) = keys::find(name) else { return Ok(None) };
        let written = self.loaders(set)?.iter().find(|loader| self.mentions(loader, key));
        let is_plain = written.is_some_and(|loader| !self.may_refer(loader, key));
        Ok(if is_plain { self.text(set, name).ok() } else { None })
    }

    /// Whether the section's value of the key may contain references.
    fn may_refer(&self, loader: &SectionLoader, key: &SettingKey) -> bool {
        loader.overridden
            || spellings(key).any(|spelling| match &self.source.document {
                ConfigDocument::Ini(_) => self.entry(loader, spelling).is_some_and(|entry| may_refer(&entry.value)),
                ConfigDocument::Toml(document) => {
                    toml_entry(document, loader, spelling).is_some_and(toml::load::may_refer)
                }
            })
    }

    /// Adds the section and key to the trail.
    pub(super) fn entering(
        &self,
        loader: &SectionLoader,
        key: &SettingKey,
        trail: &Trail,
    ) -> Result<Trail, ConfigError> {
        let entry = format!("{}.{}", loader.section, key.name);
        check_cycle(trail, &entry)?;
        Ok(trail.with(entry))
    }

    /// Whether any section of the set, or an override of one, sets a key.
    pub fn is_written(&self, set: &ConfigSet, name: &str) -> Result<bool, ConfigError> {
        let Some(key) = keys::find(name) else { return Ok(false) };
        Ok(self.loaders(set)?.iter().any(|loader| self.mentions(loader, key)))
    }

    /// Whether the section, or an override of it, sets the key.
    pub(super) fn mentions(&self, loader: &SectionLoader, key: &SettingKey) -> bool {
        let overridden = loader.overridden && self.overrides_of(loader, key).next().is_some();
        let written = |spelling: &str| match &self.source.document {
            ConfigDocument::Ini(_) => self.entry(loader, spelling).is_some(),
            ConfigDocument::Toml(document) => toml_entry(document, loader, spelling).is_some(),
        };
        overridden || spellings(key).any(written)
    }

    pub(super) fn entry(&self, loader: &SectionLoader, spelling: &str) -> Option<&IniEntry> {
        let document = self.ini()?;
        document.sections.get(loader.position?)?.get(spelling).or_else(|| document.defaults.get(spelling))
    }

    pub(super) fn overrides_of<'a>(
        &'a self,
        loader: &'a SectionLoader,
        key: &'a SettingKey,
    ) -> impl Iterator<Item = &'a Override> + 'a {
        let all = if loader.overridden { self.overrides.of_section(&loader.section) } else { &[] };
        spellings(key).flat_map(move |spelling| all.iter().filter(move |one| one.key == spelling))
    }

    pub(super) fn load_from(&self, place: &KeyLocation<'_>) -> Result<Option<SettingValue>, ConfigError> {
        let written = self.load_written_at(place)?;
        self.overridden(place, written)
    }

    fn load_written_at(&self, place: &KeyLocation<'_>) -> Result<Option<SettingValue>, ConfigError> {
        match &self.source.document {
            ConfigDocument::Ini(_) => self.load_from_section(place),
            ConfigDocument::Toml(document) => self.load_from_table(document, place),
        }
    }

    /// The value after the overrides of the section.
    fn overridden(
        &self,
        place: &KeyLocation<'_>,
        mut value: Option<SettingValue>,
    ) -> Result<Option<SettingValue>, ConfigError> {
        if !place.loader.overridden {
            return Ok(value);
        }
        for one in self.overrides_of(place.loader, place.key) {
            let text = self
                .substitute(place, &one.value)
                .and_then(|text| convert(place.kind(), &text))
                .map_err(|error| place.failed(error))?;
            value = Some(match value {
                Some(base) if one.append => append(base, text).map_err(|error| place.failed(error))?,
                _ => text,
            });
        }
        Ok(value)
    }

    fn load_from_section(&self, place: &KeyLocation<'_>) -> Result<Option<SettingValue>, ConfigError> {
        for spelling in spellings(place.key) {
            let Some(entry) = self.entry(place.loader, spelling) else { continue };
            let located = |error: ConfigError| self.locate(error, place.loader, entry);
            let written =
                if place.key.name == "secrets" { with_parts(&entry.value) } else { Cow::Borrowed(&*entry.value) };
            let Some(raw) = self.process_raw(place.set, &written).map_err(located)? else { continue };
            return self.build(place, spelling, &raw).map(Some).map_err(located);
        }
        Ok(None)
    }

    fn build(&self, place: &KeyLocation<'_>, spelling: &str, raw: &str) -> Result<SettingValue, ConfigError> {
        let text = self.substitute(place, raw).map_err(|error| {
            if matches!(error.class, ErrorClass::Handled | ErrorClass::Skip) {
                return error;
            }
            let owner = place.set.name.as_deref().unwrap_or(self.source.format.core_section());
            rewrap(&error, format!("replace failed in {owner}.{spelling} with {}", error.python_repr()))
        })?;
        convert(place.kind(), &text).map_err(|error| place.failed_as(spelling, error))
    }

    fn substitute<'t>(&self, place: &KeyLocation<'_>, text: &'t str) -> Result<Cow<'t, str>, ConfigError> {
        if !may_refer(text) {
            return Ok(Cow::Borrowed(text));
        }
        let context = LookupContext { settings: self, set: place.set };
        replace(&context, self.reference_prefix(place.loader), style_of(place.kind()), text, place.trail)
            .map(Cow::Owned)
    }

    /// A raw value without comments and with the lines that apply to the environment; `None` if there are none.
    pub(super) fn process_raw<'t>(&self, set: &ConfigSet, raw: &'t str) -> Result<Option<Cow<'t, str>>, ConfigError> {
        let factors = || self.factors(set);
        let (filtered, is_blank) = match without_comments(raw) {
            Cow::Borrowed(text) => (filter(text, factors)?, text.trim().is_empty()),
            Cow::Owned(text) => (Cow::Owned(filter(&text, factors)?.into_owned()), text.trim().is_empty()),
        };
        if filtered.is_empty() && !is_blank {
            return Ok(None);
        }
        Ok(Some(if filtered.contains('\\') { Cow::Owned(filtered.replace("\\\n", "")) } else { filtered }))
    }

    pub(super) fn factors<'a>(&self, set: &'a ConfigSet) -> &'a ActiveFactors {
        set.factors.get_or_init(|| ActiveFactors::of(set.name.as_deref(), PLATFORM, std::env::consts::ARCH))
    }

    pub(super) fn entry_location(&self, entry: &IniEntry) -> Location {
        let line = entry.lines.first().unwrap_or_default();
        let line = line + self.source.lines_before;
        Location {
            file: self.source.path.clone(),
            line,
            column: entry.column as usize,
            length: entry.key.chars().count(),
        }
    }

    fn locate(&self, error: ConfigError, loader: &SectionLoader, entry: &IniEntry) -> ConfigError {
        let mut error = self.at_value(error, Some(self.entry_location(entry)));
        if error.trail.is_empty() {
            error.trail.push(format!("[{}] {}", loader.section, entry.key));
        }
        error
    }
}

/// Python's `sys.platform`.
pub const PLATFORM: &str = crate::platform::system::PYTHON_NAME;

impl Settings {
    /// The sections that are inherited from if `base` is not set.
    pub(super) fn default_base(&self, set: &ConfigSet) -> SettingValue {
        SettingValue::List(self.default_bases(set.label(), set.kind))
    }

    /// The same for the set of that name and kind.
    pub(super) fn default_bases(&self, name: &str, kind: SetKind) -> Vec<String> {
        match (&self.source.document, kind) {
            (_, SetKind::Core) => Vec::new(),
            (ConfigDocument::Ini(_), SetKind::Run) => vec![TEST_PREFIX.to_owned()],
            (ConfigDocument::Ini(_), _) => vec![PACKAGE_BASE.to_owned()],
            (ConfigDocument::Toml(document), SetKind::Run) => {
                let template = self.templates.template_of(name);
                let template = template.map(|name| toml_section(document, &[toml::ENV_BASE, name]));
                template.into_iter().chain([toml_section(document, &[toml::RUN_BASE])]).collect()
            }
            (ConfigDocument::Toml(document), _) => vec![toml_section(document, &[toml::PACKAGE_BASE])],
        }
    }

    /// The prefix of sections that references may name.
    pub(super) fn reference_prefix<'a>(&self, loader: &'a SectionLoader) -> &'a str {
        if self.toml().is_some() { TOML_PREFIX } else { loader.prefix() }
    }
}

pub(super) fn spellings(key: &SettingKey) -> impl Iterator<Item = &'static str> + use<> {
    std::iter::once(key.name).chain(key.aliases.iter().copied())
}

/// How substitutions may change a value of that kind.
fn style_of(kind: ValueKind) -> ReplaceStyle {
    match kind {
        ValueKind::Command | ValueKind::Commands => ReplaceStyle::Commands,
        ValueKind::Requirements | ValueKind::Constraints => ReplaceStyle::Requirements,
        ValueKind::Environments => ReplaceStyle::Entries(&[',', '\n', '{', '}']),
        ValueKind::Labels | ValueKind::OptionalMapping => ReplaceStyle::Entries(&['\n']),
        ValueKind::List | ValueKind::Set | ValueKind::RequirementList => ReplaceStyle::Entries(&[',', '\n']),
        _ => ReplaceStyle::Plain,
    }
}

fn append(base: SettingValue, more: SettingValue) -> Result<SettingValue, ConfigError> {
    Ok(match (base, more) {
        (SettingValue::List(mut base), SettingValue::List(more)) => {
            base.extend(more);
            SettingValue::List(base)
        }
        (SettingValue::Set(mut base), SettingValue::Set(more)) => {
            base.extend(more);
            base.sort();
            base.dedup();
            SettingValue::Set(base)
        }
        (SettingValue::Commands(mut base), SettingValue::Commands(more)) => {
            base.extend(more);
            SettingValue::Commands(base)
        }
        (SettingValue::Requirements(base), SettingValue::Requirements(more)) => {
            SettingValue::Requirements(format!("{base}\n{more}"))
        }
        (SettingValue::Labels(mut base), SettingValue::Labels(more)) => {
            base.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
            base.extend(more);
            SettingValue::Labels(base)
        }
        (SettingValue::Mapping(mut base), SettingValue::Mapping(more)) => {
            base.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
            base.extend(more);
            SettingValue::Mapping(base)
        }
        _ => return Err(ConfigError::value("Only able to append to lists, sets and dicts")),
    })
}

fn rewrap(error: &ConfigError, message: String) -> ConfigError {
    ConfigError { class: ErrorClass::Handled, message, ..error.clone() }
}

pub(super) fn failed_to_load(set: &ConfigSet, key: &str, error: ConfigError) -> ConfigError {
    if matches!(error.class, ErrorClass::Handled | ErrorClass::Match | ErrorClass::Skip) {
        return error;
    }
    rewrap(&error, format!("failed to load {}.{key}: {}", set.label(), error.message))
}

pub(super) fn check_cycle(trail: &Trail, entry: &str) -> Result<(), ConfigError> {
    let shown = trail.shown();
    let Some(at) = shown.iter().position(|one| *one == entry) else { return Ok(()) };
    let message = format!("circular chain detected {}", shown[at..].join(", "));
    let mut error = ConfigError::new(ErrorClass::Circular, message);
    error.trail = shown.into_iter().map(str::to_owned).collect();
    Err(error)
}

/// Removes comments: lines that start with `#`, and everything from an unescaped `#` on.
pub(super) fn without_comments(raw: &str) -> Cow<'_, str> {
    let mut result = String::new();
    // The end of the processed text, and the start of the line with the last `#`.
    let (mut done, mut line_start, mut seen) = (0, 0, 0);
    for at in memchr::memchr_iter(b'#', raw.as_bytes()) {
        if at < done {
            continue;
        }
        line_start = raw[seen..at].rfind('\n').map_or(line_start, |newline| seen + newline + 1);
        seen = at;
        if at > line_start && raw[..at].ends_with('\\') {
            result.push_str(&raw[done..at - 1]);
            result.push('#');
            done = at + 1;
            continue;
        }
        let line_end = raw[at..].find('\n').map_or(raw.len(), |length| at + length);
        if at > line_start {
            let start = done.max(line_start);
            result.push_str(&raw[done..start]);
            result.push_str(raw[start..at].trim_end());
            done = line_end;
            continue;
        }
        result.push_str(&raw[done..line_start]);
        done = (line_end + 1).min(raw.len());
        if line_end == raw.len() && result.ends_with('\n') {
            result.pop();
        }
    }
    if done == 0 {
        return Cow::Borrowed(raw);
    }
    result.push_str(&raw[done..]);
    Cow::Owned(result)
}

/// Whether substitution may change a text.
pub(super) fn may_refer(text: &str) -> bool {
    memchr::memchr3(b'{', b'[', b'\\', text.as_bytes()).is_some()
}

/// Whether substitution would change a text; used for lines of `set_env`.
pub(super) fn has_expression(text: &str) -> bool {
    text.contains(['{', '['])
        && parse(text).iter().any(|part| matches!(part, crate::settings::expand::parse::TextPart::Expression(_)))
}

#[cfg(test)]
mod tests {
    use super::without_comments;

    #[test]
    fn comments_go_and_escaped_signs_stay() {
        for (raw, kept) in [
            ("a # b\n# gone\nc\\#d #e", "a\nc#d"),
            ("plain", "plain"),
            ("", ""),
            ("# gone", ""),
            ("# gone\n", ""),
            ("# gone\n# too", ""),
            ("a\n# gone", "a"),
            ("a\n# gone\n", "a\n"),
            ("\n# gone", ""),
            ("a\n\n# gone\nb", "a\n\nb"),
            ("  # b", ""),
            ("a\n  # b\nc", "a\n\nc"),
            ("\\# \\# # \\# b", "# #"),
            ("a\\\n#b\nc", "a\\\nc"),
            ("é # é\n#é\né\\#", "é\né#"),
        ] {
            assert_eq!(without_comments(raw), kept, "{raw:?}");
        }
    }
}
