//! The code of hooks, and changes of variables in the languages of shells.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use crate::activation::change::is_name;

/// The shells with a hook.
pub const SHELLS: [&str; 4] = ["bash", "zsh", "fish", "nu"];

const BASH: &str = r#"_envo_hook() {
  local code=$? change
  change="$(PROGRAM hook-env bash $$)" && eval "$change"
  return $code
}
if [[ "$(declare -p PROMPT_COMMAND 2>/dev/null)" == "declare -a"* ]]; then
  [[ " ${PROMPT_COMMAND[*]} " == *" _envo_hook "* ]] || PROMPT_COMMAND=(_envo_hook "${PROMPT_COMMAND[@]}")
elif [[ ";${PROMPT_COMMAND:-};" != *";_envo_hook;"* ]]; then
  PROMPT_COMMAND="_envo_hook${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
fi
"#;

const ZSH: &str = r#"_envo_hook() {
  local code=$? change
  change="$(PROGRAM hook-env zsh $$)" && eval "$change"
  return $code
}
typeset -ag precmd_functions
if (( ! ${precmd_functions[(I)_envo_hook]} )); then
  precmd_functions=(_envo_hook $precmd_functions)
fi
"#;

const FISH: &str = r#"function _envo_hook --on-event fish_prompt
  set -l code $status
  PROGRAM hook-env fish $fish_pid | source
  return $code
end
"#;

const NU: &str = r#"$env.config = ($env.config | upsert hooks.pre_prompt (
  ($env.config.hooks.pre_prompt? | default []) | append {||
    let change = (^PROGRAM hook-env nu ($nu.pid | into string) | from json)
    if $change != null {
      for name in $change.unset { hide-env --ignore-errors $name }
      load-env $change.set
    }
  }
))
"#;

/// The code that a shell evaluates at its start.
pub fn hook(shell: &str, program: &Path) -> String {
    let program = program.display().to_string();
    match shell {
        "zsh" => ZSH.replace("PROGRAM", &posix_quoted(&program)),
        "fish" => FISH.replace("PROGRAM", &fish_quoted(&program)),
        "nu" => NU.replace("PROGRAM", &Json::from(program).to_string()),
        _ => BASH.replace("PROGRAM", &posix_quoted(&program)),
    }
}

/// Changes of variables as code. Nothing for no changes, except for nu, which reads JSON.
pub fn changes(shell: &str, changes: &[(String, Option<OsString>)]) -> String {
    let named = changes.iter().filter(|(name, _)| is_name(name));
    if shell == "nu" {
        return nu_changes(named);
    }
    let line = |(name, value): &(String, Option<OsString>)| match (shell, value) {
        ("fish", Some(value)) if name == "PATH" => {
            let entries: Vec<String> = value.to_string_lossy().split(':').map(fish_quoted).collect();
            format!("set -gx PATH {};\n", entries.join(" "))
        }
        ("fish", Some(value)) => format!("set -gx {name} {};\n", fish_quoted(&text(value))),
        ("fish", None) => format!("set -e {name};\n"),
        (_, Some(value)) => format!("export {name}={};\n", posix_quoted(&text(value))),
        (_, None) => format!("unset {name};\n"),
    };
    named.map(line).collect()
}

fn nu_changes<'a>(changes: impl Iterator<Item = &'a (String, Option<OsString>)>) -> String {
    let (mut set, mut unset) = (Map::new(), Vec::new());
    for (name, value) in changes {
        match value {
            Some(value) if name == "PATH" => {
                let entries: Vec<Json> = text(value).split(':').map(Json::from).collect();
                set.insert(name.clone(), Json::from(entries));
            }
            Some(value) => drop(set.insert(name.clone(), Json::from(text(value)))),
            None => unset.push(name.clone()),
        }
    }
    json!({"set": set, "unset": unset}).to_string()
}

fn text(value: &OsStr) -> String {
    value.to_string_lossy().into_owned()
}

/// The formats of `env`, the default first.
pub const FORMATS: [&str; 4] = ["shell", "json", "dotenv", "github"];

/// Variables as code or data.
pub fn formatted(format: &str, variables: &[(String, String)]) -> String {
    let named = variables.iter().filter(|(name, _)| is_name(name));
    if format == "json" {
        let members: Map<String, Json> =
            named.map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect();
        return format!("{:#}\n", Json::from(members));
    }
    let line = |(name, value): &(String, String)| match format {
        "dotenv" => format!("{name}={}\n", dotenv_quoted(value)),
        "github" if value.contains(['\n', '\r']) => {
            let end = format!("END_{}", &crate::digest::sha256(value)[..16]);
            format!("{name}<<{end}\n{value}\n{end}\n")
        }
        "github" => format!("{name}={value}\n"),
        _ => format!("export {name}={}\n", posix_quoted(value)),
    };
    named.map(line).collect()
}

fn dotenv_quoted(value: &str) -> String {
    if !value.contains(['\'', '\n', '\r']) {
        return format!("'{value}'");
    }
    let escaped =
        value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('\n', "\\n").replace('\r', "\\r");
    format!("\"{escaped}\"")
}

/// Within single quotes, everything but the quote itself is text.
pub fn posix_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// In fish, a backslash is special within single quotes, too.
fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_each_shell() {
        let list = [
            ("A".to_owned(), Some(OsString::from("it's \\ $x"))),
            ("PATH".into(), Some("/a:/b".into())),
            ("B".into(), None),
        ];
        assert_eq!(changes("bash", &list), "export A='it'\\''s \\ $x';\nexport PATH='/a:/b';\nunset B;\n");
        assert_eq!(changes("fish", &list), "set -gx A 'it\\'s \\\\ $x';\nset -gx PATH '/a' '/b';\nset -e B;\n");
        assert_eq!(changes("nu", &list), r#"{"set":{"A":"it's \\ $x","PATH":["/a","/b"]},"unset":["B"]}"#);
        assert_eq!(changes("zsh", &[("BASH_FUNC_x%%".into(), None)]), "");
    }
}
