//! Reads a requirements text and all files it names.

use std::ffi::OsString;
use std::rc::Rc;

use crate::error::{ConfigError, Location};
use crate::model::requirements::RequirementText;
use crate::model::{EnvVariables, ParsedRequirementFile};
use crate::os_text;
use crate::python_text::path;
use crate::python_text::quote::split_lines;
use crate::requirements::RequirementKind;
use crate::requirements::arguments::LineOptions;
use crate::requirements::content;
use crate::requirements::lines;
use crate::requirements::options::MergedOptions;
use crate::requirements::redact::SecretValues;
use crate::requirements::requirement::{ParsedRequirement, RequirementContent};

/// The result of reading.
#[derive(Default)]
struct ParsedRequirements {
    requirements: Vec<ParsedRequirement>,
    options: MergedOptions,
}

struct RequirementFileWalk<'a> {
    /// The path that stands for the text of the setting; paths are relative to its folder.
    setting_file: String,
    kind: RequirementKind,
    variables: &'a EnvVariables,
    /// Whether nested files are read.
    nested: bool,
    secrets: SecretValues,
    /// How many files were read.
    files: usize,
    found: std::collections::HashSet<String>,
    parsed: ParsedRequirements,
}

/// The maximum number of files for a setting, counting repeated ones each time.
const MOST_FILES: usize = 10_000;

/// A text that is being read.
struct Open {
    file: Rc<str>,
    /// The identity of the file, regardless of links and `..`.
    identity: OsString,
    is_constraint: bool,
    kind: Option<RequirementKind>,
    lines: std::vec::IntoIter<(usize, String)>,
}

impl Open {
    fn new(text: &str, file: &str, is_constraint: bool, kind: Option<RequirementKind>) -> Self {
        Self {
            file: file.into(),
            identity: content::identity(file),
            is_constraint,
            kind,
            lines: lines::logical_lines(text).into_iter(),
        }
    }
}

impl<'a> RequirementFileWalk<'a> {
    fn of(text: &RequirementText, kind: RequirementKind, variables: &'a EnvVariables) -> Self {
        Self {
            setting_file: os_text::decode(text.root.join("tox.ini").as_os_str()),
            kind,
            variables,
            nested: false,
            secrets: SecretValues::default(),
            files: 0,
            found: std::collections::HashSet::new(),
            parsed: ParsedRequirements::default(),
        }
    }

    /// Reads the setting once, with or without nested files.
    fn setting(&mut self, normalized: &str, nested: bool) -> Result<ParsedRequirements, ConfigError> {
        self.nested = nested;
        self.files = 0;
        self.found.clear();
        let file = self.setting_file.clone();
        self.text(normalized, &file, self.kind == RequirementKind::Constraints, Some(self.kind))?;
        let mut parsed = std::mem::take(&mut self.parsed);
        parsed.requirements.sort_by_cached_key(ParsedRequirement::sort_key);
        for requirement in &parsed.requirements {
            if requirement.file == self.setting_file {
                self.check(requirement)?;
            }
        }
        Ok(parsed)
    }

    /// Reads a text and its nested files, each where it is named. It uses a stack of its own, since files may
    /// be nested a thousand times.
    fn text(
        &mut self,
        text: &str,
        file: &str,
        is_constraint: bool,
        kind: Option<RequirementKind>,
    ) -> Result<(), ConfigError> {
        let mut open = vec![Open::new(text, file, is_constraint, kind)];
        while let Some(current) = open.last_mut() {
            let Some((number, line)) = current.lines.next() else {
                open.pop();
                continue;
            };
            let (file, kind) = (Rc::clone(&current.file), current.kind);
            let mut expanded = lines::expand(&line, self.variables, &mut self.secrets);
            if kind.is_some() {
                lines::check_expansion(&line, &expanded).map_err(|message| self.error(message, &file, number))?;
                if expanded.starts_with("-r")
                    || expanded.strip_prefix("-c").is_some_and(|rest| rest.starts_with(char::is_alphabetic))
                {
                    expanded.insert(2, ' ');
                }
            }
            let (requirement, options) =
                lines::parse(&expanded, kind).map_err(|message| self.error(message, &file, number))?;
            if let Some((named, is_constraint)) =
                self.line(requirement, options, &file, (number, current.is_constraint))
            {
                let nested = self.file(&named, is_constraint, &open);
                open.push(nested.map_err(|error| self.locate(error, &file, number))?);
            }
        }
        Ok(())
    }

    /// Adds the content of a line; returns the file that it names, and whether it is a constraint.
    fn line(
        &mut self,
        requirement: &str,
        options: LineOptions,
        file: &str,
        (line, is_constraint): (usize, bool),
    ) -> Option<(String, bool)> {
        let is_editable = requirement.is_empty() && !options.editables.is_empty();
        let written = if is_editable { &options.editables[0] } else { requirement };
        if !written.is_empty() || is_editable {
            self.add(ParsedRequirement {
                content: RequirementContent::read(written, file),
                is_editable,
                is_constraint,
                hashes: options.hashes,
                config_settings: options.config_settings,
                file: file.to_owned(),
                line,
            });
            return None;
        }
        let (named, is_constraint) = match (options.requirements.first(), options.constraints.first()) {
            (Some(named), _) => (named, false),
            (None, Some(named)) => (named, true),
            (None, None) => {
                self.parsed.options.merge(&options, file);
                return None;
            }
        };
        if !self.nested {
            self.parsed.options.merge(&options, file);
            return None;
        }
        let named = if content::has_scheme(file) {
            content::url_join(file, named)
        } else if content::has_scheme(named) {
            named.clone()
        } else {
            os_text::decode(path::joined(&path::parent(file), named).as_os_str())
        };
        if content::is_remote(&named) {
            self.add(ParsedRequirement {
                content: RequirementContent::RemoteFile(named),
                is_editable: false,
                is_constraint,
                hashes: Vec::new(),
                config_settings: Vec::new(),
                file: file.to_owned(),
                line,
            });
            return None;
        }
        Some((named, is_constraint))
    }

    fn file(&mut self, named: &str, is_constraint: bool, open: &[Open]) -> Result<Open, ConfigError> {
        let identity = content::identity(named);
        // The first is the text of the setting.
        if open[1..].iter().any(|one| one.identity == identity) {
            return Err(ConfigError::value(self.secrets.mask(format!("recursive requirements include: {named}"))));
        }
        self.files += 1;
        if self.files > MOST_FILES {
            let message = format!("more than {MOST_FILES} requirements files are named, {named} among them");
            return Err(ConfigError::value(self.secrets.mask(message))
                .hint("files that name others twice double how often these are read"));
        }
        let text = content::read(named).map_err(|message| ConfigError::value(self.secrets.mask(message)))?;
        Ok(Open::new(&text, named, is_constraint, None))
    }

    fn add(&mut self, requirement: ParsedRequirement) {
        if self.found.insert(requirement.stored()) {
            self.parsed.requirements.push(requirement);
        }
    }

    /// Refuses content that is valid in a file but not in a setting.
    fn check(&self, requirement: &ParsedRequirement) -> Result<(), ConfigError> {
        let message = match self.kind {
            RequirementKind::Deps => {
                let option = if !requirement.hashes.is_empty() {
                    "hash"
                } else if !requirement.config_settings.is_empty() {
                    "config-settings"
                } else {
                    return Ok(());
                };
                let requirement = requirement.stored();
                format!("Cannot use --{option} in deps list, it must be in requirements file. ({requirement})")
            }
            RequirementKind::Constraints => {
                if !requirement.has_options() && matches!(requirement.content, RequirementContent::RemoteFile(_)) {
                    return Ok(());
                }
                let requirement = requirement.stored();
                format!(
                    "Cannot provide options in constraints list, only paths or URL can be provided. ({requirement})"
                )
            }
        };
        Err(ConfigError::value(self.secrets.mask(message)))
    }

    fn error(&self, message: impl Into<String>, file: &str, line: usize) -> ConfigError {
        self.locate(ConfigError::value(self.secrets.mask(message.into())), file, line)
    }

    /// Adds the location, which is only known in files: the lines of a setting are not those of the
    /// configuration.
    fn locate(&self, error: ConfigError, file: &str, line: usize) -> ConfigError {
        if file == self.setting_file {
            return error;
        }
        error.at(Location { file: file.into(), line, column: 1, length: 1 })
    }
}

pub(super) fn requirements(
    text: &RequirementText,
    kind: RequirementKind,
    variables: &EnvVariables,
) -> Result<ParsedRequirementFile, ConfigError> {
    if text.text.trim().is_empty() {
        return Ok(ParsedRequirementFile::default());
    }
    let normalized = lines::normalize(&text.text, kind).map_err(ConfigError::value)?;
    let mut walk = RequirementFileWalk::of(text, kind, variables);
    let shallow = walk.setting(&normalized, false)?;
    let names_files = shallow.options.names_files();
    let arguments = as_arguments(&shallow);
    let own_options = shallow.options.stored();
    let deep = if names_files { walk.setting(&normalized, true)? } else { shallow };
    if deep.requirements.is_empty() && !deep.options.is_empty() {
        return Err(ConfigError::value("no dependencies"));
    }
    let mask = |stored: String| walk.secrets.mask(stored);
    let (constraints, wanted): (Vec<_>, Vec<_>) =
        deep.requirements.iter().partition(|requirement| requirement.is_constraint);
    let options = deep.options.stored();
    let nested = options.iter().filter(|option| !own_options.contains(option));
    Ok(ParsedRequirementFile {
        arguments,
        nested_options: nested.cloned().map(mask).collect(),
        options: options.into_iter().map(mask).collect(),
        requirements: deep.requirements.iter().map(|requirement| mask(requirement.stored())).collect(),
        constraint_lines: wanted
            .into_iter()
            .chain(constraints)
            .filter_map(ParsedRequirement::constraint_line)
            .collect(),
    })
}

fn as_arguments(parsed: &ParsedRequirements) -> Vec<String> {
    let requirements = parsed.requirements.iter().flat_map(ParsedRequirement::arguments);
    requirements.chain(parsed.options.groups().into_iter().flatten()).collect()
}

/// `argument` as one word, with the backslashes that tox writes where Python's `shlex.quote` would write
/// quotes.
fn escape(argument: &str) -> String {
    if argument.is_empty() {
        return "''".to_owned();
    }
    let mut result = String::with_capacity(argument.len());
    for character in argument.chars() {
        if character.is_whitespace() || matches!(character, '\\' | '\'' | '"') {
            result.push('\\');
        }
        result.push(character);
    }
    result
}

pub(super) fn display_lines(
    text: &RequirementText,
    kind: RequirementKind,
    variables: &EnvVariables,
) -> Result<Vec<String>, ConfigError> {
    let normalized = lines::normalize(&text.text, kind).map_err(ConfigError::value)?;
    let mut walk = RequirementFileWalk::of(text, kind, variables);
    if as_arguments(&walk.setting(&normalized, false)?).is_empty() {
        return Ok(Vec::new());
    }
    let mut shown: Vec<String> = Vec::new();
    let mut merged = MergedOptions::default();
    let mut options_at = None;
    for line in split_lines(&normalized) {
        match global_options(line, kind).map_err(|message| walk.error(message, &walk.setting_file, 1))? {
            Some(options) => {
                options_at.get_or_insert(shown.len());
                merged.merge(&options, &walk.setting_file);
            }
            None => shown.push(line.to_owned()),
        }
    }
    if let Some(at) = options_at {
        let escaped = |group: Vec<String>| group.iter().map(|word| escape(word)).collect::<Vec<_>>().join(" ");
        shown.splice(at..at, merged.groups().into_iter().map(escaped));
    }
    if kind == RequirementKind::Constraints {
        for line in &mut shown {
            if let Some(bare) = line.strip_prefix("-c ") {
                *line = bare.to_owned();
            }
        }
    }
    Ok(shown)
}

/// The options of a line that contains nothing else; `None` for any other line.
fn global_options(line: &str, kind: RequirementKind) -> Result<Option<LineOptions>, String> {
    let line = lines::without_comment(line);
    if line.is_empty() {
        return Ok(None);
    }
    let (requirement, options) = lines::parse(line, Some(kind))?;
    let names_more = !(requirement.is_empty()
        && options.editables.is_empty()
        && options.requirements.is_empty()
        && options.constraints.is_empty());
    Ok((!names_more).then_some(options))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct RequirementFolder {
        folder: tempfile::TempDir,
        root: PathBuf,
        variables: EnvVariables,
    }

    impl RequirementFolder {
        fn new(files: &[(&str, &str)]) -> std::io::Result<Self> {
            let folder = tempfile::tempdir()?;
            let root = folder.path().canonicalize()?;
            for (name, content) in files {
                let file = root.join(name);
                std::fs::create_dir_all(file.parent().unwrap_or(&root))?;
                std::fs::write(file, content)?;
            }
            Ok(Self { folder, root, variables: EnvVariables::default() })
        }

        fn read(&self, text: &str, kind: RequirementKind) -> Result<ParsedRequirementFile, ConfigError> {
            let text = RequirementText { text: text.to_owned(), root: self.root.clone() };
            requirements(&text, kind, &self.variables)
        }

        fn deps(&self, text: &str) -> Result<ParsedRequirementFile, ConfigError> {
            self.read(text, RequirementKind::Deps)
        }

        fn shown(&self, text: &str, kind: RequirementKind) -> Result<Vec<String>, ConfigError> {
            let text = RequirementText { text: text.to_owned(), root: self.root.clone() };
            display_lines(&text, kind, &self.variables)
        }

        fn masked(&self, text: &str) -> String {
            text.replace(&self.root.display().to_string(), "ROOT")
        }
    }

    #[test]
    fn nested_files_are_read_and_pip_gets_their_names() -> anyhow::Result<()> {
        let folder = RequirementFolder::new(&[
            ("req.txt", "b\n-r sub/more.txt\n--no-binary x"),
            ("sub/more.txt", "./here\n-c c.txt\n--pre\n"),
            ("sub/c.txt", "B[x]==1 # pinned"),
        ])?;
        let read = folder.deps("-rreq.txt\nA >=1\n--no-binary y\na>=1\n-e ./pkg[t]")?;
        let arguments = ["A>=1", "a>=1", "-e", "./pkg[t]", "-r", "req.txt", "--no-binary", "y"];
        assert_eq!(read.arguments, arguments);
        assert_eq!(read.options, ["pre=True", "no_binary=x,y"]);
        assert_eq!(read.nested_options, ["pre=True", "no_binary=x,y"]);
        assert_eq!(read.requirements, ["A>=1", "a>=1", "b", "./here", "-e ./pkg[t]", "-c B[x]==1"]);
        assert_eq!(read.constraint_lines, ["A>=1", "a>=1", "b", "B[x]==1"]);
        drop(folder.folder);
        Ok(())
    }

    #[test]
    fn files_behind_urls_are_left_to_the_installer() -> anyhow::Result<()> {
        let folder = RequirementFolder::new(&[])?;
        let read = folder.deps("a\n-r https://h/r.txt\n-c https://h/c.txt")?;
        assert_eq!(read.arguments, ["a", "-r", "https://h/r.txt", "-c", "https://h/c.txt"]);
        assert_eq!(read.requirements, ["a", "-r https://h/r.txt", "-c https://h/c.txt"]);
        assert_eq!(read.constraint_lines, ["a", "-c https://h/c.txt"]);
        let read = folder.read("https://h/c.txt", RequirementKind::Constraints)?;
        assert_eq!(read.requirements, ["-c https://h/c.txt"]);
        Ok(())
    }

    #[test]
    fn values_of_secret_variables_are_used_and_not_stored() -> anyhow::Result<()> {
        let mut folder =
            RequirementFolder::new(&[("n.txt", "-i https://ci:${TOKEN}@${HOST}/s\nhttps://${TOKEN}@h/a.whl")])?;
        folder.variables.set("TOKEN", "magic");
        folder.variables.set("HOST", "host");
        let read = folder.deps("https://${TOKEN}@h/b.whl\n-r n.txt")?;
        assert_eq!(read.arguments, ["https://magic@h/b.whl", "-r", "n.txt"]);
        assert_eq!(read.options, ["index_url=['https://ci:*****@host/s']"]);
        assert_eq!(read.requirements, ["https://*****@h/a.whl", "https://*****@h/b.whl"]);
        assert_eq!(read.constraint_lines, ["https://magic@h/a.whl", "https://magic@h/b.whl"]);
        Ok(())
    }

    #[test]
    fn errors_are_in_the_words_of_tox_with_the_nested_location() -> anyhow::Result<()> {
        let hash = format!("sha256:{}", "0".repeat(64));
        let folder = RequirementFolder::new(&[
            ("loop.txt", "-r loop.txt"),
            ("bad.txt", "a\n\n--no-deps"),
            ("c.txt", ""),
            ("hash.txt", &format!("a --hash {hash}")),
        ])?;
        for (kind, text, message, location) in [
            (RequirementKind::Deps, "-r", "argument -r/--requirement: expected one argument", None),
            (RequirementKind::Deps, "--pre", "no dependencies", None),
            (RequirementKind::Deps, "-i 'x", "No closing quotation", None),
            (RequirementKind::Deps, "-rbad.txt", "unrecognized arguments: --no-deps", Some(("bad.txt", 3))),
            (
                RequirementKind::Deps,
                "-r no.txt",
                "Could not open requirements file ROOT/no.txt: [Errno 2] No such file or directory: 'ROOT/no.txt'",
                None,
            ),
            (
                RequirementKind::Deps,
                "-r loop.txt",
                "recursive requirements include: ROOT/loop.txt",
                Some(("loop.txt", 1)),
            ),
            (
                RequirementKind::Deps,
                &format!("a --hash {hash}"),
                &format!("Cannot use --hash in deps list, it must be in requirements file. (a --hash {hash})"),
                None,
            ),
            (
                RequirementKind::Constraints,
                "c.txt -e ./p",
                "Cannot provide options in constraints list, only paths or URL can be provided. (-c -e ./p)",
                None,
            ),
        ] {
            let Err(error) = folder.read(text, kind) else { anyhow::bail!("{text} was taken") };
            assert_eq!(folder.masked(&error.message), message, "{text}");
            let found = error.location.map(|location| (folder.masked(&location.file.to_string_lossy()), location.line));
            assert_eq!(found, location.map(|(file, line)| (format!("ROOT/{file}"), line)), "{text}");
        }
        assert_eq!(folder.deps("-r hash.txt")?.requirements, [format!("a --hash {hash}")]);
        Ok(())
    }

    #[test]
    fn settings_are_shown_as_written_with_options_merged() -> anyhow::Result<()> {
        let folder = RequirementFolder::new(&[])?;
        for (text, expected) in [
            ("--only-binary :all:\n--no-binary b\nr\n--no-binary o", "--only-binary :all:|--no-binary b,o|r"),
            ("--no-binary :all:\nr\n--no-binary :none:", "r"),
            ("# note\n--no-binary a\n--no-binary b # why\np >=1", "# note|--no-binary a,b|p >=1"),
            ("-i https://a\np\n-i https://b", "-i https://b|p"),
            ("# only a note", ""),
            ("--find-links a --pre\np", "-f a\\ --pre|p"),
            ("-rreq.txt\n${X}", "-r req.txt|${X}"),
        ] {
            assert_eq!(folder.shown(text, RequirementKind::Deps)?.join("|"), expected, "{text}");
        }
        assert_eq!(folder.shown("c.txt\n# n", RequirementKind::Constraints)?, ["c.txt", "# n"]);
        Ok(())
    }

    proptest::proptest! {
        #[test]
        fn an_escaped_argument_stays_one_argument(argument in "[a-z '\"\\\\\t-]{0,12}") {
            proptest::prop_assert_eq!(crate::python_text::shlex::split(&escape(&argument)), Ok(vec![argument]));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "([-a-z0-9 =./\\[\\]\\\\'\"#$\\{\\}:@é\n]|-r |-c |--pre|\\$\\{A\\}){0,40}") {
            let mut variables = EnvVariables::default();
            variables.set("A", "-e x\ny");
            let text = RequirementText { text, root: "/nonexistent".into() };
            for kind in [RequirementKind::Deps, RequirementKind::Constraints] {
                let shown = display_lines(&text, kind, &variables).is_ok();
                let normalized = lines::normalize(&text.text, kind).unwrap_or_default();
                // Text that can be shown can be installed; but a line that only the next one completes cannot
                // be shown, as in tox.
                proptest::prop_assert!(!shown || RequirementFileWalk::of(&text, kind, &variables).setting(&normalized, false).is_ok());
                let _ = requirements(&text, kind, &variables);
            }
        }
    }
}
