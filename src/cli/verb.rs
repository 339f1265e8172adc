//! What envo can be asked to do, and what its help says of it: one name for each from the command line to its end.

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Run,
    RunParallel,
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
    Man,
    Completion,
}

impl Verb {
    /// In the order in which the help lists them.
    pub const ALL: [Self; 30] = [
        Self::Run,
        Self::RunParallel,
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
        Self::Man,
        Self::Completion,
    ];

    /// Its name and its short name.
    pub(super) fn spelling(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Run => ("run", Some("r")),
            Self::RunParallel => ("run-parallel", Some("p")),
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
            Self::Services => ("services", None),
            Self::List => ("list", Some("l")),
            Self::Config => ("config", Some("c")),
            Self::Depends => ("depends", Some("de")),
            Self::Exec => ("exec", Some("e")),
            Self::Devenv => ("devenv", Some("d")),
            Self::Schema => ("schema", None),
            Self::Quickstart => ("quickstart", Some("q")),
            Self::Man => ("man", None),
            Self::Import => ("import", None),
            Self::Lock => ("lock", None),
            Self::Update => ("update", None),
            Self::Graph => ("graph", None),
            Self::Outdated => ("outdated", None),
            Self::Audit => ("audit", None),
            Self::Sbom => ("sbom", None),
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
            Self::RunParallel => "The same, several at a time",
            Self::Serve => "Start services in order, show their logs",
            Self::Up => "The same, in the background",
            Self::Scale => "Start more instances of services, or stop some",
            Self::Down => "Stop what up started",
            Self::Ps => "Show the services that run",
            Self::Logs => "Show what services wrote",
            Self::Start => "Start services that were stopped",
            Self::Stop => "Stop services until they are started again",
            Self::Restart => "Stop services and start them again",
            Self::Wait => "Wait until services are ready",
            Self::Events => "Tell what happens to services, as it happens",
            Self::Services => "List the services there are, and where each comes from",
            Self::List => "List the environments",
            Self::Config => "Show every setting as it was understood",
            Self::Depends => "Show in which order environments run",
            Self::Exec => "Run any command inside an environment",
            Self::Devenv => "Make an environment to develop in",
            Self::Schema => "Print a JSON schema of the configuration",
            Self::Quickstart => "Write a first tox.ini",
            Self::Import => "Translate a Procfile, a docker-compose.yml or a lock",
            Self::Lock => "Write down exactly what environments will contain",
            Self::Update => "Move locked versions, the fewest that must",
            Self::Graph => "Show which locked package requires which",
            Self::Outdated => "Show which locked versions have successors",
            Self::Audit => "Look locked versions up in a vulnerability database",
            Self::Sbom => "Write what is locked as a CycloneDX document",
            Self::Man => "Set up the manual page",
            Self::Completion => "Print what completes commands in a shell",
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
            Self::Serve | Self::Up | Self::Down | Self::Ps | Self::Logs | Self::Events => "[options] [ENV ...]",
            Self::Start | Self::Stop | Self::Restart | Self::Wait => "[options] ENV ...",
            Self::Services
            | Self::List
            | Self::Config
            | Self::Depends
            | Self::Schema
            | Self::Man
            | Self::Lock
            | Self::Graph
            | Self::Outdated
            | Self::Audit
            | Self::Sbom => "[options]",
        }
    }

    /// What it does and how it is used, for its help.
    pub(super) fn explanation(self) -> &'static str {
        match self {
            Self::Run => {
                "Builds the selected environments and runs their commands, one after another. Without -e, -m or -f \
                 these are the environments of env_list. What stands after -- replaces {posargs}."
            }
            Self::RunParallel => {
                "Builds the selected environments and runs their commands, several at a time, in the order depends \
                 asks for. Output is held back and shown for environments that fail."
            }
            Self::Serve => {
                "Builds the selected services (environments with a serve key) and what they depend on, starts them in \
                 order, each when what it depends on is ready, and shows their logs. Ctrl-C stops them in reverse. \
                 Without -e: every service."
            }
            Self::Up => {
                "Builds the selected services and what they depend on, starts them in the background and leaves them \
                 running. On a running set it starts what is missing, restarts what has changed and leaves the rest \
                 alone. Without -e: every service."
            }
            Self::Scale => {
                "Leaves N instances of each of these services running in the background, each with ports of its own, until \
                 the next up or scale. Whatever depends on them is left alone."
            }
            Self::Down => {
                "Stops the services that up started, in reverse order; without names, all of them. What a serve or a \
                 run in another terminal still needs goes on until that is done."
            }
            Self::Ps => "Shows services with their state, health, ports, and what they use.",
            Self::Logs => {
                "Shows what services wrote, of several with their names before each line. Logs stay when the services \
                 have ended."
            }
            Self::Start => "Starts services of the running set that were stopped or have failed, and what they need.",
            Self::Stop => {
                "Stops services of the running set, after those that depend on them, until start or up starts them again."
            }
            Self::Restart => {
                "Stops and starts services of the running set. Those that depend on them restart too where they say \
                 depends = ENV:restart."
            }
            Self::Wait => "Waits until services are ready; fails at once when one of them never will be.",
            Self::Events => "Writes a line for everything that happens to services, until interrupted.",
            Self::Services => {
                "Lists the services of the configuration, and those of installed packages that it can depend on, each \
                 with the line or the package it comes from. Nothing is built or started."
            }
            Self::List => "Lists the environments with their descriptions: first those of env_list, then the others.",
            Self::Config => {
                "Shows the settings of the selected environments after inheritance, conditions and substitution."
            }
            Self::Depends => "Shows the order environments run in, and as a tree what each depends on.",
            Self::Exec => {
                "Builds one environment and runs a command in it, in place of the environment's own commands."
            }
            Self::Devenv => {
                "Makes an environment for development in a folder of your choice (venv if none is named): the project \
                 is installed in development mode and no commands are run."
            }
            Self::Schema => {
                "Prints a JSON schema of tox.toml, or of [tool.tox] in pyproject.toml, for editors and validators. It is \
                 the schema tox prints."
            }
            Self::Quickstart => {
                "Writes a tox.ini that runs pytest into a folder, by default the current one, unless there is one \
                 already."
            }
            Self::Man => "Puts the manual page where man finds it, below your home, and says what is left to do.",
            Self::Import => {
                "Prints the environments that a Procfile or a docker-compose.yml comes to, for a tox.ini, and says what it \
                 could not translate. --write adds them to the tox.ini of this folder. Of a lock (of pipenv, poetry, pdm or \
                 pip-tools) it prints the versions, as constraints for envo lock."
            }
            Self::Lock => {
                "Writes locks/pylock.ENV.toml (PEP 751) for each environment, and envo.lock, the index over them. Versions \
                 that are locked already stay where they can. Other languages have locks of their own."
            }
            Self::Update => {
                "Moves the named packages to the newest versions that fit, and others only where that makes it \
                 necessary; without names, all of them. Says what moved."
            }
            Self::Graph => "Shows the packages of locks as a tree: each with what it requires, or what requires it.",
            Self::Outdated => {
                "Shows which locked packages have newer versions on the index. It ends with 1 if any has."
            }
            Self::Audit => {
                "Looks every locked package up in a database of vulnerabilities in OSV's format. It ends with 1 when one is \
                 known, and with an error when something could not be looked up."
            }
            Self::Sbom => "Writes the locked packages as a CycloneDX document in JSON, to standard output or a file.",
            Self::Completion => {
                "Prints a script that completes commands and options; SHELL is bash, zsh, fish or powershell."
            }
        }
    }

    /// Arguments and what they do, for its help.
    pub(super) fn examples(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Run => &[
                ("run -e py311,lint", "two environments"),
                ("run -e py3{11-13} -- -k login", "pass -k login to their commands"),
                ("run -f py311 -x testenv.deps+=pdbpp", "by factor, with a setting changed"),
            ],
            Self::RunParallel => &[
                ("run-parallel", "as many at a time as there are processors"),
                ("p -p 3 -o", "three, output as it comes"),
            ],
            Self::Serve => &[("serve", "every service"), ("serve -e api,web", "these, and what they depend on")],
            Self::List => &[("list", "all environments"), ("list -d --no-desc", "only the names in env_list")],
            Self::Up => {
                &[("up --wait", "every service; return when all are ready"), ("up -e api", "what api needs, too")]
            }
            Self::Scale => &[("scale web=3", "in place of its instances key")],
            Self::Down => &[("down", "stop what up started"), ("down api", "only this")],
            Self::Ps => {
                &[("ps", "a table"), ("ps --timeline", "how the last start went"), ("ps --format json", "for programs")]
            }
            Self::Logs => {
                &[("logs -f api web", "of two services, as it comes"), ("logs -n 20 --since 10m", "the latest")]
            }
            Self::Start => &[("start api", "and what it depends on")],
            Self::Stop => &[("stop db", "and what depends on it")],
            Self::Restart => &[("restart api", "with the environment it has")],
            Self::Wait => &[("wait api --timeout 30", "at most half a minute")],
            Self::Events => &[("events --format json", "for programs")],
            Self::Services => &[("services", "a table"), ("services --format json", "for programs")],
            Self::Config => &[
                ("config -e py311", "all of one environment"),
                ("config -k deps commands", "two settings, of the default environments"),
                ("config --format json", "for programs"),
            ],
            Self::Depends => &[
                ("depends", "of all environments"),
                ("depends --format mermaid", "as a picture, with the states of services"),
            ],
            Self::Exec => &[("exec -e py311 -- python --version", "which Python is it?")],
            Self::Devenv => &[("devenv -e py311 venv", "then: . venv/bin/activate")],
            Self::Schema => &[("schema > tox.schema.json", "for your editor")],
            Self::Quickstart => &[("quickstart", "here"), ("q service", "in the folder service")],
            Self::Man => &[("man", "then: man envo")],
            Self::Import => &[
                ("import procfile", "the file Procfile here"),
                ("import compose docker-compose.yml --write", "and add it to tox.ini"),
                ("import pipenv --write", "its versions, in pins.txt"),
            ],
            Self::Lock => &[
                ("lock", "the environments of env_list"),
                ("lock --check", "do the locks still fit? resolves nothing"),
                ("lock --upgrade -e py311", "everything in one environment anew"),
            ],
            Self::Update => {
                &[("update urllib3", "in every environment that has it"), ("update -e docs", "all of docs")]
            }
            Self::Graph => &[("graph -e py311", "a tree"), ("graph --reverse", "who needs it?")],
            Self::Outdated => &[("outdated", "of every locked environment")],
            Self::Audit => &[("audit", "ask osv.dev"), ("audit --db all.zip", "a database that was downloaded")],
            Self::Sbom => &[("sbom -o sbom.json", "all locked environments")],
            Self::Completion => &[
                ("completion bash > ~/.envo.bash", "then in ~/.bashrc: . ~/.envo.bash"),
                ("completion zsh > _envo", "in a folder of $fpath"),
            ],
        }
    }

    /// Whether environments can be chosen, as opposed to verbs about the program or the configuration's format.
    pub(super) fn concerns_environments(self) -> bool {
        let about_none =
            [Self::Scale, Self::Schema, Self::Quickstart, Self::Import, Self::Man, Self::Completion, Self::Services];
        !about_none.contains(&self) && !self.talks_only()
    }

    /// Whether it only talks to what runs already, and builds nothing.
    pub(super) fn talks_only(self) -> bool {
        use Verb::{Down, Events, Logs, Ps, Restart, Start, Stop, Wait};
        matches!(self, Down | Ps | Logs | Start | Stop | Restart | Wait | Events)
    }

    /// Whether it is about locks and makes no environment.
    pub(super) fn is_about_locks(self) -> bool {
        matches!(self, Self::Lock | Self::Update | Self::Graph | Self::Outdated | Self::Audit | Self::Sbom)
    }

    /// Whether it builds environments to serve them.
    pub(super) fn serves(self) -> bool {
        matches!(self, Self::Serve | Self::Up | Self::Scale)
    }
}
