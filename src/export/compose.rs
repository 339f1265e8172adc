//! A file for Docker Compose. <https://github.com/compose-spec/compose-spec/blob/main/spec.md>

use std::fmt::Write as _;

use super::service::{ExportedProcess, ExportedService};
use super::{ExportedFile, ExportedProject, yaml_list, yaml_text};
use crate::error::ConfigError;
use crate::model::service::RestartPolicy;

const PATH: &str = "compose.yaml";

pub(super) fn render(project: &ExportedProject) -> Result<ExportedFile, ConfigError> {
    project.ensure_services()?;
    let mut text = project.header();
    let _ = writeln!(text, "# The images are built from the Dockerfile of `envo export dockerfile --write`.");
    let _ = writeln!(text, "name: {}\nservices:", project.name);
    for (name, service) in project.named_services() {
        if let Some(process) = &service.process {
            write_service(&mut text, project, (&name, service), process);
        }
    }
    Ok(ExportedFile { path: PATH.to_owned(), text })
}

fn write_service(
    text: &mut String,
    project: &ExportedProject,
    (name, service): (&str, &ExportedService),
    process: &ExportedProcess,
) {
    let _ = writeln!(text, "  {name}:\n    build:\n      context: .\n      target: {name}");
    if !service.ports.is_empty() {
        // Other machines reach them only if the user wants that.
        let published = service.ports.iter().map(|port| format!("127.0.0.1:{0}:{0}", port.number));
        let _ = writeln!(text, "    ports: {}", yaml_list(published));
    }
    if !service.environment.secrets.is_empty() {
        let _ = writeln!(text, "    environment: {}", yaml_list(&service.environment.secrets));
    }
    let needed =
        project.named_services().into_iter().filter(|(_, one)| service.depends.iter().any(|n| n == one.name()));
    for (at, (other, needed)) in needed.enumerate() {
        if at == 0 {
            text.push_str("    depends_on:\n");
        }
        let asked = needed.process.as_ref().and_then(|process| process.ready.command());
        let condition = match (needed.is_job(), asked) {
            (true, _) => "service_completed_successfully",
            (false, Some(_)) => "service_healthy",
            (false, None) => "service_started",
        };
        let _ = writeln!(text, "      {other}:\n        condition: {condition}");
    }
    if let Some(words) = process.ready.command() {
        // Compose expands variables.
        let test = ["CMD".to_owned()].into_iter().chain(words.iter().map(|word| word.replace('$', "$$")));
        let retries = service.life.ready_timeout.as_secs().max(1);
        let _ = writeln!(
            text,
            "    healthcheck:\n      test: {}\n      interval: 1s\n      timeout: 10s\n      retries: {retries}",
            yaml_list(test)
        );
    }
    let restart = match service.life.restart {
        RestartPolicy::No => "\"no\"".to_owned(),
        RestartPolicy::OnFailure => format!("on-failure:{}", service.life.restart_limit),
        RestartPolicy::Always => "always".to_owned(),
    };
    let _ = writeln!(
        text,
        "    restart: {restart}\n    stop_signal: {}\n    stop_grace_period: {}ms",
        yaml_text(&service.life.stop_signal),
        service.life.stop_timeout.as_millis()
    );
}
