//! Tests limits of configuration files: long chains, cycles and exponential growth end in an error with a location, on
//! a small stack and within a gigabyte, and files that work with tox work.

use crate::support::project::{Outcome, Project};

/// Runs envo with a gigabyte of memory and the stack that a thread has.
fn bounded(project: &Project, arguments: &str) -> Outcome {
    let command =
        format!("ulimit -v 1000000; ulimit -s 2048; exec timeout 60 {} {arguments}", env!("CARGO_BIN_EXE_envo"));
    project.run_program("sh", &["-c", &command])
}

/// Both programs print the same of the environment `a`.
#[track_caller]
fn same_as_tox(file: &str, text: &str) {
    let project = Project::new().file(file, text);
    let keys = ["config", "-e", "a", "-k", "base", "deps", "description", "set_env", "change_dir"];
    let (ours, tox) = (project.run(keys), project.run_tox(keys));
    let stable = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("PYTHONHASHSEED") && !line.contains("# Exception"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(stable(&ours.stdout), stable(&tox.stdout), "{text}");
    assert_eq!(ours.code, tox.code, "{text}");
}

#[test]
fn base_refers_to_what_tox_knows_at_that_time() {
    for base in [
        "{env:A:testenv}",
        "{env:A:x},{env:B:testenv}",
        "{env:PYTHONIOENCODING:x},testenv",
        "{env_dir},testenv",
        "{deps},testenv",
        "{change_dir},testenv",
        "{env_name},testenv",
        "{set_env},testenv",
        "{commands},{package},{skip_install},testenv",
        "{tox_root},{work_dir},testenv",
        "{[x]name},{posargs:testenv},{tty:a:b},{glob:*.gone:c},{/}",
    ] {
        let text = format!(
            "[tox]\nenv_list = a\nno_package = true\n[x]\nname = x\ndescription = of x\n[testenv]\ndeps = d\n\
             set_env = B=2\n[testenv:a]\nset_env = A=x\n  C={{env_dir}}\nbase = {base}\n"
        );
        same_as_tox("tox.ini", &text);
        same_as_tox("tox.ini", &text.replace("set_env = A=x\n  C={env_dir}\n", ""));
    }
    for base in [
        r#"["{env:A:env_run_base}", "{env_dir}", "{deps}", "{env_name}"]"#,
        r#"[{ replace = "env", name = "A", default = "env_run_base" }]"#,
        r#"[{ replace = "ref", env = "a", key = "env_dir", extend = true }]"#,
        r#"[{ replace = "ref", env = "b", key = "base", extend = true }]"#,
    ] {
        let text = format!(
            "env_list = [\"a\"]\nno_package = true\n[env_run_base]\ndeps = [\"d\"]\n[env.b]\nbase = [\"env_run_base\"]\n\
             [env.a]\nbase = {base}\n"
        );
        same_as_tox("tox.toml", &text);
    }
}

#[test]
fn chains_of_environments_end_in_an_error_with_a_place() {
    let link = |key: &str, link: &dyn Fn(usize) -> String, count: usize| {
        (0..count).map(|at| format!("[env.e{at}]\n{key} = {}\n", link(at + 1))).collect::<String>()
    };
    let of_deps = |at: usize| format!("[{{ replace = \"ref\", env = \"e{at}\", key = \"deps\", extend = true }}]");
    let of_base = |at: usize| format!("[{{ replace = \"ref\", env = \"e{at}\", key = \"base\", extend = true }}]");
    let head = "env_list = [\"e0\"]\nno_package = true\n";
    // tox follows eighty.
    let short = format!("{head}{}[env.e80]\ndeps = [\"d\"]\n", link("deps", &of_deps, 80));
    let project = Project::new().file("tox.toml", &short);
    bounded(&project, "config -e e0 -k deps").says("deps = d").succeeds();
    let long = format!("{head}{}", link("deps", &of_deps, 2_000));
    let project = Project::new().file("tox.toml", &long);
    bounded(&project, "config -e e0 -k deps").says("maximum recursion depth exceeded").ends_with(255);
    let long = format!("{head}{}", link("base", &of_base, 2_000));
    let project = Project::new().file("tox.toml", &long);
    bounded(&project, "config -e e0 -k base").explains("tox.toml:").explains("write some values out").ends_with(254);
    for (key, around) in [
        ("deps", "[{ replace = \"if\", condition = \"env.PATH\", then = [REF], extend = true }]"),
        ("deps", "[{ replace = \"if\", condition = \"env.NONE\", then = [], else = [REF], extend = true }]"),
        ("deps", "[{ replace = \"glob\", pattern = \"gone-*\", default = [REF], extend = true }]"),
        ("deps", "[{ replace = \"posargs\", default = [REF], extend = true }]"),
        ("description", "{ replace = \"if\", condition = \"env.PATH\", then = REF }"),
        ("description", "{ replace = \"env\", name = \"NONE\", default = REF }"),
        ("description", "{ replace = \"env\", name = \"NONE\", default = \"{[env.eN]description}\" }"),
    ] {
        let of_kind = |at: usize| {
            let extend = if key == "deps" { ", extend = true" } else { "" };
            let reference = format!("{{ replace = \"ref\", env = \"e{at}\", key = \"{key}\"{extend} }}");
            around.replace("REF", &reference).replace("eN", &format!("e{at}"))
        };
        let project = Project::new().file("tox.toml", &format!("{head}{}", link(key, &of_kind, 400)));
        let found = bounded(&project, &format!("config -e e0 -k {key}"));
        found.says("maximum recursion depth exceeded").ends_with(255);
    }
}

#[test]
fn values_that_double_end_in_an_error_with_a_place() {
    let head = "[tox]\nenv_list = a\nno_package = true\n";
    let chain = |start: &str, one: &dyn Fn(usize) -> String| {
        let links = (0..40).map(|at| format!("a{} = {}{}\n", at + 1, one(at), one(at)));
        format!("a0 = {start}\n{}", links.collect::<String>())
    };
    let sections = chain("zz", &|at| format!("{{[x]a{at}}}"));
    for (key, text) in [
        ("commands", format!("{head}[x]\n{sections}[testenv:a]\ncommands = echo {{[x]a40}}\n")),
        ("description", format!("{head}[x]\n{sections}[testenv:a]\ndescription = {{[x]a40}}\n")),
        (
            "set_env",
            format!(
                "{head}[testenv:a]\nset_env =\n  {}\n",
                chain("zz", &|at| format!("{{env:a{at}}}")).replace(" = ", "=").replace('\n', "\n  ")
            ),
        ),
        (
            "set_env",
            format!(
                "{head}[x]\n{}[testenv:a]\nset_env =\n  {{[x]a40}}\n",
                chain("A=1", &|at| format!("\n  {{[x]a{at}}}"))
            ),
        ),
    ] {
        let project = Project::new().ini(&text);
        bounded(&project, &format!("config -e a -k {key}")).says(&format!("{key} = # Exception: ")).ends_with(255);
        let found = bounded(&project, "run -e a");
        assert_eq!(found.code == Some(0), key == "description", "{found:?}");
        assert!(found.stdout.len() < 1 << 20 && found.code.is_some_and(|code| code < 128), "{found:?}");
    }
    let lists = (0..40).map(|at| {
        let one = format!("{{ replace = \"ref\", of = [\"x\", \"a{at}\"], extend = true }}");
        format!("a{} = [{one}, {one}]\n", at + 1)
    });
    let text = format!(
        "env_list = [\"a\"]\nno_package = true\n[x]\na0 = [\"d\"]\n{}[env.a]\n\
         deps = [{{ replace = \"ref\", of = [\"x\", \"a40\"], extend = true }}]\n",
        lists.collect::<String>()
    );
    let project = Project::new().file("tox.toml", &text);
    bounded(&project, "config -e a -k deps").says("references expand to more than 250000 values at x.a").ends_with(255);
}

#[test]
fn environments_are_written_out_up_to_a_limit() {
    let of = |list: &str| Project::new().ini(&format!("[tox]\nno_package = true\nenv_list = {list}\n"));
    let found = bounded(&of("{1-100001}"), "list --no-desc -q");
    assert_eq!(found.stdout.lines().filter(|line| line.trim() == "100001").count(), 1, "{}", found.stderr);
    for list in ["{1-1000001}", &"{a,b}".repeat(40), &format!("{}{}", "{a,".repeat(100_000), "}".repeat(100_000))] {
        bounded(&of(list), "list").explains("too many environments").explains("tox.ini:3:").ends_with(254);
    }
    let project = Project::new().ini("[tox]\nenv_list = a\n[testenv]\ndescription =\n  {1-2000000}: x\n");
    bounded(&project, "config -e a -k description").explains("too many environments").explains("tox.ini:4:");
    let project = Project::new().ini("[tox]\nenv_list = a\n[testenv:{1-2000000}]\ndescription = x\n");
    bounded(&project, "list").explains("too many environments").explains("tox.ini:3:").ends_with(254);
    for list in [
        "{ product = [{ prefix = \"a\", start = 1, stop = 2000 }, { prefix = \"b\", start = 1, stop = 2000 }] }",
        "{ prefix = \"a\", start = 1, stop = 2000000 }",
    ] {
        let project = Project::new().file("tox.toml", &format!("env_list = [{list}]\n"));
        bounded(&project, "list").explains("too many environments").ends_with(254);
    }
}

#[test]
fn requirement_files_and_groups_may_form_long_chains() {
    let ini = "[tox]\nno_package = true\n[testenv:a]\nallowlist_externals = *\ncommands = echo reached\n";
    let files = |last: &str| {
        let project = Project::new().ini(&format!("{ini}deps = -r r0.txt\nconstraints = c0.txt\n"));
        let chain = |project: Project, at: usize| {
            let project = project.file(&format!("r{at}.txt"), &format!("-r r{}.txt\n", at + 1));
            project.file(&format!("c{at}.txt"), &format!("-c c{}.txt\n", at + 1))
        };
        (0..2_000).fold(project, chain).file("r2000.txt", last).file("c2000.txt", "")
    };
    // Whether pip follows them is its own affair; the last one is read.
    bounded(&files("-r gone.txt\n"), "run -e a").explains("gone.txt").ends_with(1);
    let twice = Project::new().ini(&format!("{ini}deps = -r r0.txt\n"));
    let twice = (0..40).fold(twice, |project, at| {
        let next = at + 1;
        project.file(&format!("r{at}.txt"), &format!("-r r{next}.txt\n-r r{next}.txt\n"))
    });
    bounded(&twice.file("r40.txt", ""), "run -e a").explains("more than 10000 requirements files").ends_with(1);
    for include in ["{include-group=\"gN\"}", "{include-group=\"gN\"}, {include-group=\"gN\"}"] {
        let group = |at: usize| format!("g{at} = [{}]\n", include.replace('N', &(at + 1).to_string()));
        let groups = (0..4_000).map(group).collect::<String>();
        let project = Project::new().ini(&format!("{ini}dependency_groups = g0\n"));
        let project = project.file("pyproject.toml", &format!("[dependency-groups]\n{groups}g4000 = []\n"));
        bounded(&project, "run -e a").says("reached").succeeds();
    }
}

#[test]
fn the_tree_of_a_long_chain_is_printed_while_it_is_made() {
    let environments = (0..500).map(|at| format!("[testenv:e{at}]\ndepends = e{}\n", at + 1)).collect::<String>();
    let list = (0..=500).map(|at| format!("e{at}")).collect::<Vec<_>>().join(",");
    let project = Project::new().ini(&format!("[tox]\nno_package = true\nenv_list = {list}\n{environments}"));
    // Printed, it is sixty megabytes.
    let command = format!("ulimit -v 100000; ulimit -s 512; {} depends | tail -n 1", env!("CARGO_BIN_EXE_envo"));
    project.run_program("sh", &["-c", &command]).says("e500").succeeds();
}

#[test]
fn nesting_of_every_kind_ends_in_an_answer() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let head = "[tox]\nno_package = true\nenv_list = b\n[testenv:b]\nallowlist_externals = *\n";
    let text = [
        format!("{head}commands = x {}\n", deep("{a,", "}")),
        format!("{head}commands = x {}\n", deep("{posargs:", "}")),
        format!("{head}commands = x {}\n", deep("'", "\"")),
        format!("{head}set_env = A={}\n", deep("{env:B:", "}")),
        format!("{head}set_env = A=1; {}\n", deep("(", ")")),
        format!("{head}deps = x; {}\n", deep("(", ")")),
        format!("{head}platform = {}\n", deep("(", ")")),
        format!("{head}pass_env = {}\n", deep("[!", "]")),
        format!("{head}pass_env = {}a\n", "*?".repeat(10_000)),
        format!("{head}change_dir = {}\n", "../".repeat(100_000)),
        format!("{head}env_file = x.env\n"),
    ];
    for text in text {
        let project = Project::new().ini(&text).file("x.env", &format!("A={}\n", deep("${B:-", "}")));
        for arguments in ["config -e b", "config --check", "list"] {
            let found = bounded(&project, arguments);
            assert!(found.code.is_some_and(|code| !(124..=250).contains(&code)), "{arguments}: {}", found.stderr);
        }
    }
    let tables = [
        format!("commands = {}\n", deep("[", "]")),
        format!("description = {}1\n", "{ a = ".repeat(100_000)),
        format!("description = {{ replace = \"if\", condition = \"{}\", then = \"x\" }}\n", deep("(", ")")),
        format!(
            "description = {{ replace = \"if\", condition = \"{}env.A\", then = \"x\" }}\n",
            "not ".repeat(100_000)
        ),
        format!("{} = 1\n", vec!["a"; 100_000].join(".")),
    ];
    for text in tables {
        let project = Project::new().file("tox.toml", &format!("env_list = [\"b\"]\n[env.b]\n{text}"));
        for arguments in ["config -e b", "config --check", "list"] {
            let found = bounded(&project, arguments);
            assert!(found.code.is_some_and(|code| !(124..=250).contains(&code)), "{arguments}: {}", found.stderr);
        }
    }
}

#[test]
fn files_that_are_endless_or_huge_end_in_an_error_that_names_them() {
    let huge = |project: Project| {
        let file = std::fs::File::create(project.path("huge")).unwrap();
        file.set_len(10 << 30).unwrap();
        project
    };
    let environment = |lines: &str| {
        let text = format!("[tox]\nno_package = true\n[testenv:a]\nruntime = system\ncommands = true\n{lines}\n");
        huge(Project::new().ini(&text))
    };
    for (key, file, explanation) in [
        ("env_file = {}", "/dev/zero", "tox.ini:6:12"),
        ("env_file = {}", "huge", "huge cannot be read: file too large (more than 64 MiB)"),
        ("set_env = file|{}", "/dev/zero", "/dev/zero is not a file for set_env"),
        ("set_env = file|{}", "huge", "huge cannot be read for set_env: file too large (more than 64 MiB)"),
    ] {
        let lines = key.replace("{}", file);
        bounded(&environment(&lines), "run -e a").explains(explanation).explains("tox.ini:6:").ends_with(1);
    }
    for (lines, reason) in [
        ("deps = -r huge", "huge exceeds the 10485760 byte limit"),
        ("constraints = /dev/zero", "/dev/zero exceeds the 10485760 byte limit"),
        ("base_python_file = huge", "cannot read 'huge': file too large"),
        ("pylock = /dev/zero", "invalid pylock file /dev/zero: file too large"),
        ("dependency_groups = x", "pyproject.toml: file too large"),
    ] {
        let project = environment(lines);
        let text = std::fs::read_to_string(project.path("tox.ini")).unwrap().replace("runtime = system\n", "");
        let project = project.file("tox.ini", &text);
        if lines.starts_with("dependency_groups") {
            std::os::unix::fs::symlink("/dev/zero", project.path("pyproject.toml")).unwrap();
        }
        let checked = bounded(&project, "config --check");
        assert!(checked.stderr.contains(reason) || checked.stdout.contains(reason), "{checked:?}");
        assert_eq!(checked.code, Some(1), "{checked:?}");
    }
    let project = huge(Project::new());
    for file in ["/dev/zero", "huge"] {
        let large = "file too large (more than 64 MiB)";
        bounded(&project, &format!("list -c {file}")).says(large).ends_with(254);
        for kind in ["compose", "procfile", "pip-tools", "poetry"] {
            bounded(&project, &format!("import {kind} {file}")).says(large).ends_with(254);
        }
    }
}

#[test]
fn pipes_are_read_to_their_end_and_never_beyond_the_limit() {
    let envo = env!("CARGO_BIN_EXE_envo");
    let run = |command: &str| {
        let bounded = format!("ulimit -v 1000000; {}", command.replace("envo", envo));
        Project::new().ini("").run_program("bash", &["-c", &bounded])
    };
    let ini = r"printf '[tox]\nno_package = true\n[testenv:a]\ndescription = piped\n'";
    run(&format!("{ini} | envo config -c /dev/stdin -e a -k description")).says("description = piped").succeeds();
    let reading = r"printf '[tox]\nno_package = true\n[testenv:a]\ndeps = -r %s\n' /dev/stdin > tox.ini";
    run(&format!("{reading}; echo six | envo config -e a -k deps")).says("deps = -r /dev/stdin").succeeds();
    let named = "printf '[testenv:a]\\nruntime = system\\nenv_file = pipe\\ncommands = true\\n' > tox.ini; mkfifo pipe";
    run(&format!("{named}; yes > pipe & envo run --skip-pkg-install -e a; code=$?; wait; exit $code"))
        .explains("pipe cannot be read: file too large")
        .ends_with(1);
}

#[test]
fn a_lock_with_a_long_chain_of_packages_is_read_in_a_small_stack() {
    const COUNT: usize = 30_000;
    let mut lock = "lock-version = \"1.0\"\ncreated-by = \"another\"\n".to_owned();
    for number in 0..COUNT {
        let next = (number + 1) % COUNT;
        lock.push_str(&format!(
            "\n[[packages]]\nname = \"p{number}\"\nversion = \"1\"\ndependencies = [{{ name = \"p{next}\" }}]\n\
             wheels = [{{ name = \"p{number}-1-py3-none-any.whl\", path = \"gone/p{number}-1-py3-none-any.whl\", \
             hashes = {{ sha256 = \"{number:064x}\" }} }}]\n"
        ));
    }
    let ini = "[tox]\nno_package = true\nenv_list = a\n[testenv:a]\npylock = pylock.toml\n";
    let project = Project::new().ini(ini).file("pylock.toml", &lock);
    bounded(&project, "config --check").succeeds().says("no problems found\n");
    bounded(&project, "config -e a -k pylock").succeeds();
}
