//! The options in their groups, and which command has which.

use clap::{Arg, ArgAction};

use super::shapes::{choice, flag, under, value, values};
use super::{CommandWord, Verb, fanout, locks, shipping};

/// The colours for the standard error of commands, by colorama's names.
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

/// The shells that `completion` supports.
pub const SHELLS: [&str; 4] = ["bash", "zsh", "fish", "powershell"];

/// What `import` converts.
pub const IMPORT_KINDS: [&str; 6] = ["procfile", "compose", "pipenv", "poetry", "pdm", "pip-tools"];

/// The output formats of `depends`.
pub const DEPENDS_FORMATS: [&str; 4] = ["tree", "mermaid", "dot", "json"];

/// The report formats.
pub const REPORTS: [&str; 3] = ["human", "json", "brief"];

/// The runners that can be the default. Those of tox-uv are accepted too.
pub const RUNNERS: [&str; 5] =
    ["virtualenv", "virtualenv-pep-723", "uv-venv-runner", "uv-venv-lock-runner", "uv-venv-pep-723"];

/// The options of a single command.
pub fn command_specific(word: CommandWord) -> Vec<Arg> {
    match word {
        CommandWord::Verb(Verb::Devenv) => {
            vec![
                value("devenv_path", "path", "folder of the new environment [default: venv]")
                    .help_heading("Environment folder"),
            ]
        }
        CommandWord::Verb(Verb::Schema) => {
            let help = "reject keys that the schema does not define";
            let all = "describe every key of tox and envo, not only those of this configuration";
            under("Output", vec![flag("strict", help).long("strict"), flag("all_keys", all).long("all-keys")])
        }
        CommandWord::Verb(Verb::Quickstart) => {
            let help = "folder of the new tox.ini [default: the current one]";
            vec![value("quickstart_root", "root", help).help_heading("Project folder")]
        }
        CommandWord::Verb(Verb::Merge) => fanout::merging(),
        CommandWord::Verb(Verb::Cache) => fanout::caching(),
        CommandWord::Verb(Verb::Export) => fanout::exporting(),
        CommandWord::Verb(Verb::Submit) => fanout::submitting(),
        CommandWord::Verb(Verb::Hook) => {
            let shell = choice("hook_shell", crate::activation::script::SHELLS, "bash, zsh, fish or nu");
            vec![shell.value_name("SHELL").required(true).help_heading("Shells")]
        }
        CommandWord::Verb(Verb::Allow) => {
            let help = "show what an allowed project would do, and allow nothing";
            vec![flag("allow_show", help).long("show").help_heading("Output")]
        }
        CommandWord::Verb(Verb::Env) => {
            let help = "set the output format: shell, json, dotenv or github [default: shell]";
            let formats = crate::activation::script::FORMATS;
            vec![choice("env_format", formats, help).long("format").value_name("FORMAT").help_heading("Output")]
        }
        CommandWord::Verb(Verb::Mcp) => {
            let help = "let the agent start, stop and restart services";
            under("Agents", vec![flag("allow_control", help).long("allow-control")])
        }
        CommandWord::Verb(Verb::Secrets) => {
            let action = choice("secrets_action", ["check"], "check").value_name("ACTION").required(true);
            vec![action.help_heading("Secrets")]
        }
        CommandWord::Verb(Verb::Depends) => {
            let help = "set the output format: tree, mermaid, dot or json [default: tree]";
            let format = choice("depends_format", DEPENDS_FORMATS, help).long("format").value_name("FORMAT");
            under("Output", vec![format])
        }
        CommandWord::Verb(Verb::Import) => {
            let help = "procfile, compose, pipenv, poetry, pdm or pip-tools; then the file [default: its usual name]";
            let what = values("import_words", "KIND", help).required(true);
            let write = flag(
                "import_write",
                "add the environments to tox.ini; for a lock file, write its versions to pins.txt",
            )
            .long("write");
            under("Conversion", vec![what, write])
        }
        CommandWord::Verb(Verb::Completion) => {
            let argument = choice("shell", SHELLS, "bash, zsh, fish or powershell").value_name("SHELL").required(true);
            vec![argument.help_heading("Output")]
        }
        CommandWord::Verb(verb) if verb.serves() || verb.talks_only() || verb == Verb::Services => services(verb),
        CommandWord::Verb(verb) if verb.is_about_locks() => locks::arguments(verb),
        CommandWord::Verb(verb) if verb == Verb::Pack || verb.is_about_releases() => shipping::arguments(verb),
        CommandWord::Verb(Verb::List) => under(
            "Output",
            vec![
                flag("list_no_description", "show only the names").long("no-desc"),
                flag("list_default_only", "show only the default environments")
                    .short('d')
                    .conflicts_with_all(["labels", "factors"]),
                fanout::list_format(),
            ],
        ),
        CommandWord::Verb(Verb::Config) => under(
            "Output",
            vec![
                values("list_keys_only", "key", "show only these settings").short('k'),
                flag("show_core", "also show the settings of [tox] (implied by -e ALL)").long("core"),
                flag("check", "report all errors in the configuration").long("check"),
                choice(
                    "config_format",
                    ["ini", "json", "toml"],
                    "set the output format: ini, json or toml [default: ini]",
                )
                .long("format")
                .value_name("FORMAT"),
                value("output_file", "file", "write to this file").short('o').long("output-file"),
            ],
        ),
        CommandWord::Legacy => under(
            "Other actions",
            vec![
                flag("list_envs", "list the default environments (with -v: descriptions)").short('l').long("listenvs"),
                flag("list_envs_all", "list all environments").short('a').long("listenvs-all"),
                flag("show_config", "show the configuration").long("showconfig").visible_aliases(["help-ini", "hi"]),
                value("devenv_path", "ENVDIR", "create a development environment there (-e defaults to py)")
                    .long("devenv"),
            ],
        ),
        _ => Vec::new(),
    }
}

/// The options of the commands for services.
fn services(verb: Verb) -> Vec<Arg> {
    use Verb::{Down, Events, Logs, Ps, Restart, Scale, Serve, Services, Start, Up, Wait};
    let mut result = Vec::new();
    if matches!(verb, Up | Scale | Start | Restart) {
        result.push(flag("service_wait", "wait until the services are ready").long("wait"));
    }
    if matches!(verb, Up | Serve) {
        let help = "also start the services of this profile; may be repeated";
        result.push(value("service_profiles", "NAME", help).long("profile").action(ArgAction::Append));
        result.push(flag("service_force", "run jobs again that have already finished").long("force"));
    }
    if verb == Up {
        let help = "only build, and print the request for a program that will own the services (docs/protocol.md)";
        result.push(flag("service_hand_over", help).long("hand-over"));
    }
    if verb == Up {
        let help = "run N instances of this service, overriding its instances key; may be repeated";
        result.push(value("service_scale", "ENV=N", help).long("scale").action(ArgAction::Append));
    }
    if verb == Scale {
        result.push(values("service_scale", "ENV=N", "service and number of instances"));
    }
    if verb == Wait {
        result.push(
            value("service_timeout", "seconds", "give up after this time [default: wait for ever]").long("timeout"),
        );
    }
    if verb == Logs {
        result.push(flag("log_follow", "keep printing new lines").short('f').long("follow"));
        result.push(value("log_lines", "N", "show only the last N lines of each service").short('n').long("lines"));
        let help = "show only lines since this time: 30s, 10m, 2h or 1d ago, or 2026-05-01T12:00";
        result.push(value("log_since", "T", help).long("since"));
        result.push(flag("log_no_prefix", "do not prefix lines with service names").long("no-prefix"));
    }
    if verb == Ps {
        let help = "show the timeline of the last start and its critical path";
        result.push(flag("service_timeline", help).long("timeline"));
    }
    if matches!(verb, Ps | Events | Services) {
        result.push(
            choice("service_format", ["table", "json"], "set the output format: table or json [default: table]")
                .long("format")
                .value_name("FORMAT"),
        );
    }
    if verb.talks_only() || matches!(verb, Up | Serve) {
        let help = match verb {
            Up | Serve => "services to start, as with -e [default: all]",
            Down | Ps | Logs | Events => "names of services [default: all]",
            _ => "names of services",
        };
        result.push(values("service_names", "ENV", help));
    }
    under("Services", result)
}

/// The options that select environments.
pub fn selection(word: CommandWord) -> Vec<Arg> {
    let one = matches!(word, CommandWord::Verb(Verb::Exec | Verb::Devenv | Verb::Pack | Verb::Shell | Verb::Env));
    let mut result = Vec::new();
    let help = match word {
        CommandWord::Verb(Verb::List | Verb::Depends) => None,
        CommandWord::Verb(Verb::Exec | Verb::Devenv) => Some("select this environment [default: py]"),
        CommandWord::Verb(Verb::Pack) => Some("select this environment [default: the only one with pack_command]"),
        CommandWord::Verb(Verb::Serve | Verb::Up) => {
            Some("select these services (commas and braces allowed); may be repeated [default: every service]")
        }
        _ => Some("select these environments (commas and braces allowed), or ALL; may be repeated [default: env_list]"),
    };
    if let Some(help) = help {
        let argument = value("env", "ENV", help).short('e').action(ArgAction::Append);
        result.push(if one { argument } else { argument.conflicts_with_all(["labels", "factors"]) });
    }
    if word == CommandWord::Verb(Verb::Depends) {
        return result;
    }
    if !one {
        result.push(
            values("labels", "label", "select environments with any of these labels")
                .short('m')
                .conflicts_with("factors"),
        );
        let help = "select environments with all of these factors; repeat for alternatives";
        result.push(values("factors", "factor", help).short('f').action(ArgAction::Append));
    }
    result.push(value("skip_env", "re", "skip environments that match this regular expression").long("skip-env"));
    under("Selection", result)
}

/// The options for building environments and running their commands.
pub fn building(word: CommandWord) -> Vec<Arg> {
    use CommandWord::Legacy;
    const RUN: CommandWord = CommandWord::Verb(Verb::Run);
    const EXEC: CommandWord = CommandWord::Verb(Verb::Exec);
    const CONFIG: CommandWord = CommandWord::Verb(Verb::Config);
    let runs = matches!(word, RUN | CommandWord::Verb(Verb::RunParallel) | Legacy | EXEC);
    let mut result = vec![flag("recreate", "recreate the environments").short('r').long("recreate")];
    if !matches!(word, CommandWord::Verb(Verb::List | Verb::Depends)) && word.concerns_environments() {
        result.push(flag("no_recreate_pkg", "with -r, keep the packaging environments").long("no-recreate-pkg"));
    }
    if runs || word == CONFIG {
        result.push(
            value(
                "skip_missing_interpreters",
                "v",
                "skip environments whose interpreter is missing: config, true or false",
            )
            .short('s')
            .long("skip-missing-interpreters")
            .num_args(0..=1)
            .default_missing_value("true"),
        );
    }
    if runs {
        result.push(flag("no_test", "build the environments but run no commands").short('n').long("notest"));
        let argument = flag("package_only", "build only the package").short('b').long("pkg-only");
        result.push(argument.visible_alias("sdistonly"));
        result.push(flag("fail_fast", "stop after the first environment that fails").long("fail-fast"));
    }
    if matches!(word, RUN | Legacy) {
        let help = "do not build the next environments while commands run";
        result.push(flag("no_prepare_ahead", help).long("no-prepare-ahead"));
    }
    if runs || word.serves() || word == CommandWord::Verb(Verb::Devenv) {
        let help = "install exactly the locked packages; fail if the lock is out of date";
        result.push(flag("locked", help).long("locked"));
    }
    if runs || word.serves() {
        let help = "install this package instead of building the project";
        result.push(value("install_pkg", "INSTALL_PKG", help).long("installpkg"));
    }
    if runs || word == CONFIG || word.serves() {
        result.push(flag("develop", "install the project in development mode").long("develop"));
    }
    if runs || word.serves() {
        result.push(flag("skip_pkg_install", "do not install the project").long("skip-pkg-install"));
        let help = "do not install anything; use the environments as they are";
        result.push(flag("skip_env_install", help).long("skip-env-install"));
    }
    if matches!(word, RUN | EXEC) {
        result.push(flag("skip_uv_sync", "do not run uv sync (uv-venv-lock-runner only)").long("skip-uv-sync"));
    }
    if word == Legacy {
        result.push(flag("pre", "accept pre-releases (deprecated: use PIP_PRE=1 in set_env)").long("pre"));
        let argument = value("force_dep", "req", "use this version of a dependency; may be repeated").long("force-dep");
        result.push(argument.action(ArgAction::Append));
        result.push(
            flag("site_packages", "give access to the interpreter's own packages (deprecated)").long("sitepackages"),
        );
        result.push(flag("always_copy", "copy the interpreter instead of linking it (deprecated)").long("alwayscopy"));
    }
    under("Building and running", result)
}

/// The options for parallel runs, of `run-parallel` and `legacy`.
pub fn parallel(word: CommandWord) -> Vec<Arg> {
    let amount = if word == CommandWord::Legacy {
        let help = "run in parallel: all (the default VAL), auto (number of processors) or a number; 0 turns it off";
        value("parallel", "VAL", help).num_args(0..=1).default_missing_value("all")
    } else {
        let help = "run this many at a time: all, auto (number of processors) or a number [default: auto]";
        value("parallel", "VAL", help)
    };
    let arguments = vec![
        amount.short('p').long("parallel"),
        flag("parallel_live", "show output while commands run").short('o').long("parallel-live"),
        flag("parallel_no_spinner", "do not show progress (the default in CI)").long("parallel-no-spinner"),
    ];
    under("Parallel runs", arguments)
}

/// The options of every command that creates environments.
pub fn environment(word: CommandWord) -> Vec<Arg> {
    let mut result = Vec::new();
    if !word.serves() {
        let help = "write a JSON report of the run to this file";
        result.push(value("result_json", "path", help).long("result-json"));
        let help = "write a JUnit XML report of the run to this file";
        result.push(value("junit_xml", "path", help).long("junit-xml"));
        let help = "set the output format: human (as tox), json (one event per line) or brief (only failures) [default: human]";
        result.push(choice("report", REPORTS, help).value_name("FORMAT").long("report"));
        if word != CommandWord::Verb(Verb::Exec) {
            let help = "let commands write directly to the terminal (not in parallel, not with --result-json)";
            result.push(flag("no_capture", help).short('i').long("no-capture"));
        }
    }
    let help = "set PYTHONHASHSEED for the commands; notset leaves it alone [default: a random number]";
    result.push(value("hash_seed", "SEED", help).long("hashseed"));
    result.push(values("discover", "path", "try these Python interpreters first").long("discover"));
    let help = "let uv install a Python interpreter if none matches";
    result.push(flag("install_python", help).long("install-python"));
    let help = "download runtimes such as Node.js that are not installed";
    result.push(flag("install_runtime", help).long("install-runtime"));
    let help = "list the installed packages (the default in CI)";
    result.push(flag("list_dependencies", help).long("list-dependencies").conflicts_with("no_list_dependencies"));
    result.push(flag("no_list_dependencies", "do not list the installed packages").long("no-list-dependencies"));
    under("Commands and output", result)
}

/// The options for the project's location and configuration.
pub fn project() -> Vec<Arg> {
    let override_help = "override a setting, for example testenv:py311.deps=pytest; += appends; may be repeated";
    let provision_help =
        "fail if a package in requires is missing, instead of installing it; write the list to REQ_JSON";
    let arguments = vec![
        value("config_file", "file", "use this configuration file, or the one in this folder").short('c').long("conf"),
        value("root_dir", "dir", "set the project's root folder [default: the folder of the configuration file]")
            .long("root"),
        value("work_dir", "dir", "create environments in this folder [default: .tox in the root]").long("workdir"),
        value("override", "OVERRIDE", override_help).short('x').long("override").action(ArgAction::Append),
        choice("default_runner", RUNNERS, "set the default runner: virtualenv or virtualenv-pep-723")
            .long("runner")
            .value_name("RUNNER"),
        value("no_provision", "REQ_JSON", provision_help)
            .long("no-provision")
            .num_args(0..=1)
            .default_missing_value(""),
        flag("no_recreate_provision", "with -r, keep the environment that provides requires")
            .long("no-recreate-provision"),
    ];
    under("Project and configuration", arguments)
}

/// The options of the program itself.
pub fn general() -> Vec<Arg> {
    let verbose = "increase verbosity; may be repeated";
    let arguments = vec![
        flag("verbose", verbose).short('v').long("verbose").action(ArgAction::Count).conflicts_with("quiet"),
        flag("quiet", "decrease verbosity; may be repeated").short('q').long("quiet").action(ArgAction::Count),
        choice("colored", ["yes", "no"], "use colours [default: on a terminal, unless NO_COLOR is set]")
            .long("colored")
            .value_name("yes|no")
            .hide_possible_values(true),
        choice("stderr_color", COLORS, "set the colour of the commands' standard error [default: RED]")
            .long("stderr-color")
            .value_name("COLOR")
            .hide_possible_values(true),
        value("exit_and_dump_after", "seconds", "accepted for compatibility with tox; has no effect")
            .long("exit-and-dump-after"),
        flag("version", "show the version and exit").short('V').long("version"),
        flag("help", "show this help and exit").short('h').long("help"),
    ];
    under("General", arguments)
}
