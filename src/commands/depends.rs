//! `envo depends`: shows the order of environments, and their dependencies.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::Result;

use crate::cli::options::Options;
use crate::commands::open_plan;
use crate::error::ConfigError;
use crate::exit_code;
use crate::model::Runner;
use crate::plan::Plan;
use crate::plan::graph;
use crate::python_text::glob;
use crate::report::graph_drawing::{self, GraphFormat, GraphNode, GraphNodeKind};
use crate::report::plain;
use crate::serve::protocol::{ClientOperation, ReplyBody, ServiceStatus};
use crate::settings::service_keys;

/// Prints the order and the tree below `ALL`.
pub fn execute(options: &Options) -> Result<i32> {
    let plan = open_plan(options)?;
    let names = plan.runs()?;
    let order = plan.order(&names)?;
    crate::commands::report_warnings(&plan, options);
    if let Some(format) = picture_format(&options.generate.depends_format) {
        let mut nodes = nodes(&plan, &order)?;
        add_states(&mut nodes, options);
        plain::out(&graph_drawing::draw(&nodes, format));
        return Ok(exit_code::OK);
    }
    let mut text = format!("Execution order: {}\nALL\n", order.names.join(", "));
    let position: HashMap<&str, usize> = order.names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let children: HashMap<&str, Vec<&str>> = order
        .waits_for
        .iter()
        .map(|(name, waits)| {
            let mut below: Vec<&str> = waits.iter().map(String::as_str).collect();
            below.sort_by_key(|name| position.get(name));
            (name.as_str(), below)
        })
        .collect();
    let mut packagers: HashMap<String, String> = HashMap::new();
    for name in &names {
        let shown = packagers_of(&plan, name).unwrap_or_else(|error| format!("... ({error})"));
        packagers.insert(name.clone(), shown);
    }
    for name in &names {
        write_tree(&mut text, name, &children, &packagers);
    }
    plain::out(&text);
    Ok(exit_code::OK)
}

fn picture_format(name: &str) -> Option<GraphFormat> {
    match name {
        "mermaid" => Some(GraphFormat::Mermaid),
        "dot" => Some(GraphFormat::Dot),
        "json" => Some(GraphFormat::Json),
        _ => None,
    }
}

/// Adds the states of running services. If the supervisor does not respond, the graph is shown without them.
fn add_states(nodes: &mut [GraphNode], options: &Options) {
    let ask = || -> Result<Vec<ServiceStatus>> {
        let place = crate::commands::state_folder::state_folder(options)?;
        let Some(mut client) = crate::commands::run_progress::connect(&place, "depends")? else {
            return Ok(Vec::new());
        };
        match client.request_promptly(ClientOperation::Ps)? {
            ReplyBody::Services(services) => Ok(services),
            _ => Ok(Vec::new()),
        }
    };
    let services = ask().unwrap_or_default();
    for node in nodes {
        let own = services.iter().filter(|one| one.environment == node.name);
        let mut states: Vec<&str> = own.map(|one| one.state.as_str()).collect();
        states.dedup();
        node.state = (!states.is_empty()).then(|| states.join(", "));
    }
}

/// The environments in the order they run in, for a picture.
fn nodes(plan: &Plan, order: &graph::EnvOrder) -> Result<Vec<GraphNode>, ConfigError> {
    let mut nodes = Vec::new();
    for name in &order.names {
        let set = plan.settings.environment(name);
        let is_service = service_keys(&plan.settings, &set)?.contains(&"serve");
        let waits = order.waits_for.get(name);
        // An invalid one is reported when it is built.
        let layer_on = plan.bases(name).unwrap_or_default().into_iter().next();
        let written =
            plan.depends(std::slice::from_ref(name))?.into_iter().flat_map(|(_, globs)| globs).collect::<Vec<_>>();
        let is_only_base = |other: &String| {
            layer_on.as_ref() == Some(other) && !written.iter().any(|pattern| glob::matches(pattern, other))
        };
        nodes.push(GraphNode {
            name: name.clone(),
            kind: if is_service { GraphNodeKind::Service } else { GraphNodeKind::Environment },
            state: None,
            depends: order
                .names
                .iter()
                .filter(|other| waits.is_some_and(|waits| waits.contains(*other)) && !is_only_base(other))
                .cloned()
                .collect(),
            layer_on: layer_on.clone(),
        });
    }
    let needed = |name: &String| {
        nodes.iter().any(|node: &GraphNode| node.kind == GraphNodeKind::Service && node.depends.contains(name))
    };
    let jobs: Vec<bool> = nodes.iter().map(|node| node.kind != GraphNodeKind::Service && needed(&node.name)).collect();
    for (node, _) in nodes.iter_mut().zip(jobs).filter(|(_, is_job)| *is_job) {
        node.kind = GraphNodeKind::Job;
    }
    Ok(nodes)
}

/// How much of the tree is kept before it is printed: what many environments wait for is in it many times over.
const BUFFER: usize = 64 << 10;

fn write_tree(text: &mut String, name: &str, children: &HashMap<&str, Vec<&str>>, packagers: &HashMap<String, String>) {
    let mut open = vec![(name, 1)];
    while let Some((name, depth)) = open.pop() {
        let _ = write!(text, "{}{name}", "   ".repeat(depth));
        match packagers.get(name) {
            Some(shown) if !shown.is_empty() => {
                let _ = write!(text, " ~ {shown}");
            }
            _ => {}
        }
        text.push('\n');
        if text.len() > BUFFER {
            plain::out(text);
            text.clear();
        }
        open.extend(children.get(name).into_iter().flatten().rev().map(|child| (*child, depth + 1)));
    }
}

/// The environments that build the package for one, as tox shows them.
fn packagers_of(plan: &Plan, name: &str) -> Result<String, ConfigError> {
    let settings = &plan.settings;
    let set = settings.environment(name);
    if !settings.runner(&set)?.is_none_or(Runner::takes_package) {
        return Ok(String::new());
    }
    let package = settings.text(&set, "package")?;
    if package == "skip" {
        return Ok(String::new());
    }
    let package_env = settings.text(&set, "package_env")?;
    if package == "external" {
        return Ok(format!("{package_env} | {package_env}_sdist_meta"));
    }
    if !matches!(package.as_str(), "wheel" | "sdist-wheel") {
        return Ok(package_env);
    }
    // Without an interpreter there is nothing to build a wheel with.
    match settings.text(&set, "wheel_build_env") {
        Ok(wheel_env) if wheel_env != package_env => Ok(format!("{package_env} | {wheel_env}")),
        _ => Ok(package_env),
    }
}
