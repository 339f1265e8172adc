//! Tests the output on a terminal, where both streams are merged.

use crate::support::project::Project;

#[test]
fn an_installation_that_takes_long_is_shown_on_a_terminal_until_it_ends() {
    let project = Project::new().ini(
        "[tox]\nno_package = true\nenv_list = a\n[testenv]\ndeps = x\ninstall_command = sh -c 'read line < {tox_root}/gate'\n\
         allowlist_externals = sh\ncommands = python -c \"print('ran')\"\n",
    );
    project.run_program("mkfifo", &["gate"]).succeeds();
    let mut run = project.start_on_terminal(["run"]);
    run.line_with("a: installing packages");
    // It goes on turning.
    run.line_with("a: installing packages");
    std::fs::write(project.path("gate"), "go\n").unwrap();
    run.line_with("a: commands[0]> ");
    let ended = run.end();
    assert_eq!(ended.code, 0, "{}", ended.printed);
    let after = ended.printed.split("commands[0]>").nth(1).unwrap();
    assert!(!after.contains("installing") && after.contains("ran\r"), "{}", ended.printed);
    // Nothing of it elsewhere, long before it has taken half a minute.
    let piped = project.run(["run"]).succeeds();
    assert!(!piped.stderr.contains("installing"), "{}", piped.stderr);
}

#[test]
fn errors_are_put_into_words_once_with_the_value_marked() {
    for (file, before, line, marked) in [
        (
            "tox.ini",
            "[tox]\nno_package = true\nenv_list = a\n[testenv]\nruntime = system\n",
            "commands_retry = often",
            "often",
        ),
        ("tox.ini", "[tox]\nno_package = true\nenv_list = a\n[testenv]\nruntime = system\n", "pass_env = A B", "A B"),
        (
            "tox.ini",
            "[tox]\nno_package = true\nenv_list = a\n[testenv]\nruntime = system\n",
            "platform: linux(",
            "linux(",
        ),
        (
            "tox.ini",
            "[tox]\nno_package = true\nenv_list = a\n[testenv]\nruntime = system\nset_env =\n  A=B\n",
            "  B",
            "B",
        ),
        ("tox.ini", "[tox]\nenv_list = a\n[testenv]\nruntime = system\n[tox]\n", "", "[tox]"),
        ("tox.toml", "no_package = true\nenv_list = [\"a\"]\n[env.a]\n", "ignore_errors = \"maybe\" # no", "\"maybe\""),
        ("tox.toml", "no_package = true\nenv_list = [\"a\"]\n[env]\n", "a = { commands = 3, deps = [] }", "3"),
    ] {
        let project = Project::new().file(file, &format!("{before}{line}\n"));
        let text = project.start_on_terminal(["run"]).end().printed.replace('\r', "");
        let lines: Vec<&str> = text.lines().collect();
        let carets = lines.iter().position(|line| line.contains('^')).expect("something is marked");
        let start = lines[carets].chars().take_while(|c| *c != '^').count();
        let length = lines[carets].matches('^').count();
        let pointed: String = lines[carets - 1].chars().skip(start).take(length).collect();
        assert_eq!(pointed, marked, "{text}");
        // The words are tox's, on standard output; where only standard error is seen, they are there as well.
        let piped = project.run(["run"]);
        let message = piped.stderr.lines().next().and_then(|line| line.strip_prefix("error: ")).expect("it is there");
        let message = message.replace("[ROOT]", &project.root().display().to_string());
        assert_eq!(text.matches(&message).count(), 1, "{text}");
        assert!(!text.contains("error: "), "{text}");
    }
}

#[test]
fn a_parallel_run_shows_on_one_line_of_the_terminal_what_a_service_is_waited_for() {
    // What connects is not answered before the spinner has shown that.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let path = "x".repeat(200);
    let ini = format!(
        "[tox]\nno_package = true\nenv_list = a\n[testenv]\nruntime = system\nallowlist_externals = *\n[testenv:Svc1]\n\
         serve = sleep 1000\nready = http://127.0.0.1:{port}/{path}\n[testenv:a]\ndepends = Svc1\n\
         commands = python3 -c \"print('ran')\"\n"
    );
    let project = Project::new().ini(&ini);
    let mut run = project.start_on_terminal(["run-parallel"]);
    // The first line of what is drawn is full, so the terminal itself begins the second one.
    let shown = |line: &str| {
        let text = line.split_once("Svc1: ").map(|(_, text)| format!("⠋ Svc1: {text}")).expect("it is on that line");
        text.split('\u{1b}').next().unwrap_or_default().trim_end().to_owned()
    };
    for seconds in [1, 2] {
        let line = shown(&run.line_with(&format!("({seconds} s, no answer")));
        assert!(line.starts_with("⠋ Svc1: waiting for http://127.0.0.1:"), "{line}");
        assert!(line.ends_with(" s)") && line.chars().count() <= 80, "{line}");
    }
    std::io::Write::write_all(&mut silent.accept().unwrap().0, b"HTTP/1.1 103 Soon\r\n\r\nHTTP/1.1 204 Up\r\n\r\n")
        .unwrap();
    let ended = run.end();
    assert_eq!(ended.code, 0, "{}", ended.printed);
    assert!(ended.printed.contains("Svc1: ready ("), "{}", ended.printed);
}
