//! `envo __complete`: prints the candidates for the word at the cursor, for the scripts of `envo completion`.
//!
//! It only reads: it provisions nothing, builds nothing and asks no plugin. Where the configuration is missing or wrong there
//! are no names, and nothing is said about it: the user is typing, not running anything.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Result;

use crate::cli::completion::{Candidate, NameKind, at_cursor};
use crate::cli::options::{Options, ProcessContext, Selection, Verb};
use crate::cli::{ParsedCommandLine, parse, program_name};
use crate::commands::discovery::discovery;
use crate::commands::packaged_services;
use crate::os_text;
use crate::plan::{self, Plan};
use crate::report::plain;
use crate::runtime::python::PythonDiscovery;
use crate::settings::config_set::ConfigSet;
use crate::settings::keys;
use crate::settings::service_keys;
use crate::settings::value::SettingValue;

/// The line on which the shell completes paths.
const FILES: &str = ":files";

pub fn execute(arguments: &[OsString]) {
    let program = program_name(arguments.first());
    let words: Vec<String> = arguments.iter().skip(2).map(|word| os_text::decode(word)).collect();
    let completion = at_cursor(&words, program);
    let mut candidates = completion.candidates;
    if let Some(kind) = completion.names {
        candidates.extend(names(kind, program, &completion.settled).unwrap_or_default());
    }
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    for candidate in candidates {
        // A name with a line break or an escape would be something else to the shell.
        let is_word = !candidate.text.is_empty() && !candidate.text.chars().any(char::is_control);
        if is_word && candidate.text.starts_with(&completion.typed) && seen.insert(candidate.text.clone()) {
            let description: String = candidate.description.split_whitespace().collect::<Vec<_>>().join(" ");
            let description: String = description.chars().filter(|one| !one.is_control()).collect();
            let _ = writeln!(text, "{}{}\t{description}", completion.prefix, candidate.text);
        }
    }
    if completion.files {
        text.push_str(FILES);
        text.push('\n');
    }
    plain::out(&text);
}

/// The names of a kind in the configuration that the words before the cursor select.
fn names(kind: NameKind, program: &str, settled: &[String]) -> Result<Vec<Candidate>> {
    if kind == NameKind::Key {
        return Ok(keys::all().map(|key| Candidate::new(key.name, key.doc)).collect());
    }
    let arguments: Vec<OsString> =
        std::iter::once(program).chain(settled.iter().map(String::as_str)).map(os_text::encode).collect();
    let options = match parse(&arguments, ProcessContext::read()) {
        Ok(ParsedCommandLine::Run(resolved)) => resolved.options,
        _ => return Ok(Vec::new()),
    };
    // What was selected so far does not limit what else can be.
    let options = Options { selection: Selection::default(), verb: Verb::List, ..options };
    let discovery = Arc::new(discovery(&options));
    let plan = plan::open(Arc::new(options.clone()), Arc::clone(&discovery) as _)?;
    Ok(match kind {
        NameKind::Environment => plan.runs()?.iter().map(|name| described(&plan, name)).collect(),
        NameKind::Service => services(&plan, &options, &discovery)?,
        NameKind::ScaledService => {
            let mut found = services(&plan, &options, &discovery)?;
            found.iter_mut().for_each(|service| service.text.push('='));
            found
        }
        NameKind::Factor => {
            let runs = plan.runs()?;
            runs.iter().flat_map(|name| name.split('-')).map(|factor| Candidate::new(factor, "")).collect()
        }
        NameKind::Label => labels(&plan)?,
        NameKind::Profile => of_environments(&plan, |set| {
            let text = plan.settings.text(set, "profiles").unwrap_or_default();
            text.split([',', ' ', '\n']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        })?,
        NameKind::Key => Vec::new(),
    })
}

fn described(plan: &Plan, name: &str) -> Candidate {
    let description = plan.settings.text(&plan.settings.glance(name), "description").unwrap_or_default();
    Candidate::new(name, description)
}

/// The services of the configuration, and those that installed packages provide.
fn services(plan: &Plan, options: &Options, discovery: &Arc<PythonDiscovery>) -> Result<Vec<Candidate>> {
    let settings = &plan.settings;
    let serves = |name: &&String| {
        service_keys(settings, &settings.environment(name)).is_ok_and(|defined| defined.contains(&"serve"))
    };
    let mut found: Vec<Candidate> = plan.runs()?.iter().filter(serves).map(|name| described(plan, name)).collect();
    for offer in packaged_services::offers(plan, options, discovery, None).unwrap_or_default() {
        found.push(Candidate::new(offer.entry_point.name.clone(), offer.from()));
    }
    Ok(found)
}

fn labels(plan: &Plan) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    if let Ok(SettingValue::Labels(labels)) = plan.settings.value(plan.settings.core(), "labels") {
        found.extend(labels.into_iter().map(|(label, members)| Candidate::new(label, members.join(", "))));
    }
    found.extend(of_environments(plan, |set| plan.settings.list(set, "labels").unwrap_or_default())?);
    Ok(found)
}

/// The values of all environments, each with the environments that have it.
fn of_environments(plan: &Plan, values: impl Fn(&ConfigSet) -> Vec<String>) -> Result<Vec<Candidate>> {
    let mut found: Vec<Candidate> = Vec::new();
    for name in plan.runs()? {
        for value in values(&plan.settings.environment(&name)) {
            match found.iter_mut().find(|candidate| candidate.text == value) {
                Some(known) => known.description = format!("{}, {name}", known.description),
                None => found.push(Candidate::new(value, name.clone())),
            }
        }
    }
    Ok(found)
}
