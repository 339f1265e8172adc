//! The options, group by group, and which command takes which.

use clap::{Arg, ArgAction};

use super::shapes::{choice, flag, under, value, values};
use super::{CommandWord, Verb, locks};

/// The colours a child's standard error can have, by colorama's names.
pub const COLORS: [&str; 17] = [
    "BLACK",
    "BLUE",
    "CYAN",
    "GREEN",
    "LIGHTBLACK_EX",
    "LIGHTBLUE_EX",
    "LIGHTCYAN_EX",
    "LIGHTGREEN_EX",
    "LIGHTMAGENTA_EX",
    "LIGHTRED_EX",
    "LIGHTWHITE_EX",
    "LIGHTYELLOW_EX",
    "MAGENTA",
    "RED",
    "RESET",
    "WHITE",
    "YELLOW",
];

/// The shells that `completion` knows.
pub const SHELLS: [&str; 4] = ["bash", "zsh", "fish", "powershell"];

/// How `depends` can write a graph.
pub const DEPENDS_FORMATS: [&str; 4] = ["tree", "mermaid", "dot", "json"];

/// The ways to report.
pub const REPORTS: [&str; 2] = ["human", "json"];

/// The kinds of environment that can be the default one. Those of tox-uv are envo's own business and accepted.
pub const RUNNERS: [&str; 5] =
    ["virtualenv", "virtualenv-pep-723", "uv-venv-runner", "uv-venv-lock-runner", "uv-venv-pep-723"];

/// What only one command takes.
pub fn command_specific(word: CommandWord) -> Vec<Arg> {
    match word {
        CommandWord::Verb(Verb::Devenv) => {
            vec![value("devenv_path", "path", "the folder to make [default: venv]").help_heading("What to make")]
        }
        CommandWord::Verb(Verb::Schema) => {
            let help = "allow no properties that the schema does not name";
            vec![flag("strict", help).long("strict").help_heading("What to print")]
        }
        CommandWord::Verb(Verb::Quickstart) => {
            let help = "the folder to write tox.ini into [default: the current one]";
            vec![value("quickstart_root", "root", help).help_heading("What to write")]
        }
        CommandWord::Verb(Verb::Depends) => {
            let help = "how to write it: tree, mermaid, dot or json [default: tree]";
            let format = choice("depends_format", DEPENDS_FORMATS, help).long("format").value_name("FORMAT");
            under("What to print", vec![format])
        }
        CommandWord::Verb(Verb::Import) => {
            let help = "procfile, compose, pipenv, poetry, pdm or pip-tools, then the file [default: the usual one]";
            let what = values("import_words", "KIND", help).required(true);
            let write =
                flag("import_write", "add the environments to tox.ini, or write the versions of a lock to pins.txt")
                    .long("write");
            under("What to translate", vec![what, write])
        }
        CommandWord::Verb(Verb::Completion) => {
            let argument = choice("shell", SHELLS, "bash, zsh, fish or powershell").value_name("SHELL").required(true);
            vec![argument.help_heading("What to print")]
        }
        CommandWord::Verb(verb) if verb.serves() || verb.talks_only() || verb == Verb::Services => services(verb),
        CommandWord::Verb(verb) if verb.is_about_locks() => locks::arguments(verb),
        CommandWord::Verb(Verb::List) => under(
            "What to show",
            vec![
                flag("list_no_description", "show names only").long("no-desc"),
                flag("list_default_only", "show only the default environments")
                    .short('d')
                    .conflicts_with_all(["labels", "factors"]),
            ],
        ),
        CommandWord::Verb(Verb::Config) => under(
            "What to show",
            vec![
                values("list_keys_only", "key", "only these settings").short('k'),
                flag("show_core", "also the settings of [tox] (with -e ALL anyway)").long("core"),
                flag("check", "say what is wrong with the configuration, all at once").long("check"),
                choice("config_format", ["ini", "json", "toml"], "how to write it: ini, json or toml [default: ini]")
                    .long("format")
                    .value_name("FORMAT"),
                value("output_file", "file", "write to this file").short('o').long("output-file"),
            ],
        ),
        CommandWord::Legacy => under(
            "In place of running",
            vec![
                flag("list_envs", "list the default environments (with -v: descriptions)").short('l').long("listenvs"),
                flag("list_envs_all", "list all environments").short('a').long("listenvs-all"),
                flag("show_config", "show the configuration").long("showconfig").visible_aliases(["help-ini", "hi"]),
                value("devenv_path", "ENVDIR", "make a development environment there (-e defaults to py)")
                    .long("devenv"),
            ],
        ),
        _ => Vec::new(),
    }
}

/// What the commands around running services take.
fn services(verb: Verb) -> Vec<Arg> {
    use Verb::{Down, Events, Logs, Ps, Restart, Scale, Serve, Services, Start, Up, Wait};
    let mut result = Vec::new();
    if matches!(verb, Up | Scale | Start | Restart) {
        result.push(flag("service_wait", "return when they are ready").long("wait"));
    }
    if matches!(verb, Up | Serve) {
        let help = "start the services of this profile too; may be repeated";
        result.push(value("service_profiles", "NAME", help).long("profile").action(ArgAction::Append));
        result.push(flag("service_force", "run jobs again that were done before").long("force"));
    }
    if verb == Up {
        let help = "build only, and print what a program needs that holds them itself (docs/protocol.md)";
        result.push(flag("service_hand_over", help).long("hand-over"));
    }
    if verb == Up {
        let help = "have N instances of this service, in place of its instances key; may be repeated";
        result.push(value("service_scale", "ENV=N", help).long("scale").action(ArgAction::Append));
    }
    if verb == Scale {
        result.push(values("service_scale", "ENV=N", "how many of which"));
    }
    if verb == Wait {
        result.push(value("service_timeout", "seconds", "how long at most [default: for ever]").long("timeout"));
    }
    if verb == Logs {
        result.push(flag("log_follow", "go on as more is written").short('f').long("follow"));
        result.push(value("log_lines", "N", "only the last N lines of each").short('n').long("lines"));
        let help = "only what was written since then: 30s, 10m, 2h, 1d, or a time as in 2026-05-01T12:00";
        result.push(value("log_since", "T", help).long("since"));
        result.push(flag("log_no_prefix", "no names before the lines").long("no-prefix"));
    }
    if verb == Ps {
        let help = "draw the last start: what waited for what, and the path that took longest";
        result.push(flag("service_timeline", help).long("timeline"));
    }
    if matches!(verb, Ps | Events | Services) {
        result.push(
            choice("service_format", ["table", "json"], "how to write it: table or json [default: table]")
                .long("format")
                .value_name("FORMAT"),
        );
    }
    if verb.talks_only() || matches!(verb, Up | Serve) {
        let help = match verb {
            Up | Serve => "these services, as with -e [default: all]",
            Down | Ps | Logs | Events => "these services [default: all]",
            _ => "these services",
        };
        result.push(values("service_names", "ENV", help));
    }
    under("Services", result)
}

/// Which environments.
pub fn selection(word: CommandWord) -> Vec<Arg> {
    let one = matches!(word, CommandWord::Verb(Verb::Exec | Verb::Devenv));
    let mut result = Vec::new();
    let help = match word {
        CommandWord::Verb(Verb::List | Verb::Depends) => None,
        CommandWord::Verb(Verb::Exec | Verb::Devenv) => Some("the environment [default: py]"),
        CommandWord::Verb(Verb::Serve | Verb::Up) => {
            Some("these services, with commas and braces; may be repeated [default: every service]")
        }
        _ => Some("these environments, with commas and braces; ALL for all; may be repeated [default: env_list]"),
    };
    if let Some(help) = help {
        let argument = value("env", "ENV", help).short('e').action(ArgAction::Append);
        result.push(if one { argument } else { argument.conflicts_with_all(["labels", "factors"]) });
    }
    if word == CommandWord::Verb(Verb::Depends) {
        return result;
    }
    if !one {
        result.push(values("labels", "label", "those with one of these labels").short('m').conflicts_with("factors"));
        let help = "those with all of these factors; may be repeated for alternatives";
        result.push(values("factors", "factor", help).short('f').action(ArgAction::Append));
    }
    result.push(value("skip_env", "re", "leave out those this regular expression matches").long("skip-env"));
    under("Which environments", result)
}

/// How environments are made, and what of them is run.
pub fn building(word: CommandWord) -> Vec<Arg> {
    use CommandWord::Legacy;
    const RUN: CommandWord = CommandWord::Verb(Verb::Run);
    const EXEC: CommandWord = CommandWord::Verb(Verb::Exec);
    const CONFIG: CommandWord = CommandWord::Verb(Verb::Config);
    let runs = matches!(word, RUN | CommandWord::Verb(Verb::RunParallel) | Legacy | EXEC);
    let mut result = vec![flag("recreate", "make the environments anew").short('r').long("recreate")];
    if !matches!(word, CommandWord::Verb(Verb::List | Verb::Depends)) && word.concerns_environments() {
        result.push(flag("no_recreate_pkg", "with -r, keep the packaging environments").long("no-recreate-pkg"));
    }
    if runs || word == CONFIG {
        result.push(
            value("skip_missing_interpreters", "v", "skip environments without interpreter: config, true or false")
                .short('s')
                .long("skip-missing-interpreters")
                .num_args(0..=1)
                .default_missing_value("true"),
        );
    }
    if runs {
        result.push(flag("no_test", "build only; run no commands").short('n').long("notest"));
        let argument = flag("package_only", "only build the package").short('b').long("pkg-only");
        result.push(argument.visible_alias("sdistonly"));
        result.push(flag("fail_fast", "stop after the first environment that fails").long("fail-fast"));
    }
    if matches!(word, RUN | Legacy) {
        let help = "build no environment before its turn, while commands of earlier ones run";
        result.push(flag("no_prepare_ahead", help).long("no-prepare-ahead"));
    }
    if runs || word.serves() || word == CommandWord::Verb(Verb::Devenv) {
        let help = "install what envo lock wrote and nothing else; fail where that does not fit any more";
        result.push(flag("locked", help).long("locked"));
    }
    if runs || word.serves() {
        let help = "install this package in place of building the project";
        result.push(value("install_pkg", "INSTALL_PKG", help).long("installpkg"));
    }
    if runs || word == CONFIG || word.serves() {
        result.push(flag("develop", "install the project in development mode").long("develop"));
    }
    if runs || word.serves() {
        result.push(flag("skip_pkg_install", "do not install the project").long("skip-pkg-install"));
        let help = "install nothing; use the environments as they are";
        result.push(flag("skip_env_install", help).long("skip-env-install"));
    }
    if matches!(word, RUN | EXEC) {
        result.push(flag("skip_uv_sync", "do not run uv sync (uv-venv-lock-runner only)").long("skip-uv-sync"));
    }
    if word == Legacy {
        result.push(flag("pre", "take pre-releases (deprecated: PIP_PRE=1 in set_env)").long("pre"));
        let argument = value("force_dep", "req", "use this version of a dependency; may be repeated").long("force-dep");
        result.push(argument.action(ArgAction::Append));
        result.push(flag("site_packages", "see the interpreter's own packages (deprecated)").long("sitepackages"));
        result.push(flag("always_copy", "copy in place of linking (deprecated)").long("alwayscopy"));
    }
    under("Building and running", result)
}

/// `run-parallel` and `legacy`.
pub fn parallel(word: CommandWord) -> Vec<Arg> {
    let amount = if word == CommandWord::Legacy {
        let help = "run in parallel: all (also without VAL), auto (number of processors) or a number; 0 turns it off";
        value("parallel", "VAL", help).num_args(0..=1).default_missing_value("all")
    } else {
        let help = "how many at a time: all, auto (number of processors) or a number [default: auto]";
        value("parallel", "VAL", help)
    };
    let arguments = vec![
        amount.short('p').long("parallel"),
        flag("parallel_live", "show output as it comes").short('o').long("parallel-live"),
        flag("parallel_no_spinner", "no progress display (the default in CI)").long("parallel-no-spinner"),
    ];
    under("In parallel", arguments)
}

/// What every command takes that makes environments.
pub fn environment(word: CommandWord) -> Vec<Arg> {
    let mut result = Vec::new();
    if !word.serves() {
        let help = "write what was done to this JSON file";
        result.push(value("result_json", "path", help).long("result-json"));
        let help = "write environments and commands to this file as JUnit XML";
        result.push(value("junit_xml", "path", help).long("junit-xml"));
        let help = "what to print: human (as tox does), or json, one event on each line [default: human]";
        result.push(choice("report", REPORTS, help).value_name("FORMAT").long("report"));
        if word != CommandWord::Verb(Verb::Exec) {
            let help = "let commands write straight to the terminal (not in parallel, not with --result-json)";
            result.push(flag("no_capture", help).short('i').long("no-capture"));
        }
    }
    let help = "PYTHONHASHSEED for the commands; notset leaves it alone [default: a random number]";
    result.push(value("hash_seed", "SEED", help).long("hashseed"));
    result.push(values("discover", "path", "try these Python interpreters first").long("discover"));
    let help = "let uv install a Python interpreter where none fits";
    result.push(flag("install_python", help).long("install-python"));
    let help = "fetch a runtime such as Node.js that is not installed";
    result.push(flag("install_runtime", help).long("install-runtime"));
    let help = "list what is installed (the default in CI)";
    result.push(flag("list_dependencies", help).long("list-dependencies").conflicts_with("no_list_dependencies"));
    result.push(flag("no_list_dependencies", "do not list what is installed").long("no-list-dependencies"));
    under("Commands and their output", result)
}

/// Where the project is and what of its configuration is changed.
pub fn project() -> Vec<Arg> {
    let override_help = "change a setting, as in testenv:py311.deps=pytest; += adds; may be repeated";
    let provision_help = "do not install what requires asks for: fail, and write what is missing to REQ_JSON";
    let arguments = vec![
        value("config_file", "file", "the configuration, or a folder that holds it").short('c').long("conf"),
        value("root_dir", "dir", "the project's root folder [default: that of the configuration]").long("root"),
        value("work_dir", "dir", "where environments are kept [default: .tox in the root]").long("workdir"),
        value("override", "OVERRIDE", override_help).short('x').long("override").action(ArgAction::Append),
        choice(
            "default_runner",
            RUNNERS,
            "the kind of environments that do not say one: virtualenv or virtualenv-pep-723",
        )
        .long("runner")
        .value_name("RUNNER"),
        value("no_provision", "REQ_JSON", provision_help)
            .long("no-provision")
            .num_args(0..=1)
            .default_missing_value(""),
        flag("no_recreate_provision", "with -r, keep the environment of requires").long("no-recreate-provision"),
    ];
    under("Project and configuration", arguments)
}

/// What the program itself shows and how.
pub fn general() -> Vec<Arg> {
    let verbose = "say more; may be repeated";
    let arguments = vec![
        flag("verbose", verbose).short('v').long("verbose").action(ArgAction::Count).conflicts_with("quiet"),
        flag("quiet", "say less; may be repeated").short('q').long("quiet").action(ArgAction::Count),
        choice("colored", ["yes", "no"], "whether to use colours [default: on a terminal, unless NO_COLOR is set]")
            .long("colored")
            .value_name("yes|no")
            .hide_possible_values(true),
        choice("stderr_color", COLORS, "the colour of what commands write to standard error [default: RED]")
            .long("stderr-color")
            .value_name("COLOR")
            .hide_possible_values(true),
        value("exit_and_dump_after", "seconds", "accepted for tox's sake, without effect").long("exit-and-dump-after"),
        flag("version", "show the version and exit").long("version"),
        flag("help", "show this help and exit").short('h').long("help"),
    ];
    under("General", arguments)
}
