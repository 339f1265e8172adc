//! Resolves a service's own texts, with its ports, its dependencies, its variables and its folder. Commands
//! are looked up and probes parsed here; nothing is started.

use std::path::PathBuf;

use regex::bytes::Regex;

use crate::error::ConfigError;
use crate::execute::session::CommandSession;
use crate::model::EnvVariables;
use crate::model::literal;
use crate::model::service::Probe;
use crate::serve::fields::{self, ServiceInstance, ServiceInstances};
use crate::serve::probe::{NotifySocket, ReadinessQuestion};
use crate::serve::shim::instance_mark;
use crate::serve::supervisor::Supervisor;
use crate::serve::supervisor::output_watch::AwaitedLine;

pub struct ServiceContext {
    own: ServiceInstance,
    instances: ServiceInstances,
    session: CommandSession,
    pub cwd: PathBuf,
    pub variables: EnvVariables,
}

/// How a probe is evaluated.
pub enum ReadinessCheck {
    /// By asking.
    Question(ReadinessQuestion),
    /// By a line of output.
    Line(AwaitedLine),
    /// By the process itself: it runs, or it has ended.
    Process,
}

impl ServiceContext {
    pub fn of(supervisor: &Supervisor, at: usize) -> Result<Self, String> {
        let instances = supervisor.visible_instances(at);
        let slot = &supervisor.slots[at];
        let own = slot.instance.clone();
        let variables = slot.prepared.variables(&own, &instances).map_err(text)?;
        let mut variables = variables;
        variables.set(instance_mark::VARIABLE, supervisor.mark_of(at));
        let cwd = slot.prepared.definition.cwd.clone();
        supervisor.ensure_not_left_behind(&cwd)?;
        Ok(Self { session: slot.prepared.session.clone(), own, instances, cwd, variables })
    }

    /// The words of a command with its fields filled in and its program looked up.
    pub fn command(&self, written: &str) -> Result<Vec<String>, String> {
        let words = fields::words(written, &self.own, &self.instances).map_err(text)?;
        let mut session = self.session.clone();
        session.variables = self.variables.clone();
        session.resolve_words(words, self.cwd.clone()).map_err(|refusal| refusal.to_string())
    }

    pub fn fill(&self, written: &str) -> Result<String, String> {
        fields::fill_own(written, &self.own, &self.instances).map_err(text)
    }

    /// Turns a probe's text into a check. A probe that waits for a notification gives the service the path of
    /// its socket.
    pub fn probe(&mut self, written: &str) -> Result<ReadinessCheck, String> {
        let is_pattern = written.trim_start().starts_with("log:");
        let filled = if is_pattern { self.fill(&literal::in_pattern(written))? } else { self.fill(written)? };
        let question = match Probe::parse(&filled).map_err(text)? {
            Probe::Http { url, status } => ReadinessQuestion::http(&url, status)?,
            Probe::Tcp { address } => ReadinessQuestion::tcp(&address)?,
            Probe::Unix { path } => ReadinessQuestion::Unix { path: self.cwd.join(crate::os_text::encode(&path)) },
            Probe::Command { .. } => {
                // Split before its fields are filled in, so that a value with spaces stays one word.
                let command = written.trim().strip_prefix("cmd:").unwrap_or_default();
                let argv = self.command(command)?;
                ReadinessQuestion::Command {
                    argv,
                    cwd: self.cwd.clone(),
                    variables: self.variables.clone(),
                    redactor: self.session.capture.redactor.clone(),
                }
            }
            Probe::Log { pattern } => {
                let pattern = Regex::new(&pattern).map_err(|error| error.to_string())?;
                return Ok(ReadinessCheck::Line(AwaitedLine { pattern }));
            }
            Probe::Notify => {
                let socket =
                    NotifySocket::new().map_err(|error| format!("cannot create its notification socket: {error}"))?;
                self.variables.set("NOTIFY_SOCKET", socket.path());
                ReadinessQuestion::Notify(socket)
            }
            Probe::Exit | Probe::Alive => return Ok(ReadinessCheck::Process),
        };
        Ok(ReadinessCheck::Question(question))
    }
}

fn text(error: ConfigError) -> String {
    error.message
}
