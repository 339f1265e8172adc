//! Decides what an environment still needs by comparing its requirements with its stamp: nothing, an installation, or
//! recreation. The reasons are in tox's words. Runs nothing and writes nothing.
//! <https://tox.wiki/en/latest/explanation.html#dependency-changes-and-tracking>

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::InstallRequest;
use super::packages::forced_arguments;
use super::pylock::Pylock;
use super::reasons::{REDACTION_FORMAT, RecordedInstallation, dependencies_changed, strings};
use super::uv;
use crate::error::{ConfigError, ErrorClass};
use crate::model::environment::InstallSettings;
use crate::model::pep508::Requirement;
use crate::model::requirements::RequirementText;
use crate::model::{EnvVariables, ParsedRequirementFile};
use crate::requirements;
use crate::requirements::RequirementKind;

/// Variables that change what pip resolves to: when one of them changes, requirements are installed again.
const RESOLUTION_VARIABLES: [&str; 8] = [
    "PIP_CONSTRAINT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_PRE",
    "PIP_REQUIRE_HASHES",
    "PIP_TRUSTED_HOST",
];

/// The format in which an installation is recorded and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordForm {
    Tox,
    /// tox's format where uv was chosen as installer: includes uv's variables.
    ChosenUv,
    /// tox-uv's format: its own variables, and the constraints of lists of requirements.
    ToxUv,
}

/// The decision about a part of an environment.
#[derive(Debug, Clone, PartialEq)]
pub enum InstallDecision {
    /// Everything is as recorded.
    UpToDate,
    Change(InstallChange),
    /// The installed packages cannot be updated; the reason is in tox's words.
    Recreate(String),
}

/// The work to do and the record for when it is done.
#[derive(Debug, Clone, PartialEq)]
pub struct InstallChange {
    /// `None`: nothing to install, only to record.
    pub request: Option<InstallRequest>,
    pub afterwards: ConstraintsUpdate,
    /// The record to write after success.
    pub stamp: Value,
}

/// How to update the environment's `constraints.txt` after the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstraintsUpdate {
    Nothing,
    /// Write this text to [`InstallConditions::constraints_file`].
    WriteConstraints(String),
    /// Write the output of `list_dependencies_command` there, without the last line break.
    FreezeConstraints,
}

/// Everything besides the requirements that affects an installation.
#[derive(Debug)]
pub struct InstallConditions<'a> {
    constraints: Result<ParsedRequirementFile, ConfigError>,
    constrain_package_deps: bool,
    use_frozen_constraints: bool,
    env_dir: PathBuf,
    variables: &'a EnvVariables,
    form: RecordForm,
}

impl<'a> InstallConditions<'a> {
    /// Reads `constraints`; `variables` are those of the environment's processes. Errors in the constraints are
    /// reported when they are needed.
    pub fn new(installation: &InstallSettings, env_dir: &Path, variables: &'a EnvVariables, form: RecordForm) -> Self {
        let constraints = installation
            .constraints
            .get()
            .and_then(|text| requirements::parse(&text, RequirementKind::Constraints, variables));
        Self {
            constraints,
            constrain_package_deps: installation.constrain_package_deps,
            use_frozen_constraints: installation.use_frozen_constraints,
            env_dir: env_dir.to_owned(),
            variables,
            form,
        }
    }

    /// `constraints` as options of an installer.
    pub fn constraint_arguments(&self) -> Result<&[String], ConfigError> {
        self.constraints.as_ref().map(|constraints| constraints.arguments.as_slice()).map_err(Clone::clone)
    }

    /// The file with the constraints for the project's own requirements.
    pub fn constraints_file(&self) -> PathBuf {
        self.env_dir.join("constraints.txt")
    }

    /// `deps` of a run environment, with the requirements of `--force-dep`, which are not recorded.
    pub fn deps(
        &self,
        text: &RequirementText,
        forced: &[Requirement],
        old: RecordedInstallation<'_>,
    ) -> Result<InstallDecision, ConfigError> {
        self.requirement_text(text, "deps", forced, old)
    }

    /// `deps` of an external builder, which tox installs under both names.
    pub fn builder_deps(
        &self,
        text: &RequirementText,
        of_type: &str,
        old: RecordedInstallation<'_>,
    ) -> Result<InstallDecision, ConfigError> {
        self.requirement_text(text, of_type, &[], old)
    }

    fn requirement_text(
        &self,
        text: &RequirementText,
        of_type: &str,
        forced: &[Requirement],
        old: RecordedInstallation<'_>,
    ) -> Result<InstallDecision, ConfigError> {
        let within = |part: &'static str| {
            move |error: ConfigError| ConfigError {
                class: ErrorClass::Fail,
                message: format!("{} for tox env py within {part}", error.message),
                trail: vec![part.to_owned()],
                ..error
            }
        };
        let deps = requirements::parse(text, RequirementKind::Deps, self.variables).map_err(within("deps"))?;
        let constraints = self.constraints.as_ref().map_err(|error| match error.class {
            // An error in the setting itself, which tox finds before it reads the files it names.
            ErrorClass::Handled => error.clone(),
            _ => within("constraints")(error.clone()),
        })?;
        let (mut new_constraints, requirements): (Vec<_>, Vec<_>) =
            deps.requirements.iter().cloned().partition(|requirement| requirement.starts_with("-c "));
        new_constraints.extend(constraints.requirements.iter().cloned());
        let constraint_options = json!({
            "constrain_package_deps": self.constrain_package_deps,
            "use_frozen_constraints": self.use_frozen_constraints,
        });
        let stamp = json!({
            "redaction_format": REDACTION_FORMAT,
            "options": deps.options,
            "requirements": requirements,
            "constraints": new_constraints,
            "constraint_options": constraint_options,
            "env": self.resolution_variables(),
        });
        if let Some(old) = old {
            if stamp.as_object() == Some(old) {
                return Ok(InstallDecision::UpToDate);
            }
            if let Some(reason) = dependencies_changed(old, &stamp) {
                return Ok(InstallDecision::Recreate(reason));
            }
        }
        let arguments = forced_arguments(deps.arguments.clone(), forced);
        if arguments.is_empty() {
            return Ok(InstallDecision::Change(InstallChange {
                request: None,
                afterwards: ConstraintsUpdate::Nothing,
                stamp,
            }));
        }
        let mut request = InstallRequest::new(of_type, arguments);
        request.arguments.extend(constraints.arguments.iter().cloned());
        request.nested_options = deps.nested_options.iter().chain(&constraints.nested_options).cloned().collect();
        request.has_requirement_options =
            deps.requirements.iter().any(|requirement| requirement.contains(" --config-settings "));
        let afterwards = if self.constrain_package_deps && constraints.arguments.is_empty() {
            if self.use_frozen_constraints && of_type == "deps" {
                ConstraintsUpdate::FreezeConstraints
            } else if self.use_frozen_constraints {
                ConstraintsUpdate::Nothing
            } else {
                let lines = deps.constraint_lines.iter().chain(&constraints.constraint_lines);
                ConstraintsUpdate::WriteConstraints(lines.map(String::as_str).collect::<Vec<_>>().join("\n"))
            }
        } else {
            ConstraintsUpdate::Nothing
        };
        Ok(InstallDecision::Change(InstallChange { request: Some(request), afterwards, stamp }))
    }

    /// A list of requirements: `requires` and `deps` of packaging environments, `dependency-groups`, `package_deps`.
    pub fn requirements(
        &self,
        mut requirements: Vec<String>,
        of_type: &str,
        old: RecordedInstallation<'_>,
    ) -> Result<InstallDecision, ConfigError> {
        requirements.sort();
        let mut stamp = json!({"req": requirements, "env": self.resolution_variables()});
        if self.form == RecordForm::ToxUv {
            stamp["constraints"] = json!(self.constraint_arguments()?);
        }
        if stamp.as_object() == old {
            return Ok(InstallDecision::UpToDate);
        }
        let before = strings(old, "req");
        let now: BTreeSet<&str> = requirements.iter().map(String::as_str).collect();
        let missing: Vec<&str> = before.difference(&now).copied().collect();
        if !missing.is_empty() {
            return Ok(InstallDecision::Recreate(format!("dependencies removed: {}", missing.join(", "))));
        }
        let mut arguments: Vec<String> = now.difference(&before).map(|&requirement| requirement.to_owned()).collect();
        if arguments.is_empty() {
            arguments.clone_from(&requirements);
        }
        if arguments.is_empty() {
            return Ok(InstallDecision::Change(InstallChange {
                request: None,
                afterwards: ConstraintsUpdate::Nothing,
                stamp,
            }));
        }
        let constraints = self.constraints.as_ref().map_err(Clone::clone)?;
        arguments.extend(constraints.arguments.iter().cloned());
        let own_constraints = self.constrain_package_deps && constraints.arguments.is_empty();
        if of_type == "package_deps" && own_constraints && self.constraints_file().exists() {
            arguments.push(format!("-c{}", self.constraints_file().display()));
        }
        let mut request = InstallRequest::new(of_type, arguments);
        request.nested_options.clone_from(&constraints.nested_options);
        let freeze = of_type == "deps" && own_constraints && self.use_frozen_constraints;
        let afterwards = if freeze { ConstraintsUpdate::FreezeConstraints } else { ConstraintsUpdate::Nothing };
        Ok(InstallDecision::Change(InstallChange { request: Some(request), afterwards, stamp }))
    }

    /// The packages of a PEP 751 lock file.
    pub fn pylock(&self, lock: &Pylock<'_>, old: RecordedInstallation<'_>) -> Result<InstallDecision, ConfigError> {
        let mut lines = lock.install_lines()?;
        lines.sort();
        let mut stamp = json!({"req": lines, "env": self.resolution_variables()});
        if let (Some(hash), Some(stamp)) =
            (super::pylock::referenced_hash(&lines, self.variables)?, stamp.as_object_mut())
        {
            stamp.insert("referenced_env".to_owned(), Value::String(hash));
        }
        if stamp.as_object() == old {
            return Ok(InstallDecision::UpToDate);
        }
        let before = strings(old, "req");
        let now: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
        let missing: Vec<&str> = before.difference(&now).copied().collect();
        if !missing.is_empty() {
            return Ok(InstallDecision::Recreate(format!("pylock dependencies removed: {}", missing.join(" "))));
        }
        let mut added: Vec<&str> = now.difference(&before).copied().collect();
        if added.is_empty() {
            added = lines.iter().map(String::as_str).collect();
        }
        let request = (!added.is_empty()).then(|| {
            let file = self.env_dir.join("pylock.txt");
            let arguments = vec!["--no-deps".to_owned(), "-r".to_owned(), file.display().to_string()];
            let file = Some((file, added.join("\n")));
            InstallRequest { file, ..InstallRequest::new("pylock", arguments) }
        });
        Ok(InstallDecision::Change(InstallChange { request, afterwards: ConstraintsUpdate::Nothing, stamp }))
    }

    fn resolution_variables(&self) -> Map<String, Value> {
        let names: &[&[&str]] = match self.form {
            RecordForm::Tox => &[&RESOLUTION_VARIABLES],
            RecordForm::ChosenUv => &[&RESOLUTION_VARIABLES, &uv::RESOLUTION_VARIABLES],
            RecordForm::ToxUv => &[&uv::RESOLUTION_VARIABLES],
        };
        let known = |name: &&str| self.variables.text(name).map(|value| ((*name).to_owned(), Value::String(value)));
        names.iter().copied().flatten().filter_map(known).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Command, Deferred};

    fn installation(constraints: &str) -> InstallSettings {
        InstallSettings {
            command: Deferred::ready(Command::from_words(vec!["pip".to_owned()])),
            command_is_default: true,
            installer: crate::model::environment::InstallerChoice::Automatic,
            list_dependencies_command: Command::from_words(Vec::new()),
            pip_pre: false,
            constraints: Deferred::ready(text(constraints)),
            constrain_package_deps: false,
            use_frozen_constraints: false,
        }
    }

    fn text(text: &str) -> RequirementText {
        RequirementText { text: text.to_owned(), root: "/nonexistent".into() }
    }

    fn change(decision: InstallDecision) -> Result<InstallChange, String> {
        match decision {
            InstallDecision::Change(change) => Ok(change),
            other => Err(format!("{other:?}")),
        }
    }

    type Outcome = Result<(), String>;

    fn deps(installation: &InstallSettings, written: &str, old: Option<&Value>) -> Result<InstallDecision, String> {
        let variables = EnvVariables::default();
        let conditions = InstallConditions::new(installation, Path::new("/nonexistent"), &variables, RecordForm::Tox);
        conditions.deps(&text(written), &[], old.and_then(Value::as_object)).map_err(|error| error.message)
    }

    #[test]
    fn dependencies_install_once_and_again_when_some_are_added() -> Outcome {
        let installation = installation("");
        let first = change(deps(&installation, "b\na", None)?)?;
        let expected = json!({
            "redaction_format": 1, "options": [], "requirements": ["a", "b"], "constraints": [],
            "constraint_options": {"constrain_package_deps": false, "use_frozen_constraints": false}, "env": {},
        });
        assert_eq!(first.stamp, expected);
        assert_eq!(first.request.map(|request| request.arguments), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(deps(&installation, "a\nb", Some(&first.stamp))?, InstallDecision::UpToDate);
        let more = change(deps(&installation, "c\nb\na", Some(&first.stamp))?)?;
        assert_eq!(more.request.map(|request| request.arguments.join(" ")), Some("a b c".to_owned()));
        Ok(())
    }

    #[test]
    fn nothing_to_install_is_recorded_all_the_same() -> Outcome {
        let recorded = change(deps(&installation(""), "", None)?)?;
        assert_eq!(recorded.request, None);
        assert_eq!(deps(&installation(""), "# nothing", Some(&recorded.stamp))?, InstallDecision::UpToDate);
        Ok(())
    }

    #[test]
    fn what_cannot_be_brought_up_to_date_is_made_anew_for_the_reason_tox_gives() -> Outcome {
        let before = change(deps(&installation(""), "a\nb\n--pre", None)?)?.stamp;
        let mut constrained = installation("");
        constrained.constrain_package_deps = true;
        let old_format = json!({"options": []});
        for (installation, written, old, reason) in [
            (&installation(""), "a\n--pre", &before, "requirements removed: b"),
            (&installation(""), "a\nb", &before, "changed install flag(s) removed pre=True"),
            (&installation(""), "a\nb\n--pre\n-i x", &before, "changed install flag(s) added index_url=['x']"),
            (&installation(""), "a", &old_format, "install cache format changed"),
            (
                &constrained,
                "a\nb\n--pre",
                &before,
                "constraint options changed: old={'constrain_package_deps': False, 'use_frozen_constraints': False} \
                 new={'constrain_package_deps': True, 'use_frozen_constraints': False}",
            ),
        ] {
            assert_eq!(deps(installation, written, Some(old))?, InstallDecision::Recreate(reason.to_owned()));
        }
        Ok(())
    }

    #[test]
    fn changed_constraints_are_named_without_their_option() -> Outcome {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let root = folder.path().canonicalize().map_err(|error| error.to_string())?;
        let variables = EnvVariables::default();
        let decide = |content: &str, old: Option<&Value>| -> Result<InstallDecision, String> {
            std::fs::write(root.join("c.txt"), content).map_err(|error| error.to_string())?;
            let mut installation = installation("");
            let constraints = RequirementText { text: "c.txt".to_owned(), root: root.clone() };
            installation.constraints = Deferred::ready(constraints);
            let conditions = InstallConditions::new(&installation, &root, &variables, RecordForm::Tox);
            conditions.deps(&text("a"), &[], old.and_then(Value::as_object)).map_err(|error| error.message)
        };
        let before = change(decide("a==1\nb==1", None)?)?;
        assert_eq!(before.stamp["constraints"], json!(["-c a==1", "-c b==1"]));
        assert_eq!(before.request.map(|request| request.arguments.join(" ")), Some("a -c c.txt".to_owned()));
        let after = decide("a==2", Some(&before.stamp))?;
        let reason = "changed constraint(s) removed a==1, b==1 added a==2";
        assert_eq!(after, InstallDecision::Recreate(reason.to_owned()));
        Ok(())
    }

    #[test]
    fn mistakes_fail_the_environment_in_the_words_of_tox() {
        assert_eq!(
            deps(&installation(""), "--pre", None),
            Err("no dependencies for tox env py within deps".to_owned())
        );
        let message = "only constraints files or URLs can be provided for tox env py within constraints";
        assert_eq!(deps(&installation("-r x"), "a", None), Err(message.to_owned()));
    }

    #[test]
    fn the_project_s_requirements_can_be_constrained_by_deps() -> Outcome {
        let mut constrained = installation("");
        constrained.constrain_package_deps = true;
        let written = change(deps(&constrained, "b[x]>1\n-e ./c", None)?)?;
        assert_eq!(written.afterwards, ConstraintsUpdate::WriteConstraints("b>1".to_owned()));
        constrained.use_frozen_constraints = true;
        assert_eq!(change(deps(&constrained, "b[x]>1", None)?)?.afterwards, ConstraintsUpdate::FreezeConstraints);

        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let variables = EnvVariables::default();
        let conditions = InstallConditions::new(&constrained, folder.path(), &variables, RecordForm::Tox);
        std::fs::write(conditions.constraints_file(), "").map_err(|error| error.to_string())?;
        let decision = conditions.requirements(vec!["a".to_owned()], "package_deps", None);
        let request = change(decision.map_err(|error| error.message)?)?.request;
        let expected = vec!["a".to_owned(), format!("-c{}", conditions.constraints_file().display())];
        assert_eq!(request.map(|request| request.arguments), Some(expected));
        Ok(())
    }

    #[test]
    fn lists_install_what_is_new_and_all_when_a_variable_changed() -> Outcome {
        let installation = installation("");
        let decide = |names: &[&str], index: &str, old: Option<&Value>| {
            let mut variables = EnvVariables::default();
            variables.set("PIP_INDEX_URL", index);
            variables.set("PIP_QUIET", index);
            let names = names.iter().map(|&name| name.to_owned()).collect();
            let conditions =
                InstallConditions::new(&installation, Path::new("/nonexistent"), &variables, RecordForm::Tox);
            conditions.requirements(names, "requires", old.and_then(Value::as_object)).map_err(|error| error.message)
        };
        let arguments = |decision| change(decision).map(|change| change.request.map(|request| request.arguments));
        let first = change(decide(&["b", "a"], "x", None)?)?.stamp;
        assert_eq!(first, json!({"req": ["a", "b"], "env": {"PIP_INDEX_URL": "x"}}));
        assert_eq!(decide(&["a", "b"], "x", Some(&first))?, InstallDecision::UpToDate);
        assert_eq!(arguments(decide(&["a", "b", "c"], "x", Some(&first))?)?, Some(vec!["c".to_owned()]));
        let all = Some(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(arguments(decide(&["a", "b"], "y", Some(&first))?)?, all);
        let removed = decide(&[], "x", Some(&first))?;
        assert_eq!(removed, InstallDecision::Recreate("dependencies removed: a, b".to_owned()));
        assert_eq!(arguments(decide(&[], "x", None)?)?, None);
        Ok(())
    }

    #[test]
    fn a_lock_file_installs_from_a_file_in_the_environment() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("pylock.toml");
        let package = |name| format!("[[packages]]\nname='{name}'\nversion='1'\nsdist={{path='x',hashes={{a='1'}}}}\n");
        let head = "lock-version='1.0'\ncreated-by='x'\n";
        std::fs::write(&path, format!("{head}{}", package("b")))?;
        let markers = std::collections::BTreeMap::new();
        let lock = Pylock { path: &path, extras: &[], groups: &[], markers: &markers };
        let (variables, installation) = (EnvVariables::default(), installation(""));
        let conditions = InstallConditions::new(&installation, Path::new("/e"), &variables, RecordForm::Tox);
        let first = change(conditions.pylock(&lock, None)?).map_err(anyhow::Error::msg)?;
        let request = first.request.ok_or_else(|| anyhow::anyhow!("nothing to install"))?;
        assert_eq!(request.arguments.join(" "), "--no-deps -r /e/pylock.txt");
        assert_eq!(request.file, Some(("/e/pylock.txt".into(), "b==1 --hash=a:1".to_owned())));
        assert_eq!(conditions.pylock(&lock, first.stamp.as_object())?, InstallDecision::UpToDate);
        std::fs::write(&path, format!("{head}{}", package("c")))?;
        let reason = "pylock dependencies removed: b==1 --hash=a:1".to_owned();
        assert_eq!(conditions.pylock(&lock, first.stamp.as_object())?, InstallDecision::Recreate(reason));
        Ok(())
    }
}
