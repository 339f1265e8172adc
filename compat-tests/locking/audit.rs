//! Tests facts about locked packages from other sources: known vulnerabilities, newer versions, licences.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::gate::PATIENCE;
use crate::support::package_index::PackageIndex;
use crate::support::project::Project;
use crate::support::wheels;

/// Two environments that need `two`, one of them through `one`.
const INI: &str = "[tox]\nno_package = true\nenv_list = a, b\n[testenv]\nset_env =\n  PIP_NO_INDEX = 1\n\
    \x20 PIP_FIND_LINKS = {toxinidir}/links\ndeps = one\ncommands = python -m pip freeze\n[testenv:b]\ndeps = two\n";

const ENTRY: &str = r#"{"id": "TEST-1", "aliases": ["GHSA-1", "CVE-1"], "summary": "It leaks", "affected": [{"package": {
"ecosystem": "PyPI", "name": "two"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}]}],
"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}]}"#;

fn project() -> Project {
    let project = Project::new().with_uv().ini(INI).variable("NO_PROXY", "127.0.0.1").variable("no_proxy", "127.0.0.1");
    wheels::requiring(&project.path("links"), "one", "1.0", &["two>=1"]);
    wheels::library(&project.path("links"), "two", "1.0");
    project
}

fn locked() -> Project {
    let project = project();
    project.run(["lock"]).succeeds();
    project
}

#[test]
fn vulnerabilities_are_found_in_a_downloaded_database() {
    let project = locked();
    project.run(["audit", "--db", "osv"]).ends_with(1).explains("cannot check for vulnerabilities");
    let project = project.file("osv/TEST-1.json", ENTRY);
    let found = project.run(["audit", "--db", "osv"]).ends_with(1);
    assert_eq!(
        found.stdout,
        "PACKAGE  VERSION  VULNERABILITY  CVE    SEVERITY  FIXED IN  ENVIRONMENTS  SUMMARY\n\
         two      1.0      TEST-1         CVE-1  high      1.1       a, b          It leaks\n"
    );
    let json: Value =
        serde_json::from_str(&project.run(["audit", "--db", "osv", "--format", "json"]).stdout).expect("it is JSON");
    assert_eq!((&json[0]["severity"], &json[0]["aliases"]), (&json!("high"), &json!(["GHSA-1", "CVE-1"])));
    let project = project.file("osv/broken.json", "{");
    project.run(["audit", "--db", "osv"]).ends_with(1).explains("broken.json");
}

#[test]
fn what_is_ignored_is_counted_by_name() {
    let project = locked().file("osv/TEST-1.json", ENTRY);
    let audit = |more: &[&str]| project.run(["audit", "--db", "osv"].iter().chain(more).copied());
    for name in ["CVE-1", "TEST-1", "GHSA-1"] {
        let clean = audit(&["--ignore", name]).succeeds();
        assert_eq!(
            clean.stdout,
            "2 packages checked, no known vulnerabilities except those ignored\n\
             ignored 1 vulnerability: TEST-1 (CVE-1) in two 1.0\n"
        );
        assert_eq!(clean.stderr, "");
    }
    // A package of that name is not looked up at all.
    let clean = audit(&["--ignore", "Two"]).succeeds();
    assert_eq!(clean.stdout, "1 packages checked, no known vulnerabilities\nignored 1 package: two 1.0\n");
    let project = project.file("osv/TEST-2.json", &ENTRY.replace("TEST-1", "TEST-2").replace("CVE-1", "CVE-2"));
    let audit = |more: &[&str]| project.run(["audit", "--db", "osv"].iter().chain(more).copied());
    let found = audit(&["--ignore", "CVE-1", "--ignore", "CVE-3"]).ends_with(1).says("TEST-2");
    found
        .says("\nignored 1 vulnerability: TEST-1 (CVE-1) in two 1.0\n")
        .explains("`--ignore CVE-3` matches no finding");
    let found =
        audit(&["--ignore", "CVE-1", "--format", "json"]).ends_with(1).explains("ignored 1 vulnerability: TEST-1");
    let json: Value = serde_json::from_str(&found.stdout).expect("it is JSON");
    assert_eq!((json.as_array().map(Vec::len), &json[0]["id"]), (Some(1), &json!("TEST-2")));
    let both = audit(&["--ignore", "GHSA-1"]).succeeds();
    both.says("ignored 2 vulnerabilities: TEST-1 (CVE-1) in two 1.0, TEST-2 (CVE-2) in two 1.0\n");
}

#[test]
fn words_of_advisories_are_shown_escaped() {
    let hostile = r"\u001b[2J\nexit 0\u009b\u202e";
    let entry = ENTRY.replace("It leaks", hostile).replace("TEST-1", &format!("T{hostile}"));
    let entry = entry.replace("CVE-1", &format!("CVE-{hostile}"));
    let project = locked().file("osv/x.json", &entry);
    let is_plain = |text: &str| text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}'));
    let found = project.run(["audit", "--db", "osv"]).ends_with(1);
    assert!(is_plain(&found.stdout) && found.stdout.lines().count() == 2, "{found:?}");
    found.says(r"\x1b[2J\nexit 0\x9b\u202e");
    let found = project.run(["audit", "--db", "osv", "--format", "json"]).ends_with(1);
    assert!(is_plain(&found.stdout), "{found:?}");
    let json: Value = serde_json::from_str(&found.stdout).expect("it is JSON");
    assert_eq!(json[0]["summary"], "\u{1b}[2J\nexit 0\u{9b}\u{202e}");
    let ignored = project.run(["audit", "--db", "osv", "--ignore", "GHSA-1"]).succeeds();
    assert!(is_plain(&ignored.stdout) && ignored.stdout.lines().count() == 2, "{ignored:?}");
    // So are the reasons why nothing can be said, which quote them.
    for bad in [
        vec![(200, format!(r#"{{"results": [{{"vulns": [{{"id": "{hostile}"}}]}}, {{}}]}}"#))],
        vec![(500, String::new())],
    ] {
        let failed = project.run(["audit", "--service", &service(bad, "\u{1b}[2J")]).ends_with(1);
        assert!(is_plain(&failed.stderr) && failed.stderr.contains("\\x1b[2J"), "{failed:?}");
    }
    let project = project.file("osv/x.json", &entry.replace("introduced", hostile));
    let failed = project.run(["audit", "--db", "osv"]).ends_with(1).explains("cannot check for vulnerabilities");
    assert!(is_plain(&failed.stderr), "{failed:?}");
}

/// Answers each connection with the next of `answers`, whose status has these words; the address it listens on. An
/// answer of status 0 closes the connection.
fn service(answers: Vec<(u16, String)>, words: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has an address");
    std::thread::spawn(move || {
        for (status, body) in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            let text = String::from_utf8_lossy(&request).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            let mut rest = vec![0; length.unwrap_or(0)];
            let _ = stream.read_exact(&mut rest);
            if status > 0 {
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} {words}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        }
    });
    format!("http://{address}")
}

#[test]
fn a_service_is_asked_about_vulnerabilities_and_silence_is_no_answer() {
    let project = project();
    project.run(["lock", "-e", "a"]).succeeds();
    let batch = |results: &str| (200, format!("{{\"results\": [{results}]}}"));
    let ask = |answers: Vec<(u16, String)>| project.run(["audit", "--service", &service(answers, "X")]);
    let found = ask(vec![batch(r#"{}, {"vulns": [{"id": "TEST-1"}]}"#), (200, ENTRY.to_owned())]).ends_with(1);
    found.says("two      1.0      TEST-1         CVE-1  high      1.1       a             It leaks\n");
    ask(vec![batch("{}, {}")]).succeeds().says("2 packages checked, no known vulnerabilities\n");
    for silence in [
        vec![batch("{}")],
        vec![(500, String::new())],
        vec![(200, "<html>".to_owned())],
        vec![batch(r#"{}, {"vulns": [{"id": "TEST-1"}]}"#), (404, "{}".to_owned())],
    ] {
        ask(silence).ends_with(1).never_says("no known vulnerabilities").explains("cannot check for vulnerabilities");
    }
}

#[test]
fn without_a_network_audit_ends_with_a_code_of_its_own_and_names_db() {
    let project = locked();
    let broken = service(vec![(0, String::new())], "");
    let second =
        service(vec![(200, r#"{"results": [{}, {"vulns": [{"id": "TEST-1"}]}]}"#.to_owned()), (0, String::new())], "X");
    for address in ["http://127.0.0.1:1", "http://no-such-host.invalid", &broken, &second] {
        let failed = project.run(["audit", "--service", address]).ends_with(3);
        assert_eq!(failed.stdout, "");
        failed.explains("cannot check for vulnerabilities: http://").explains("\nhelp: ").explains("`--db PATH`");
    }
    // A wrong address is not a missing network, and a database needs none.
    project.run(["audit", "--service", "ftp://x"]).ends_with(1).explains("is not an HTTP URL");
    let project = project.file("osv/TEST-1.json", ENTRY);
    project.run(["audit", "--db", "osv", "--service", "http://127.0.0.1:1", "--ignore", "CVE-1"]).succeeds();
}

#[test]
fn an_interrupt_while_it_waits_is_no_missing_network() {
    let index = PackageIndex::open();
    let project = project().ini(&INI.replace("  PIP_NO_INDEX = 1\n", &format!("  PIP_INDEX_URL = {}\n", index.url())));
    project.run(["lock"]).succeeds();
    let asked = index.hold();
    let of_index = index.url();
    let lock = vec!["update"];
    let commands = [vec!["outdated"], vec!["audit", "--service", &of_index]];
    let commands = commands.into_iter().chain([lock.clone(), lock.clone(), lock.clone(), lock, vec!["outdated"]]);
    for (at, command) in commands.enumerate() {
        let running = project.start(&command);
        asked.recv_timeout(PATIENCE).expect("a service is asked");
        let signals = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
        let signal = signals[at % signals.len()];
        running.signal(signal);
        assert_eq!(running.end().code, 128 + signal.as_raw(), "{command:?}");
        assert_eq!(project.processes(), [""; 0], "{command:?}");
        while asked.try_recv().is_ok() {}
    }
}

#[test]
fn a_version_for_other_pythons_or_platforms_is_not_newer() {
    let index = PackageIndex::open();
    let ini = |deps: &str| {
        format!(
            "[tox]\nno_package = true\nenv_list = a, py310\n[testenv]\nset_env =\n  PIP_INDEX_URL = {}\n  PIP_FIND_LINKS =\n\
             deps =\n{deps}[testenv:a]\nbase_python = >=3.9\n",
            index.url()
        )
    };
    let deps = "  two; python_version < '3.12'\n  three\n  four==2.0rc1\n  five; sys_platform == 'linux'\n";
    let project = project().ini(&ini(deps));
    let publish = |name: &str, version: &str, python: Option<&str>| {
        let lines = python.map(|python| format!("Requires-Python: {python}\n")).unwrap_or_default();
        index.add(&wheels::describing(&project.path("wheels"), name, version, &lines));
        if let Some(python) = python {
            index.require_python(&format!("{name}-{version}-py3-none-any.whl"), python);
        }
    };
    publish("two", "1.0", None);
    publish("two", "1.1", Some(">=3.12"));
    publish("three", "1.0", None);
    publish("three", "1.1", Some(">=3.11"));
    publish("four", "1.9", None);
    publish("four", "2.0rc1", None);
    publish("five", "1.0", None);
    project.run(["lock"]).succeeds();
    let newest = project.run(["outdated"]).succeeds();
    assert_eq!(newest.stdout, "every locked package is up to date\n");
    publish("two", "1.0.1", None);
    publish("three", "1.2", Some(">=3.11"));
    let found = project.run(["outdated"]).ends_with(1);
    let rows: Vec<Vec<&str>> = found.stdout.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows,
        [
            vec!["a", "three", "1.0,", "1.1", "1.0,", "1.2", "1.0,", "1.2"],
            vec!["a", "two", "1.0", "1.0.1", "1.0.1"],
            vec!["py310", "two", "1.0", "1.0.1", "1.0.1"],
        ]
    );
    drop(index);
    let failed = project.variable("UV_CACHE_DIR", "/dev/null/none").run(["outdated"]).ends_with(3);
    assert_eq!(failed.stdout, "");
}

#[test]
fn a_bill_of_materials_has_its_time_and_the_licences_that_are_known_here() {
    let project = project();
    let links = project.path("links");
    wheels::describing(&links, "one", "1.0", "Requires-Dist: two\nLicense-Expression: MIT OR Apache-2.0\n");
    wheels::describing(&links, "two", "1.0", "License: UNKNOWN\nClassifier: License :: OSI Approved :: BSD License\n");
    project.run(["lock"]).succeeds();
    let bill = |project: &Project| -> Value {
        serde_json::from_str(&project.run(["sbom"]).succeeds().stdout).expect("it is JSON")
    };
    let licences =
        |bill: &Value| (bill["components"][0]["licenses"].clone(), bill["components"][1]["licenses"].clone());
    let expected = (json!([{"expression": "MIT OR Apache-2.0"}]), json!([{"license": {"name": "BSD License"}}]));
    // From the wheels that the lock names; from what is installed, where those are gone.
    let first = bill(&project);
    assert_eq!(licences(&first), expected);
    let time = first["metadata"]["timestamp"].as_str().expect("it has one");
    assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == "2026-01-01T00:00:00Z".len(), "{time}");
    project.run(["run", "--locked", "-e", "a"]).succeeds();
    fs::remove_dir_all(&links).expect("it can be removed");
    let project = project.variable("UV_CACHE_DIR", "/dev/null/none").variable("SOURCE_DATE_EPOCH", "86400");
    let second = bill(&project);
    assert_eq!(licences(&second), expected);
    assert_eq!(second["metadata"]["timestamp"], "1970-01-02T00:00:00Z");
    assert_eq!(bill(&project), second);
    fs::remove_dir_all(project.path(".tox")).expect("it can be removed");
    assert_eq!(licences(&bill(&project)), (Value::Null, Value::Null));
    for bad in ["yesterday", "-1", "18446744073709551615"] {
        let project = project_with_time(&project, bad);
        project.run(["sbom"]).ends_with(254).says("invalid SOURCE_DATE_EPOCH").explains("seconds since 1970");
    }
}

fn project_with_time(project: &Project, time: &str) -> Project {
    let other = Project::new().with_uv().variable("SOURCE_DATE_EPOCH", time);
    other.adopt(project, &["tox.ini", "envo.lock", "locks/pylock.a.toml", "locks/pylock.b.toml"]);
    other
}

#[test]
fn licences_are_found_in_the_cache_of_uv() {
    let project = locked();
    let cache = project.path("cache/archive-v0/abc/two-1.0.dist-info");
    fs::create_dir_all(&cache).expect("it can be made");
    fs::write(cache.join("METADATA"), "Name: two\nVersion: 1.0\nLicense: ISC\n\nLicense: X\n")
        .expect("it can be written");
    fs::remove_dir_all(project.path("links")).expect("it can be removed");
    let folder = project.path("cache").display().to_string();
    let project = project.variable("UV_CACHE_DIR", &folder);
    let bill: Value = serde_json::from_str(&project.run(["sbom"]).succeeds().stdout).expect("it is JSON");
    assert_eq!(bill["components"][1]["licenses"], json!([{"license": {"name": "ISC"}}]));
    assert_eq!(bill["components"][0]["licenses"], Value::Null);
}
