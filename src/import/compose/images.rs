//! Known images, and how their programs run as services of a project from the system's packages. What the image takes from
//! its variables (`POSTGRES_DB` and the like) stays in `set_env`, where the commands find it.

use crate::import::fields::{field, settled, template};
use crate::import::section::{split, words_line};

/// A program in place of an image. `<NAME>` is a field, `<args>` what the command of the file adds.
pub struct KnownProgram {
    names: &'static [&'static str],
    /// The package to install.
    pub package: &'static str,
    /// The program, by the names it has had; one of them has to be there.
    pub programs: &'static [&'static str],
    /// Where the system's packages put it when that is not on PATH.
    pub folders: &'static [&'static str],
    pub ports: &'static [(&'static str, u16)],
    /// Text for `sh` that prepares it.
    prepare: &'static str,
    /// Text for `sh` if `in_shell`, else words.
    serve: &'static str,
    in_shell: bool,
    pub ready: Option<&'static str>,
    pub stop_signal: Option<&'static str>,
    /// Seconds, if it takes long to start.
    pub ready_timeout: Option<&'static str>,
    /// Options that the image's command must not repeat here, since the program refuses two of them or would leave the
    /// foreground; and whether a value follows.
    own: &'static [(&'static str, bool)],
    /// What is not as in the image, by the variable that asks for it.
    pub lacks: &'static [(&'static str, &'static str)],
}

const POSTGRES: &str = "PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin \
    2>/dev/null | sort -V | tail -n 1); data=\"<env_dir>/data\"; as=; if [ $(id -u) = 0 ]; then \
    as=\"setpriv --reuid=postgres --regid=postgres --init-groups\"; \
    data=~postgres/envo-$(echo \"<env_dir>\" | cksum | cut -d \" \" -f 1); fi; ";

// A server that starts removes the temporary tables of all others in its folder of temporary files, which is `/tmp`.
const MYSQL: &str = "PATH=$PATH:/usr/sbin:/usr/libexec; data=\"<env_dir>/data\"; as=; [ $(id -u) != 0 ] || as=--user=root; \
    export TMPDIR=\"<env_dir>/temporary\"; mkdir -p \"$TMPDIR\"; ";

/// What most programs have none of.
const BARE: KnownProgram = KnownProgram {
    names: &[],
    package: "",
    programs: &[],
    folders: &[],
    ports: &[],
    prepare: "",
    serve: "",
    in_shell: false,
    ready: None,
    stop_signal: None,
    ready_timeout: None,
    own: &[],
    lacks: &[],
};

const IMAGES: &[KnownProgram] = &[
    KnownProgram {
        names: &["redis", "valkey", "redis-stack-server"],
        package: "redis-server",
        programs: &["redis-server"],
        ports: &[("redis", 6379)],
        serve: "redis-server <args> --bind <host> --port <port> --save \"\" --dir <env_tmp_dir>",
        ..BARE
    },
    KnownProgram {
        names: &["postgres", "postgresql", "postgis", "pgvector", "timescaledb"],
        package: "postgresql",
        programs: &["postgres"],
        folders: &["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"],
        ports: &[("sql", 5432)],
        prepare: "test -e \"<env_dir>/made\" && exit; set -e; rm -rf \"$data\"; mkdir -p \"$data\"; chmod 700 \"$data\"; \
                  [ -z \"$as\" ] || chown postgres:postgres \"$data\"; files=\"<scripts>\"; user=${POSTGRES_USER:-postgres}; \
                  name=${POSTGRES_DB:-$user}; root=$PWD; cd \"$data\"; \
                  $as initdb -D \"$data\" -U \"$user\" --auth trust --encoding UTF8 --no-locale --no-sync >/dev/null; \
                  socket=$(mktemp -d); trap \"rm -rf $socket\" EXIT; [ -z \"$as\" ] || chown postgres:postgres \"$socket\"; \
                  $as pg_ctl -D \"$data\" -l \"$data/made.log\" -w -o \"-k $socket -c listen_addresses=\" start >/dev/null; \
                  trap \"$as pg_ctl -D $data -m fast -w stop >/dev/null; rm -rf $socket\" EXIT; \
                  ask=\"psql -q -v ON_ERROR_STOP=1 -h $socket -U $user\"; \
                  [ \"$name\" = postgres ] || echo \"CREATE DATABASE \\\"$name\\\"\" | $ask -d postgres; cd \"$root\"; \
                  for file in $files; do $ask -d \"$name\" -f \"$file\"; done; touch \"<env_dir>/made\"",
        serve: "cd \"$data\"; exec $as postgres <args> -D \"$data\" -h <host> -p <port> -c unix_socket_directories= \
                -c lc_messages=C",
        in_shell: true,
        ready: Some("log:database system is ready to accept connections"),
        stop_signal: Some("SIGINT"),
        ..BARE
    },
    KnownProgram {
        names: &["mysql", "mariadb", "mysql-server"],
        package: "mariadb-server",
        programs: &["mariadbd", "mysqld"],
        folders: &["/usr/sbin", "/usr/libexec"],
        ports: &[("sql", 3306)],
        prepare: "test -e \"<env_dir>/made\" && exit; set -e; rm -rf \"$data\"; mkdir -p \"$data\"; \
                  if command -v mariadb-install-db >/dev/null; then mariadb-install-db --no-defaults $as --datadir=\"$data\" \
                  --auth-root-authentication-method=normal --skip-test-db; \
                  else mysqld --no-defaults $as --initialize-insecure --datadir=\"$data\"; fi; touch \"<env_dir>/made\"",
        serve: "name=${MYSQL_DATABASE:-$MARIADB_DATABASE}; user=${MYSQL_USER:-$MARIADB_USER}; \
                password=${MYSQL_PASSWORD:-$MARIADB_PASSWORD}; all=${MYSQL_ROOT_PASSWORD:-$MARIADB_ROOT_PASSWORD}; \
                ( echo \"DROP USER IF EXISTS \\\"\\\"@localhost;\"; \
                echo \"CREATE USER IF NOT EXISTS root@\\\"%\\\" IDENTIFIED BY \\\"$all\\\";\"; \
                echo \"GRANT ALL ON *.* TO root@\\\"%\\\" WITH GRANT OPTION;\"; \
                echo \"ALTER USER root@localhost IDENTIFIED BY \\\"$all\\\";\"; \
                [ -z \"$name\" ] || echo \"CREATE DATABASE IF NOT EXISTS \\`$name\\`;\"; \
                [ -z \"$user\" ] || echo \"CREATE USER IF NOT EXISTS \\\"$user\\\"@\\\"%\\\" IDENTIFIED BY \\\"$password\\\";\"; \
                [ -z \"$user\" ] || [ -z \"$name\" ] || echo \"GRANT ALL ON \\`$name\\`.* TO \\\"$user\\\"@\\\"%\\\";\" \
                ) > \"$data/start.sql\"; exec $(command -v mariadbd || command -v mysqld) --no-defaults <args> $as \
                --datadir=\"$data\" --bind-address=<host> --port=<port> --socket=mysql.sock --pid-file=mysql.pid \
                --init-file=\"$data/start.sql\" --loose-mysqlx=OFF",
        in_shell: true,
        ..BARE
    },
    KnownProgram {
        names: &["mongo", "mongodb", "mongodb-community-server"],
        package: "mongodb-org, from MongoDB's own repository (https://www.mongodb.com/docs/manual/installation)",
        programs: &["mongod"],
        ports: &[("mongo", 27017)],
        prepare: "mkdir -p \"<env_dir>/data\"",
        serve: "mongod <args> --dbpath <env_dir>/data --bind_ip <host> --port <port> --nounixsocket",
        own: &[("--bind_ip", true), ("--bind_ip_all", false), ("--port", true), ("--dbpath", true), ("--fork", false)],
        lacks: &[(
            "MONGO_INITDB_ROOT_USERNAME",
            "the user is not created and no password is needed: remove both from the URLs of its clients",
        )],
        ..BARE
    },
    KnownProgram {
        names: &["rabbitmq"],
        package: "rabbitmq-server",
        programs: &["rabbitmq-server"],
        folders: &["/usr/sbin", "/usr/lib/rabbitmq/bin"],
        // Its nodes find each other by epmd: one of its own ends with it, and no other's ending takes it away.
        ports: &[("amqp", 5672), ("dist", 25672), ("epmd", 4369)],
        serve: "PATH=/usr/lib/rabbitmq/bin:$PATH:/usr/sbin; export HOME=\"<env_dir>\" RABBITMQ_NODENAME=envo-<port>@localhost \
                RABBITMQ_NODE_IP_ADDRESS=<host> RABBITMQ_NODE_PORT=<port> RABBITMQ_DIST_PORT=<port:dist> \
                ERL_EPMD_PORT=<port:epmd> ERL_EPMD_ADDRESS=<host> \
                RABBITMQ_MNESIA_BASE=\"<env_dir>/data\" RABBITMQ_LOG_BASE=\"<env_dir>/log\" RABBITMQ_LOGS=- \
                RABBITMQ_ENABLED_PLUGINS_FILE=\"<env_dir>/plugins\" RABBITMQ_CONFIG_FILE=\"<env_dir>/rabbitmq\"; \
                printf \"default_user = %s\\ndefault_pass = %s\\ndefault_vhost = %s\\n\" \"${RABBITMQ_DEFAULT_USER:-guest}\" \
                \"${RABBITMQ_DEFAULT_PASS:-guest}\" \"${RABBITMQ_DEFAULT_VHOST:-/}\" > \"<env_dir>/rabbitmq.conf\"; \
                exec rabbitmq-server <args>",
        in_shell: true,
        ready_timeout: Some("180"),
        ..BARE
    },
    KnownProgram {
        names: &["memcached"],
        package: "memcached",
        programs: &["memcached"],
        ports: &[("memcached", 11211)],
        serve: "memcached <args> --listen <host> --port <port> --user nobody",
        own: &[("-l", true), ("--listen", true), ("-p", true), ("--port", true), ("-d", false), ("--daemon", false)],
        ..BARE
    },
    KnownProgram {
        names: &["minio"],
        package: "minio, a single binary (https://min.io/download)",
        programs: &["minio"],
        ports: &[("http", 9000), ("console", 9001)],
        prepare: "mkdir -p \"<env_dir>/data\"",
        serve: "minio server <env_dir>/data --address <host>:<port> --console-address <host>:<port:console>",
        ready: Some("http://<host>:<port>/minio/health/live"),
        ..BARE
    },
];

/// The program of an image, registry and tag aside.
pub fn known(image: &str) -> Option<&'static KnownProgram> {
    let name = settled(image);
    let name = name.split('@').next()?.rsplit('/').next()?.split(':').next()?.to_owned();
    IMAGES.iter().find(|program| program.names.contains(&name.as_str()))
}

/// What a command adds to the program of an image; `None`: it runs another program.
pub fn arguments(program: &KnownProgram, command: &[String]) -> Option<Vec<String>> {
    let words = match command {
        [shell, flag, text]
            if matches!(shell.as_str(), "sh" | "bash") && flag == "-c" && !text.contains(['|', '&', ';', '<', '>']) =>
        {
            split(text.strip_prefix("exec ").unwrap_or(text))
        }
        other => other.to_vec(),
    };
    let words = match words.split_first() {
        Some((first, rest)) if first.ends_with("docker-entrypoint.sh") => rest.to_vec(),
        _ => words,
    };
    let Some((first, rest)) = words.split_first() else { return Some(Vec::new()) };
    let name = first.rsplit('/').next().unwrap_or_default();
    match name {
        _ if first.starts_with('-') => Some(program.without_own(&words)),
        // Where its data are is said by the keys.
        "minio" => Some(Vec::new()),
        "server" if program.programs == ["minio"] => Some(Vec::new()),
        name if program.programs.contains(&name) => Some(program.without_own(rest)),
        _ => None,
    }
}

impl KnownProgram {
    /// The variables that the image reads from the files which `NAME_FILE` names.
    pub fn in_files(&self, is_set: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let names: &[&str] = match self.names {
            ["postgres", ..] => &["POSTGRES_USER", "POSTGRES_DB"],
            ["mysql", ..] => &[
                "MYSQL_DATABASE",
                "MYSQL_USER",
                "MYSQL_PASSWORD",
                "MYSQL_ROOT_PASSWORD",
                "MARIADB_DATABASE",
                "MARIADB_USER",
                "MARIADB_PASSWORD",
                "MARIADB_ROOT_PASSWORD",
            ],
            _ => &[],
        };
        names.iter().copied().filter(|name| is_set(&format!("{name}_FILE"))).collect()
    }

    /// `commands_pre`. `scripts` are files that fill a new database, relative to the project's root; `in_files` are
    /// variables whose values are in files.
    pub fn prepare(&self, scripts: &[String], in_files: &[&str]) -> Option<String> {
        if self.prepare.is_empty() {
            return None;
        }
        let scripts: Vec<String> = scripts.iter().map(|path| format!("{}/{path}", field("tox_root"))).collect();
        let text = format!("{}{}", self.before(in_files), self.prepare).replace("<scripts>", &scripts.join(" "));
        Some(words_line(&["sh".to_owned(), "-c".to_owned(), template(&text)]))
    }

    fn before(&self, in_files: &[&str]) -> String {
        let common = match self.names {
            ["postgres", ..] => POSTGRES,
            ["mysql", ..] => MYSQL,
            _ => "",
        };
        let read = |name: &&str| format!("{name}=$(cat \"${name}_FILE\"); ");
        std::iter::once(common.to_owned()).chain(in_files.iter().map(read)).collect()
    }

    /// The arguments without those that `serve` has itself.
    fn without_own(&self, words: &[String]) -> Vec<String> {
        let mut kept = Vec::new();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let name = word.split('=').next().unwrap_or_default();
            let is_joined = |option: &str| !option.starts_with("--") && word.len() > 2 && word.starts_with(option);
            match self.own.iter().find(|(option, takes)| *option == name || (*takes && is_joined(option))) {
                None => kept.push(word.clone()),
                Some((option, true)) if word == option => drop(rest.next()),
                Some(_) => {}
            }
        }
        kept
    }

    /// Whether files in `/docker-entrypoint-initdb.d` are read.
    pub fn takes_scripts(&self) -> bool {
        self.prepare.contains("<scripts>")
    }

    pub fn serve(&self, arguments: &[String], in_files: &[&str]) -> String {
        let in_shell = self.in_shell || arguments.iter().any(|word| word.contains('$'));
        let shell_word = |word: &String| {
            let plain = word.chars().all(|c| c.is_alphanumeric() || "_=./:,-@+%".contains(c) || !c.is_ascii());
            match plain && !word.is_empty() {
                true => word.clone(),
                false => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('`', "\\`")),
            }
        };
        let arguments_text = match in_shell {
            true => arguments.iter().map(shell_word).collect::<Vec<_>>().join(" "),
            false => words_line(arguments),
        };
        let mut text = format!("{}{}", self.before(in_files), self.serve);
        if arguments.iter().any(|word| matches!(word.as_str(), "--save" | "--appendonly")) {
            text = text.replace(" --save \"\"", "");
        }
        let spaced = if arguments_text.is_empty() { String::new() } else { format!(" {arguments_text}") };
        let text = template(&text).replace(" <args>", &spaced);
        if !in_shell {
            return text;
        }
        let text = if self.in_shell { text } else { format!("exec {text}") };
        words_line(&["sh".to_owned(), "-c".to_owned(), text])
    }

    /// The URL for clients.
    pub fn url(&self, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let address = template("@<host>:<port>/");
        Some(match self.names[0] {
            "redis" => template("redis://<host>:<port>/0"),
            "postgres" => {
                let user = first(&["POSTGRES_USER"]).unwrap_or_else(|| "postgres".to_owned());
                let name = first(&["POSTGRES_DB"]).unwrap_or_else(|| user.clone());
                format!("postgresql://{user}{address}{name}")
            }
            "mysql" => {
                let user = first(&["MYSQL_USER", "MARIADB_USER"]);
                let password = match user {
                    Some(_) => first(&["MYSQL_PASSWORD", "MARIADB_PASSWORD"]),
                    None => first(&["MYSQL_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD"]),
                };
                let user = user.unwrap_or_else(|| "root".to_owned());
                let name = first(&["MYSQL_DATABASE", "MARIADB_DATABASE"]).unwrap_or_default();
                format!("mysql://{user}:{}{address}{name}", password.unwrap_or_default())
            }
            "mongo" => template("mongodb://<host>:<port>/"),
            "rabbitmq" => {
                let user = first(&["RABBITMQ_DEFAULT_USER"]).unwrap_or_else(|| "guest".to_owned());
                let password = first(&["RABBITMQ_DEFAULT_PASS"]).unwrap_or_else(|| "guest".to_owned());
                let host = first(&["RABBITMQ_DEFAULT_VHOST"]).filter(|host| host != "/");
                let host = host.map_or(String::new(), |host| format!("/{}", host.replace('/', "%2F")));
                format!("amqp://{user}:{password}{}{host}", address.trim_end_matches('/'))
            }
            "minio" => template("http://<host>:<port>"),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::fields::written;

    #[test]
    fn an_image_is_known_with_registry_and_tag() {
        for image in ["redis", "redis:7-alpine", "docker.io/library/redis@sha256:0", "registry:5000/redis:7"] {
            assert!(known(image).is_some_and(|program| program.package == "redis-server"), "{image}");
        }
        for image in ["", "example/app", "redisinsight", "redis/redisinsight"] {
            assert!(known(image).is_none(), "{image}");
        }
        for image in [
            "mariadb:11",
            "mysql:8",
            "mongo",
            "rabbitmq:3-management",
            "memcached",
            "minio/minio",
            "postgis/postgis:16-3.4",
        ] {
            assert!(known(image).is_some(), "{image}");
        }
    }

    #[test]
    fn every_port_of_an_image_is_a_field_of_its_command() {
        for program in IMAGES {
            let text = written(&program.serve(&[], &[])).unwrap();
            for (at, (name, _)) in program.ports.iter().enumerate() {
                let expected = if at == 0 { "{port}".to_owned() } else { format!("{{port:{name}}}") };
                assert!(text.contains(&expected), "{text}");
            }
            assert!(!text.contains("<port"), "{text}");
        }
    }

    #[test]
    fn programs_are_called_as_their_manuals_say_whatever_the_image_is_told() {
        for (image, command, expected) in [
            // <https://www.mongodb.com/docs/manual/reference/program/mongod/>
            (
                "mongo:7",
                "--replSet rs0 --bind_ip_all",
                "mongod --replSet rs0 --dbpath {env_dir}/data --bind_ip {host} --port {port} --nounixsocket",
            ),
            (
                "mongo",
                "mongod --bind_ip 0.0.0.0 --port=27018 --fork --quiet",
                "mongod --quiet --dbpath {env_dir}/data --bind_ip {host} --port {port} --nounixsocket",
            ),
            // <https://min.io/docs/minio/linux/reference/minio-server/minio-server.html>
            (
                "minio/minio",
                "server /data --console-address :9001",
                "minio server {env_dir}/data --address {host}:{port} --console-address {host}:{port:console}",
            ),
            (
                "memcached:1.6",
                "memcached -m 64 -l 0.0.0.0 -p11212 -d -I 2m",
                "memcached -m 64 -I 2m --listen {host} --port {port} --user nobody",
            ),
        ] {
            let program = known(image).unwrap();
            let words = arguments(program, &split(command)).unwrap();
            assert_eq!(written(&program.serve(&words, &[])).unwrap(), expected);
        }
        let url = |host: &str| {
            let variable = |name: &str| (name == "RABBITMQ_DEFAULT_VHOST").then(|| host.to_owned());
            written(&known("rabbitmq").unwrap().url(variable).unwrap()).unwrap()
        };
        assert_eq!(url("a/b"), "amqp://guest:guest@{host}:{port}/a%2Fb");
        assert_eq!(url("/"), "amqp://guest:guest@{host}:{port}");
    }

    #[test]
    fn what_a_command_adds_belongs_to_the_program_of_the_image() {
        let words = |text: &str| split(text);
        let redis = known("redis").unwrap();
        let serve =
            |command: &str| arguments(redis, &words(command)).map(|words| written(&redis.serve(&words, &[])).unwrap());
        let expected = "redis-server --requirepass s --bind {host} --port {port} --save \"\" --dir {env_tmp_dir}";
        assert_eq!(serve("--requirepass s").unwrap(), expected);
        assert_eq!(serve("redis-server --requirepass s").unwrap(), expected);
        assert_eq!(serve("docker-entrypoint.sh redis-server --requirepass s").unwrap(), expected);
        assert_eq!(
            serve("sh -c 'redis-server --appendonly yes --requirepass $PASSWORD'").unwrap(),
            "sh -c 'exec redis-server --appendonly yes --requirepass \"$PASSWORD\" --bind {host} --port {port} --dir {env_tmp_dir}'"
        );
        assert_eq!(serve("python x.py"), None);
        let postgres = known("postgres").unwrap();
        let arguments = words("-c max_connections=200 -c 'log_line_prefix=%m \"x\"'");
        let serve = postgres.serve(&arguments, &["POSTGRES_DB"]);
        assert!(serve.contains("POSTGRES_DB=$(cat \"$POSTGRES_DB_FILE\"); cd"), "{serve}");
        assert!(serve.contains("postgres -c max_connections=200 -c \"log_line_prefix=%m \\\"x\\\"\" -D"), "{serve}");
    }
}
