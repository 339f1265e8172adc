//! How a release is started: the words of its command, and whether what they name is in the release.

use std::path::Path;

use crate::cli::options::PackFormat;
use crate::model::{Environment, Interpreter};
use crate::ship::manifest::MemberKind;
use crate::ship::packages;
use crate::ship::piece::{Measured, Origin, Part, Piece};
use crate::ship::project_files;
use crate::ship::refusal::Refusal;
use crate::ship::scripts;
use crate::ship::settings::{ImageBase, PackSettings};

/// The script that starts a release.
pub const RUN: &str = "run";

/// The words of `pack_command`, with programs of the environment as their names alone.
pub fn words(environment: &Environment, settings: &PackSettings) -> Result<Vec<String>, Refusal> {
    let bin = environment.folders.env_dir.join("bin");
    let mut words = settings.command.clone();
    if let Some(first) = words.first_mut()
        && let Ok(name) = Path::new(first.as_str()).strip_prefix(&bin)
    {
        *first = name.display().to_string();
    }
    let folder = environment.folders.env_dir.display().to_string();
    if let Some(word) = words.iter().find(|word| word.contains(&folder)) {
        let reason = format!("`pack_command` contains `{word}`, a path that only this machine has");
        return Err(Refusal::new(reason).help("name programs of the environment without their folder"));
    }
    Ok(words)
}

/// The script `run`.
pub fn script(words: &[String], settings: &PackSettings) -> Piece {
    let folder = if settings.include.is_empty() { "." } else { project_files::FOLDER };
    let text = scripts::start_script(words, folder);
    Piece::new(RUN, Origin::Bytes(text.into_bytes()), Part::Application).executable(true)
}

/// The words with the path of the program, for formats that are not relocatable.
pub fn absolute(words: &[String], members: &[Measured], prefix: &str) -> Vec<String> {
    let mut words = words.to_vec();
    if let Some(first) = words.first_mut()
        && members.iter().any(|one| one.member.path == program_path(first))
    {
        *first = format!("{prefix}/{}", program_path(first));
    }
    words
}

fn program_path(name: &str) -> String {
    format!("{}/bin/{name}", packages::FOLDER)
}

/// What is in a release, for the modules that its command names.
#[derive(Debug)]
pub struct StartCheck<'a> {
    pub root: &'a Path,
    pub interpreter: &'a Interpreter,
    pub members: &'a [Measured],
    pub settings: &'a PackSettings,
    pub format: PackFormat,
}

impl StartCheck<'_> {
    /// Refuses a command whose program, module or script is not in the release.
    pub fn check(&self, words: &[String]) -> Result<(), Refusal> {
        let Some(program) = words.first() else {
            let started = match self.format {
                PackFormat::Oci => "the image",
                PackFormat::Deb if self.settings.units.service => "its systemd unit",
                _ => return Ok(()),
            };
            let reason = format!("`pack_command` is not set, so {started} would start nothing");
            return Err(Refusal::new(reason).help("set `pack_command` to the command of the service"));
        };
        let is_alone = self.format == PackFormat::Oci && self.settings.base == ImageBase::None;
        if is_alone && !self.has(&program_path(program)) {
            let reason = format!("`pack_command` starts `{program}`, which is not in the image");
            let help = "name a program of the environment, or set `pack_base = debian:bookworm`";
            return Err(Refusal::new(reason).help(help));
        }
        let is_python = program
            .strip_prefix("python")
            .is_some_and(|rest| rest.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit()));
        if is_python {
            match started_by_python(words) {
                Some(Started::Module(module)) if !self.is_importable(module) => return Err(self.missing(module)),
                Some(Started::Script(script)) if !script.starts_with('/') && !self.has(&self.file(script)) => {
                    let reason = format!("`pack_command` starts the script `{script}`, which is not in the release");
                    return Err(Refusal::new(reason).help(format!("add it to the release: `pack_include = /{script}`")));
                }
                _ => {}
            }
        }
        // `shop:app`, the form in which servers take what to serve; anything else has the same form, so the project must have it.
        for module in
            words[1..].iter().filter_map(|word| Some(word.split_once(':')?.0)).filter(|module| is_module(module))
        {
            if !self.is_importable(module) && self.is_of_project(top(module)) {
                return Err(self.missing(module));
            }
        }
        Ok(())
    }

    fn has(&self, path: &str) -> bool {
        self.members.iter().any(|one| one.member.path == path)
    }

    /// A file that the command names, relative to the folder it is started in.
    fn file(&self, path: &str) -> String {
        let path = path.trim_start_matches("./");
        if self.settings.include.is_empty() { path.to_owned() } else { format!("{}/{path}", project_files::FOLDER) }
    }

    /// Whether the release, or the standard library, has the top of a module's name and the module below it.
    fn is_importable(&self, module: &str) -> bool {
        let path = module.replace('.', "/");
        let site = format!("{}/{}", packages::FOLDER, self.interpreter.layout.purelib.display());
        let folders = [site.as_str(), project_files::FOLDER];
        let is_here = folders.iter().any(|folder| {
            let below = format!("{folder}/{path}");
            self.members.iter().any(|one| {
                let Some(rest) = one.member.path.strip_prefix(&below) else { return false };
                rest == ".py"
                    || (rest.is_empty() && one.member.kind == MemberKind::Folder)
                    || (rest.starts_with('.') && rest.ends_with(".so"))
            })
        });
        is_here || self.is_of_standard_library(top(module))
    }

    fn is_of_standard_library(&self, name: &str) -> bool {
        let library = &self.interpreter.layout.standard_library;
        library.join(format!("{name}.py")).exists() || library.join(name).is_dir() && name != "site-packages"
    }

    fn is_of_project(&self, name: &str) -> bool {
        [self.root.to_owned(), self.root.join("src")]
            .iter()
            .any(|folder| folder.join(name).is_dir() || folder.join(format!("{name}.py")).is_file())
    }

    fn missing(&self, module: &str) -> Refusal {
        let name = top(module);
        let pattern = match self.is_of_project(name) {
            true if self.root.join(format!("{name}.py")).is_file() => format!("/{name}.py"),
            _ => format!("/{name}/"),
        };
        Refusal::new(format!("`pack_command` starts the module `{module}`, which is not in the release"))
            .help(format!("add it with `pack_include = {pattern}`, or install the project with `package = wheel`"))
    }
}

enum Started<'a> {
    Module(&'a str),
    Script(&'a str),
}

/// What the words of a command start in Python. <https://docs.python.org/3/using/cmdline.html>
fn started_by_python(words: &[String]) -> Option<Started<'_>> {
    let mut left = words.iter().skip(1);
    while let Some(word) = left.next() {
        match word.as_str() {
            "-m" => return left.next().map(|module| Started::Module(module)),
            "-W" | "-X" | "--check-hash-based-pycs" => {
                left.next();
            }
            "-" | "-c" => return None,
            flags if flags.starts_with("-c") => return None,
            flags if flags.starts_with("-m") => return Some(Started::Module(&flags[2..])),
            flags if flags.starts_with('-') => {}
            script => return Some(Started::Script(script)),
        }
    }
    None
}

fn top(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}

fn is_module(text: &str) -> bool {
    let is_name = |part: &str| {
        part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(text: &str) -> String {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        match started_by_python(&words) {
            Some(Started::Module(module)) => format!("module {module}"),
            Some(Started::Script(script)) => format!("script {script}"),
            None => String::new(),
        }
    }

    #[test]
    fn the_module_or_script_that_python_starts_is_found_behind_options() {
        assert_eq!(started("python -m shop --port 1"), "module shop");
        assert_eq!(started("python3 -X dev -u -W error -m shop.web"), "module shop.web");
        assert_eq!(started("python -mshop"), "module shop");
        assert_eq!(started("python -I serve.py -m x"), "script serve.py");
        for none in ["python", "python -c 1", "python -", "python -cprint()"] {
            assert_eq!(started(none), "", "{none}");
        }
    }

    #[test]
    fn only_names_of_modules_count() {
        for name in ["shop", "shop.web", "_a1"] {
            assert!(is_module(name), "{name}");
        }
        for other in ["", "127.0.0.1", "unix/x", "a-b", "a..b", "http"] {
            assert_eq!(is_module(other), other == "http", "{other}");
        }
    }
}
