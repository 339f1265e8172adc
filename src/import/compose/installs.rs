//! Converts the build commands of an image to the keys of an environment.

use super::dockerfile::{DockerfileImage, made};
use super::paths::{ContainerPaths, absolute};
use crate::import::section::{split, words_line};

#[derive(Debug, Default)]
pub struct InstallInstructions {
    /// Of Python.
    pub deps: Vec<String>,
    pub node: bool,
    pub node_deps: Vec<String>,
    pub ruby: bool,
    pub ruby_deps: Vec<String>,
    pub go: bool,
    pub rust: bool,
    /// Commands that prepare the program, such as `npm run build`.
    pub commands_pre: Vec<String>,
    /// Packages of the image's distribution.
    pub packages: Vec<String>,
    /// Commands that are not translated.
    pub left: Vec<String>,
}

/// Commands that only arrange things in an image.
const ARRANGING: [&str; 31] = [
    "mkdir",
    "chmod",
    "chown",
    "rm",
    "ln",
    "cp",
    "mv",
    "set",
    "cd",
    "true",
    "echo",
    "export",
    "useradd",
    "adduser",
    "groupadd",
    "addgroup",
    "usermod",
    "touch",
    "locale-gen",
    "corepack",
    "update-ca-certificates",
    "sync",
    "apt-get",
    "apt",
    "apk",
    "yum",
    "dnf",
    "microdnf",
    "addgroup",
    "find",
    "unset",
];

/// Reads the commands of an image, whose paths are adapted to what is built here.
pub fn read(image: &mut DockerfileImage) -> InstallInstructions {
    let mut installs = InstallInstructions::default();
    for run in std::mem::take(&mut image.runs) {
        let mut workdir = run.workdir;
        for command in
            run.command.split(['\n', ';']).flat_map(|part| part.split("&&")).flat_map(|part| part.split("||").take(1))
        {
            let words: Vec<String> = split(command).into_iter().skip_while(|word| is_assignment(word)).collect();
            if let [first, folder, ..] = words.as_slice()
                && first == "cd"
            {
                workdir = absolute(&workdir, folder);
            }
            if !words.is_empty() {
                installs.command(&words, &workdir, &mut image.paths);
            }
        }
    }
    installs
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

impl InstallInstructions {
    fn command(&mut self, words: &[String], workdir: &str, paths: &mut ContainerPaths) {
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        let program = texts[0].rsplit('/').next().unwrap_or_default();
        match (program, &texts[1..]) {
            ("pip" | "pip3", ["install", rest @ ..])
            | ("uv", ["pip", "install", rest @ ..])
            | ("python" | "python3", ["-m", "pip", "install", rest @ ..]) => self.pip(rest, workdir, paths),
            ("npm" | "pnpm" | "yarn", _) => self.npm(program, words, workdir, paths),
            ("bundle", ["install" | "config" | "check", ..]) => self.ruby = true,
            ("gem", ["install", rest @ ..]) => {
                self.ruby = true;
                let names = rest.iter().filter(|word| !word.starts_with('-') && **word != "bundler");
                self.ruby_deps.extend(names.map(|name| (*name).to_owned()));
            }
            ("go", ["mod", ..]) => self.go = true,
            ("go", ["build", rest @ ..]) => self.go_build(rest, workdir, paths),
            ("cargo", ["fetch" | "build", ..]) => self.rust = true,
            ("apt-get" | "apt" | "apk" | "yum" | "dnf" | "microdnf", rest) => {
                let mut names = rest.iter().skip_while(|word| !matches!(**word, "install" | "add"));
                names.next();
                let names = names.filter(|word| !word.starts_with('-') && !word.starts_with('.'));
                self.packages.extend(names.map(|name| (*name).to_owned()));
            }
            ("python" | "python3", ["-m", "venv" | "virtualenv" | "ensurepip", ..]) => {}
            ("python" | "python3" | "bundle" | "node" | "npx" | "rails", _) => self.prepare(words, workdir, paths),
            (other, _) if ARRANGING.contains(&other) => {}
            _ => self.left.push(words_line(words)),
        }
    }

    fn prepare(&mut self, words: &[String], workdir: &str, paths: &ContainerPaths) {
        let line = paths.replaced(&words_line(words));
        // Commands run where the service does.
        if paths.folder(workdir).is_some() && !self.commands_pre.contains(&line) {
            self.commands_pre.push(line);
        }
    }

    fn pip(&mut self, rest: &[&str], workdir: &str, paths: &ContainerPaths) {
        let place = |path: &str| {
            let path = path.trim_matches(['"', '\'']);
            paths.in_project(&absolute(workdir, path)).filter(|path| !path.starts_with(".."))
        };
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=').filter(|_| word.starts_with("--")) {
                Some((option, value)) => (option, Some(value)),
                None => (*word, None),
            };
            let mut value = || value.or_else(|| words.next().copied()).unwrap_or_default();
            let line = match option {
                "-r" | "--requirement" => place(value()).map(|path| format!("-r {path}")),
                "-c" | "--constraint" => place(value()).map(|path| format!("-c {path}")),
                "-e" | "--editable" => {
                    place(value().split('[').next().unwrap_or_default()).map(|path| format!("-e ./{path}"))
                }
                "-i" | "--index-url" | "--extra-index-url" | "-f" | "--find-links" | "-t" | "--target" | "--prefix"
                | "--trusted-host" | "--progress-bar" | "--timeout" | "--retries" | "--root" | "--python"
                | "--platform" | "--only-binary" | "--no-binary" | "--root-user-action" | "--cache-dir" => {
                    value();
                    continue;
                }
                glued if glued.starts_with("-r") && !glued.starts_with("--") => {
                    place(&glued[2..]).map(|path| format!("-r {path}"))
                }
                other if other.starts_with('-') => continue,
                "pip" | "setuptools" | "wheel" | "uv" | "poetry" | "pipenv" => continue,
                path if path.starts_with(['.', '/']) => {
                    place(path.split('[').next().unwrap_or_default()).map(|path| format!("./{path}"))
                }
                requirement => Some(requirement.to_owned()),
            };
            match line {
                Some(line) if !self.deps.contains(&line) => self.deps.push(line),
                Some(_) => {}
                None => self.left.push(format!("pip install {}", rest.join(" "))),
            }
        }
    }

    fn npm(&mut self, program: &str, words: &[String], workdir: &str, paths: &ContainerPaths) {
        self.node = true;
        let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let mut plain = rest.iter().filter(|word| !word.starts_with('-'));
        match plain.next().copied() {
            None
            | Some("ci" | "clean-install" | "cache" | "config" | "set" | "prune" | "audit" | "update" | "fetch") => {}
            Some("install" | "i" | "add" | "global") => {
                let names = plain.filter(|name| !matches!(**name, "npm" | "yarn" | "pnpm" | "add"));
                let names = names.filter(|name| !name.starts_with("npm@"));
                self.node_deps.extend(names.map(|name| (*name).to_owned()));
            }
            Some(_) if program != "npm" || matches!(rest.first(), Some(&"run" | &"run-script" | &"exec" | &"test")) => {
                self.prepare(words, workdir, paths);
            }
            Some(_) => self.left.push(words_line(words)),
        }
    }

    /// The program goes to the environment's folder.
    fn go_build(&mut self, rest: &[&str], workdir: &str, paths: &mut ContainerPaths) {
        self.go = true;
        let mut line = vec!["go".to_owned(), "build".to_owned()];
        let mut words = rest.iter().copied();
        while let Some(word) = words.next() {
            line.push(word.to_owned());
            if word == "-o" {
                let target = absolute(workdir, words.next().unwrap_or_default());
                let name = target.rsplit('/').next().unwrap_or_default().to_owned();
                let place = made(&name);
                line.push(place.clone());
                paths.add_made(&target, &place);
            }
        }
        let line = words_line(&line);
        if !self.commands_pre.contains(&line) {
            self.commands_pre.push(line);
        }
    }
}

/// What an image has by what it is built upon: the runtime, and the version it asks for.
pub fn language(base: &str) -> Option<(&'static str, String)> {
    let name = base.split('@').next().unwrap_or_default();
    let (path, tag) = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((name, ""));
    let version: String = tag.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let version = version.trim_end_matches('.').to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "python" | "pypy" | "uvicorn-gunicorn-fastapi" => Some(("python", version)),
        "node" => Some(("node", version)),
        "ruby" | "rails" => Some(("ruby", version)),
        "golang" => Some(("go", version)),
        "rust" => Some(("rust", version)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::compose::dockerfile::RunInstruction;
    use crate::import::fields::written;

    fn installs(commands: &[&str]) -> InstallInstructions {
        let mut image = DockerfileImage::default();
        image.paths.add("/app", "web");
        image.runs = commands
            .iter()
            .map(|command| RunInstruction { workdir: "/app".to_owned(), command: (*command).to_owned() })
            .collect();
        read(&mut image)
    }

    #[test]
    fn what_pip_installs_becomes_deps() {
        let found = installs(&[
            "pip install --no-cache-dir -U pip && pip3 install --no-cache-dir -r requirements.txt -rdev.txt",
            "python -m pip install 'gunicorn>=20' flask -i https://x --requirement=/app/more.txt",
            "PIP_X=1 pip install -e . ./lib",
            "pip install -r /elsewhere.txt",
        ]);
        assert_eq!(
            found.deps,
            [
                "-r web/requirements.txt",
                "-r web/dev.txt",
                "gunicorn>=20",
                "flask",
                "-r web/more.txt",
                "-e ./web",
                "./web/lib"
            ]
        );
        assert_eq!(found.left, ["pip install -r /elsewhere.txt"]);
    }

    #[test]
    fn other_languages_say_which_runtime_they_need() {
        let found = installs(&[
            "npm ci --omit=dev",
            "npm install -g nodemon",
            "npm run build",
            "apt-get update && apt-get install -y gcc libpq-dev",
        ]);
        assert!(found.node && !found.ruby);
        assert_eq!(
            (found.node_deps, found.commands_pre, found.packages),
            (
                vec!["nodemon".to_owned()],
                vec!["npm run build".to_owned()],
                vec!["gcc".to_owned(), "libpq-dev".to_owned()]
            )
        );
        let found = installs(&["bundle install", "curl -o x https://example.org", "go mod download"]);
        assert!(found.ruby && found.go);
        assert_eq!(found.left, ["curl -o x https://example.org"]);
    }

    #[test]
    fn a_program_that_is_built_is_found_in_the_environment() {
        let mut image = DockerfileImage::default();
        image.paths.add("/src", "");
        image.runs = vec![RunInstruction {
            workdir: "/src".to_owned(),
            command: "CGO_ENABLED=0 go build -o /out/server ./cmd".to_owned(),
        }];
        let found = read(&mut image);
        assert_eq!(written(&found.commands_pre[0]).unwrap(), "go build -o {env_dir}/bin/server ./cmd");
        assert!(image.paths.is_made("/out/server"));
    }

    #[test]
    fn images_of_languages_say_their_version() {
        assert_eq!(language("docker.io/library/python:3.12-slim"), Some(("python", "3.12".to_owned())));
        assert_eq!(language("node"), Some(("node", String::new())));
        assert_eq!(language("node:lts-alpine"), Some(("node", String::new())));
        assert_eq!(language("debian:12"), None);
    }
}
