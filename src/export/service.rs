//! A service as a target runs it: with a place, ports with numbers, and all fields filled in.

use std::time::Duration;

use crate::model::service::RestartPolicy;

use super::ExportedEnv;

/// Where and how services run at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The project's folder there.
    pub root: String,
    /// What services listen on; `None`: on their own `host`.
    pub listen: Option<&'static str>,
    /// Whether services reach each other by their names.
    pub has_names: bool,
}

/// A service.
#[derive(Debug, Clone, Default)]
pub struct ExportedService {
    /// What installs and describes it.
    pub environment: ExportedEnv,
    pub description: String,
    /// `serve` as written, with fields such as `{port}`.
    pub command: String,
    pub host: String,
    pub ports: Vec<ExportedPort>,
    /// The services that it needs itself.
    pub depends: Vec<String>,
    /// `None`: at targets that do not run it by themselves.
    pub process: Option<ExportedProcess>,
    pub life: ServiceLife,
}

/// A port of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportedPort {
    pub name: String,
    pub number: u16,
    /// Whether the configuration gives the number.
    pub is_fixed: bool,
}

/// What is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportedProcess {
    /// The working folder.
    pub folder: String,
    /// The folder of the environment's programs.
    pub programs: String,
    pub words: Vec<String>,
    /// `commands_pre`.
    pub setup: Vec<Vec<String>>,
    /// `set_env`.
    pub variables: Vec<(String, String)>,
    pub ready: ExportedProbe,
}

/// How it is seen that a service is ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ExportedProbe {
    Http {
        url: String,
        status: Option<u16>,
    },
    /// `HOST:PORT`.
    Tcp(String),
    Command(Vec<String>),
    Notify,
    /// It is a job.
    Exit,
    /// Nothing that can be asked from outside.
    #[default]
    None,
}

/// How a service is restarted and stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceLife {
    pub restart: RestartPolicy,
    pub restart_limit: u32,
    pub success_exit_codes: Vec<i32>,
    pub ready_timeout: Duration,
    pub stop_signal: String,
    pub stop_timeout: Duration,
    /// Whether it inherits listening sockets.
    pub listen_fds: bool,
}

impl ExportedService {
    pub fn name(&self) -> &str {
        &self.environment.name
    }

    pub fn is_job(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.ready == ExportedProbe::Exit)
    }
}

impl ExportedProcess {
    /// One command for a container: what is set up first, then the service in place of the shell.
    pub fn command(&self) -> Vec<String> {
        if self.setup.is_empty() {
            return self.words.clone();
        }
        let setup = self.setup.iter().map(|words| crate::python_text::shlex::join(words) + " && ");
        let line: String = setup.chain([format!("exec {}", crate::python_text::shlex::join(&self.words))]).collect();
        ["sh", "-c", &line].map(str::to_owned).to_vec()
    }
}

impl ExportedProbe {
    /// A command that succeeds when the service is ready, for targets that know nothing else. Every image and system has Python.
    pub fn command(&self) -> Option<Vec<String>> {
        let python = |program: String| Some(["python3", "-c", &program].map(str::to_owned).to_vec());
        match self {
            Self::Http { url, status: None } => {
                python(format!("from urllib.request import urlopen; urlopen({}, timeout=10)", python_text(url)))
            }
            Self::Http { url, status: Some(status) } => python(format!(
                "from urllib.request import urlopen\nfrom urllib.error import HTTPError\ntry:\n    answer = urlopen({}, \
                 timeout=10)\nexcept HTTPError as error:\n    answer = error\nraise SystemExit(answer.status != {status})",
                python_text(url)
            )),
            Self::Tcp(address) => {
                let (host, port) = address.rsplit_once(':')?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                python(format!("import socket; socket.create_connection(({}, {port}), 10)", python_text(host)))
            }
            Self::Command(words) => Some(words.clone()),
            Self::Notify | Self::Exit | Self::None => None,
        }
    }
}

fn python_text(text: &str) -> String {
    crate::python_text::python_repr(text)
}
