//! Formats a graph of environments for other programs to draw: Mermaid, Graphviz' dot, JSON.

use std::fmt::Write as _;

use serde::Serialize;

/// The role of an environment in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GraphNodeKind {
    Service,
    /// Runs to its end before a service that needs it.
    Job,
    Environment,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphNode {
    pub name: String,
    pub kind: GraphNodeKind,
    /// The state of a service or job that runs, as in `ps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The environments that must run, or have run, before.
    pub depends: Vec<String>,
    /// The environment that it is a layer on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_on: Option<String>,
}

/// The format of a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphFormat {
    Mermaid,
    Dot,
    Json,
}

/// The drawing as text.
pub fn draw(nodes: &[GraphNode], format: GraphFormat) -> String {
    match format {
        GraphFormat::Mermaid => mermaid(nodes),
        GraphFormat::Dot => dot(nodes),
        GraphFormat::Json => crate::report::config_format::json(&serde_json::json!({ "environments": nodes })) + "\n",
    }
}

/// The fill colour of a state.
fn color(state: &str) -> &'static str {
    match state {
        "ready" => "#b7e4c7",
        "waiting" | "preparing" | "starting" | "restarting" | "stopping" => "#ffe8a1",
        "failed" => "#f5b7b1",
        _ => "#dddddd",
    }
}

fn label(node: &GraphNode) -> String {
    node.state.as_ref().map_or_else(|| node.name.clone(), |state| format!("{} ({state})", node.name))
}

/// <https://mermaid.js.org/syntax/flowchart.html>. Names are quoted, since some words are keywords.
fn mermaid(nodes: &[GraphNode]) -> String {
    let mut text = "flowchart LR\n".to_owned();
    let position = |name: &str| nodes.iter().position(|node| node.name == name);
    for (at, node) in nodes.iter().enumerate() {
        let (open, close) = match node.kind {
            GraphNodeKind::Service => ("([", "])"),
            GraphNodeKind::Job => ("[[", "]]"),
            GraphNodeKind::Environment => ("[", "]"),
        };
        let _ = writeln!(text, "    e{at}{open}\"{}\"{close}", label(node).replace('"', "#quot;"));
    }
    for (at, node) in nodes.iter().enumerate() {
        for other in node.depends.iter().filter_map(|name| position(name)) {
            let _ = writeln!(text, "    e{at} --> e{other}");
        }
        if let Some(base) = node.layer_on.as_deref().and_then(position) {
            let _ = writeln!(text, "    e{at} -. layer on .-> e{base}");
        }
    }
    for (at, state) in nodes.iter().enumerate().filter_map(|(at, node)| Some((at, node.state.as_ref()?))) {
        let _ = writeln!(text, "    style e{at} fill:{}", color(state));
    }
    text
}

/// <https://graphviz.org/doc/info/lang.html>
fn dot(nodes: &[GraphNode]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = "digraph environments {\n    rankdir=LR;\n".to_owned();
    for node in nodes {
        let shape = match node.kind {
            GraphNodeKind::Service => "ellipse",
            GraphNodeKind::Job => "cds",
            GraphNodeKind::Environment => "box",
        };
        let _ = write!(text, "    {} [label={}, shape={shape}", quoted(&node.name), quoted(&label(node)));
        if let Some(state) = &node.state {
            let _ = write!(text, ", style=filled, fillcolor=\"{}\"", color(state));
        }
        text.push_str("];\n");
    }
    for node in nodes {
        for other in node.depends.iter().filter(|name| nodes.iter().any(|node| node.name == **name)) {
            let _ = writeln!(text, "    {} -> {};", quoted(&node.name), quoted(other));
        }
        if let Some(base) = node.layer_on.as_ref().filter(|base| nodes.iter().any(|node| node.name == **base)) {
            let _ =
                writeln!(text, "    {} -> {} [style=dashed, label=\"layer on\"];", quoted(&node.name), quoted(base));
        }
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<GraphNode> {
        let node = |name: &str, kind, state: Option<&str>, depends: &[&str]| GraphNode {
            name: name.to_owned(),
            kind,
            state: state.map(str::to_owned),
            depends: depends.iter().map(|one| (*one).to_owned()).collect(),
            layer_on: (name == "a\"b").then(|| "db".to_owned()),
        };
        vec![
            node("db", GraphNodeKind::Service, Some("ready"), &[]),
            node("end", GraphNodeKind::Job, None, &["db"]),
            node("a\"b", GraphNodeKind::Environment, None, &["db", "end", "gone"]),
        ]
    }

    #[test]
    fn a_picture_is_drawn_for_each_program() {
        assert_eq!(
            draw(&nodes(), GraphFormat::Mermaid),
            "flowchart LR\n    e0([\"db (ready)\"])\n    e1[[\"end\"]]\n    e2[\"a#quot;b\"]\n    e1 --> e0\n    e2 --> e0\n    \
             e2 --> e1\n    e2 -. layer on .-> e0\n    style e0 fill:#b7e4c7\n"
        );
        assert_eq!(
            draw(&nodes(), GraphFormat::Dot),
            "digraph environments {\n    rankdir=LR;\n    \
             \"db\" [label=\"db (ready)\", shape=ellipse, style=filled, fillcolor=\"#b7e4c7\"];\n    \
             \"end\" [label=\"end\", shape=cds];\n    \"a\\\"b\" [label=\"a\\\"b\", shape=box];\n    \
             \"end\" -> \"db\";\n    \"a\\\"b\" -> \"db\";\n    \"a\\\"b\" -> \"end\";\n    \
             \"a\\\"b\" -> \"db\" [style=dashed, label=\"layer on\"];\n}\n"
        );
        let json: serde_json::Value = serde_json::from_str(&draw(&nodes(), GraphFormat::Json)).unwrap();
        assert_eq!(json["environments"][0]["state"], "ready");
        assert_eq!(json["environments"][1]["kind"], "job");
        assert_eq!(json["environments"][2]["depends"][1], "end");
    }
}
