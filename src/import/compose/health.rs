//! Converts health checks to readiness probes: addresses of the container become those of the service.

use crate::import::fields::{field, template};
use crate::import::section::{command_words, split, words_line};

/// The result of converting a health check.
#[derive(Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// A probe, and the program it needs, if it starts one.
    Ready { probe: String, program: Option<String> },
    /// It is a program of the image.
    OfImage(String),
}

/// The programs that ask a server, and their options for host and port.
const CLIENTS: [(&str, &str, &str); 11] = [
    ("redis-cli", "-h", "-p"),
    ("valkey-cli", "-h", "-p"),
    ("pg_isready", "-h", "-p"),
    ("psql", "-h", "-p"),
    ("mysqladmin", "-h", "-P"),
    ("mariadb-admin", "-h", "-P"),
    ("mysql", "-h", "-P"),
    ("mariadb", "-h", "-P"),
    ("mongosh", "--host", "--port"),
    ("mongo", "--host", "--port"),
    ("mongostat", "--host", "--port"),
];

/// Programs that come with an image, or talk to a server by other means than its port.
const OF_IMAGES: [&str; 7] = [
    "healthcheck.sh",
    "rabbitmq-diagnostics",
    "rabbitmqctl",
    "mc",
    "docker-healthcheck",
    "healthcheck",
    "grpc_health_probe",
];

/// A port of the container as a field, if it is one of the service's.
pub type PortField<'a> = dyn Fn(Option<u16>) -> Option<String> + 'a;

/// `test` as words: `CMD` and words, `CMD-SHELL` and a text, or a text. `None`: there is no check.
pub fn probe(test: &[String], names: &[String], port: &PortField<'_>) -> Option<HealthCheck> {
    let words = match test {
        [kind, rest @ ..] if kind == "CMD" => rest.to_vec(),
        [kind, rest @ ..] if kind == "CMD-SHELL" => command_words(&without_exit(&rest.join(" "))),
        [kind, ..] if kind == "NONE" => return None,
        texts => command_words(&without_exit(&texts.join(" "))),
    };
    let words = match words.as_slice() {
        [shell, flag, text] if shell == "sh" && flag == "-c" => command_words(&without_exit(text)),
        _ => words,
    };
    let program = words.first()?.rsplit('/').next().unwrap_or_default().to_owned();
    let is_shell = program == "sh" || program == "bash";
    let asked = if is_shell { split(words.last()?).into_iter().next().unwrap_or_default() } else { program.clone() };
    if OF_IMAGES.contains(&asked.as_str()) {
        return Some(HealthCheck::OfImage(asked));
    }
    let ready =
        |probe: String, program: Option<&str>| Some(HealthCheck::Ready { probe, program: program.map(str::to_owned) });
    if !is_shell && let Some(address) = address(&words, names, port) {
        return ready(address, None);
    }
    let client = CLIENTS.iter().find(|(name, ..)| *name == asked);
    if is_shell {
        let text = words.last().cloned().unwrap_or_default();
        let text = match client {
            Some((name, host, number)) => in_text(&text, name, host, number),
            None => own_addresses(&text, names, port),
        };
        return ready(format!("cmd:{}", words_line(&["sh".to_owned(), "-c".to_owned(), text])), Some(&asked));
    }
    let words = match client {
        Some((_, host, number)) => in_words(&words, host, number),
        None => words.iter().map(|word| own_addresses(word, names, port)).collect(),
    };
    ready(format!("cmd:{}", words_line(&words)), Some(&program))
}

/// `… || exit 1` says what a failure is anyway.
fn without_exit(text: &str) -> String {
    let text = text.trim();
    match text.rsplit_once("||") {
        Some((before, after)) if after.trim().starts_with("exit") || after.trim() == "false" => {
            before.trim().to_owned()
        }
        _ => text.to_owned(),
    }
}

fn is_own(host: &str, names: &[String]) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "0.0.0.0" | "[::1]" | "$HOSTNAME")
        || names.iter().any(|name| name == host)
}

/// What `curl`, `wget` or `nc` ask the service itself for.
fn address(words: &[String], names: &[String], port: &PortField<'_>) -> Option<String> {
    let program = words[0].rsplit('/').next().unwrap_or_default();
    if matches!(program, "nc" | "ncat" | "netcat") {
        let [.., host, number] = words else { return None };
        let field = is_own(host, names).then(|| port(number.parse().ok()))??;
        return Some(format!("tcp://{}:{field}", field_of_host()));
    }
    if !matches!(program, "curl" | "wget") {
        return None;
    }
    let asks_more = |word: &String| {
        ["-X", "-H", "-d", "-u", "--header", "--data", "--request", "--user", "--post", "--unix-socket"]
            .iter()
            .any(|option| word == option || (option.starts_with("--") && word.starts_with(option)))
    };
    if words.iter().any(asks_more) {
        return None;
    }
    words[1..].iter().find_map(|word| {
        let (scheme, rest) = word.split_once("://").unwrap_or(("http", word));
        if !matches!(scheme, "http" | "https") {
            return None;
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, number) = match authority.rsplit_once(':').filter(|(_, number)| number.parse::<u16>().is_ok()) {
            Some((host, number)) => (host, number.parse().ok()),
            None => (authority, Some(if scheme == "https" { 443 } else { 80 })),
        };
        let field = is_own(host, names).then(|| port(number))??;
        let path = if path.is_empty() { "/" } else { path };
        Some(format!("{scheme}://{}:{field}{path}", field_of_host()))
    })
}

fn field_of_host() -> String {
    field("host")
}

/// The client's words with host and port of the service instead of those of the container.
fn in_words(words: &[String], host: &str, number: &str) -> Vec<String> {
    let mut result = vec![words[0].rsplit('/').next().unwrap_or_default().to_owned()];
    result.extend([host.to_owned(), field("host"), number.to_owned(), field("port")]);
    let mut rest = words[1..].iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-h" | "--host" | "-P" | "--port" => drop(rest.next()),
            "-p" if number == "-p" => drop(rest.next()),
            glued if ["--host=", "--port=", "-h127", "-hlocal"].iter().any(|begin| glued.starts_with(begin)) => {}
            address if address.starts_with("localhost:") || address.starts_with("mongodb://localhost") => {}
            other => result.push(other.to_owned()),
        }
    }
    result
}

/// The same in a text for a shell.
fn in_text(text: &str, name: &str, host: &str, number: &str) -> String {
    let mut text = text.to_owned();
    for own in [
        "-h localhost",
        "-h 127.0.0.1",
        "-hlocalhost",
        "-h127.0.0.1",
        "--host=localhost",
        "--host=127.0.0.1",
        "--host localhost",
    ] {
        text = text.replace(&format!(" {own}"), "");
    }
    let (before, after) = text.split_once(name).unwrap_or(("", &text));
    let before =
        before.rsplit_once(['/']).map_or(before, |(folders, _)| folders.trim_end_matches(|c: char| !c.is_whitespace()));
    let options = template(&format!("{host} <host> {number} <port>"));
    format!("{before}{name} {options}{after}")
}

/// `localhost:8000` in any text.
fn own_addresses(text: &str, names: &[String], port: &PortField<'_>) -> String {
    let mut result = text.to_owned();
    let own = names.iter().map(String::as_str).chain(["localhost", "127.0.0.1", "0.0.0.0"]);
    for host in own {
        let Some((before, after)) = result.split_once(&format!("{host}:")) else { continue };
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let Some(port) = after[..digits].parse().ok().and_then(|number| port(Some(number))) else { continue };
        result = format!("{before}{}:{port}{}", field("host"), &after[digits..]);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::fields::written;

    fn of(test: &[&str]) -> String {
        let test: Vec<String> = test.iter().map(|word| (*word).to_owned()).collect();
        let port = |number: Option<u16>| match number {
            Some(8000) => Some(field("port")),
            Some(9000) => Some(field("port:p9000")),
            _ => None,
        };
        match probe(&test, &["web".to_owned()], &port) {
            None => "none".to_owned(),
            Some(HealthCheck::OfImage(program)) => format!("image: {program}"),
            Some(HealthCheck::Ready { probe, .. }) => written(&probe).unwrap(),
        }
    }

    #[test]
    fn addresses_of_the_service_become_fields() {
        for (test, expected) in [
            (&["CMD", "curl", "-f", "http://localhost:8000/health"][..], "http://{host}:{port}/health"),
            (&["CMD-SHELL", "curl -fsS http://127.0.0.1:9000 || exit 1"], "http://{host}:{port:p9000}/"),
            (&["wget -qO- web:8000/x?y=1"], "http://{host}:{port}/x?y=1"),
            (&["CMD", "sh", "-c", "nc -z localhost 8000"], "tcp://{host}:{port}"),
            (&["CMD", "redis-cli", "ping"], "cmd:redis-cli -h {host} -p {port} ping"),
            (&["CMD", "redis-cli", "-h", "localhost", "-p", "6379", "ping"], "cmd:redis-cli -h {host} -p {port} ping"),
            (&["CMD-SHELL", "pg_isready -U app -d shop"], "cmd:pg_isready -h {host} -p {port} -U app -d shop"),
            (
                &["CMD-SHELL", "pg_isready -U $POSTGRES_USER"],
                "cmd:sh -c 'pg_isready -h {host} -p {port} -U $POSTGRES_USER'",
            ),
            (&["CMD", "mysqladmin", "ping", "-h", "localhost", "-p$X"], "cmd:mysqladmin -h {host} -P {port} ping -p$X"),
            (
                &["CMD-SHELL", "redis-cli ping | grep PONG"],
                "cmd:sh -c 'redis-cli -h {host} -p {port} ping | grep PONG'",
            ),
            (&["CMD", "python", "-c", "ask('localhost:8000')"], "cmd:python -c 'ask('\"'\"'{host}:{port}'\"'\"')'"),
            (&["CMD", "curl", "-X", "POST", "http://localhost:8000/"], "cmd:curl -X POST http://{host}:{port}/"),
            (&["CMD", "curl", "http://elsewhere:8000/"], "cmd:curl http://elsewhere:8000/"),
            (&["CMD", "rabbitmq-diagnostics", "-q", "ping"], "image: rabbitmq-diagnostics"),
            (&["NONE"], "none"),
            (&["CMD"], "none"),
            (&[], "none"),
        ] {
            assert_eq!(of(test), expected, "{test:?}");
        }
    }
}
