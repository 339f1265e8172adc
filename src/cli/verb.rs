//! The commands of envo, with their names, help texts and examples.

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Run,
    RunParallel,
    Merge,
    Serve,
    Up,
    Scale,
    Down,
    Ps,
    Logs,
    Start,
    Stop,
    Restart,
    Wait,
    Events,
    Mcp,
    Services,
    List,
    Config,
    Depends,
    Exec,
    Devenv,
    Schema,
    Quickstart,
    Import,
    Lock,
    Update,
    Graph,
    Outdated,
    Audit,
    Sbom,
    Pack,
    Verify,
    Install,
    Releases,
    Rollback,
    Man,
    Hook,
    Allow,
    Deny,
    Revoke,
    Shell,
    Env,
    Reload,
    Unload,
    Status,
    Secrets,
    Export,
    Submit,
    Cache,
    Completion,
}

impl Verb {
    /// All commands, in the order of the help.
    pub const ALL: [Self; 50] = [
        Self::Run,
        Self::RunParallel,
        Self::Merge,
        Self::Serve,
        Self::Up,
        Self::Scale,
        Self::Down,
        Self::Ps,
        Self::Logs,
        Self::Start,
        Self::Stop,
        Self::Restart,
        Self::Wait,
        Self::Events,
        Self::Mcp,
        Self::Services,
        Self::List,
        Self::Config,
        Self::Depends,
        Self::Exec,
        Self::Devenv,
        Self::Schema,
        Self::Quickstart,
        Self::Import,
        Self::Lock,
        Self::Update,
        Self::Graph,
        Self::Outdated,
        Self::Audit,
        Self::Sbom,
        Self::Pack,
        Self::Verify,
        Self::Install,
        Self::Releases,
        Self::Rollback,
        Self::Export,
        Self::Submit,
        Self::Cache,
        Self::Hook,
        Self::Allow,
        Self::Deny,
        Self::Revoke,
        Self::Shell,
        Self::Env,
        Self::Reload,
        Self::Unload,
        Self::Status,
        Self::Secrets,
        Self::Man,
        Self::Completion,
    ];

    /// The name and the short name.
    pub(super) fn spelling(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Run => ("run", Some("r")),
            Self::RunParallel => ("run-parallel", Some("p")),
            Self::Merge => ("merge", None),
            Self::Serve => ("serve", None),
            Self::Up => ("up", None),
            Self::Scale => ("scale", None),
            Self::Down => ("down", None),
            Self::Ps => ("ps", None),
            Self::Logs => ("logs", None),
            Self::Start => ("start", None),
            Self::Stop => ("stop", None),
            Self::Restart => ("restart", None),
            Self::Wait => ("wait", None),
            Self::Events => ("events", None),
            Self::Mcp => ("mcp", None),
            Self::Services => ("services", None),
            Self::List => ("list", Some("l")),
            Self::Config => ("config", Some("c")),
            Self::Depends => ("depends", Some("de")),
            Self::Exec => ("exec", Some("e")),
            Self::Devenv => ("devenv", Some("d")),
            Self::Schema => ("schema", None),
            Self::Quickstart => ("quickstart", Some("q")),
            Self::Export => ("export", None),
            Self::Submit => ("submit", None),
            Self::Cache => ("cache", None),
            Self::Hook => ("hook", None),
            Self::Allow => ("allow", None),
            Self::Deny => ("deny", None),
            Self::Revoke => ("revoke", None),
            Self::Shell => ("shell", None),
            Self::Env => ("env", None),
            Self::Reload => ("reload", None),
            Self::Unload => ("unload", None),
            Self::Status => ("status", None),
            Self::Secrets => ("secrets", None),
            Self::Man => ("man", None),
            Self::Import => ("import", None),
            Self::Lock => ("lock", None),
            Self::Update => ("update", None),
            Self::Graph => ("graph", None),
            Self::Outdated => ("outdated", None),
            Self::Audit => ("audit", None),
            Self::Sbom => ("sbom", None),
            Self::Pack => ("pack", None),
            Self::Verify => ("verify", None),
            Self::Install => ("install", None),
            Self::Releases => ("releases", None),
            Self::Rollback => ("rollback", None),
            Self::Completion => ("completion", None),
        }
    }

    pub fn name(self) -> &'static str {
        self.spelling().0
    }

    /// One line for the list of commands.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Run => "Build environments and run their commands",
            Self::RunParallel => "Build and run environments in parallel",
            Self::Merge => "Merge the results of slices",
            Self::Serve => "Start services and show their logs",
            Self::Up => "Start services in the background",
            Self::Scale => "Change the number of instances of services",
            Self::Down => "Stop background services",
            Self::Ps => "Show the state of services",
            Self::Logs => "Show the logs of services",
            Self::Start => "Start stopped services",
            Self::Stop => "Stop services",
            Self::Restart => "Restart services",
            Self::Wait => "Wait until services are ready",
            Self::Events => "Stream service events",
            Self::Mcp => "Serve coding agents with the Model Context Protocol",
            Self::Services => "List the available services and their origin",
            Self::List => "List environments",
            Self::Config => "Show the resolved settings",
            Self::Depends => "Show the order in which environments run",
            Self::Exec => "Run a command in an environment",
            Self::Devenv => "Create a development environment",
            Self::Schema => "Print a JSON schema of the configuration",
            Self::Quickstart => "Create a tox.ini",
            Self::Import => "Convert a Procfile, Compose file or lock file",
            Self::Lock => "Lock the exact contents of environments",
            Self::Update => "Update locked packages, changing as few as possible",
            Self::Graph => "Show the dependency tree of locked packages",
            Self::Outdated => "List outdated locked packages",
            Self::Audit => "Check locked packages for known vulnerabilities",
            Self::Sbom => "Export locked packages as a CycloneDX SBOM",
            Self::Pack => "Pack a locked environment for other machines",
            Self::Verify => "Check a packed file on this machine",
            Self::Install => "Install a packed file as a release",
            Self::Releases => "List installed releases",
            Self::Rollback => "Switch to an earlier release",
            Self::Export => "Write files for CI services, containers and systemd",
            Self::Submit => "Run environments as an array of jobs on Slurm",
            Self::Cache => "Manage what runs leave on disk",
            Self::Hook => "Print the hook of a shell",
            Self::Allow => "Allow a project to activate its environment",
            Self::Deny => "Never activate a project, and be silent about it",
            Self::Revoke => "Forget what was allowed or denied",
            Self::Shell => "Start a shell or a command in an environment",
            Self::Env => "Print the variables of an environment",
            Self::Reload => "Build the environment that shells activate",
            Self::Unload => "Take the activation back in this shell",
            Self::Status => "Show whether a project is allowed and activated",
            Self::Secrets => "Check that secrets can be fetched",
            Self::Man => "Install the manual page",
            Self::Completion => "Generate shell completions",
        }
    }

    pub(super) fn usage(self) -> &'static str {
        match self {
            Self::Run | Self::RunParallel => "[options] [-- ARGUMENT ...]",
            Self::Exec => "[options] -- COMMAND [ARGUMENT ...]",
            Self::Devenv => "[options] [path]",
            Self::Quickstart => "[options] [root]",
            Self::Import => "[options] KIND [file]",
            Self::Update => "[options] [NAME ...]",
            Self::Completion => "[options] SHELL",
            Self::Scale => "[options] ENV=N ...",
            Self::Verify | Self::Install => "[options] FILE",
            Self::Merge => "[options] RESULT ...",
            Self::Export | Self::Submit => "[options] TARGET",
            Self::Cache => "[options] key|size|prune",
            Self::Secrets => "[options] check",
            Self::Hook => "[options] SHELL",
            Self::Shell => "[options] [-- COMMAND [ARGUMENT ...]]",
            Self::Rollback => "[options] [N]",
            Self::Serve | Self::Up | Self::Down | Self::Ps | Self::Logs | Self::Events => "[options] [ENV ...]",
            Self::Start | Self::Stop | Self::Restart | Self::Wait => "[options] ENV ...",
            _ => "[options]",
        }
    }

    /// The paragraph at the top of its help.
    pub(super) fn explanation(self) -> &'static str {
        match self {
            Self::Run => {
                "Builds the selected environments and runs their commands, one environment after another. Without -e, \
                 -m or -f, the environments in env_list are selected. Arguments after -- replace {posargs}."
            }
            Self::RunParallel => {
                "Builds the selected environments and runs their commands, several environments at a time, in the \
                 order set by depends. Output is shown only for environments that fail, unless --parallel-live is \
                 given."
            }
            Self::Merge => {
                "Puts the files that run --shard --result-json wrote together to one result, and ends with the exit code \
                 that a single run would have. Missing and doubled slices and environments are errors. Uses no \
                 configuration."
            }
            Self::Serve => {
                "Builds the selected services (environments with a serve key) and their dependencies, starts each one \
                 when its dependencies are ready, and shows their logs. Ctrl-C stops them in reverse order. Without \
                 -e, every service is selected."
            }
            Self::Up => {
                "Builds the selected services and their dependencies, starts them in the background and leaves them \
                 running. If some are running already, starts the missing ones, restarts those whose settings have \
                 changed and leaves the others alone. Without -e, every service is selected."
            }
            Self::Scale => {
                "Starts or stops instances until N of each named service are running in the background, each with its \
                 own ports. The number applies until the next up or scale. Services that depend on them are left alone."
            }
            Self::Down => {
                "Stops the services that up started, in reverse order; without names, all of them. A service that a \
                 serve or run in another terminal still uses keeps running until that command ends."
            }
            Self::Ps => "Shows the services with their state, health, ports and resource usage.",
            Self::Logs => {
                "Shows the output of services, past and present. With several services, each line is prefixed with \
                 the name of its service."
            }
            Self::Start => "Starts services that were stopped or have failed, and their dependencies.",
            Self::Stop => {
                "Stops services, after the services that depend on them, until start or up starts them again."
            }
            Self::Restart => {
                "Stops services and starts them again. Services that depend on them with depends = ENV:restart are \
                 restarted too."
            }
            Self::Wait => "Waits until services are ready. Fails as soon as one of them has failed or was stopped.",
            Self::Events => "Prints a line for every event of the services, until interrupted.",
            Self::Mcp => {
                "Serves a coding agent on standard input and output with the Model Context Protocol (MCP): lists environments \
                 and services, searches logs, and runs an environment and returns its failures. Values of variables are not \
                 returned. Services can be started, stopped and restarted only with --allow-control."
            }
            Self::Services => {
                "Lists the services in the configuration and those provided by installed packages, each with the line \
                 or the package that defines it. Nothing is built or started."
            }
            Self::List => "Lists the environments with their descriptions, those in env_list first.",
            Self::Config => {
                "Shows the settings of the selected environments after inheritance, conditions and substitution."
            }
            Self::Depends => "Shows the order in which environments run, and their dependencies as a tree.",
            Self::Exec => "Builds one environment and runs the given command in it instead of its own commands.",
            Self::Devenv => {
                "Creates an environment in the given folder (default: venv) and installs the project into it in \
                 development mode. No commands are run."
            }
            Self::Schema => {
                "Prints the JSON schema of tox.toml, and of [tool.tox] in pyproject.toml, for editors and validators. \
                 It is the schema that tox prints; with --all-keys, it has every key of tox and envo, needs no configuration and \
                 follows the rules of SchemaStore."
            }
            Self::Quickstart => {
                "Creates a tox.ini that runs pytest, by default in the current folder. An existing file is not \
                 overwritten."
            }
            Self::Export => {
                "Prints the files with which others run the project: CI services and schedulers run its environments in \
                 slices and merge the results; compose, dockerfile, systemd and procfile run its services, and \
                 kubernetes both. --write puts the files in their usual places, and --check exits with 1 if one is out \
                 of date there."
            }
            Self::Submit => {
                "Hands the selected environments to Slurm as an array of jobs, one for each slice, waits for them, runs \
                 slices without a result again, and merges the results like one run. All nodes must see the project's \
                 folder. Ctrl-C cancels the jobs."
            }
            Self::Cache => {
                "key prints the key for a CI cache of the work folder and the prefix for older ones: the key changes \
                 when what the selected environments are made from does. size shows what takes the room. prune removes \
                 environments that the configuration no longer has."
            }
            Self::Hook => {
                "Prints the code that a shell evaluates at its start. From then on, entering the folder of an allowed project activates the environment that the key activate of its section [envo] names, and leaving takes everything back."
            }
            Self::Allow => {
                "Allows the hook to activate the project as it is now: the configuration and every file that decides the environment. When one of them changes, the hook asks again."
            }
            Self::Deny => {
                "Keeps the hook from activating the project, whatever its content, and from asking. allow and revoke end that."
            }
            Self::Revoke => "Forgets what was allowed or denied for the project.",
            Self::Shell => {
                "Builds one environment and starts your shell, or the command after --, with its variables. A command also gets the secrets that the environment names; a shell gets them only if secrets_in_shell is set."
            }
            Self::Env => {
                "Prints the variables that the environment sets for shells, as code or data. Builds nothing, and never prints secrets."
            }
            Self::Reload => {
                "Builds the environment that the hook activates, and undoes unload. The next prompt has the result."
            }
            Self::Unload => {
                "Has the hook of this shell take everything back and activate the project no more until reload."
            }
            Self::Status => {
                "Shows the project of the current folder, whether it is allowed, and whether its environment is built and activated."
            }
            Self::Secrets => {
                "check fetches every secret that the selected environments name and reports which references work. Values \
                 are never shown. Exits with 1 if a secret is missing."
            }
            Self::Man => "Installs the manual page in your home directory and prints any step that is left to you.",
            Self::Import => {
                "Converts a Procfile or a docker-compose.yml to sections of a tox.ini, prints them, and reports what it \
                 could not convert. --write adds them to the tox.ini in this folder. From a lock file of pipenv, poetry, \
                 pdm or pip-tools it prints the locked versions, as constraints for envo lock."
            }
            Self::Lock => {
                "Resolves the dependencies of each environment and writes locks/pylock.ENV.toml (PEP 751), and envo.lock \
                 as the index of all locks. Versions that are already locked are kept if possible. Other languages \
                 have lock files in their own formats."
            }
            Self::Update => {
                "Updates the named packages to the newest compatible versions, and other packages only if that is \
                 necessary; without names, updates all packages. Reports the changes."
            }
            Self::Graph => "Shows the locked packages as a tree, each with its requirements or its dependents.",
            Self::Outdated => {
                "Lists the locked packages that have a newer version on the index. Exits with 1 if there are any."
            }
            Self::Audit => {
                "Looks up every locked package in a vulnerability database in the OSV format. Exits with 1 if a \
                 vulnerability is known, and with an error if a package could not be looked up."
            }
            Self::Sbom => "Writes the locked packages as a CycloneDX document (JSON) to standard output or a file.",
            Self::Pack => {
                "Builds a locked environment and packs it, with the project, its Python, a bill of materials and the digest \
                 of every file, into a file that runs on other machines. The same sources and lock result in the same \
                 bytes. Fails if the lock is out of date, or if an environment in pack_tests has not passed on exactly \
                 these files."
            }
            Self::Verify => {
                "Checks a file that pack wrote: its signature, the digest of every file, whether this machine can run it, \
                 and whether its console scripts can be imported. Uses no network and no configuration."
            }
            Self::Install => {
                "Checks a packed file, unpacks it next to the releases in the folder of --root and switches the link \
                 current to it. If anything fails, the previous release stays in place. Older releases than the newest \
                 pack_keep are removed."
            }
            Self::Releases => "Lists the releases in the folder of --root. The current one is marked.",
            Self::Rollback => {
                "Checks an earlier release in the folder of --root and switches the link current to it: the release with \
                 this number, or the newest before the current one."
            }
            Self::Completion => {
                "Prints a completion script for bash, zsh, fish or powershell. In the first three, it also completes the names \
                 in the configuration: environments, services, labels, factors and profiles."
            }
        }
    }

    /// Example arguments and their effect, for its help.
    pub(super) fn examples(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Run => &[
                ("run -e py311,lint", "two environments"),
                ("run -e py3{11-13} -- -k login", "pass -k login to their commands"),
                ("run -f py311 -x testenv.deps+=pdbpp", "by factor, with a setting changed"),
            ],
            Self::RunParallel => &[
                ("run-parallel", "one environment per processor at a time"),
                ("p -p 3 -o", "three at a time, with live output"),
            ],
            Self::Merge => &[
                ("merge results/*.json", "show the summary of all slices"),
                ("merge *.json --summary github", "in the last job on GitHub Actions"),
            ],
            Self::Serve => &[("serve", "every service"), ("serve -e api,web", "two services and their dependencies")],
            Self::List => &[("list", "all environments"), ("list -d --no-desc", "only the names in env_list")],
            Self::Up => &[
                ("up --wait", "every service; return when all are ready"),
                ("up -e api", "one service and its dependencies"),
            ],
            Self::Scale => &[("scale web=3", "run three instances of web")],
            Self::Down => &[("down", "stop every service"), ("down api", "stop one service")],
            Self::Ps => &[
                ("ps", "a table"),
                ("ps --timeline", "the timeline of the last start"),
                ("ps --format json", "for programs"),
            ],
            Self::Logs => &[
                ("logs -f api web", "follow two services"),
                ("logs -n 20 --since 10m", "recent lines of every service"),
            ],
            Self::Start => &[("start api", "start api and its dependencies")],
            Self::Stop => &[("stop db", "stop db and the services that depend on it")],
            Self::Restart => &[("restart api", "without rebuilding its environment")],
            Self::Wait => &[("wait api --timeout 30", "at most half a minute")],
            Self::Events => &[("events --format json", "for programs")],
            Self::Mcp => &[("mcp", "as the command of an MCP server in the agent's configuration")],
            Self::Services => &[("services", "a table"), ("services --format json", "for programs")],
            Self::Config => &[
                ("config -e py311", "all settings of one environment"),
                ("config -k deps commands", "two settings of the default environments"),
                ("config --format json", "for programs"),
            ],
            Self::Depends => &[
                ("depends", "all environments"),
                ("depends --format mermaid", "a diagram, with the states of services"),
            ],
            Self::Exec => &[("exec -e py311 -- python --version", "show its Python version")],
            Self::Devenv => &[("devenv -e py311 venv", "then: . venv/bin/activate")],
            Self::Schema => &[
                ("schema > tox.schema.json", "for your editor"),
                ("schema --all-keys > envo.schema.json", "with the keys of services and locks"),
            ],
            Self::Quickstart => &[("quickstart", "in the current folder"), ("q service", "in the folder service")],
            Self::Export => &[
                ("export github --write", "write .github/workflows/envo.yml"),
                ("export gitlab --check", "in CI: fail if .gitlab-ci.yml is out of date"),
                ("export compose --write", "write compose.yaml"),
            ],
            Self::Submit => &[
                ("submit slurm", "run env_list on the cluster"),
                ("submit slurm --shards 20 --partition short", "in one partition"),
            ],
            Self::Cache => &[
                ("cache key -e py311 >> $GITHUB_OUTPUT", "as outputs of a step"),
                ("cache prune --ci", "before a CI service stores .tox"),
            ],
            Self::Hook => &[
                ("hook bash", "in ~/.bashrc: eval \"$(envo hook bash)\""),
                ("hook fish", "in config.fish: envo hook fish | source"),
            ],
            Self::Allow => &[("allow --show", "first see what it would do"), ("allow", "allow it")],
            Self::Deny => &[("deny", "in the project")],
            Self::Revoke => &[("revoke", "in the project")],
            Self::Shell => &[
                ("shell -e dev", "your shell, until exit"),
                ("shell -e web -- ./deploy", "a command with its secrets"),
            ],
            Self::Env => &[
                ("env -e dev --format json", "for programs"),
                ("env -e dev --format github >> $GITHUB_ENV", "for later steps"),
            ],
            Self::Reload => &[("reload", "in the project")],
            Self::Unload => &[("unload", "in the project")],
            Self::Status => &[("status", "in the project")],
            Self::Secrets => {
                &[("secrets check", "of the environments in env_list"), ("secrets check -e ALL", "of all environments")]
            }
            Self::Man => &[("man", "then: man envo")],
            Self::Import => &[
                ("import procfile", "convert the file Procfile"),
                ("import compose docker-compose.yml --write", "and add the result to tox.ini"),
                ("import pipenv --write", "write its versions to pins.txt"),
            ],
            Self::Lock => &[
                ("lock", "the environments of env_list"),
                ("lock --check", "check that the locks are up to date"),
                ("lock --upgrade -e py311", "upgrade every package of one environment"),
            ],
            Self::Update => {
                &[("update urllib3", "one package, in every environment"), ("update -e docs", "every package of docs")]
            }
            Self::Graph => &[("graph -e py311", "a tree"), ("graph --reverse", "each package with its dependents")],
            Self::Outdated => &[("outdated", "every locked environment")],
            Self::Audit => &[("audit", "query osv.dev"), ("audit --db all.zip", "use a downloaded database")],
            Self::Sbom => &[("sbom -o sbom.json", "all locked environments")],
            Self::Pack => &[
                ("pack -e web", "write web-VERSION.tar.zst"),
                ("pack -e web --untested -o web.tar.zst", "without the tests in pack_tests"),
            ],
            Self::Verify => &[("verify web.tar.zst --key minisign.pub", "with its signature")],
            Self::Install => &[("install web.tar.zst --root /opt/web", "then: /opt/web/current/run")],
            Self::Releases => &[("releases --root /opt/web", "a table")],
            Self::Rollback => &[
                ("rollback --root /opt/web", "the release before the current one"),
                ("rollback 3 --root /opt/web", "release 3"),
            ],
            Self::Completion => &[
                ("completion bash > ~/.envo.bash", "then in ~/.bashrc: . ~/.envo.bash"),
                ("completion zsh > _envo", "in a folder of $fpath"),
                ("completion fish > envo.fish", "in ~/.config/fish/completions"),
            ],
        }
    }

    /// Whether environments can be selected, unlike for commands about the program or the configuration format.
    pub(super) fn concerns_environments(self) -> bool {
        let about_none = [
            Self::Merge,
            Self::Scale,
            Self::Schema,
            Self::Quickstart,
            Self::Import,
            Self::Man,
            Self::Completion,
            Self::Services,
            Self::Mcp,
        ];
        !about_none.contains(&self) && !self.is_about_shells() && !self.talks_only() && !self.is_about_releases()
    }

    /// Whether it is about the project of a shell, whatever the selected environments.
    pub(super) fn is_about_shells(self) -> bool {
        use Verb::{Allow, Deny, Hook, Reload, Revoke, Status, Unload};
        matches!(self, Hook | Allow | Deny | Revoke | Reload | Unload | Status)
    }

    /// Whether it only talks to the running supervisor and builds nothing.
    pub(super) fn talks_only(self) -> bool {
        use Verb::{Down, Events, Logs, Ps, Restart, Start, Stop, Wait};
        matches!(self, Down | Ps | Logs | Start | Stop | Restart | Wait | Events)
    }

    /// Whether it works with packed files, on a machine without the project.
    pub(super) fn is_about_releases(self) -> bool {
        matches!(self, Self::Verify | Self::Install | Self::Releases | Self::Rollback)
    }

    /// Whether it is about locks and creates no environment.
    pub(super) fn is_about_locks(self) -> bool {
        matches!(self, Self::Lock | Self::Update | Self::Graph | Self::Outdated | Self::Audit | Self::Sbom)
    }

    /// Whether it builds environments to serve them.
    pub(super) fn serves(self) -> bool {
        matches!(self, Self::Serve | Self::Up | Self::Scale)
    }
}
