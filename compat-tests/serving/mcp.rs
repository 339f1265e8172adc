//! `envo mcp`: what a client of the Model Context Protocol gets, in plain JSON-RPC.

use std::io::{PipeWriter, Write as _};

use serde_json::{Value, json};

use crate::support::project::Project;
use crate::support::running::Running;

struct Client {
    server: Running,
    requests: PipeWriter,
    last: u64,
}

impl Client {
    fn new(project: &Project, arguments: &[&str]) -> Self {
        let (reader, requests) = std::io::pipe().expect("a pipe");
        let server = project.start_with_input([&["mcp"], arguments].concat(), reader);
        Self { server, requests, last: 0 }
    }

    fn send(&mut self, text: &str) {
        self.requests.write_all(format!("{text}\n").as_bytes()).expect("it reads");
    }

    /// The whole reply to a request.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}).to_string());
        let reply: Value = serde_json::from_str(&self.server.line_with("\"jsonrpc\"")).expect("it is JSON");
        assert_eq!(reply["id"], self.last, "{reply}");
        reply
    }

    /// The text that a tool returns, and whether it is an error.
    fn call(&mut self, tool: &str, arguments: Value) -> (String, bool) {
        let reply = self.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        let result = &reply["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{reply}"));
        (text.to_owned(), result["isError"] == true)
    }

    fn end(self) {
        drop(self.requests);
        let ended = self.server.end();
        assert_eq!(ended.code, 0, "{}", ended.printed);
    }
}

const INI: &str = "[tox]\nno_package = true\nenv_list = good, bad\n[testenv]\nallowlist_externals = bash\n\
                   [testenv:good]\nset_env = SECRET_WORD = swordfish\ncommands = bash -c 'true'\n\
                   [testenv:bad]\ncommands = bash -c 'echo wrong; exit 3'\n\
                   [testenv:web]\nserve = bash -c 'echo started; exec sleep 3600'\nready = log:started\n";

#[test]
fn an_agent_lists_searches_and_runs_but_controls_nothing() {
    let lines: String = (0..60).map(|number| format!("needle {number}\nhay\n")).collect();
    let project = Project::new().ini(INI).file(".tox/.envo/log/old.log", &lines);
    let mut client = Client::new(&project, &[]);
    let hello = client.ask("initialize", json!({"protocolVersion": "2024-11-05", "capabilities": {}}));
    assert_eq!(hello["result"]["protocolVersion"], "2024-11-05");
    client.send(r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#);
    let tools = client.ask("tools/list", json!({}));
    let names: Vec<&str> =
        tools["result"]["tools"].as_array().expect("a list").iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, ["list_environments", "list_services", "search_logs", "run_environment"]);
    let (environments, _) = client.call("list_environments", json!({}));
    assert!(environments.contains("\"good\"") && !environments.contains("swordfish"), "{environments}");
    assert_eq!(client.call("list_services", json!({})), ("[]\n".to_owned(), false));
    let (found, _) = client.call("search_logs", json!({"text": "needle 5", "limit": 3}));
    let found: Value = serde_json::from_str(&found).expect("it is JSON");
    let expected = ["old | needle 57", "old | needle 58", "old | needle 59"];
    assert_eq!(found, json!({"lines": expected, "truncated": true}));
    let (missing, is_error) = client.call("search_logs", json!({"service": "../old"}));
    assert!(is_error && missing.contains("there is no log of `../old`"), "{missing}");
    let (passed, is_error) = client.call("run_environment", json!({"environment": "good"}));
    assert!(!is_error && passed.starts_with("ok: 1 passed ("), "{passed}");
    let (failed, is_error) = client.call("run_environment", json!({"environment": "bad"}));
    assert!(is_error && failed.contains("    wrong\n") && failed.contains("\n  at:     tox.ini:"), "{failed}");
    for (tool, arguments) in [
        ("restart_service", json!({"service": "web"})),
        ("run_environment", json!({"environment": "-h"})),
        ("run_environment", json!({})),
        ("search_logs", json!({"limit": 0})),
        ("search_logs", json!({"regex": "x"})),
        ("nothing", json!({})),
    ] {
        let reply = client.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        assert_eq!(reply["error"]["code"], -32602, "{reply}");
    }
    assert_eq!(client.ask("resources/list", json!({}))["error"]["code"], -32601);
    client.send("not JSON");
    assert!(client.server.line_with("-32700").contains("null"));
    client.send("[]");
    assert!(client.server.line_with("-32600").contains("null"));
    client.end();
}

#[test]
fn an_agent_that_may_control_restarts_and_stops_services() {
    let project = Project::new().ini(INI);
    project.run(["up", "--wait", "web"]).succeeds();
    let mut client = Client::new(&project, &["--allow-control"]);
    let state = |client: &mut Client| {
        let services: Value = serde_json::from_str(&client.call("list_services", json!({})).0).expect("it is JSON");
        services[0]["state"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(state(&mut client), "ready");
    assert_eq!(client.call("restart_service", json!({"service": "web"})), ("restarting: web\n".to_owned(), false));
    assert_eq!(client.call("stop_service", json!({"service": "web"})), ("stopped: web\n".to_owned(), false));
    assert_eq!(state(&mut client), "stopped");
    let (unknown, is_error) = client.call("start_service", json!({"service": "db"}));
    assert!(is_error && unknown.contains("`db`"), "{unknown}");
    client.end();
    project.run(["down"]).succeeds();
}
