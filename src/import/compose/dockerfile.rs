//! Reads a Dockerfile as stages of instructions, and evaluates its last (or selected) stage.
//! <https://docs.docker.com/reference/dockerfile/>

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::paths::{ContainerPaths, absolute, joined};
use crate::import::fields::{cleaned, field};
use crate::import::section::split;

/// The properties of an image that its Dockerfile defines.
#[derive(Debug, Clone, Default)]
pub struct DockerfileImage {
    /// What the first stage of the way builds upon, such as `python:3.12-slim`.
    pub base: String,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub workdir: String,
    pub ports: Vec<String>,
    pub variables: Vec<(String, String)>,
    pub paths: ContainerPaths,
    /// Commands that were run to build it, with the folder they ran in.
    pub runs: Vec<RunInstruction>,
    pub health: Option<Vec<String>>,
    pub stop_signal: Option<String>,
    /// Instructions that are not translated.
    pub left: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInstruction {
    pub workdir: String,
    pub command: String,
}

impl DockerfileImage {
    /// About how many bytes it takes.
    fn size(&self) -> usize {
        let texts = [&self.entrypoint, &self.command, &self.ports, &self.left].into_iter().flatten().map(String::len);
        let variables = self.variables.iter().map(|(name, value)| name.len() + value.len());
        let runs = self.runs.iter().map(|run| run.workdir.len() + run.command.len());
        texts.chain(variables).chain(runs).map(|bytes| bytes + 64).sum::<usize>() + self.workdir.len()
    }
}

/// Variables while instructions are read, and how many bytes there still is room for: a variable that holds another one
/// twice doubles it, and each stage has everything of the one before.
struct Scope {
    values: BTreeMap<String, String>,
    room: Rc<Cell<usize>>,
}

/// How many bytes all stages may come to.
const MOST_BYTES: usize = 64 << 20;

struct BuildStage {
    name: String,
    base: String,
    instructions: Vec<(String, String)>,
}

/// What an image is built from.
pub struct ImageBuild<'a> {
    pub text: &'a str,
    /// Relative to the project's root.
    pub context: &'a str,
    pub target: Option<&'a str>,
    pub arguments: &'a BTreeMap<String, String>,
    /// Whether there is a file at a path relative to the project's root.
    pub is_file: &'a dyn Fn(&str) -> bool,
}

pub fn read(build: &ImageBuild<'_>) -> Result<DockerfileImage, String> {
    let room = Rc::new(Cell::new(MOST_BYTES));
    let (stages, globals) = stages(build, &room);
    let wanted = match build.target {
        Some(target) => stages
            .iter()
            .position(|stage| stage.name.eq_ignore_ascii_case(target))
            .or_else(|| target.parse().ok().filter(|at| *at < stages.len()))
            .ok_or_else(|| format!("it has no stage `{}`", target.escape_default()))?,
        None => stages.len().checked_sub(1).ok_or("it has no FROM")?,
    };
    // A stage refers to earlier ones only.
    let mut images: Vec<DockerfileImage> = Vec::new();
    for stage in &stages[..=wanted] {
        let known = |name: &str| {
            let by_name = stages[..images.len()].iter().rposition(|stage| stage.name.eq_ignore_ascii_case(name));
            by_name.or_else(|| name.parse().ok()).and_then(|at: usize| images.get(at))
        };
        let image = evaluate(stage, build, &globals, known);
        room.set(room.get().saturating_sub(image.size()));
        if room.get() == 0 {
            return Err(format!("its stages and variables exceed {} MiB", MOST_BYTES >> 20));
        }
        images.push(image);
    }
    Ok(images.swap_remove(wanted))
}

/// The stages, and the arguments that stand before all of them.
fn stages(build: &ImageBuild<'_>, room: &Rc<Cell<usize>>) -> (Vec<BuildStage>, Scope) {
    let mut globals = Scope { values: BTreeMap::new(), room: Rc::clone(room) };
    let mut stages: Vec<BuildStage> = Vec::new();
    for (name, rest) in instructions(build.text) {
        match (name.as_str(), stages.last_mut()) {
            ("FROM", _) => {
                let rest = substituted(&rest, &globals);
                let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
                let alias = words.iter().position(|word| word.eq_ignore_ascii_case("as"));
                let name = alias.and_then(|at| words.get(at + 1)).copied().unwrap_or_default().to_owned();
                let base = words.first().copied().unwrap_or_default().to_owned();
                stages.push(BuildStage { name, base, instructions: Vec::new() });
            }
            ("ARG", None) => argument(&rest, build.arguments, &mut globals),
            (_, Some(stage)) => stage.instructions.push((name, rest)),
            (_, None) => {}
        }
    }
    (stages, globals)
}

/// Instructions with what follows them; comments, continued lines and here-documents are worked in.
fn instructions(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut whole = line.trim().to_owned();
        if whole.is_empty() || whole.starts_with('#') {
            continue;
        }
        while let Some(continued) = whole.strip_suffix('\\') {
            let Some(next) = lines.by_ref().map(str::trim).find(|next| !next.is_empty() && !next.starts_with('#'))
            else {
                whole.pop();
                break;
            };
            whole = format!("{continued} {next}");
        }
        let (name, rest) = whole.split_once(char::is_whitespace).unwrap_or((&whole, ""));
        let (name, mut rest) = (name.to_ascii_uppercase(), rest.trim().to_owned());
        if let Some((_, mark)) = rest.split_once("<<").filter(|_| matches!(name.as_str(), "RUN" | "COPY" | "ADD")) {
            let mark = mark.trim_start_matches('-').split_whitespace().next().unwrap_or_default();
            let mark = mark.trim_matches(['"', '\'']).to_owned();
            let body: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != mark).collect();
            if name == "RUN" {
                rest = body.join("\n");
            }
        }
        found.push((name, cleaned(&rest)));
    }
    found
}

/// `NAME=DEFAULT` with what the build gives for it.
fn argument(rest: &str, given: &BTreeMap<String, String>, scope: &mut Scope) {
    for word in split(rest) {
        let (name, default) = match word.split_once('=') {
            Some((name, default)) => (name, Some(substituted(default, scope))),
            None => (word.as_str(), None),
        };
        let known = scope.values.get(name).cloned();
        if let Some(value) = given.get(name).cloned().or(default).or(known) {
            scope.values.insert(name.to_owned(), value);
        }
    }
}

fn evaluate<'a>(
    stage: &BuildStage,
    build: &ImageBuild<'_>,
    globals: &Scope,
    known: impl Fn(&str) -> Option<&'a DockerfileImage>,
) -> DockerfileImage {
    let mut image = known(&stage.base)
        .cloned()
        .unwrap_or_else(|| DockerfileImage { base: stage.base.clone(), ..DockerfileImage::default() });
    if image.workdir.is_empty() {
        image.workdir = "/".to_owned();
    }
    let mut scope = Scope { values: image.variables.iter().cloned().collect(), room: Rc::clone(&globals.room) };
    for (name, rest) in &stage.instructions {
        match name.as_str() {
            "ARG" => {
                let declared = rest.split('=').next().unwrap_or_default().trim();
                if let Some(value) = globals.values.get(declared).filter(|_| !rest.contains('=')) {
                    scope.values.insert(declared.to_owned(), value.clone());
                }
                argument(rest, build.arguments, &mut scope);
            }
            "ENV" => {
                for (name, value) in pairs(rest) {
                    let value = substituted(&value, &scope);
                    scope.values.insert(name.clone(), value.clone());
                    image.variables.retain(|(known, _)| *known != name);
                    image.variables.push((name, value));
                }
            }
            "WORKDIR" => image.workdir = absolute(&image.workdir, &substituted(rest, &scope)),
            "EXPOSE" => image.ports.extend(substituted(rest, &scope).split_whitespace().map(str::to_owned)),
            "COPY" | "ADD" => copy(&mut image, &substituted(rest, &scope), build, &known),
            "RUN" => run(&mut image, rest, &scope),
            "CMD" => image.command = command(rest),
            "ENTRYPOINT" => (image.entrypoint, image.command) = (command(rest), Vec::new()),
            "HEALTHCHECK" => image.health = health(rest),
            "STOPSIGNAL" => image.stop_signal = Some(substituted(rest, &scope)),
            // They are not needed by a local process, or are reported with the base image.
            "LABEL" | "MAINTAINER" => {}
            other => image.left.push(other.to_owned()),
        }
    }
    image
}

/// A command in the form of words or of text for a shell.
pub fn command(rest: &str) -> Vec<String> {
    match serde_json::from_str::<Vec<String>>(rest) {
        Ok(words) => words.iter().map(|word| cleaned(word)).collect(),
        Err(_) if rest.is_empty() => Vec::new(),
        Err(_) => vec!["sh".to_owned(), "-c".to_owned(), rest.to_owned()],
    }
}

fn health(rest: &str) -> Option<Vec<String>> {
    let at = rest.find("CMD").or_else(|| rest.find("cmd"))?;
    let mut words = command(rest[at + 3..].trim());
    // A text is for a shell already.
    words.insert(0, "CMD".to_owned());
    Some(words)
}

fn run(image: &mut DockerfileImage, rest: &str, scope: &Scope) {
    let mut rest = rest.trim();
    while rest.starts_with("--") {
        rest = rest.split_once(char::is_whitespace).map_or("", |(_, after)| after.trim());
    }
    let text = match serde_json::from_str::<Vec<String>>(rest) {
        Ok(words) => words.join(" "),
        Err(_) => rest.to_owned(),
    };
    // What a shell would substitute later stays as it is written.
    let command = substituted_known(&text, scope);
    // Later stages take what was built by its place.
    let words = split(&command);
    if let Some(at) = words.windows(2).position(|pair| pair == ["go", "build"])
        && let Some(target) = words[at..].iter().skip_while(|word| *word != "-o").nth(1)
    {
        let target = absolute(&image.workdir, target);
        image.paths.add_made(&target, &made(target.rsplit('/').next().unwrap_or_default()));
    }
    image.runs.push(RunInstruction { workdir: image.workdir.clone(), command });
}

/// `COPY [--from=STAGE] SOURCE… DESTINATION`: a folder is copied as its content, a file into a folder under its name.
fn copy<'a>(
    image: &mut DockerfileImage,
    rest: &str,
    build: &ImageBuild<'_>,
    known: &impl Fn(&str) -> Option<&'a DockerfileImage>,
) {
    let words: Vec<String> = serde_json::from_str(rest.trim()).unwrap_or_else(|_| split(rest));
    let (options, words): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| word.starts_with("--"));
    let from = options.iter().find_map(|option| option.strip_prefix("--from="));
    let [sources @ .., destination] = words.as_slice() else { return };
    let is_folder = destination.ends_with('/') || matches!(destination.as_str(), "." | "..") || sources.len() > 1;
    let destination = absolute(&image.workdir, destination);
    let inside = |name: &str| format!("{}/{name}", destination.trim_end_matches('/'));
    let place = |is_file: bool, name: &str| if is_folder && is_file { inside(name) } else { destination.clone() };
    let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    match from.map(known) {
        // Another image is not looked into.
        Some(None) => {}
        Some(Some(stage)) => {
            image.runs.extend(stage.runs.iter().filter(|run| !image.runs.contains(run)).cloned().collect::<Vec<_>>());
            for source in sources {
                let source = absolute("/", source);
                let is_file = stage.paths.is_made(&source) || last(&source).contains('.');
                image.paths.copy(&stage.paths, &source, &place(is_file, &last(&source)));
            }
        }
        None => {
            for source in sources.iter().filter(|source| !source.contains("://")) {
                // `package*.json` says where the others are.
                let source = source.replace("package*.json", "package.json");
                if !source.contains(['*', '?']) {
                    let path = joined(build.context, &source);
                    let is_file = (build.is_file)(&path);
                    image.paths.add(&place(is_file, &last(&source)), &path);
                }
            }
        }
    }
}

/// `NAME=VALUE …`, or `NAME VALUE`.
fn pairs(rest: &str) -> Vec<(String, String)> {
    let first = rest.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        return rest
            .split_once(char::is_whitespace)
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .into_iter()
            .collect();
    }
    split(rest)
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// `$NAME`, `${NAME}` and `${NAME:-default}` of the build; what is not known is empty.
fn substituted(text: &str, scope: &Scope) -> String {
    with_variables(text, &scope.room, |name, default| {
        Some(scope.values.get(name).map_or(default, String::as_str).to_owned())
    })
}

/// Only what is known is put in.
fn substituted_known(text: &str, scope: &Scope) -> String {
    with_variables(text, &scope.room, |name, _| scope.values.get(name).cloned())
}

fn with_variables(text: &str, room: &Cell<usize>, value: impl Fn(&str, &str) -> Option<String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    let end = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, default, behind) = match after.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            Some((inside, behind)) => {
                let (name, default) = inside.split_at(end(inside));
                (name, default.trim_start_matches(':').trim_start_matches('-'), behind)
            }
            None => {
                let (name, behind) = after.split_at(end(after));
                (name, "", behind)
            }
        };
        match value(name, default).filter(|_| !name.is_empty()) {
            // Whoever reads the file looks whether any is left.
            Some(value) => {
                room.set(room.get().saturating_sub(value.len()));
                if room.get() > 0 {
                    result.push_str(&value);
                }
            }
            None => result.push_str(&rest[at..rest.len() - behind.len()]),
        }
        rest = behind;
    }
    result + rest
}

/// What `go build -o` and others make, in the environment.
pub fn made(name: &str) -> String {
    format!("{}/bin/{name}", field("env_dir"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str, target: Option<&str>) -> DockerfileImage {
        let arguments = BTreeMap::from([("VERSION".to_owned(), "3.12".to_owned())]);
        read(&ImageBuild {
            text,
            context: "web",
            target,
            arguments: &arguments,
            is_file: &|path| path.contains("requirements"),
        })
        .unwrap()
    }

    #[test]
    fn the_last_stage_is_what_runs() {
        let text = "# syntax=x\nARG VERSION=3.9\nFROM python:${VERSION}-slim AS base\nENV A=1 B=\"two words\"\n\
                    WORKDIR /app\nCOPY requirements.txt .\nRUN pip install \\\n    # why\n    -r requirements.txt\n\
                    FROM base AS dev\nCMD flask run --debug\nFROM base\nARG PORT=5000\nENV PORT=$PORT\nCOPY . .\n\
                    EXPOSE $PORT\nUSER app\nENTRYPOINT [\"tini\", \"--\"]\nCMD [\"python\", \"app.py\"]\n\
                    HEALTHCHECK --interval=5s CMD curl -f localhost:5000 || exit 1\n";
        let last = image(text, None);
        assert_eq!(last.base, "python:3.12-slim");
        assert_eq!(
            (last.entrypoint, last.command),
            (vec!["tini".to_owned(), "--".to_owned()], vec!["python".to_owned(), "app.py".to_owned()])
        );
        assert_eq!(last.ports, ["5000"]);
        assert_eq!(last.paths.in_project("/app/x").as_deref(), Some("web/x"));
        assert_eq!(last.variables[1], ("B".to_owned(), "two words".to_owned()));
        assert_eq!(
            last.runs,
            [RunInstruction { workdir: "/app".to_owned(), command: "pip install  -r requirements.txt".to_owned() }]
        );
        assert_eq!(last.health.unwrap(), ["CMD", "sh", "-c", "curl -f localhost:5000 || exit 1"]);
        assert_eq!(last.left, ["USER"]);
        let dev = image(text, Some("DEV"));
        assert_eq!(dev.command, ["sh", "-c", "flask run --debug"]);
        assert!(dev.entrypoint.is_empty());
    }

    #[test]
    fn what_comes_from_another_stage_is_known_by_its_place() {
        let text =
            "FROM node AS build\nWORKDIR /src\nCOPY . .\nRUN npm ci\nFROM nginx\nCOPY --from=build /src/dist /srv/\n";
        let last = image(text, None);
        assert_eq!(last.paths.in_project("/srv/a").as_deref(), Some("web/dist/a"));
        assert_eq!(last.runs[0].command, "npm ci");
    }

    #[test]
    fn broken_files_are_read_as_far_as_they_go() {
        let arguments = BTreeMap::new();
        let of =
            |text, target| read(&ImageBuild { text, context: "", target, arguments: &arguments, is_file: &|_| false });
        assert_eq!(of("", None).unwrap_err(), "it has no FROM");
        assert_eq!(of("RUN x\n", None).unwrap_err(), "it has no FROM");
        assert_eq!(of("FROM a\n", Some("b")).unwrap_err(), "it has no stage `b`");
        for text in [
            "FROM\n",
            "FROM a\nCOPY\nENV\nRUN <<E\nx",
            "FROM a\nRUN x \\",
            "FROM 0\nCOPY --from=0 a b\n",
            "FROM a\nCMD [\"x\"\n",
        ] {
            assert!(of(text, None).is_ok(), "{text}");
        }
    }
}
