//! Environments that are made and packaged alike. A generated configuration has thousands that say the same about it, and
//! what one of them comes to holds for all; only what each says for itself has to be looked at.
//!
//! Whatever refers to something else or depends on conditions may come to something else for each of them: it is not told
//! from here.

use rustc_hash::{FxHashMap, FxHashSet};

use super::config_set::SetKind;
use super::factor::{has_marker, without_empty_lines};
use super::loader::{Loader, may_refer};
use super::post_process::{has_plain_entries, is_plain_list, one_line};
use super::set_env::{table_asks, text_asks};
use super::{Settings, TEST_PREFIX, keys, lock, toml};
use crate::source::{Document, IniSection, Node};

/// Keys that decide who makes an environment and how the project gets into it, by themselves or through other keys.
const DECISIVE: [&str; 7] =
    ["runner", "runtime", "skip_install", "use_develop", "package", "package_env", "wheel_build_env"];

/// Keys that say which interpreter makes an environment, and how: any of them may be wrong.
const OF_INTERPRETER: [&str; 6] =
    ["base_python", "base_python_file", "default_base_python", "system_site_packages", "always_copy", "download"];

/// What is written for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Written<'a> {
    Text(&'a str),
    Flag(bool),
}

/// What environments that are made and packaged alike have in common. They inherit the same, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Traits<'a> {
    /// The template of a TOML file that they are written out of.
    template: Option<&'a str>,
    decisive: [Option<Written<'a>>; DECISIVE.len()],
    has_description: bool,
    has_pass_env: bool,
    /// Whether it sets variables, none of them out of a file or under a condition.
    has_set_env: bool,
}

/// What has to be worked out for the environment itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    pub description: bool,
    /// Whether anything is wrong with `pass_env`.
    pub pass_env: bool,
    /// Whether anything is written about its interpreter that may be wrong by itself.
    pub interpreter: bool,
    /// Whether an interpreter is written that may contradict the environment's name.
    pub base_python: bool,
}

/// What can be told about an environment from its section alone.
#[derive(Debug, Default)]
pub struct Sketch<'a> {
    pub traits: Traits<'a>,
    /// `None` where it is inherited, or open.
    pub description: Option<String>,
    pub open: Open,
}

impl<'a> Sketch<'a> {
    /// `None`: the section does not tell.
    fn of_section(section: &'a IniSection) -> Option<Self> {
        let mut sketch = Self::default();
        for entry in &section.entries {
            let Some(key) = keys::find(&entry.key) else { continue };
            let value = entry.value.as_str();
            match key.name {
                "base" => return None,
                "set_env" if text_asks(value) => return None,
                "set_env" => sketch.traits.has_set_env = true,
                "pass_env" => sketch.pass(is_plain(value) && is_plain_list(value)),
                "description" => {
                    sketch.describe(is_plain(value).then(|| without_empty_lines(value)).as_deref().map(str::trim))
                }
                name => sketch.decide(name, || is_plain(value).then_some(Written::Text(value)))?,
            }
        }
        Some(sketch)
    }

    /// `None`: the table does not tell.
    fn of_table(table: Node<'a>) -> Option<Self> {
        let mut sketch = Self::default();
        for (key, value) in table.entries() {
            let Some(key) = keys::find(key) else { continue };
            let text = || value.as_str().filter(|text| !may_refer(text));
            match key.name {
                "base" => return None,
                "set_env" if table_asks(value) => return None,
                "set_env" => sketch.traits.has_set_env = true,
                "pass_env" => sketch.pass(has_plain_entries(value)),
                "description" => sketch.describe(text()),
                name => sketch.decide(name, || text().map(Written::Text).or(value.as_bool().map(Written::Flag)))?,
            }
        }
        Some(sketch)
    }

    /// Notes `pass_env`, and whether it shows that nothing is wrong with it.
    fn pass(&mut self, is_right: bool) {
        self.traits.has_pass_env = true;
        self.open.pass_env |= !is_right;
    }

    /// Notes the description; `None`: it has to be worked out.
    fn describe(&mut self, plain: Option<&str>) {
        self.traits.has_description = true;
        self.description = plain.map(one_line);
        self.open.description = plain.is_none();
    }

    /// Notes what is written, if the key is one that decides; `None` if that does not tell, or two spellings say it.
    fn decide(&mut self, name: &str, written: impl FnOnce() -> Option<Written<'a>>) -> Option<()> {
        if name == "base_python" {
            let is_right = matches!(written(), Some(Written::Text(text)) if !text.trim().is_empty());
            self.open.base_python = true;
            self.open.interpreter |= !is_right;
            return Some(());
        }
        self.open.interpreter |= OF_INTERPRETER.contains(&name);
        let Some(at) = DECISIVE.iter().position(|decisive| *decisive == name) else { return Some(()) };
        let before = self.traits.decisive[at].replace(written()?);
        before.is_none().then_some(())
    }
}

/// A text of an INI file that is the same for every environment.
fn is_plain(text: &str) -> bool {
    !may_refer(text) && !text.contains('#') && !has_marker(text)
}

/// Sketches environments one after another.
pub struct Sketcher<'a> {
    settings: &'a Settings,
    /// Environments that were asked about before: something else than files may count for them.
    known: FxHashSet<String>,
    /// Template → what is open of what its environments inherit; `None` where that does not tell.
    inherited: FxHashMap<Option<&'a str>, Option<Open>>,
    /// The tables of the environments in a TOML file.
    environments: Option<Node<'a>>,
    /// Room for the name of a section.
    section: String,
}

impl<'a> Sketcher<'a> {
    /// `None` where nothing can be told from sections alone.
    pub fn of(settings: &'a Settings) -> Option<Self> {
        if settings.ini().is_some_and(|document| !document.defaults.entries.is_empty()) {
            return None;
        }
        let known = lock(&settings.environments).keys().cloned().collect();
        let environments = settings.toml().and_then(|document| document.table().get(toml::ENV));
        Some(Self { settings, known, inherited: FxHashMap::default(), environments, section: String::new() })
    }

    /// `None`: what the environment is has to be worked out.
    pub fn sketch(&mut self, name: &str) -> Option<Sketch<'a>> {
        let template = self.settings.templates.template_of(name);
        if self.known.contains(name) || self.is_overridden(name) {
            return None;
        }
        let inherited = self.inherited(name, template)?;
        let mut sketch = match &self.settings.source.document {
            Document::Ini(document) => {
                self.section.clear();
                self.section.extend([TEST_PREFIX, ":", name]);
                let position = document.position(self.settings.header_of(&self.section));
                position.map_or_else(|| Some(Sketch::default()), |at| Sketch::of_section(&document.sections[at]))?
            }
            Document::Toml(_) => match self.environments.and_then(|environments| environments.get(name)) {
                Some(table) => Sketch::of_table(table.as_table()?)?,
                None => Sketch::default(),
            },
        };
        sketch.traits.template = template;
        sketch.open.description |= inherited.description && !sketch.traits.has_description;
        sketch.open.pass_env |= inherited.pass_env && !sketch.traits.has_pass_env;
        sketch.open.interpreter |= inherited.interpreter;
        sketch.open.base_python |= inherited.base_python;
        Some(sketch)
    }

    fn is_overridden(&self, name: &str) -> bool {
        let overrides = &self.settings.overrides;
        !overrides.is_empty() && overrides.has_section(&self.settings.environment_section(name))
    }

    fn inherited(&mut self, name: &str, template: Option<&'a str>) -> Option<Open> {
        if let Some(known) = self.inherited.get(&template) {
            return *known;
        }
        let found = inherited(self.settings, name);
        self.inherited.insert(template, found);
        found
    }
}

/// What is open of what the environment inherits; `None` where that does not tell.
fn inherited(settings: &Settings, name: &str) -> Option<Open> {
    let mut open = Open::default();
    for base in settings.default_bases(name, SetKind::Run) {
        for loader in settings.base_loaders(&base).ok()?.iter() {
            let found = of_loader(settings, loader)?;
            open.description |= found.description;
            open.pass_env |= found.pass_env;
            open.interpreter |= found.interpreter;
            open.base_python |= found.base_python;
        }
    }
    Some(open)
}

fn of_loader(settings: &Settings, loader: &Loader) -> Option<Open> {
    let overrides = settings.overrides.of_section(&loader.section);
    let may_differ = |key: &str| key == "base" || keys::find(key).is_some_and(|key| OF_INTERPRETER.contains(&key.name));
    if overrides.iter().any(|one| may_differ(&one.key) || may_refer(&one.value)) {
        return None;
    }
    let Some(at) = loader.position else { return Some(Open::default()) };
    let sketch = match &settings.source.document {
        Document::Ini(document) => Sketch::of_section(&document.sections[at]),
        Document::Toml(document) => Sketch::of_table(document.root.node(at)),
    };
    sketch.map(|sketch| sketch.open)
}
