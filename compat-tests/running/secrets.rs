//! Tests `secrets`: values reach the environments that name them, and appear nowhere.

use std::fs;
use std::path::Path;

use crate::support::project::Project;

/// Ten values, each in a file of its own that a provider prints.
fn values() -> Vec<(String, String)> {
    let value = |at: usize| (format!("S{at}"), format!("tr3asure-{at}-{}", "xyz".repeat(at + 1)));
    (0..8)
        .map(value)
        .chain([("S8".into(), "first-part-9\nsecond-part-9".into()), ("S9".into(), "a b+c/'\"%9".into())])
        .collect()
}

/// Prints each value as it is, in two writes, encoded, over lines, and to standard error.
const LEAK: &str = r#"
import base64, os, sys, time, urllib.parse
for at in range(10):
    value = os.environ.get(f"S{at}", "unset-value")
    out = sys.stdout
    out.write(value[:5]); out.flush(); time.sleep(0); out.write(value[5:] + "\n"); out.flush()
    print(base64.b64encode(value.encode()).decode(), urllib.parse.quote(value), urllib.parse.quote_plus(value))
    print(base64.b64encode(b"user:" + value.encode()).decode())
    print("\n".join(value))
    print(repr(value), value * 3, file=sys.stderr)
print("leaked", os.environ.get("S0") is not None)
"#;

fn project(table: bool) -> Project {
    let line = |(name, _): &(String, String)| match table {
        true => format!("{name} = \"cmd:cat {name}\"\n"),
        false => format!("    {name} = cmd:cat {name}\n"),
    };
    let lines: String = values().iter().map(line).collect();
    let project = if table {
        let toml = format!(
            "env_list = ['web', 'other']\n[env_run_base]\npackage = 'skip'\ncommands = [['python', 'leak.py']]\n\
             [env.other]\n[env.web.secrets]\n{lines}"
        );
        Project::new().file("tox.toml", &toml)
    } else {
        let ini = format!(
            "[tox]\nno_package = true\nenv_list = web, other\n[testenv]\ncommands = python leak.py\n[testenv:web]\nsecrets \
             =\n{lines}[testenv:other]\n"
        );
        Project::new().ini(&ini)
    };
    values().iter().fold(project.file("leak.py", LEAK), |project, (name, value)| project.file(name, value))
}

/// All files below a folder that contain one of the values, or an encoded one, besides those that hold them.
fn files_with_values(folder: &Path, found: &mut Vec<String>) {
    use std::os::unix::ffi::OsStrExt as _;
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files_with_values(&path, found);
        } else if kind.is_file() && entry.file_name().as_bytes()[0] != b'S' {
            let bytes = fs::read(&path).unwrap();
            if contains_value(&bytes) {
                found.push(path.display().to_string());
            }
        }
    }
}

fn contains_value(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    values().iter().any(|(_, value)| text.contains(value) || value.lines().any(|line| text.contains(line)))
        || text.contains("dHIzYXN1cmUt")
}

#[test]
fn secrets_reach_their_environment_and_appear_nowhere() {
    for table in [false, true] {
        let project = project(table);
        let state = project.path("state").display().to_string();
        let project = project.variable("ENVO_STATE_DIR", &state);
        let ways: &[&[&str]] = match table {
            true => &[&["run", "-vvvv", "--report", "json"]],
            false => &[
                &["run", "--result-json", "result.json", "--junit-xml", "junit.xml"],
                &["run-parallel", "--parallel-live"],
            ],
        };
        for arguments in ways {
            let outcome = project.run(*arguments).succeeds();
            let all = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(all.contains("leaked True") && all.contains("leaked False"), "{all}");
            assert!(all.contains("***") && !contains_value(all.as_bytes()), "{all}");
        }
        let mut found = Vec::new();
        files_with_values(&project.root(), &mut found);
        assert_eq!(found, [""; 0]);
        let audit = fs::read_to_string(project.path("state/audit.log")).unwrap();
        assert_eq!(audit.lines().count(), 10 * ways.len(), "once a run");
        assert!(audit.contains("\"reference\":\"cmd:cat S0\"") && audit.contains("\"for\":\"run"));
    }
}

#[test]
fn a_missing_secret_ends_the_run_before_anything_starts() {
    let ini = "[tox]\nno_package = true\nenv_list = first, web\n[testenv]\ncommands = python -c \"open('ran', 'w')\"\n\
               [testenv:web]\nsecrets =\n    TOKEN = REFERENCE\n[testenv:first]\n";
    for (reference, reason) in [
        ("pass:db/prod", "`pass:db/prod`: `pass` is not installed"),
        ("cmd:printf abc", "fewer than 4 characters"),
        ("cmd:sleep 600", "timed out"),
    ] {
        let project = Project::new()
            .ini(&ini.replace("REFERENCE", reference))
            .variable("PATH", &format!("{}:/usr/bin:/bin", python_folder()))
            .variable("ENVO_SECRETS_TIMEOUT", "1");
        let outcome = project.run(["run"]).ends_with(1).explains(reason).explains("tox.ini:8").explains("`TOKEN`");
        assert!(!project.path("ran").exists(), "{outcome:?}");
        if reference == "pass:db/prod" {
            project.run(["secrets", "check", "-e", "web"]).ends_with(1).explains(reason).says("missing");
        }
    }
}

fn python_folder() -> String {
    let path = crate::support::machine::search_path(false);
    let mut folders = std::env::split_paths(&path);
    folders.find(|folder| folder.join("python3").exists()).unwrap().display().to_string()
}

#[test]
fn a_value_instead_of_a_reference_is_refused() {
    let ini = "[tox]\nno_package = true\nenv_list = web\n[testenv:web]\nsecrets =\n    TOKEN = TEXT\ncommands = python -c 1\n";
    for (text, help) in [
        ("hunter2", "a reference begins with one of pass:, op:"),
        ("vault:secret/data/app", "it lacks `#KEY`"),
        ("gcsm:name", "gcsm:PROJECT/NAME"),
    ] {
        let project = Project::new().ini(&ini.replace("TEXT", text));
        project.run(["run"]).ends_with(1).explains("no valid reference for `TOKEN`").explains(help);
        project.run(["config", "--check"]).ends_with(1);
    }
}

#[test]
fn secrets_of_services_appear_neither_in_logs_nor_in_replies() {
    let ini = "[tox]\nno_package = true\n[testenv:db]\nsecrets =\n    S0 = cmd:cat S0\nserve = python -u leak_and_wait.py\nready \
               = log:leaked\ncommands_pre = python leak.py\n";
    let wait = format!("{LEAK}\nimport signal\nsignal.pause()\n");
    let (_, value) = values().remove(0);
    let project = Project::new().ini(ini).file("leak.py", LEAK).file("leak_and_wait.py", &wait).file("S0", &value);
    project.run(["up"]).succeeds();
    project.run(["wait", "db"]).succeeds();
    for arguments in [&["ps", "--format", "json"] as &[&str], &["logs", "db"], &["ps"]] {
        let outcome = project.run(arguments).succeeds();
        assert!(
            !contains_value(outcome.stdout.as_bytes()) && !contains_value(outcome.stderr.as_bytes()),
            "{outcome:?}"
        );
    }
    project.run(["logs", "db"]).succeeds().says("***").says("leaked True");
    assert!(project.processes().iter().all(|line| !line.contains(&value)));
    project.run(["down"]).succeeds();
    let mut found = Vec::new();
    files_with_values(&project.root(), &mut found);
    assert_eq!(found, [""; 0]);
}

#[test]
fn github_actions_is_asked_to_hide_them_too() {
    let project = Project::new()
        .ini(
            "[tox]\nno_package = true\nenv_list = web\n[testenv:web]\nsecrets =\n    TOKEN = cmd:cat token\ncommands = python -c \
             1\n",
        )
        .file("token", "one 100%\ntwo line\n")
        .variable("GITHUB_ACTIONS", "true");
    let outcome = project.run(["run"]).succeeds();
    let masks: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("::add-mask::")).collect();
    assert_eq!(masks, ["::add-mask::one 100%25%0Atwo line", "::add-mask::one 100%25", "::add-mask::two line"]);
}
