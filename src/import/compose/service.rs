//! Combines the image, Dockerfile and keys of one service of a compose file.

use std::collections::BTreeMap;

use yaml_rust2::Yaml;

use super::dockerfile::{self, DockerfileImage, ImageBuild};
use super::images::{self, KnownProgram};
use super::installs::{self, InstallInstructions};
use super::notes::ImportNotes;
use super::paths::{absolute, joined};
use super::values::{entries, get, ports, text, texts, variables};
use super::{ComposeContext, interpolation};
use crate::import::fields::{cleaned, field, settled};
use crate::import::section::{command_words, environment_name, is_variable_name};

/// A port of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    pub target: u16,
    /// What it is called here.
    pub name: String,
    /// The number it has on this machine, if it has to be one.
    pub number: Option<u16>,
    pub published: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerVariable {
    pub name: String,
    /// `None`: it is passed on.
    pub value: Option<String>,
    /// A file has it, so it is written only if it changes.
    pub from_file: bool,
}

/// Everything that is known of a service before others are looked at.
pub struct ServiceDraft<'a> {
    pub name: String,
    /// The environment's.
    pub env: String,
    pub yaml: &'a Yaml,
    pub image: DockerfileImage,
    pub known: Option<&'static KnownProgram>,
    pub installs: InstallInstructions,
    pub program: ProgramDraft,
    pub change_dir: String,
    pub env_files: Vec<String>,
    pub variables: Vec<ContainerVariable>,
    pub ports: Vec<ContainerPort>,
    /// Environments, and whether a restart of theirs restarts this one.
    pub depends: Vec<(String, bool)>,
    /// Others wait for it to end well.
    pub is_job: bool,
    /// It must be edited before it can run.
    pub needs_look: bool,
}

/// What a service runs.
pub struct ProgramDraft {
    /// The command; empty if unknown.
    pub words: Vec<String>,
    /// Of a known program: what the command adds.
    pub arguments: Vec<String>,
    /// Scripts that fill a new database.
    pub scripts: Vec<String>,
}

impl<'a> ServiceDraft<'a> {
    pub fn new(name: &str, yaml: &'a Yaml, context: &ComposeContext<'_>, notes: &mut ImportNotes) -> Self {
        let mut draft = Self {
            name: name.to_owned(),
            env: environment_name(name),
            yaml,
            image: DockerfileImage::default(),
            known: None,
            installs: InstallInstructions::default(),
            program: ProgramDraft { words: Vec::new(), arguments: Vec::new(), scripts: Vec::new() },
            change_dir: String::new(),
            env_files: Vec::new(),
            variables: Vec::new(),
            ports: Vec::new(),
            depends: Vec::new(),
            is_job: false,
            needs_look: false,
        };
        draft.read_image(context, notes);
        draft.mount(context, notes);
        draft.program(context, notes);
        draft.read_variables(context, notes);
        draft.read_ports(notes);
        draft.compare(context, notes);
        draft
    }

    pub fn get(&self, key: &str) -> Option<&'a Yaml> {
        get(self.yaml, key).filter(|value| !value.is_null())
    }

    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(text).map(|text| settled(&text))
    }

    /// Whether others can reach it.
    pub fn is_served(&self) -> bool {
        !self.is_job && (self.known.is_some() || !self.program.words.is_empty())
    }

    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|variable| variable.name == name).and_then(|variable| variable.value.as_deref())
    }

    fn look(&mut self, notes: &mut ImportNotes, text: impl AsRef<str>) {
        self.needs_look = true;
        notes.add(&self.name, text);
    }

    fn read_image(&mut self, context: &ComposeContext<'_>, notes: &mut ImportNotes) {
        let base = self.text("image").unwrap_or_default();
        match self.get("build") {
            Some(build) => self.read_build(build, context, notes),
            None => self.image.base.clone_from(&base),
        }
        self.known = images::known(&self.image.base);
        let is_language = installs::language(&self.image.base).is_some();
        if self.get("build").is_none() && self.known.is_none() && !is_language {
            let shown = if base.is_empty() { "no image".to_owned() } else { format!("the image {base}") };
            self.look(notes, format!("the programs of {shown} must be installed on this machine or by `deps`"));
        }
    }

    fn read_build(&mut self, build: &Yaml, context: &ComposeContext<'_>, notes: &mut ImportNotes) {
        let of = |key: &str| get(build, key).and_then(text).map(|text| settled(&text));
        let folder = text(build).map(|text| settled(&text)).or_else(|| of("context")).unwrap_or_else(|| ".".to_owned());
        if folder.contains("://") || folder.starts_with(['/', '~']) || folder.contains('@') {
            return self.look(notes, format!("its build context `{folder}` is not a folder of this project"));
        }
        let folder = joined(context.folder, &folder);
        let file = joined(&folder, &of("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned()));
        let Some(source) = of("dockerfile_inline").or_else(|| (context.files.read)(&file)) else {
            return self.look(notes, format!("there is no {file}: its packages and command are unknown"));
        };
        let arguments: BTreeMap<String, String> = get(build, "args")
            .map(variables)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, value)| {
                let value = value.or_else(|| context.known.get(&name).map(|value| cleaned(value)))?;
                Some((name, settled(&value)))
            })
            .collect();
        let target = of("target");
        let is_file = |path: &str| (context.files.read)(path).is_some();
        let build_of = ImageBuild {
            text: &source,
            context: &folder,
            target: target.as_deref(),
            arguments: &arguments,
            is_file: &is_file,
        };
        match dockerfile::read(&build_of) {
            Ok(image) => self.image = image,
            Err(reason) => return self.look(notes, format!("{file}: {reason}")),
        }
        self.installs = installs::read(&mut self.image);
        for instruction in std::mem::take(&mut self.image.left) {
            notes.key(&self.name, &format!("Dockerfile {instruction}"), "a local process has no counterpart");
        }
        for left in &self.installs.left {
            let shown: String = left.chars().take(80).collect();
            notes.add(
                &self.name,
                format!("`RUN {}` of its Dockerfile is not translated", settled(&shown).replace('\n', " ")),
            );
        }
        if !self.installs.packages.is_empty() {
            notes.add(
                &self.name,
                format!(
                    "its image installs {}: install what it needs on this machine",
                    self.installs.packages.join(", ")
                ),
            );
        }
        let build_keys = entries(build);
        let others = build_keys.iter().filter(|(key, _)| {
            !matches!(key.as_str(), "context" | "dockerfile" | "dockerfile_inline" | "args" | "target")
        });
        for (key, _) in others {
            notes.key(&self.name, &format!("build.{key}"), "no image is built");
        }
        // Nothing is copied to where it runs, but the files are those of the context.
        let workdir = self.image.workdir.clone();
        if workdir.len() > 1 && self.image.paths.folder(&workdir).is_none() {
            self.image.paths.add(&workdir, &folder);
        }
        self.change_dir = folder;
    }

    /// What is mounted into the container: folders of the project, secrets, configs.
    fn mount(&mut self, context: &ComposeContext<'_>, notes: &mut ImportNotes) {
        for volume in self.get("volumes").and_then(Yaml::as_vec).into_iter().flatten() {
            let (source, target) = match get(volume, "target").and_then(text) {
                Some(target) => (
                    get(volume, "source")
                        .and_then(text)
                        .filter(|_| get(volume, "type").and_then(text).as_deref() == Some("bind")),
                    target,
                ),
                None => match text(volume).unwrap_or_default().split_once(':') {
                    Some((source, rest)) => {
                        (Some(source.to_owned()), rest.split(':').next().unwrap_or_default().to_owned())
                    }
                    None => (None, text(volume).unwrap_or_default()),
                },
            };
            let source = source.map(|source| settled(&source)).filter(|source| source.starts_with('.'));
            let target = absolute("/", &settled(&target));
            let Some(source) = source else {
                notes.key(&self.name, "volumes", "data that is not in the project stays where the program puts it");
                continue;
            };
            let source = joined(context.folder, &source);
            if target.starts_with("/docker-entrypoint-initdb.d") {
                let is_folder = target == "/docker-entrypoint-initdb.d" && !source.ends_with(".sql");
                self.program.scripts.push(if is_folder { joined(&source, "*.sql") } else { source.clone() });
            }
            self.image.paths.add(&target, &source);
        }
        for kind in ["secrets", "configs"] {
            for one in self.get(kind).and_then(Yaml::as_vec).into_iter().flatten() {
                let name = get(one, "source").and_then(text).or_else(|| text(one)).unwrap_or_default();
                let usual = if kind == "secrets" { format!("/run/secrets/{name}") } else { format!("/{name}") };
                let target =
                    get(one, "target").and_then(text).map_or(usual, |target| absolute("/run/secrets", &target));
                let file = get(context.root, kind)
                    .and_then(|all| get(all, &name))
                    .and_then(|one| get(one, "file"))
                    .and_then(text);
                match file {
                    Some(file) => self.image.paths.add(&target, &joined(context.folder, &settled(&file))),
                    None => notes.key(&self.name, kind, "only those with a `file` are supported"),
                }
            }
        }
        if self.known.is_some_and(KnownProgram::takes_scripts) && self.program.scripts.is_empty() {
            self.program.scripts.extend(self.image.paths.in_project("/docker-entrypoint-initdb.d/*.sql"));
        }
        if !self.program.scripts.is_empty() && !self.known.is_some_and(KnownProgram::takes_scripts) {
            self.look(notes, format!("`{}` does not fill its database here", self.program.scripts.join(", ")));
        }
        if self.program.scripts.iter().any(|script| !script.ends_with(".sql")) {
            self.program.scripts.retain(|script| script.ends_with(".sql"));
            self.look(notes, "only `.sql` files fill its database here");
        }
    }

    /// What is run: entry point and command of the file, else of the image.
    fn program(&mut self, context: &ComposeContext<'_>, notes: &mut ImportNotes) {
        let entrypoint = get(self.yaml, "entrypoint").filter(|value| !value.is_null()).map(command);
        let own = self.get("command").map(command);
        let image_command = if entrypoint.is_none() { self.image.command.clone() } else { Vec::new() };
        if let Some(program) = self.known {
            let words: Vec<String> = match entrypoint.clone() {
                Some(words) => words.into_iter().chain(own.clone().unwrap_or_default()).collect(),
                None => own.clone().unwrap_or_else(|| image_command.clone()),
            };
            if let Some(arguments) = images::arguments(program, &words) {
                self.program.arguments = arguments.iter().map(|word| self.image.paths.replaced(word)).collect();
                self.ports = program
                    .ports
                    .iter()
                    .map(|(name, target)| ContainerPort {
                        target: *target,
                        name: (*name).to_owned(),
                        number: None,
                        published: None,
                    })
                    .collect();
                return;
            }
            self.known = None;
        }
        let mut words = entrypoint.unwrap_or_else(|| self.image.entrypoint.clone());
        let is_shell = words.len() == 3 && words[0] == "sh" && words[1] == "-c" && own.is_none();
        if !is_shell {
            words.extend(own.unwrap_or(image_command));
        }
        // A process of this machine needs no first process of a container.
        let init = ["tini", "dumb-init", "docker-init", "catatonit"];
        if words.first().is_some_and(|first| init.contains(&first.rsplit('/').next().unwrap_or_default())) {
            words.remove(0);
            while words.first().is_some_and(|word| word.starts_with('-')) {
                words.remove(0);
            }
        }
        let language = installs::language(&self.image.base).map(|(language, _)| language);
        if words.first().is_some_and(|first| first.starts_with('-')) {
            match language {
                Some(program @ ("python" | "node" | "ruby")) => words.insert(0, program.to_owned()),
                _ => {
                    self.look(
                        notes,
                        format!(
                            "its command `{}` belongs to a program of the image, which is not known here",
                            settled(&words.join(" "))
                        ),
                    );
                    words.clear();
                }
            }
        }
        self.place();
        if words.is_empty() {
            if !self.needs_look || self.get("command").is_none() {
                self.look(notes, "the image defines its command, which is not known here: set `serve`");
            }
            return;
        }
        self.program.words = self.translated(words, context);
        self.missing_program(context, notes);
        self.missing_file(context, notes);
    }

    /// Where it runs.
    fn place(&mut self) {
        let workdir = self.text("working_dir").map_or(self.image.workdir.clone(), |folder| absolute("/", &folder));
        let folder = match workdir.as_str() {
            "" => self.image.paths.folder("/app"),
            workdir => self.image.paths.folder(workdir),
        };
        if let Some(folder) = folder.filter(|folder| !folder.starts_with("..")) {
            self.change_dir = folder;
        }
    }

    /// The words with paths of this machine; a script runs by what its first line names.
    fn translated(&self, words: Vec<String>, context: &ComposeContext<'_>) -> Vec<String> {
        // A text that needs no shell is words.
        let words = match words.as_slice() {
            [shell, flag, text]
                if matches!(shell.as_str(), "sh" | "bash" | "/bin/sh" | "/bin/bash")
                    && matches!(flag.as_str(), "-c" | "-lc" | "-ec") =>
            {
                let mut inner = command_words(text);
                if inner.len() == 3 && inner[1] == "-c" && shell.ends_with("bash") {
                    inner[0] = "bash".to_owned();
                    inner[1].clone_from(flag);
                }
                inner
            }
            _ => words,
        };
        let workdir = self.text("working_dir").unwrap_or_else(|| self.image.workdir.clone());
        let mut result: Vec<String> = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let path = absolute(&workdir, word);
            if at == 0 {
                let script = word.contains(['/', '.']).then(|| self.image.paths.in_project(&path)).flatten();
                if let Some(first) = script.and_then(|path| (context.files.read)(&path)) {
                    let line = first.lines().next().unwrap_or_default();
                    let shells =
                        [("bash", "bash"), ("sh", "sh"), ("python3", "python"), ("python", "python"), ("node", "node")];
                    let by = shells.iter().find(|(name, _)| line.starts_with("#!") && line.trim_end().ends_with(name));
                    result.extend(by.map(|(_, program)| (*program).to_owned()));
                }
                let is_installed = self.image.paths.value(&path).is_none() && word.starts_with('/');
                if is_installed {
                    result.push(word.rsplit('/').next().unwrap_or_default().to_owned());
                    continue;
                }
            }
            result.push(self.image.paths.replaced(word));
        }
        result
    }

    fn missing_program(&mut self, context: &ComposeContext<'_>, notes: &mut ImportNotes) {
        let program = self.program.words.first().cloned().unwrap_or_default();
        let by_runtime =
            ["node", "npm", "npx", "yarn", "pnpm", "ruby", "bundle", "go", "cargo", "python", "python3", "pip"];
        let may_be_installed =
            !self.installs.deps.is_empty() || self.installs.node || self.installs.ruby || self.installs.go;
        let is_found = may_be_installed
            || by_runtime.contains(&program.as_str())
            || crate::import::section::is_pythons(&program)
            || program.contains(['/', '.'])
            || (context.files.has_program)(&program, &[]);
        if !is_found && !self.needs_look {
            self.look(notes, format!("`{program}` is not installed on this machine"));
        }
    }

    /// A file that only the image has, such as one that its Dockerfile builds.
    fn missing_file(&mut self, context: &ComposeContext<'_>, notes: &mut ImportNotes) {
        let of_every_system = ["/dev/", "/proc/", "/sys/", "/tmp/"];
        let root = format!("{}/", field("tox_root"));
        let is_missing = |path: &str| match path.strip_prefix(&root) {
            Some(inside) => !self.installs.left.is_empty() && (context.files.read)(inside).is_none(),
            None => path.starts_with('/') && !of_every_system.iter().any(|folder| path.starts_with(folder)),
        };
        let values = self.program.words.iter().skip(1);
        let mut values = values.map(|word| word.split_once('=').map_or(word.as_str(), |(_, value)| value));
        let is_file = |path: &&str| path.rsplit('/').next().is_some_and(|name| name.contains('.'));
        let missing = values.find(|path| is_file(path) && is_missing(path)).map(|path| path.replace(&root, ""));
        if let Some(path) = missing.filter(|_| !self.needs_look) {
            self.look(notes, format!("its command names `{}`, which only the image has", settled(&path)));
        }
    }

    fn read_variables(&mut self, context: &ComposeContext<'_>, notes: &mut ImportNotes) {
        let files = match self.get("env_file") {
            Some(Yaml::Array(files)) => files.iter().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        };
        for file in files {
            let Some(path) = get(file, "path").and_then(text).or_else(|| text(file)) else { continue };
            let path = joined(context.folder, &settled(&path));
            let is_optional = get(file, "required").and_then(Yaml::as_bool) == Some(false);
            if get(file, "format").is_some() {
                notes.key(&self.name, "env_file.format", "the file is read as usual");
            }
            let content = (context.files.read)(&path);
            if content.is_none() && !is_optional {
                self.look(notes, format!("its `env_file` {path} is not there"));
            }
            let entry = if content.is_none() || is_optional { format!("- {path}") } else { path.clone() };
            self.env_files.push(entry);
            let found = content.map(|text| interpolation::variables_of(&text)).transpose().unwrap_or_else(|reason| {
                self.look(notes, format!("its `env_file` {path}: {reason}"));
                None
            });
            for (name, value) in found.unwrap_or_default() {
                self.set(ContainerVariable { name, value: Some(cleaned(&value)), from_file: true });
            }
        }
        for (name, value) in std::mem::take(&mut self.image.variables) {
            let is_image_s = ["PATH", "VIRTUAL_ENV", "DEBIAN_FRONTEND", "LANG", "LC_ALL", "GEM_HOME", "GOPATH"]
                .contains(&name.as_str())
                || ["PIP_", "POETRY_", "UV_", "BUNDLE_"].iter().any(|prefix| name.starts_with(prefix));
            if !is_image_s && self.variables.iter().all(|known| known.name != name) {
                let value = self.image.paths.replaced(&value);
                self.set(ContainerVariable { name, value: Some(value), from_file: false });
            }
        }
        for (name, value) in self.get("environment").map(variables).unwrap_or_default() {
            if !is_variable_name(&name) {
                self.look(notes, format!("`{}` is not a valid variable name", name.escape_default()));
                continue;
            }
            let value = value.or_else(|| {
                context.known.get(&name).map(|value| crate::import::fields::variable(&name, &cleaned(value)))
            });
            let value =
                value.map(|value| self.image.paths.replaced(&value).replace("host.docker.internal", "127.0.0.1"));
            self.set(ContainerVariable { name, value, from_file: false });
        }
    }

    /// What a known program is not here, or does not do.
    fn compare(&mut self, context: &ComposeContext<'_>, notes: &mut ImportNotes) {
        let Some(known) = self.known else { return };
        if !known.programs.iter().any(|program| (context.files.has_program)(program, known.folders)) {
            self.look(
                notes,
                format!("`{}` is not installed on this machine: install {}", known.programs[0], known.package),
            );
        }
        for (variable, what) in known.lacks {
            if self.variable(variable).or(self.variable(&format!("{variable}_FILE"))).is_some() {
                self.look(notes, format!("{variable}: {what}"));
            }
        }
    }

    fn set(&mut self, variable: ContainerVariable) {
        match self.variables.iter_mut().find(|known| known.name == variable.name) {
            Some(known) => *known = variable,
            None => self.variables.push(variable),
        }
    }

    fn read_ports(&mut self, notes: &mut ImportNotes) {
        // What an image exposes is what its own command listens on, and another one only if it says so.
        let is_own = self.get("command").is_none() && self.get("entrypoint").is_none();
        let says = |port: &String| {
            let number = port.split('/').next().unwrap_or_default();
            self.program.words.iter().any(|word| word.contains(number))
        };
        let exposed = std::mem::take(&mut self.image.ports);
        let exposed: Vec<Yaml> = exposed.into_iter().filter(|port| is_own || says(port)).map(Yaml::String).collect();
        let own = |key: &str| match self.get(key) {
            Some(Yaml::Array(list)) => list.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        let (published, expose) = (own("ports"), own("expose"));
        for (written, is_published) in
            published.iter().map(|one| (one, true)).chain(expose.iter().chain(&exposed).map(|one| (one, false)))
        {
            match ports(written) {
                Err(reason) => {
                    let shown = text(written).or_else(|| get(written, "target").and_then(text)).unwrap_or_default();
                    notes.add(
                        &self.name,
                        format!("the port `{}` is not translated: {reason}", settled(&shown).escape_default()),
                    );
                }
                Ok(several) => {
                    for one in several {
                        let is_known = self.ports.iter().any(|port| port.target == one.target);
                        if self.known.is_some() && !is_known {
                            notes.add(&self.name, format!("it does not listen on {} here", one.target));
                        } else {
                            self.add_port(one.target, one.number.filter(|_| is_published));
                        }
                    }
                }
            }
        }
        let options = published.iter().flat_map(entries).map(|(key, _)| key);
        for key in options.filter(|key| !matches!(key.as_str(), "target" | "published" | "protocol" | "name")) {
            notes.key(&self.name, &format!("ports.{key}"), "a service listens on this machine itself");
        }
    }

    /// A port that it listens on in its container.
    pub fn add_port(&mut self, target: u16, published: Option<u16>) {
        if let Some(known) = self.ports.iter_mut().find(|port| port.target == target) {
            known.published = known.published.or(published);
            return;
        }
        let name = match target {
            80 | 443 | 3000 | 5000 | 8000 | 8080 if self.ports.is_empty() => "http".to_owned(),
            _ if self.ports.is_empty() => "main".to_owned(),
            _ => format!("p{target}"),
        };
        self.ports.push(ContainerPort { target, name, number: None, published });
    }

    /// The service's own port as a field; `short`: the first one needs no name.
    pub fn port_field(&self, target: u16, short: bool) -> Option<String> {
        let at = self.ports.iter().position(|port| port.target == target)?;
        Some(if at == 0 && short { field("port") } else { field(&format!("port:{}", self.ports[at].name)) })
    }
}

/// A command, written as text or as words. Variables in it are the container's.
pub fn command(value: &Yaml) -> Vec<String> {
    match value {
        Yaml::Array(_) => texts(value),
        other => command_words(&text(other).unwrap_or_default()),
    }
}
