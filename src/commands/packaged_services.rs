//! Services that installed packages provide: entry points of the group `envo.services`, with the host Python or in the
//! environment of `requires`. Their names are read from the packages' metadata; only a service that something depends
//! on is loaded, by the Python that has it, and becomes an environment like those of the configuration.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::builder::provision::safe_path;
use crate::cli::options::{EnvironmentChoice, Options, PackagedService, Verb};
use crate::commands::required_python::python_of_requires;
use crate::error::ConfigError;
use crate::execute::interrupt::Interrupt;
use crate::execute::process;
use crate::model::pep508::{Requirement, canonical_name};
use crate::model::{Interpreter, InterpreterLookup as _};
use crate::plan::provision::is_provided;
use crate::plan::{self, Plan};
use crate::runtime::python::PythonDiscovery;
use crate::runtime::python::distributions::{Distributions, EntryPoint};

const GROUP: &str = "envo.services";
/// The group by which tox finds its plugins.
const PLUGINS: &str = "tox";
/// How far a chain of packaged services that depend on each other may go.
const LONGEST_CHAIN: usize = 16;
/// Says what an object of that name is: a mapping, or what a function without arguments returns.
const SCRIPT: &str = "\
import importlib, json, sys
module, _, path = sys.argv[1].partition(':')
found = importlib.import_module(module)
for part in filter(None, path.split('.')):
    found = getattr(found, part)
found = found() if callable(found) else found
found = dict(found) if hasattr(found, 'keys') else dict(vars(found))
sys.stdout.write('\\nenvo-service ' + json.dumps(found, default=str))
";
const MARK: &[u8] = b"\nenvo-service ";

/// An available service, and its package.
pub struct PackagedOffer {
    interpreter: Arc<Interpreter>,
    pub entry_point: EntryPoint,
}

impl PackagedOffer {
    pub fn from(&self) -> String {
        format!("{} {}", canonical_name(&self.entry_point.distribution), self.entry_point.version).trim().to_owned()
    }
}

/// Adds to a plan the packaged services that it depends on, or that were requested.
pub fn with_packages(plan: Plan, options: &Options, discovery: &Arc<PythonDiscovery>) -> Result<Plan> {
    if !matches!(options.verb, Verb::Run | Verb::RunParallel | Verb::Exec | Verb::Serve | Verb::Up) {
        return Ok(plan);
    }
    let mut plan = plan;
    let mut options = options.clone();
    for _ in 0..LONGEST_CHAIN {
        let wanted = wanted(&plan, &options);
        if wanted.is_empty() {
            break;
        }
        let offers = offers(&plan, &options, discovery, Some(&wanted))?;
        let found: Vec<&PackagedOffer> =
            offers.iter().filter(|offer| wanted.contains(&offer.entry_point.name)).collect();
        if found.is_empty() {
            break;
        }
        // What the user overrides counts more.
        let mut overrides = Vec::new();
        for offer in found {
            let name = &offer.entry_point.name;
            let section = plan.settings.environment(name).section.clone().replace('.', "\\.");
            for (key, text) in load(offer, &options)? {
                overrides.push(format!("{section}.{key}={text}"));
            }
            options.project.packaged.push(PackagedService { name: name.clone(), from: offer.from() });
        }
        overrides.append(&mut options.project.overrides);
        options.project.overrides = overrides;
        plan = plan::read(Arc::new(options.clone()), Arc::clone(discovery) as _)?;
    }
    Ok(plan)
}

/// Names that the configuration depends on, or the user asked for, and that are no environments of it.
fn wanted(plan: &Plan, options: &Options) -> BTreeSet<String> {
    let settings = &plan.settings;
    let Ok(declared) = settings.declared_names() else {
        // What is wrong is found and told later, with what was noticed on the way.
        settings.take_warnings();
        return BTreeSet::new();
    };
    let mut names = BTreeSet::new();
    if let (EnvironmentChoice::Named(asked), Verb::Serve | Verb::Up) = (&options.selection.environments, options.verb) {
        names.extend(asked.iter().cloned());
    }
    // Most configurations say nothing of it, and need not be looked through.
    if settings.source.text.contains("depends") || !options.project.packaged.is_empty() {
        for name in declared {
            let depends = settings.list(&settings.environment(name), "depends").unwrap_or_default();
            let plain = depends.into_iter().map(|one| one.strip_suffix(":restart").map(str::to_owned).unwrap_or(one));
            names.extend(plain.filter(|one| !one.contains(['*', '?', '['])));
        }
    }
    names.retain(|name| !declared.contains(name));
    names
}

/// Services of packages. `wanted`: where something is missing from beside the host Python, the environment of `requires`
/// is made; without it, that is only looked at.
pub fn offers(
    plan: &Plan,
    options: &Options,
    discovery: &Arc<PythonDiscovery>,
    wanted: Option<&BTreeSet<String>>,
) -> Result<Vec<PackagedOffer>> {
    let mut offers = Vec::new();
    let host = discovery.find(&[discovery.host_python().display().to_string()]);
    host.into_iter().for_each(|interpreter| add(&mut offers, interpreter));
    let is_offered = |name: &String| offers.iter().any(|offer: &PackagedOffer| offer.entry_point.name == *name);
    let all = wanted.is_some_and(|wanted| wanted.iter().all(is_offered));
    if !all && let Some(python) = python_of_requires(plan, options, discovery, wanted.is_some())? {
        discovery.interpreter_at(&python).into_iter().for_each(|interpreter| add(&mut offers, interpreter));
    }
    Ok(offers)
}

fn add(offers: &mut Vec<PackagedOffer>, interpreter: Arc<Interpreter>) {
    for entry_point in Distributions::of(&interpreter).entry_points(GROUP) {
        if !offers.iter().any(|offer| offer.entry_point.name == entry_point.name) {
            offers.push(PackagedOffer { interpreter: Arc::clone(&interpreter), entry_point });
        }
    }
}

/// Whether everything that `requires` asks for and envo has not is packages with services and without plugins. Only where
/// the configuration depends on something that it does not define: only then are they looked for.
pub fn is_all_that_is_required(plan: &Plan, options: &Options, discovery: &Arc<PythonDiscovery>) -> Result<bool> {
    if options.run.provision.no_provision.is_some() || wanted(plan, options).is_empty() {
        return Ok(false);
    }
    let requires = plan.settings.list(plan.settings.core(), "requires")?;
    let names = requires.iter().filter_map(|text| Some(canonical_name(&text.parse::<Requirement>().ok()?.name)));
    let names: Vec<String> = names.filter(|name| !is_provided(name)).collect();
    let brings_only_services = |interpreter: &Interpreter| {
        let distributions = Distributions::of(interpreter);
        let of_group = |group| -> Vec<String> {
            let found: Vec<EntryPoint> = distributions.entry_points(group);
            found.into_iter().map(|one| canonical_name(&one.distribution)).collect()
        };
        let (services, plugins) = (of_group(GROUP), of_group(PLUGINS));
        names.iter().all(|name| services.contains(name) && !plugins.contains(name))
    };
    let host: PathBuf = discovery.host_python();
    if discovery.find(&[host.display().to_string()]).is_some_and(|host| brings_only_services(&host)) {
        return Ok(true);
    }
    let python = python_of_requires(plan, options, discovery, true)?;
    let interpreter = python.and_then(|python| discovery.interpreter_at(&python));
    Ok(interpreter.is_some_and(|interpreter| brings_only_services(&interpreter)))
}

/// The settings of a service, as texts that could stand in a configuration.
fn load(offer: &PackagedOffer, options: &Options) -> Result<Vec<(String, String)>> {
    let (name, object) = (&offer.entry_point.name, &offer.entry_point.object);
    let python = &offer.interpreter;
    let arguments = [safe_path(&python.version), "-c", SCRIPT, object.as_str()].map(OsStr::new);
    let error = |why: &str| {
        let from = offer.from();
        ConfigError::handled(format!("the service `{name}` of {from} cannot be loaded: {why}"))
    };
    let said = process::ask(&python.executable, &arguments, &options.process.variables, &Interrupt::default());
    let output = said.map_err(|why| anyhow!(error(&why.to_string())))?;
    if output.code != 0 {
        let text = String::from_utf8_lossy(&output.error);
        return Err(anyhow!(error(text.trim().lines().last().unwrap_or("it exited without a message"))));
    }
    let failed =
        |why: &str| {
            anyhow!(error(why).hint(format!(
                "`{object}` must be a mapping with the keys of a service, or a function that returns one"
            )))
        };
    let start = output.out.windows(MARK.len()).rposition(|window| window == MARK);
    let answer = start.and_then(|start| serde_json::from_slice(&output.out[start + MARK.len()..]).ok());
    let Some(Value::Object(members)) = answer else { return Err(failed("it is not a mapping")) };
    let mut settings = Vec::new();
    for (key, value) in members {
        if value.is_null() {
            continue;
        }
        let text = text_of(&key, &value).ok_or_else(|| failed(&format!("`{key}` is {value}")))?;
        settings.push((key, text));
    }
    if !settings.iter().any(|(key, _)| key == "serve") {
        return Err(failed("it has no `serve`"));
    }
    // A service of a package has nothing to do with the project's own distribution.
    if !settings.iter().any(|(key, _)| key == "package" || key == "skip_install") {
        settings.push(("skip_install".to_owned(), "true".to_owned()));
    }
    Ok(settings)
}

/// A value as it is written in a configuration; `None` where that cannot be.
fn text_of(key: &str, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        // The words of one command.
        Value::Array(words) if key == "serve" => {
            words.iter().map(word).collect::<Option<Vec<_>>>().map(|all| all.join(" "))
        }
        Value::Array(lines) => lines
            .iter()
            .map(|line| match line {
                Value::Array(words) => words.iter().map(word).collect::<Option<Vec<_>>>().map(|all| all.join(" ")),
                other => text_of("", other),
            })
            .collect::<Option<Vec<_>>>()
            .map(|all| all.join("\n")),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
            .collect::<Option<Vec<_>>>()
            .map(|all| all.join("\n")),
        Value::Null => None,
    }
}

/// A word of a command, quoted where it needs to be.
fn word(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:={}@%+,".contains(c);
    Some(if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", escaped(text))
    })
}

/// A text within double quotes. What takes the meaning from a brace or a colon goes on doing that.
fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let escapes = character == '\\' && rest.peek().is_some_and(|next| matches!(next, ':' | '{' | '}' | '[' | ']'));
        if matches!(character, '\\' | '"') && !escapes {
            result.push('\\');
        }
        result.push(character);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_what_a_configuration_would_say() {
        let text = |key, json: &str| text_of(key, &serde_json::from_str(json).expect("it is JSON"));
        assert_eq!(text("serve", r#"["python", "-m", "a b", "{port}"]"#).as_deref(), Some("python -m \"a b\" {port}"));
        assert_eq!(text("ports", r#"["sql", "admin=81"]"#).as_deref(), Some("sql\nadmin=81"));
        assert_eq!(text("commands_pre", r#"[["a", "b"], "c d"]"#).as_deref(), Some("a b\nc d"));
        assert_eq!(text("set_env", r#"{"A": "b"}"#).as_deref(), Some("A=b"));
        assert_eq!(text("adopt", "true").as_deref(), Some("true"));
        assert_eq!(text("ready_timeout", "2.5").as_deref(), Some("2.5"));
        assert_eq!(text("serve", r#"["a\\b", "\\{port\\}", "a\"b"]"#).as_deref(), Some(r#""a\\b" "\{port\}" "a\"b""#));
        assert_eq!(text("serve", r#"["a", 1]"#), None);
    }
}
