//! The tools of `envo mcp`.

use std::ffi::OsString;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cli::options::Options;
use crate::commands::logs;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::{Spawn, finish_or_kill};
use crate::os_text;
use crate::platform::system;

/// How much of the end of a command's output is returned.
const LONGEST: usize = 64 * 1024;
/// How many lines of logs are returned, usually and at most, and how many characters of each.
const LINES: usize = 50;
const MOST_LINES: usize = 500;
const WIDTH: usize = 2000;

pub(super) struct Tools<'a> {
    pub(super) options: &'a Options,
    pub(super) interrupt: &'a Interrupt,
}

/// What a tool answers.
struct ToolAnswer {
    text: String,
    is_error: bool,
}

impl Tools<'_> {
    pub(super) fn list(&self) -> Vec<Value> {
        let text = |description: &str| json!({"type": "string", "description": description});
        let tool = |name: &str, description: &str, properties: Value, required: &[&str]| {
            let read_only = matches!(name, "list_environments" | "list_services" | "search_logs");
            json!({
                "name": name,
                "description": description,
                "inputSchema": {
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                },
                "annotations": {"readOnlyHint": read_only},
            })
        };
        let mut tools = vec![
            tool(
                "list_environments",
                "List the project's environments with their descriptions, as JSON.",
                json!({}),
                &[],
            ),
            tool(
                "list_services",
                "List running services with state, health, ports and usage, as JSON.",
                json!({}),
                &[],
            ),
            tool(
                "search_logs",
                "Return the last lines of services' logs that contain a text.",
                json!({
                    "service": text("the service; all if it is left out"),
                    "text": text("the text to search for; every line if it is left out"),
                    "limit": {"type": "integer", "minimum": 1, "maximum": MOST_LINES, "description": "how many lines"},
                }),
                &[],
            ),
            tool(
                "run_environment",
                "Run an environment's commands and return its failures with their location, or that it passed.",
                json!({"environment": text("the environment's name")}),
                &["environment"],
            ),
        ];
        if self.options.services.allow_control {
            let named = || json!({"service": text("the service's name")});
            tools.push(tool("start_service", "Start a service that was stopped or has failed.", named(), &["service"]));
            tools.push(tool("stop_service", "Stop a service and those that depend on it.", named(), &["service"]));
            tools.push(tool("restart_service", "Restart a service.", named(), &["service"]));
        }
        tools
    }

    /// Runs a tool. The error says what is wrong with the request; a failure of the tool is a result.
    pub(super) fn call(&self, parameters: &Value) -> Result<Value, String> {
        let name = parameters["name"].as_str().unwrap_or_default();
        let tools = self.list();
        let Some(tool) = tools.iter().find(|tool| tool["name"] == name) else {
            let control = matches!(name, "start_service" | "stop_service" | "restart_service");
            let hint = if control { " (start `envo mcp` with --allow-control)" } else { "" };
            return Err(format!("unknown tool: `{name}`{hint}"));
        };
        let arguments = &parameters["arguments"];
        for (key, _) in arguments.as_object().into_iter().flatten() {
            if tool["inputSchema"]["properties"].get(key).is_none() {
                return Err(format!("`{name}` has no argument `{key}`"));
            }
        }
        let answer = match name {
            "list_environments" => self.run(&["list", "--format", "json"]),
            "list_services" => self.run(&["ps", "--format", "json"]),
            "search_logs" => self.search(arguments)?,
            "run_environment" => self.run(&["run", "--report", "brief", "-e", &named(arguments, "environment")?]),
            "start_service" => self.run(&["start", &named(arguments, "service")?]),
            "stop_service" => self.run(&["stop", &named(arguments, "service")?]),
            _ => self.run(&["restart", &named(arguments, "service")?]),
        };
        let ToolAnswer { text, is_error } = answer;
        Ok(json!({"content": [{"type": "text", "text": text}], "isError": is_error}))
    }

    /// Runs a command of envo for the same project and returns the end of its output.
    fn run(&self, words: &[&str]) -> ToolAnswer {
        let Options { project, process, .. } = self.options;
        let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
        let paths = [("-c", &project.config_file), ("--workdir", &project.work_dir), ("--root", &project.root_dir)];
        for (option, path) in paths {
            arguments.extend(path.iter().flat_map(|path| [OsString::from(option), path.into()]));
        }
        for text in &project.overrides {
            arguments.extend(["-x".into(), os_text::encode(text)]);
        }
        let mut variables = process.variables.clone();
        variables.set("NO_COLOR", "1");
        match finish_or_kill(Spawn::new(system::own_program(), arguments, variables), self.interrupt) {
            Ok((code, out, error)) => {
                let mut text = end_of(&out);
                // What envo itself has to say counts only if something is wrong.
                if code != 0 {
                    text.push_str(&end_of(&error));
                }
                ToolAnswer { text, is_error: code != 0 }
            }
            Err(error) => ToolAnswer { text: format!("envo could not be started: {error}"), is_error: true },
        }
    }

    fn search(&self, arguments: &Value) -> Result<ToolAnswer, String> {
        let service: Vec<String> = arguments["service"].as_str().map(str::to_owned).into_iter().collect();
        let text = arguments["text"].as_str().unwrap_or_default();
        let limit = match &arguments["limit"] {
            Value::Null => LINES,
            limit => limit
                .as_u64()
                .and_then(|limit| usize::try_from(limit).ok())
                .filter(|limit| (1..=MOST_LINES).contains(limit))
                .ok_or_else(|| format!("`limit` must be a number from 1 to {MOST_LINES}"))?,
        };
        Ok(match logs::search(self.options, &service, text, limit) {
            Ok((lines, truncated)) => {
                let lines: Vec<String> = lines.iter().map(|line| line.chars().take(WIDTH).collect()).collect();
                ToolAnswer { text: json!({"lines": lines, "truncated": truncated}).to_string(), is_error: false }
            }
            Err(error) => ToolAnswer { text: format!("{error:#}"), is_error: true },
        })
    }
}

/// A name in the arguments; not what envo would take for an option or for several names.
fn named(arguments: &Value, key: &str) -> Result<String, String> {
    let name = arguments[key].as_str().unwrap_or_default();
    if name.is_empty() || name.starts_with('-') || name.contains([',', '{', '\n', '*']) {
        return Err(format!("`{key}` must be the name of one {key}"));
    }
    Ok(name.to_owned())
}

/// The end of an output, and whether something is missing before it.
fn end_of(bytes: &[u8]) -> String {
    let left_out = bytes.len().saturating_sub(LONGEST);
    let text = String::from_utf8_lossy(&bytes[left_out..]);
    if left_out > 0 { format!("[truncated: {left_out} bytes before this]\n{text}") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_options_or_lists_are_refused() {
        let name = |name: &str| named(&json!({"service": name}), "service");
        assert_eq!(name("db"), Ok("db".to_owned()));
        for bad in ["", "-e", "a,b", "a{b,c}", "*"] {
            assert_eq!(name(bad), Err("`service` must be the name of one service".to_owned()), "{bad}");
        }
        assert!(named(&json!({"service": 3}), "service").is_err());
    }

    #[test]
    fn of_much_output_the_end_is_returned() {
        assert_eq!(end_of(b"short"), "short");
        let text = end_of(&[b'x'; LONGEST + 5]);
        assert!(text.starts_with("[truncated: 5 bytes before this]\nx"), "{}", &text[..60]);
    }
}
