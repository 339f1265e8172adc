//! `envo list`: lists the environments with their descriptions.

use std::collections::HashSet;

use anyhow::Result;

use crate::cli::options::{ListFormat, Options};
use crate::commands::choice::choose;
use crate::commands::listing;
use crate::commands::open_plan;
use crate::exit_code;
use crate::plan::{DefinedEnv, Plan};
use crate::report::plain;

/// Lists environments: the default ones first, then the others.
pub fn execute(options: &Options) -> Result<i32> {
    let plan = open_plan(options)?;
    if options.list.format != ListFormat::Text {
        return listing::execute(options, &plan);
    }
    let choice = choose(options, &plan, plan.selected()?)?;
    let by_group = !(options.selection.factors.is_empty() && options.selection.labels.is_empty()) || choice.is_part();
    let chosen: HashSet<&String> = choice.names.iter().collect();
    let active = plan.kept(|entry| entry.active && !entry.kind.is_package() && chosen.contains(&entry.name))?;
    let others = if by_group || options.list.default_only {
        Vec::new()
    } else {
        plan.kept(|entry| !entry.active && !entry.kind.is_package())?
    };
    let described = !options.list.no_description;
    let width = active.iter().chain(&others).map(|entry| entry.name.chars().count()).max().unwrap_or(0);

    let mut text = String::new();
    crate::commands::report_warnings(&plan, options);
    if !by_group && described && !active.is_empty() {
        text.push_str("default environments:\n");
    }
    let width = described.then_some(width);
    let mut outcome = active.iter().try_for_each(|entry| write_entry(&mut text, (&plan, options), entry, width));
    if outcome.is_ok() && !others.is_empty() {
        if described {
            text.push_str(if active.is_empty() {
                "additional environments:\n"
            } else {
                "\nadditional environments:\n"
            });
        }
        outcome = others.iter().try_for_each(|entry| write_entry(&mut text, (&plan, options), entry, width));
    }
    // What comes before an environment that is wrong is shown all the same.
    plain::out(&text);
    if options.selection.recent.explain {
        choice.explanation().iter().for_each(|line| plain::error(&format!("{line}\n")));
    }
    if let Some(text) = choice.why_empty() {
        plain::error(&format!("{text}\n"));
    }
    // The process ends now; freeing a large configuration first would only take time.
    std::mem::forget(plan);
    outcome.map(|()| exit_code::OK)
}

fn write_entry(
    text: &mut String,
    (plan, options): (&Plan, &Options),
    entry: &DefinedEnv,
    width: Option<usize>,
) -> Result<()> {
    let Some(width) = width else {
        text.push_str(&entry.name);
        text.push('\n');
        return Ok(());
    };
    let description = match &entry.description {
        Some(known) => known.clone(),
        None => plan.settings.text(&plan.settings.glance(&entry.name), "description")?,
    };
    let warnings = plan.take_warnings();
    if !warnings.is_empty() {
        // They belong before the line they are about.
        plain::out(text);
        text.clear();
        crate::commands::report(warnings, options);
    }
    let description = if description.trim().is_empty() { "[no description]" } else { &description };
    text.push_str(&entry.name);
    text.extend(std::iter::repeat_n(' ', width - entry.name.chars().count()));
    text.push_str(" -> ");
    text.push_str(description);
    text.truncate(text.trim_end().len());
    text.push('\n');
    Ok(())
}
