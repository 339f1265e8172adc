//! Units for systemd. <https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html>

use std::fmt::Write as _;

use super::service::{ExportedProbe, ExportedProcess, ExportedService};
use super::{ExportedFile, ExportedProject};
use crate::error::ConfigError;
use crate::model::service::RestartPolicy;
use crate::python_text::shlex;
use crate::systemd_text::{assignment, escaped, quoted};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn render(project: &ExportedProject) -> Result<Vec<ExportedFile>, ConfigError> {
    project.ensure_services()?;
    let mut files = Vec::new();
    for (name, service) in project.named_services() {
        let Some(process) = &service.process else { continue };
        let unit = format!("{}-{name}", project.name);
        files.push(ExportedFile {
            path: format!("systemd/{unit}.service"),
            text: format!("{}{}", project.header(), service_unit(project, (&unit, service), process)),
        });
        if service.life.listen_fds {
            let listen: String =
                service.ports.iter().map(|port| format!("ListenStream={}:{}\n", service.host, port.number)).collect();
            let summary = summary(project, service);
            files.push(ExportedFile {
                path: format!("systemd/{unit}.socket"),
                text: format!(
                    "{}[Unit]\nDescription=Socket of {summary}\n\n[Socket]\n{listen}\n[Install]\nWantedBy=sockets.target\n",
                    project.header()
                ),
            });
        }
    }
    Ok(files)
}

fn summary(project: &ExportedProject, service: &ExportedService) -> String {
    let what = if service.description.is_empty() { String::new() } else { format!(": {}", service.description) };
    escaped(&format!("{} of {}{what}", service.name(), project.name).replace('\n', " "))
}

fn service_unit(
    project: &ExportedProject,
    (unit, service): (&str, &ExportedService),
    process: &ExportedProcess,
) -> String {
    let mut required: Vec<String> = project
        .named_services()
        .into_iter()
        .filter(|(_, one)| service.depends.iter().any(|name| name == one.name()))
        .map(|(name, _)| format!("{}-{name}.service", project.name))
        .collect();
    if service.life.listen_fds {
        required.push(format!("{unit}.socket"));
    }
    let mut text = format!("[Unit]\nDescription={}\nAfter=network.target\n", summary(project, service));
    if !required.is_empty() {
        let required = required.join(" ");
        let _ = writeln!(text, "Requires={required}\nAfter={required}");
    }
    let kind = match process.ready {
        ExportedProbe::Notify => "notify",
        ExportedProbe::Exit => "oneshot\nRemainAfterExit=yes",
        _ => "exec",
    };
    let _ = writeln!(text, "\n[Service]\nType={kind}\nWorkingDirectory={}", escaped(&process.folder));
    let _ = writeln!(text, "Environment={}", assignment(&format!("PATH={}:{PATH}", process.programs)));
    for (name, value) in &process.variables {
        let _ = writeln!(text, "Environment={}", assignment(&format!("{name}={value}")));
    }
    let _ = writeln!(text, "EnvironmentFile=-/etc/default/{unit}");
    for words in &process.setup {
        let _ = writeln!(text, "ExecStartPre={}", command(words));
    }
    let _ = writeln!(text, "ExecStart={}", command(&process.words));
    if let Some(words) = process.ready.command() {
        // Units that come after this one are started when this has ended.
        let line = format!("until {} 2>/dev/null; do sleep 0.2; done", shlex::join(&words));
        let _ = writeln!(text, "ExecStartPost=/bin/sh -c {}", quoted(&line));
    }
    write_life(&mut text, service);
    text.push_str("NoNewPrivileges=yes\nPrivateTmp=yes\nProtectSystem=full\n\n[Install]\nWantedBy=multi-user.target\n");
    text
}

/// By `env`, which finds the program in the unit's own PATH; systemd itself does not look there.
fn command(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("/usr/bin/env {}", words.join(" "))
}

fn write_life(text: &mut String, service: &ExportedService) {
    let life = &service.life;
    let restart = match life.restart {
        RestartPolicy::No => "no",
        RestartPolicy::OnFailure => "on-failure",
        // A job may not be started again and again.
        RestartPolicy::Always if service.is_job() => "on-failure",
        RestartPolicy::Always => "always",
    };
    let _ = writeln!(
        text,
        "Restart={restart}\nTimeoutStartSec={}\nKillSignal={}\nTimeoutStopSec={}",
        life.ready_timeout.as_secs_f64(),
        life.stop_signal,
        life.stop_timeout.as_secs_f64()
    );
    let codes: Vec<String> = life.success_exit_codes.iter().filter(|code| **code > 0).map(i32::to_string).collect();
    if !codes.is_empty() {
        let _ = writeln!(text, "SuccessExitStatus={}", codes.join(" "));
    }
}
