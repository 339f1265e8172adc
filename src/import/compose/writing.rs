//! Writes a translated service as the section of an environment.

use yaml_rust2::Yaml;

use super::ComposeContext;
use super::health::{self, HealthCheck};
use super::installs;
use super::keys::service_keys;
use super::notes::ImportNotes;
use super::service::{ServiceDraft, command};
use super::values::{get, seconds, text, texts};
use crate::import::fields::{settled, template};
use crate::import::section::{ImportedSection, distribution, is_pythons, program, words_line};

/// Programs that a runtime other than Python brings.
const OF_RUNTIMES: [&str; 10] = ["node", "npm", "npx", "yarn", "pnpm", "ruby", "bundle", "gem", "go", "cargo"];

/// The section, with notes on what it cannot say.
pub fn section(draft: &mut ServiceDraft<'_>, context: &ComposeContext<'_>, notes: &mut ImportNotes) -> ImportedSection {
    let mut section = ImportedSection::new(&draft.name);
    let lines = commands(draft);
    let ready = ready(draft, context, notes);
    runtime(draft, &lines, ready.as_ref().and_then(|(_, program)| program.as_deref()), context, &mut section);
    if draft.is_served() {
        draft
            .get("profiles")
            .map(texts)
            .unwrap_or_default()
            .iter()
            .for_each(|profile| section.add("profiles", profile));
    }
    for (name, restart) in &draft.depends {
        section.add("depends", if *restart { format!("{name}:restart") } else { name.clone() });
    }
    if !draft.change_dir.is_empty() && draft.known.is_none() {
        section.add("change_dir", template(&format!("<tox_root>/{}", draft.change_dir)));
    }
    draft.env_files.iter().for_each(|file| section.add("env_file", file));
    for variable in draft.variables.iter().filter(|variable| !variable.from_file) {
        match &variable.value {
            Some(value) => {
                let trimmed = value.trim();
                if trimmed != value && !value.trim_matches(' ').is_empty() {
                    notes.add(&draft.name, format!("spaces at the start and end of `{}` are lost", variable.name));
                }
                // What follows a semicolon is a marker.
                let escaped = trimmed.replace(';', "\\;");
                section.add("set_env", format!("{} = {escaped}", variable.name).trim_end());
            }
            None => section.add("pass_env", &variable.name),
        }
    }
    if draft.is_served() {
        for port in &draft.ports {
            section.add("ports", port.number.map_or(port.name.clone(), |number| format!("{}={number}", port.name)));
        }
    }
    lines.pre.iter().for_each(|line| section.add("commands_pre", line));
    match &lines.serve {
        Some(line) => section.add(if draft.is_job { "commands" } else { "serve" }, line),
        None => {
            section.comment("The image defines the command, which is not known here. Set it as");
            section.comment("serve = PROGRAM ARGUMENT ...");
        }
    }
    if draft.is_served() {
        if let Some((probe, _)) = ready {
            section.add("ready", probe);
        }
        let patience = draft.known.and_then(|known| known.ready_timeout);
        patience.into_iter().for_each(|seconds| section.add("ready_timeout", seconds));
        // One of values that are in files would be wrong.
        let url = draft.known.filter(|known| known.in_files(|name| draft.variable(name).is_some()).is_empty());
        let url = url.and_then(|known| known.url(|name| draft.variable(name).map(str::to_owned)));
        url.into_iter().for_each(|url| section.add("url", url));
        policies(draft, &mut section, notes);
    }
    service_keys(draft, notes);
    section
}

/// The commands of a service as lines.
struct ServiceCommands {
    pre: Vec<String>,
    serve: Option<String>,
}

fn commands(draft: &ServiceDraft<'_>) -> ServiceCommands {
    let mut pre = Vec::new();
    if let Some(known) = draft.known {
        let in_files = known.in_files(|name| draft.variable(name).is_some());
        pre.extend(known.prepare(&draft.program.scripts, &in_files));
        return ServiceCommands { pre, serve: Some(known.serve(&draft.program.arguments, &in_files)) };
    }
    pre.extend(draft.installs.commands_pre.iter().cloned());
    ServiceCommands { pre, serve: (!draft.program.words.is_empty()).then(|| words_line(&draft.program.words)) }
}

/// What the environment is made for, and what is installed in it.
fn runtime(
    draft: &mut ServiceDraft<'_>,
    lines: &ServiceCommands,
    probe: Option<&str>,
    context: &ComposeContext<'_>,
    section: &mut ImportedSection,
) {
    if let Some(known) = draft.known {
        section
            .comment(format!("Instead of the image {}: install {} on this machine.", draft.image.base, known.package));
        section.add("runtime", "system");
        return;
    }
    let language = installs::language(&draft.image.base);
    let is = |name: &str| language.as_ref().is_some_and(|(language, _)| *language == name);
    let programs: Vec<String> = lines
        .pre
        .iter()
        .chain(&lines.serve)
        .map(|line| program(line).to_owned())
        .chain(probe.map(str::to_owned))
        .collect();
    let runs = |names: &[&str]| programs.iter().any(|program| names.contains(&program.as_str()));
    let found = &draft.installs;
    let is_python = is("python") || !found.deps.is_empty() || programs.iter().any(|program| is_pythons(program));
    let mut runtimes = Vec::new();
    runtimes.extend(is_python.then_some("python"));
    runtimes.extend((found.node || is("node") || runs(&["node", "npm", "npx", "yarn", "pnpm"])).then_some("node"));
    runtimes.extend((found.ruby || is("ruby") || runs(&["ruby", "bundle", "rails"])).then_some("ruby"));
    runtimes.extend((found.go || is("go") || runs(&["go"])).then_some("go"));
    runtimes.extend((found.rust || is("rust") || runs(&["cargo"])).then_some("rust"));
    match runtimes.as_slice() {
        [] => section.add("runtime", "system"),
        ["python"] => {}
        several => section.add("runtime", several.join(", ")),
    }
    if let Some((language, version)) = language.filter(|(_, version)| !version.is_empty()) {
        match (language, version.split('.').collect::<Vec<_>>().as_slice()) {
            ("python", [major, minor, ..]) => {
                section.add("base_python", format!("python{major}.{minor}, python{major}"))
            }
            ("python", _) => {}
            _ => section.comment(format!("The image has version {version}: `{language}@{version}` asks for it.")),
        }
    }
    let is_external = |program: &str| match runtimes.as_slice() {
        [] => false,
        _ if is_python => !is_pythons(program),
        // What is neither a path nor on this machine comes from packages.
        _ => !OF_RUNTIMES.contains(&program) && (program.contains('/') || (context.files.has_program)(program, &[])),
    };
    for name in programs.iter().filter(|program| !program.is_empty() && is_external(program)) {
        section.add("allowlist_externals", name);
    }
    found.deps.iter().for_each(|line| section.add("deps", line));
    // What the requirements have is not named again.
    let listed: String = found
        .deps
        .iter()
        .filter_map(|line| line.strip_prefix("-r "))
        .filter_map(|path| (context.files.read)(path))
        .collect();
    for program in &programs {
        if let Some(needed) = distribution(program)
            .filter(|needed| !listed.to_lowercase().contains(needed.split('[').next().unwrap_or_default()))
        {
            let is_named = found.deps.iter().any(|line| line.starts_with(needed));
            if !is_named && !found.deps.iter().any(|line| line.starts_with("./") || line.starts_with("-e ")) {
                section.add("deps", needed);
            }
        }
    }
    found.node_deps.iter().for_each(|line| section.add("node_deps", line));
    found.ruby_deps.iter().for_each(|line| section.add("ruby_deps", line));
}

/// The probe and the program it needs.
fn ready(
    draft: &mut ServiceDraft<'_>,
    context: &ComposeContext<'_>,
    notes: &mut ImportNotes,
) -> Option<(String, Option<String>)> {
    let known = draft.known.and_then(|known| known.ready).map(|ready| (template(ready), None));
    let check = draft.get("healthcheck");
    let is_off = check.and_then(|check| get(check, "disable")).and_then(Yaml::as_bool) == Some(true);
    let test = match check.and_then(|check| get(check, "test")) {
        Some(Yaml::Array(_)) => check.and_then(|check| get(check, "test")).map(command),
        Some(one) => text(one).map(|text| vec!["CMD-SHELL".to_owned(), text]),
        None => draft.image.health.clone(),
    };
    let Some(test) = test.filter(|_| !is_off && draft.is_served()) else { return known };
    let names = [draft.name.clone(), draft.env.clone()];
    if draft.ports.is_empty() {
        // The check may be the only one that says where it listens.
        if let Some(port) = test.iter().find_map(|word| own_port(word)) {
            draft.add_port(port, None);
            draft.ports[0].number = Some(port);
        }
    }
    let field = |number: Option<u16>| match number {
        Some(number) => draft.port_field(number, true),
        None => draft.ports.first().and_then(|port| draft.port_field(port.target, true)),
    };
    match health::probe(&test, &names, &field) {
        None => known,
        Some(HealthCheck::OfImage(program)) => {
            notes.add(
                &draft.name,
                format!("its health check calls `{program}` of the image: `ready` checks its port instead"),
            );
            known
        }
        Some(HealthCheck::Ready { probe, program }) => {
            let is_missing = program.as_ref().is_some_and(|program| {
                draft.known.is_some()
                    && !(context.files.has_program)(program, draft.known.map_or(&[], |known| known.folders))
            });
            if is_missing {
                notes.add(
                    &draft.name,
                    format!(
                        "`{}` of its health check is not installed: `ready` checks its port instead",
                        program.unwrap_or_default()
                    ),
                );
                return known;
            }
            // The paths of an address are not the container's.
            let is_command = probe.starts_with("cmd:");
            Some((if is_command { draft.image.paths.replaced(&probe) } else { probe }, program))
        }
    }
}

/// `localhost:8000` in a check.
fn own_port(word: &str) -> Option<u16> {
    let (_, after) = word.split_once("localhost:").or_else(|| word.split_once("127.0.0.1:"))?;
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    after[..digits].parse().ok()
}

/// When it starts again, how it stops, how many there are.
fn policies(draft: &ServiceDraft<'_>, section: &mut ImportedSection, notes: &mut ImportNotes) {
    let deploy = |key: &str| draft.get("deploy").and_then(|deploy| get(deploy, key));
    match draft.text("restart").as_deref() {
        Some("always" | "unless-stopped") => section.add("restart", "always"),
        Some(policy) if policy.starts_with("on-failure") => {
            section.add("restart", "on-failure");
            if let Some((_, limit)) = policy.split_once(':') {
                section.add("restart_limit", limit);
            }
        }
        Some("no" | "false") | None => {}
        Some(other) => notes.add(&draft.name, format!("`restart: {}` is not a known policy", other.escape_default())),
    }
    if let Some(policy) = deploy("restart_policy").filter(|_| !section.has("restart")) {
        match get(policy, "condition").and_then(text).as_deref() {
            Some("none") => {}
            Some("on-failure") => section.add("restart", "on-failure"),
            _ => section.add("restart", "always"),
        }
        let limit = get(policy, "max_attempts").and_then(text);
        limit.into_iter().for_each(|limit| section.add("restart_limit", settled(&limit)));
    }
    if draft.known.is_none() {
        let signal = draft.text("stop_signal").or_else(|| draft.image.stop_signal.clone());
        signal.into_iter().for_each(|signal| section.add("stop_signal", signal));
    } else if let Some(signal) =
        draft.text("stop_signal").or_else(|| draft.known.and_then(|known| known.stop_signal).map(str::to_owned))
    {
        section.add("stop_signal", signal);
    }
    if let Some(time) = draft.get("stop_grace_period").and_then(seconds) {
        section.add("stop_timeout", time.to_string());
    }
    let count = draft.text("scale").or_else(|| deploy("replicas").and_then(text).map(|text| settled(&text)));
    if let Some(count) = count.filter(|count| count != "1") {
        if count == "0" {
            notes.add(&draft.name, "it has no replicas in the file, but one here");
        } else {
            section.add("instances", count);
        }
    }
    if draft.get("tty").and_then(Yaml::as_bool) == Some(true) {
        section.add("pty", "true");
    }
    let watched = draft.get("develop").and_then(|develop| get(develop, "watch")).and_then(Yaml::as_vec);
    for one in watched.into_iter().flatten() {
        if let Some(path) = get(one, "path").and_then(text) {
            section.add("watch", settled(&path));
        }
    }
}
