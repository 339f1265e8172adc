//! `envo mcp`: a server of the Model Context Protocol on standard input and output, for coding agents. Each tool is a command
//! of envo; this module only passes requests and results on. <https://modelcontextprotocol.io/specification>

mod tools;

use std::io::BufRead as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cli::options::Options;
use crate::execute::interrupt::Interrupt;
use crate::exit_code;
use crate::report::plain;
use tools::Tools;

/// The versions of the protocol that the server speaks, the newest first.
const VERSIONS: [&str; 3] = ["2025-06-18", "2025-03-26", "2024-11-05"];
/// Codes of JSON-RPC.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const UNKNOWN_METHOD: i32 = -32601;
const INVALID_PARAMETERS: i32 = -32602;

/// Serves until the client closes standard input.
pub fn execute(options: &Options) -> Result<i32> {
    let interrupt = Interrupt::default();
    let tools = Tools { options, interrupt: &interrupt };
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read standard input")?;
        if !line.trim().is_empty()
            && let Some(reply) = reply(&line, &tools)
        {
            plain::out(&format!("{reply}\n"));
        }
    }
    Ok(exit_code::OK)
}

/// The reply to one message; `None`: it is a notification.
fn reply(line: &str, tools: &Tools<'_>) -> Option<Value> {
    let failure = |id: &Value, code: i32, message: &str| {
        Some(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}))
    };
    let Ok(message) = serde_json::from_str::<Value>(line) else {
        return failure(&Value::Null, PARSE_ERROR, "the message is not valid JSON");
    };
    let Some(method) = message["method"].as_str() else {
        return failure(&Value::Null, INVALID_REQUEST, "the message is not a request");
    };
    let id = message.get("id").filter(|id| !id.is_null())?;
    let parameters = &message["params"];
    let result = match method {
        "initialize" => initialized(parameters),
        "ping" => json!({}),
        "tools/list" => json!({"tools": tools.list()}),
        "tools/call" => match tools.call(parameters) {
            Ok(result) => result,
            Err(message) => return failure(id, INVALID_PARAMETERS, &message),
        },
        _ => return failure(id, UNKNOWN_METHOD, &format!("unknown method: `{method}`")),
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn initialized(parameters: &Value) -> Value {
    let asked = parameters["protocolVersion"].as_str().unwrap_or_default();
    let version = VERSIONS.iter().find(|version| **version == asked).unwrap_or(&VERSIONS[0]);
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "envo", "version": env!("CARGO_PKG_VERSION")},
    })
}
