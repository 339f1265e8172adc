//! A Procfile: a line for each service. <https://devcenter.heroku.com/articles/procfile>

use super::service::ExportedService;
use super::{ExportedFile, ExportedProject};
use crate::error::ConfigError;

const PATH: &str = "Procfile";

pub(super) fn render(project: &ExportedProject) -> Result<ExportedFile, ConfigError> {
    project.ensure_services()?;
    let mut text = project.header();
    for service in &project.services {
        text.push_str(&format!("{}: {}\n", service.name(), command(service)?));
    }
    Ok(ExportedFile { path: PATH.to_owned(), text })
}

/// The command with variables instead of fields: `$PORT` is what programs that run a Procfile set.
fn command(service: &ExportedService) -> Result<String, ConfigError> {
    let mut result = String::new();
    let mut rest = service.command.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        result.push_str(before);
        let (field, after) = after.split_once('}').unwrap_or((after, ""));
        result.push_str(&value(service, field)?);
        rest = after;
    }
    result.push_str(rest);
    Ok(result.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn value(service: &ExportedService, field: &str) -> Result<String, ConfigError> {
    let first = service.ports.first().map(|port| port.name.as_str());
    let number =
        |name: &str| service.ports.iter().find(|port| port.name == name && port.is_fixed).map(|port| port.number);
    match field.split_once(':') {
        None if field == "port" => Ok("$PORT".to_owned()),
        Some(("port", name)) if Some(name) == first => Ok("$PORT".to_owned()),
        Some(("port", name)) if number(name).is_some() => Ok(number(name).unwrap_or_default().to_string()),
        None if field == "host" => Ok(service.host.clone()),
        _ => {
            let text = format!("a Procfile has nothing for `{{{field}}}` in `serve` of `{}`", service.name());
            Err(ConfigError::handled(text)
                .hint("only the first port varies there; give other ports numbers, and pass addresses in variables"))
        }
    }
}
