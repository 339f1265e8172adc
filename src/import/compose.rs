//! `docker-compose.yml`, as far as its services can run without containers.
//! <https://docs.docker.com/reference/compose-file/>

mod images;

use std::collections::BTreeSet;

use yaml_rust2::{Yaml, YamlLoader};

use self::images::Database;
use super::Imported;
use super::compose_values::{entries, get, interpolated, port, seconds, text, texts, variables};
use super::section::{Section, command_line, distribution, environment_name, is_pythons, program, words_line};
use crate::error::ConfigError;

/// Keys that say nothing a process of this machine needs.
const WITHOUT_MEANING: [&str; 9] =
    ["container_name", "hostname", "labels", "logging", "networks", "init", "stdin_open", "pull_policy", "platform"];

/// Keys that are translated, or told of where they are.
const TRANSLATED: [&str; 20] = [
    "image",
    "build",
    "command",
    "entrypoint",
    "environment",
    "env_file",
    "ports",
    "expose",
    "depends_on",
    "healthcheck",
    "restart",
    "stop_signal",
    "stop_grace_period",
    "profiles",
    "scale",
    "deploy",
    "tty",
    "develop",
    "working_dir",
    "links",
];

/// Translates the file's text.
///
/// # Errors
/// A text that is no YAML, or has no services.
pub fn compose(source: &str) -> Result<Imported, ConfigError> {
    let documents = YamlLoader::load_from_str(source)
        .map_err(|error| ConfigError::handled(format!("it cannot be read as YAML: {error}")))?;
    let services = documents.first().and_then(|document| get(document, "services")).map(entries).unwrap_or_default();
    if services.is_empty() {
        return Err(ConfigError::handled("there are no `services` in it"));
    }
    let mut imported = Imported::default();
    let names: Vec<String> = services.iter().map(|(name, _)| name.clone()).collect();
    let jobs: BTreeSet<String> = services.iter().flat_map(|(_, service)| completed(service)).collect();
    for (name, service) in &services {
        let mut translation = Translation { name, service, section: Section::new(name), imported: &mut imported };
        translation.run();
        let mut section = translation.section;
        point_to_services(&mut section, name, &names);
        if jobs.contains(name) {
            section.rename("serve", "commands");
        }
        imported.sections.push(section);
    }
    for (key, value) in documents.first().map(entries).unwrap_or_default() {
        if matches!(key.as_str(), "secrets" | "configs") && !entries(value).is_empty() {
            imported.notes.push(format!("`{key}` of the file are not translated"));
        }
    }
    Ok(imported)
}

/// Those that a service waits for to end well.
fn completed(service: &Yaml) -> Vec<String> {
    let conditions = get(service, "depends_on").map(entries).unwrap_or_default();
    let ends = |(_, how): &(String, &Yaml)| {
        get(how, "condition").and_then(text).as_deref() == Some("service_completed_successfully")
    };
    conditions.into_iter().filter(ends).map(|(name, _)| name).collect()
}

/// In values, `//db:5432` and `@db:5432` mean the service `db`, wherever it listens.
fn point_to_services(section: &mut Section, own: &str, names: &[String]) {
    let mut found: BTreeSet<String> = BTreeSet::new();
    section.change(|key, line| {
        let mut line = line.to_owned();
        if matches!(key, "set_env" | "serve" | "commands") {
            for name in names.iter().filter(|name| *name != own) {
                for before in ["//", "@", " = "] {
                    if let Some(changed) = pointed(&line, before, name) {
                        line = changed;
                        found.insert(environment_name(name));
                    }
                }
            }
        }
        line
    });
    found.into_iter().for_each(|name| section.add("depends", name));
}

/// The line with `NAME:NUMBER` behind `before` as fields, if it stands there.
fn pointed(line: &str, before: &str, name: &str) -> Option<String> {
    let at = line.find(&format!("{before}{name}:"))? + before.len();
    let after = &line[at + name.len() + 1..];
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    let name = environment_name(name);
    Some(format!("{}{{service:{name}:host}}:{{service:{name}:port}}{}", &line[..at], &after[digits..]))
}

/// One service on its way.
struct Translation<'a> {
    name: &'a str,
    service: &'a Yaml,
    section: Section,
    imported: &'a mut Imported,
}

impl Translation<'_> {
    fn run(&mut self) {
        self.program();
        self.variables();
        self.ports();
        self.depends();
        self.health();
        self.policies();
        self.rest();
    }

    fn get(&self, key: &str) -> Option<&Yaml> {
        get(self.service, key)
    }

    fn note(&mut self, text: impl AsRef<str>) {
        self.imported.note(self.name, text);
    }

    /// What is run: the command of the file, or the program of a known image.
    fn program(&mut self) {
        let entrypoint = self.get("entrypoint").map(command).unwrap_or_default();
        let own = self.get("command").map(command).unwrap_or_default();
        let image = self.get("image").and_then(text).unwrap_or_default();
        if let Some((package, keys)) = images::known(&image).filter(|_| entrypoint.is_empty()) {
            let database = self.database();
            for (key, value) in keys {
                let filled = database.as_ref().map_or_else(|| (*value).to_owned(), |one| one.filled(value));
                self.section.add(key, filled);
            }
            self.section.comment(format!("In place of the image {image}: install {package} on this machine."));
            if !own.is_empty() {
                self.note(format!("`command: {own}` of the image {image} is not translated: see `serve`"));
            }
            return;
        }
        let line = [entrypoint, own].into_iter().filter(|one| !one.is_empty()).collect::<Vec<_>>().join(" ");
        if self.get("build").is_some() {
            self.note(
                "it is built from a Dockerfile: what that installs goes to `deps`, or is installed on this machine",
            );
        } else if !image.is_empty() {
            self.note(format!("what runs in the image {image} must be installed on this machine or by `deps`"));
        }
        if line.is_empty() {
            self.section.comment("The image says what is run: write it here.");
            self.section.comment("serve = ");
            self.note("the image decides what is run, which is not known here: say it in `serve`");
            return;
        }
        let program = program(&line).to_owned();
        if let Some(needed) = distribution(&program) {
            self.section.add("deps", needed);
        }
        if !is_pythons(&program) {
            self.section.add("allowlist_externals", program);
        }
        self.section.add("serve", line);
    }

    /// What an image of PostgreSQL is told in its variables.
    fn database(&self) -> Option<Database> {
        let variables = self.get("environment").map(variables).unwrap_or_default();
        let variable = |name: &str| {
            let (_, value) = variables.iter().find(|(known, _)| known == name)?;
            value.as_deref().map(interpolated)
        };
        Database::of(&self.get("image").and_then(text)?, variable)
    }

    fn variables(&mut self) {
        let is_database = self.database().is_some() && self.get("entrypoint").is_none();
        for (name, value) in self.get("environment").map(variables).unwrap_or_default() {
            if is_database && Database::says(&name) {
                continue;
            }
            match value {
                Some(value) => self.section.add("set_env", format!("{name} = {}", interpolated(&value))),
                None => self.section.add("pass_env", name),
            }
        }
        let files = match self.get("env_file") {
            Some(Yaml::Array(files)) => files.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        for file in &files {
            let Some(path) = get(file, "path").and_then(text).or_else(|| text(file)) else { continue };
            let optional = get(file, "required").and_then(Yaml::as_bool) == Some(false);
            self.section.add("env_file", if optional { format!("- {path}") } else { path });
        }
    }

    fn ports(&mut self) {
        let published = self.get("ports").and_then(Yaml::as_vec).cloned().unwrap_or_default();
        let has_own = self.section.get("ports").is_some();
        for (at, written) in published.iter().enumerate() {
            match port(written) {
                None => self.note(format!("the port `{}` is not translated", text(written).unwrap_or_default())),
                Some((number, target)) if has_own => {
                    let number = number.unwrap_or(target);
                    self.note(format!("it gets a free port in place of {number}; others are told by fields"));
                }
                Some((number, target)) => self.port(at, number, target),
            }
        }
    }

    fn port(&mut self, at: usize, number: Option<u16>, target: u16) {
        let name = match target {
            80 | 443 | 3000 | 5000 | 8000 | 8080 if at == 0 => "http".to_owned(),
            _ if at == 0 => "main".to_owned(),
            _ => format!("p{target}"),
        };
        self.section.add("ports", number.map_or(name.clone(), |number| format!("{name}={number}")));
        let mut replaced = false;
        self.section.change(|key, line| match replace_number(line, &target.to_string(), &format!("{{port:{name}}}")) {
            Some(changed) if key == "serve" => {
                replaced = true;
                changed
            }
            _ => line.to_owned(),
        });
        if !replaced && number != Some(target) {
            self.note(format!("it listens on {target} in its container; here it has to listen on `{{port:{name}}}`"));
        }
    }

    fn depends(&mut self) {
        let named: Vec<(String, bool)> = match self.get("depends_on") {
            Some(list @ Yaml::Array(_)) => texts(list).into_iter().map(|name| (name, false)).collect(),
            Some(mapping) => entries(mapping)
                .into_iter()
                .map(|(name, how)| (name, get(how, "restart").and_then(Yaml::as_bool) == Some(true)))
                .collect(),
            None => Vec::new(),
        };
        for (name, restart) in named {
            let name = environment_name(&name);
            self.section.add("depends", if restart { format!("{name}:restart") } else { name });
        }
    }

    fn health(&mut self) {
        let Some(test) = self.get("healthcheck").and_then(|health| get(health, "test")) else { return };
        let words = texts(test);
        let probe = match (words.first().map(String::as_str), words.get(1..)) {
            (Some("NONE"), _) | (None, _) => return,
            (Some("CMD"), Some(rest)) => words_line(rest),
            (Some("CMD-SHELL"), Some(rest)) => rest.join(" "),
            _ => words.join(" "),
        };
        if self.section.get("ready").is_some() {
            return;
        }
        match probed_path(&probe) {
            Some(path) if self.section.get("ports").is_some() => {
                self.section.add("ready", format!("http://{{host}}:{{port}}{path}"));
            }
            _ => {
                let line = if words.first().is_some_and(|word| word == "CMD") { probe } else { command_line(&probe) };
                self.section.add("allowlist_externals", program(&line).to_owned());
                self.section.add("ready", format!("cmd:{line}"));
                self.note("its health check is a `cmd:` probe now; addresses in it may have to become `{host}:{port}`");
            }
        }
    }

    fn policies(&mut self) {
        match self.get("restart").and_then(text).as_deref() {
            Some("always" | "unless-stopped") => self.section.add("restart", "always"),
            Some(policy) if policy.starts_with("on-failure") => {
                self.section.add("restart", "on-failure");
                if let Some((_, limit)) = policy.split_once(':') {
                    self.section.add("restart_limit", limit);
                }
            }
            _ => {}
        }
        if let Some(signal) = self.get("stop_signal").and_then(text) {
            self.section.add("stop_signal", signal);
        }
        if let Some(time) = self.get("stop_grace_period").and_then(seconds) {
            self.section.add("stop_timeout", time.to_string());
        }
        for profile in self.get("profiles").map(texts).unwrap_or_default() {
            self.section.add("profiles", profile);
        }
        let replicas = self.get("deploy").and_then(|deploy| get(deploy, "replicas"));
        if let Some(count) = self.get("scale").or(replicas).and_then(text).filter(|count| count != "1") {
            self.section.add("instances", count);
        }
        if self.get("tty").and_then(Yaml::as_bool) == Some(true) {
            self.section.add("pty", "true");
        }
        let watched = self.get("develop").and_then(|develop| get(develop, "watch")).and_then(Yaml::as_vec);
        let paths: Vec<String> =
            watched.into_iter().flatten().filter_map(|one| get(one, "path").and_then(text)).collect();
        paths.into_iter().for_each(|path| self.section.add("watch", path));
    }

    /// What was not looked at.
    fn rest(&mut self) {
        if let Some(folder) = self.get("working_dir").and_then(text) {
            self.note(format!(
                "`working_dir: {folder}` is a folder of the container; `change_dir` says where to run here"
            ));
        }
        for (key, _) in entries(self.service) {
            match key.as_str() {
                key if TRANSLATED.contains(&key) || WITHOUT_MEANING.contains(&key) => {}
                "volumes" => {
                    self.note("`volumes` are not translated: a process of this machine sees its files as they are");
                }
                key => self.note(format!("`{key}` is not translated")),
            }
        }
    }
}

/// A command, written as text or as words. Variables in it are the container's.
fn command(value: &Yaml) -> String {
    match value {
        Yaml::Array(_) => words_line(&texts(value)),
        other => command_line(&text(other).unwrap_or_default().replace("$$", "$")),
    }
}

/// The line with a field where the number stands by itself, if it does.
fn replace_number(line: &str, number: &str, field: &str) -> Option<String> {
    let alone = |character: Option<char>| !character.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.');
    let stands =
        |(at, _): &(usize, &str)| alone(line[..*at].chars().last()) && alone(line[at + number.len()..].chars().next());
    let (at, _) = line.match_indices(number).find(stands)?;
    let rest = &line[at + number.len()..];
    Some(format!("{}{field}{}", &line[..at], replace_number(rest, number, field).unwrap_or_else(|| rest.to_owned())))
}

/// The path of an address that `curl` or `wget` asks for on the service itself.
fn probed_path(command: &str) -> Option<&str> {
    let mut words = command.split_whitespace();
    if !matches!(words.next()?, "curl" | "wget") {
        return None;
    }
    let url = words.find_map(|word| word.trim_matches(['\'', '"']).strip_prefix("http://"))?;
    let (authority, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    let host = authority.split(':').next().unwrap_or_default();
    matches!(host, "localhost" | "127.0.0.1" | "0.0.0.0").then_some(if path.is_empty() { "/" } else { path })
}

#[cfg(test)]
mod tests;
