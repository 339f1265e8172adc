//! A service or job as data: everything a process needs to start it without the configuration.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::sha256;
use crate::model::environment::Timeouts;
use crate::model::{Command, EnvVariables, ServiceSettings};

/// A dependency of a service or job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDependency {
    pub name: String,
    /// Whether it restarts when that restarts: `depends = db:restart`.
    #[serde(default)]
    pub restart: bool,
}

/// A service, or without `service` a job, whose environment is built.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceDefinition {
    pub name: String,
    /// The keys next to `serve`, whose texts may still contain fields.
    #[serde(default)]
    pub service: Option<ServiceSettings>,
    #[serde(default)]
    pub depends: Vec<ServiceDependency>,
    #[serde(flatten)]
    pub steps: DefinedCommands,
    /// Where its commands run, absolute.
    pub cwd: PathBuf,
    /// The folder the client was started in, for displaying where commands run.
    pub current_dir: PathBuf,
    /// Where each command writes its log.
    pub log_dir: PathBuf,
    /// Folders whose programs may all be run.
    #[serde(default)]
    pub paths: Vec<PathBuf>,
    /// Globs of other programs that may be run.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Complete, PATH included; values may still contain fields.
    pub variables: VariablesJson,
    #[serde(default)]
    pub timeouts: Timeouts,
    /// A digest of a job's inputs besides its definition.
    #[serde(default)]
    pub inputs: String,
    /// The variables whose values are secret.
    #[serde(default)]
    pub secrets: Vec<String>,
}

/// The commands before, instead of and after the program of a service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DefinedCommands {
    #[serde(default)]
    pub commands_pre: Vec<Command>,
    /// Only for jobs.
    #[serde(default)]
    pub commands: Vec<Command>,
    #[serde(default)]
    pub commands_post: Vec<Command>,
    #[serde(default)]
    pub ignore_errors: bool,
    #[serde(default)]
    pub retries: u32,
    /// Run `commands_post` even after an interrupt.
    #[serde(default)]
    pub post_after_interrupt: bool,
}

/// Variables that do not define a service: they differ from one terminal, or one start, to the next.
const PASSING: [&str; 12] = [
    "PYTHONHASHSEED",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "PY_COLORS",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
    "COLUMNS",
    "LINES",
];

impl ServiceDefinition {
    /// Whether it ends by itself, and others wait for that.
    pub fn is_job(&self) -> bool {
        self.service
            .as_ref()
            .is_none_or(|service| service.probes.ready.as_deref().is_some_and(|ready| ready.trim() == "exit"))
    }

    /// A hexadecimal digest, equal for equivalent definitions. The number of instances is not part of it.
    pub fn digest(&self) -> String {
        let mut lasting = self.clone();
        if let Some(service) = &mut lasting.service {
            service.instances = 1;
        }
        for name in PASSING {
            lasting.variables.0.remove(name);
        }
        lasting.current_dir = PathBuf::new();
        let text = serde_json::to_vec(&lasting).unwrap_or_default();
        sha256(text)
    }
}

/// Variables as a JSON object. A value that is not UTF-8 is a list of its bytes; a name that is not is left
/// out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VariablesJson(pub EnvVariables);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum VariableText {
    Characters(String),
    Bytes(Vec<u8>),
}

impl Serialize for VariablesJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |value: &OsStr| match value.to_str() {
            Some(text) => VariableText::Characters(text.to_owned()),
            None => VariableText::Bytes(value.as_bytes().to_vec()),
        };
        serializer.collect_map(self.0.iter().filter_map(|(name, value)| Some((name.to_str()?, text(value)))))
    }
}

impl<'de> Deserialize<'de> for VariablesJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = std::collections::BTreeMap::<String, VariableText>::deserialize(deserializer)?;
        let value = |text| match text {
            VariableText::Characters(text) => OsString::from(text),
            VariableText::Bytes(bytes) => OsString::from_vec(bytes),
        };
        Ok(Self(pairs.into_iter().map(|(name, text)| (name.into(), value(text))).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> ServiceDefinition {
        let mut variables = EnvVariables::default();
        variables.set("A", "b");
        variables.set("BYTES", OsString::from_vec(vec![0xff, b'=']));
        ServiceDefinition {
            name: "db".into(),
            service: Some(ServiceSettings::new("run {port}")),
            depends: vec![ServiceDependency { name: "a".into(), restart: true }],
            steps: DefinedCommands {
                commands_pre: vec![Command::from_words(vec!["-".into(), "x".into()])],
                ..DefinedCommands::default()
            },
            cwd: "/a".into(),
            current_dir: "/a".into(),
            log_dir: "/a/log".into(),
            paths: vec!["/a/bin".into()],
            allow: vec!["sh".into()],
            variables: VariablesJson(variables),
            ..ServiceDefinition::default()
        }
    }

    #[test]
    fn a_definition_arrives_as_it_was_sent() {
        let text = serde_json::to_string(&definition()).unwrap();
        assert_eq!(serde_json::from_str::<ServiceDefinition>(&text).unwrap(), definition());
    }

    #[test]
    fn terminal_variables_are_not_part_of_the_digest_and_others_are() {
        let mut other = definition();
        other.variables.0.set("TERM", "dumb");
        other.current_dir = "/b".into();
        assert_eq!(other.digest(), definition().digest());
        if let Some(service) = &mut other.service {
            service.instances = 3;
        }
        assert_eq!(other.digest(), definition().digest(), "the number of instances does not change the definition");
        other.variables.0.set("A", "c");
        assert_ne!(other.digest(), definition().digest());
    }
}
