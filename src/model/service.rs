//! What an environment with a `serve` key says about itself, read from raw texts into typed values. The specification
//! is `docs/services.md`. Texts may still hold `{port}`, `{host}` and `{service:…}` fields, which are only known when
//! the service and those it depends on run; this room does not fill them in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// A port a service listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub name: String,
    /// `None`: envo picks a free one.
    pub number: Option<u16>,
}

/// How to find out whether a service can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A GET that answers 2xx or 3xx, or exactly `status` when one is given. The text is an `http://` or `https://` URL.
    Http { url: String, status: Option<u16> },
    /// A TCP connection can be made to `host:port`.
    Tcp { address: String },
    /// A Unix socket can be connected to.
    Unix { path: String },
    /// A command, not yet split into words, exits with 0.
    Command { text: String },
    /// A line of the service's output matches; named groups become fields.
    Log { pattern: String },
    /// The service says `READY=1` on `$NOTIFY_SOCKET`.
    Notify,
    /// The service is a job: ready when it has ended well.
    Exit,
    /// Ready as soon as it runs.
    Alive,
}

impl Probe {
    /// Reads a probe. Fields in braces may still be in it.
    ///
    /// # Errors
    /// An unknown kind of probe, an empty target, a status that is none.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        if text.starts_with("http://") || text.starts_with("https://") {
            return Self::parse_http(text);
        }
        let (kind, target) = text.split_once(':').unwrap_or((text, ""));
        let target = match kind {
            "tcp" | "unix" => target.strip_prefix("//").unwrap_or(""),
            "notify" | "exit" | "alive" if text != kind => {
                return Err(ConfigError::handled(format!("`{kind}` takes nothing after it, not `{text}`")));
            }
            _ => target.trim(),
        };
        match kind {
            "notify" => Ok(Self::Notify),
            "exit" => Ok(Self::Exit),
            "alive" => Ok(Self::Alive),
            "tcp" | "unix" | "cmd" | "log" if target.is_empty() => Err(ConfigError::handled(format!(
                "`{text}` does not say what to probe"
            ))
            .hint("a probe reads like `tcp://{host}:{port}`, `unix:///run/x.sock`, `cmd:COMMAND` or `log:REGEX`")),
            "tcp" if !target.contains(':') => {
                Err(ConfigError::handled(format!("`{text}` has no port")).hint("write `tcp://HOST:PORT`"))
            }
            "tcp" => Ok(Self::Tcp { address: target.to_owned() }),
            "unix" => Ok(Self::Unix { path: target.to_owned() }),
            "cmd" => Ok(Self::Command { text: target.to_owned() }),
            "log" => Ok(Self::Log { pattern: target.to_owned() }),
            _ => Err(ConfigError::handled(format!("`{text}` is not a probe")).hint(
                "probes are `http://…`, `https://…`, `tcp://HOST:PORT`, `unix://PATH`, `cmd:COMMAND`, `log:REGEX`, \
                 `notify`, `exit` and `alive`",
            )),
        }
    }

    fn parse_http(text: &str) -> Result<Self, ConfigError> {
        let (url, status) = match text.rsplit_once('|') {
            None => (text, None),
            Some((url, condition)) => {
                let number = condition.trim().strip_prefix("status=").and_then(|digits| digits.trim().parse().ok());
                let Some(number) = number.filter(|status| (100..600).contains(status)) else {
                    return Err(ConfigError::handled(format!("`{condition}` in `{text}` is not an HTTP status"))
                        .hint("write `http://…|status=204`"));
                };
                (url.trim_end(), Some(number))
            }
        };
        if matches!(url.split_once("://"), Some((_, rest)) if rest.is_empty() || rest.starts_with('/')) {
            return Err(ConfigError::handled(format!("`{text}` has no host")));
        }
        Ok(Self::Http { url: url.to_owned(), status })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    #[default]
    No,
    OnFailure,
    Always,
}

/// Between whom tests share an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// One for a whole test run.
    #[default]
    Run,
    /// One for each xdist worker.
    Worker,
    /// One for each test.
    Test,
}

/// The service keys of one environment. Texts may still hold `{port}`, `{host}` and `{service:…}` fields, which are
/// only known when the service and those it depends on run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// `serve`, before its fields are filled in.
    pub serve: String,
    pub ports: Vec<Port>,
    pub host: String,
    /// Before its fields are filled in; `None`: derived from the probe.
    pub url: Option<String>,
    /// `ready`, before its fields are filled in; `None`: TCP on the first port, or alive.
    pub ready: Option<String>,
    #[serde(with = "seconds")]
    pub ready_timeout: Duration,
    /// `alive`, before its fields are filled in.
    pub alive: Option<String>,
    pub restart: RestartPolicy,
    pub restart_limit: u32,
    pub success_exit_codes: Vec<i32>,
    /// `SIGTERM` and the like.
    pub stop_signal: String,
    #[serde(with = "seconds")]
    pub stop_timeout: Duration,
    /// Use what answers on a fixed port already instead of starting one.
    pub adopt: bool,
    pub share: Share,
    /// How long to keep it after the last lease.
    #[serde(with = "seconds")]
    pub idle_timeout: Duration,
    /// Where the keys were written, for error messages: `tox.ini:12`. Whoever reads the keys sets it.
    pub location: String,
}

/// The keys [`Service::from_keys`] asks for.
pub const KEYS: [&str; 15] = [
    "serve",
    "ports",
    "host",
    "url",
    "ready",
    "ready_timeout",
    "alive",
    "restart",
    "restart_limit",
    "success_exit_codes",
    "stop_signal",
    "stop_timeout",
    "adopt",
    "share",
    "idle_timeout",
];

impl Default for Service {
    fn default() -> Self {
        Self::new(String::new())
    }
}

/// Times as numbers of seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}

impl Service {
    /// A service with every key but `serve` at its default.
    pub fn new(serve: impl Into<String>) -> Self {
        Self {
            serve: serve.into(),
            ports: Vec::new(),
            host: "127.0.0.1".to_owned(),
            url: None,
            ready: None,
            ready_timeout: Duration::from_secs(60),
            alive: None,
            restart: RestartPolicy::No,
            restart_limit: 5,
            success_exit_codes: vec![0],
            stop_signal: "SIGTERM".to_owned(),
            stop_timeout: Duration::from_secs(10),
            adopt: false,
            share: Share::Run,
            idle_timeout: Duration::ZERO,
            location: String::new(),
        }
    }

    /// Reads the keys through `text_of`, which gives the substituted text of a key, or `None` when it is not set. The
    /// answer is `None` when `serve` is not set or empty: the environment is no service.
    ///
    /// # Errors
    /// What `text_of` finds wrong, and values that cannot be understood; the message names the key and the value.
    pub fn from_keys(
        text_of: &dyn Fn(&str) -> Result<Option<String>, ConfigError>,
    ) -> Result<Option<Self>, ConfigError> {
        let get = |key: &str| -> Result<Option<String>, ConfigError> {
            Ok(text_of(key)?.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
        };
        let Some(serve) = get("serve")? else { return Ok(None) };
        let mut service = Self::new(one_command(&serve)?);
        if let Some(text) = get("ports")? {
            service.ports = parse_ports(&text)?;
        }
        if let Some(text) = get("host")? {
            service.host = text;
        }
        service.url = get("url")?;
        service.ready = probe_text("ready", get("ready")?)?;
        service.alive = probe_text("alive", get("alive")?)?;
        if let Some(text) = get("success_exit_codes")? {
            service.success_exit_codes = parse_exit_codes(&text)?;
        }
        if let Some(text) = get("stop_signal")? {
            service.stop_signal = parse_signal(&text)?;
        }
        for (key, value) in [
            ("ready_timeout", &mut service.ready_timeout),
            ("stop_timeout", &mut service.stop_timeout),
            ("idle_timeout", &mut service.idle_timeout),
        ] {
            if let Some(text) = get(key)? {
                *value = parse_seconds(key, &text)?;
            }
        }
        service.read_policies(&get)?;
        Ok(Some(service))
    }

    fn read_policies(&mut self, get: &dyn Fn(&str) -> Result<Option<String>, ConfigError>) -> Result<(), ConfigError> {
        if let Some(text) = get("restart")? {
            self.restart = match text.as_str() {
                "no" => RestartPolicy::No,
                "on-failure" => RestartPolicy::OnFailure,
                "always" => RestartPolicy::Always,
                _ => return Err(wrong("restart", &text, "one of `no`, `on-failure`, `always`")),
            };
        }
        if let Some(text) = get("restart_limit")? {
            self.restart_limit = text.parse().map_err(|_| wrong("restart_limit", &text, "a number"))?;
        }
        if let Some(text) = get("adopt")? {
            self.adopt = match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "t" | "y" | "1" => true,
                "false" | "no" | "off" | "f" | "n" | "0" => false,
                _ => return Err(wrong("adopt", &text, "`true` or `false`")),
            };
        }
        if let Some(text) = get("share")? {
            self.share = match text.as_str() {
                "run" => Share::Run,
                "worker" => Share::Worker,
                "test" => Share::Test,
                _ => return Err(wrong("share", &text, "one of `run`, `worker`, `test`")),
            };
        }
        Ok(())
    }

    /// What `ready` says, or what it means when it says nothing: TCP on the first port, else alive.
    pub fn ready_text(&self) -> String {
        match (&self.ready, self.ports.first()) {
            (Some(text), _) => text.clone(),
            (None, Some(port)) => format!("tcp://{{host}}:{{port:{}}}", port.name),
            (None, None) => "alive".to_owned(),
        }
    }
}

fn wrong(key: &str, value: &str, expected: &str) -> ConfigError {
    ConfigError::handled(format!("`{key} = {value}`: `{value}` is not {expected}"))
}

/// `serve` is one command; a line that ends with a backslash goes on.
fn one_command(text: &str) -> Result<String, ConfigError> {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default().to_owned();
    if first.is_empty() {
        return Err(ConfigError::handled(format!("`serve = {text}`: there is no command in it")));
    }
    match lines.next() {
        None => Ok(first),
        Some(second) => Err(ConfigError::handled(format!("`serve` takes one command, and `{second}` is a second one"))
            .hint(
                "what must run before it goes to `commands_pre`; another long-running program is another environment",
            )),
    }
}

/// Items between commas and white space; a comment ends at the line's end.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split_once('#').map_or(line, |(before, _)| before))
        .flat_map(|line| line.split([',', ' ', '\t']))
        .filter(|item| !item.is_empty())
}

fn parse_ports(text: &str) -> Result<Vec<Port>, ConfigError> {
    let mut ports: Vec<Port> = Vec::new();
    for item in items(text) {
        let (name, number) = match item.split_once('=') {
            None => (item, None),
            Some((name, digits)) => match digits.parse::<u16>() {
                Ok(number) if number > 0 => (name, Some(number)),
                _ => {
                    return Err(ConfigError::handled(format!(
                        "`ports = {item}`: `{digits}` is not a port number from 1 to 65535"
                    )));
                }
            },
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(plain) {
            return Err(ConfigError::handled(format!("`ports = {item}`: `{name}` is not a name for a port"))
                .hint("names are letters, digits, `-`, `_` and `.`, as in `http` or `http=8080`"));
        }
        if name.chars().all(|c| c.is_ascii_digit()) {
            return Err(ConfigError::handled(format!("`ports = {item}`: the port needs a name"))
                .hint(format!("write `http={name}`")));
        }
        if ports.iter().any(|port| port.name == name) {
            return Err(ConfigError::handled(format!("`ports = {item}`: there are two ports named `{name}`")));
        }
        if number.is_some() && ports.iter().any(|port| port.number == number) {
            return Err(ConfigError::handled(format!("`ports = {item}`: that number is given twice")));
        }
        ports.push(Port { name: name.to_owned(), number });
    }
    Ok(ports)
}

fn probe_text(key: &str, text: Option<String>) -> Result<Option<String>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    match Probe::parse(&text) {
        Ok(_) => Ok(Some(text)),
        Err(mut error) => {
            error.message = format!("`{key} = {text}`: {}", error.message);
            Err(error)
        }
    }
}

fn parse_exit_codes(text: &str) -> Result<Vec<i32>, ConfigError> {
    items(text).map(|item| item.parse().map_err(|_| wrong("success_exit_codes", item, "an exit code"))).collect()
}

/// Seconds with a fraction; at most a year, so that adding to a time never overflows.
fn parse_seconds(key: &str, text: &str) -> Result<Duration, ConfigError> {
    let seconds: f64 = text.parse().map_err(|_| wrong(key, text, "a number of seconds"))?;
    if !(0.0..=31_536_000.0).contains(&seconds) {
        return Err(wrong(key, text, "a number of seconds from 0 to a year"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Signals a service may be stopped with, and their numbers.
const SIGNALS: [(&str, i32); 10] = [
    ("SIGTERM", libc::SIGTERM),
    ("SIGINT", libc::SIGINT),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGHUP", libc::SIGHUP),
    ("SIGKILL", libc::SIGKILL),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGABRT", libc::SIGABRT),
    ("SIGALRM", libc::SIGALRM),
    ("SIGWINCH", libc::SIGWINCH),
];

/// The number of a signal's canonical name.
pub fn signal_number(name: &str) -> Option<i32> {
    SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// `SIGINT`, `INT`, `int` and `2` all mean `SIGINT`.
fn parse_signal(text: &str) -> Result<String, ConfigError> {
    let upper = text.to_ascii_uppercase();
    SIGNALS
        .iter()
        .find(|(name, number)| *name == upper || name[3..] == *upper || text.parse() == Ok(*number))
        .map(|(name, _)| (*name).to_owned())
        .ok_or_else(|| {
            let names: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
            wrong("stop_signal", text, "a signal").hint(format!("signals are {}", names.join(", ")))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Service>, ConfigError> {
        Service::from_keys(&|key| Ok(pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())))
    }

    fn message(pairs: &[(&str, &str)]) -> String {
        let mut all = vec![("serve", "x")];
        all.extend(pairs);
        read(&all).expect_err("the value is wrong").message
    }

    #[test]
    fn an_environment_without_serve_is_no_service() {
        assert_eq!(read(&[("ports", "http")]).unwrap(), None);
        assert_eq!(read(&[("serve", "  ")]).unwrap(), None);
    }

    #[test]
    fn only_serve_gives_every_default() {
        assert_eq!(read(&[("serve", "python -m app")]).unwrap(), Some(Service::new("python -m app")));
    }

    #[test]
    fn every_key_is_read() {
        let service = read(&[
            ("serve", "\npython -m app \\\n  --port {port}\n"),
            ("ports", "http\nadmin=8001"),
            ("host", "::1"),
            ("url", "redis://{host}"),
            ("ready", "http://{host}:{port}/up|status=204"),
            ("ready_timeout", "1.5"),
            ("alive", "tcp://{host}:{port}"),
            ("restart", "on-failure"),
            ("restart_limit", "2"),
            ("success_exit_codes", "0, 143"),
            ("stop_signal", "int"),
            ("stop_timeout", "0.25"),
            ("adopt", "true"),
            ("share", "worker"),
            ("idle_timeout", "30"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!(service.serve, "python -m app    --port {port}");
        assert_eq!(service.ports.len(), 2);
        assert_eq!(service.ports[1], Port { name: "admin".into(), number: Some(8001) });
        assert_eq!(service.ready_timeout, Duration::from_millis(1500));
        assert_eq!(service.success_exit_codes, [0, 143]);
        assert_eq!(service.stop_signal, "SIGINT");
        assert_eq!((service.restart, service.restart_limit), (RestartPolicy::OnFailure, 2));
        assert!(service.adopt);
        assert_eq!((service.share, service.idle_timeout), (Share::Worker, Duration::from_secs(30)));
    }

    #[test]
    fn wrong_values_are_named_with_their_key() {
        assert_eq!(message(&[("ports", "http=80x")]), "`ports = http=80x`: `80x` is not a port number from 1 to 65535");
        assert_eq!(message(&[("ports", "8080")]), "`ports = 8080`: the port needs a name");
        assert!(message(&[("ports", "a a")]).contains("two ports named `a`"));
        assert!(message(&[("ports", "a=1 b=1")]).contains("given twice"));
        assert!(message(&[("ports", "{x}")]).contains("not a name"));
        assert!(message(&[("ports", "a=0")]).contains("not a port number"));
        assert!(message(&[("ports", "a=70000")]).contains("not a port number"));
        assert_eq!(message(&[("ready_timeout", "soon")]), "`ready_timeout = soon`: `soon` is not a number of seconds");
        for seconds in ["-1", "nan", "inf", "1e300"] {
            assert!(message(&[("stop_timeout", seconds)]).starts_with("`stop_timeout = "));
        }
        assert!(message(&[("stop_signal", "SIGNOPE")]).contains("is not a signal"));
        assert!(message(&[("restart", "maybe")]).contains("`no`, `on-failure`, `always`"));
        assert!(message(&[("restart_limit", "-1")]).contains("restart_limit"));
        assert!(message(&[("success_exit_codes", "0,x")]).contains("success_exit_codes = x"));
        assert!(message(&[("adopt", "perhaps")]).contains("adopt"));
        assert!(message(&[("share", "all")]).contains("share"));
        assert!(message(&[("ready", "htp://x")]).contains("`ready = htp://x`: `htp://x` is not a probe"));
        assert!(read(&[("serve", "a\nb")]).unwrap_err().message.contains("`b` is a second one"));
    }

    #[test]
    fn probes_are_told_apart() {
        let parse = |text: &str| Probe::parse(text).unwrap();
        assert_eq!(parse("http://a/|status=204"), Probe::Http { url: "http://a/".into(), status: Some(204) });
        assert_eq!(parse("https://a"), Probe::Http { url: "https://a".into(), status: None });
        assert_eq!(parse("tcp://{host}:{port}"), Probe::Tcp { address: "{host}:{port}".into() });
        assert_eq!(parse("unix:///run/x"), Probe::Unix { path: "/run/x".into() });
        assert_eq!(parse("cmd: pg_isready -h x"), Probe::Command { text: "pg_isready -h x".into() });
        assert_eq!(parse("log:on port (?P<port>\\d+)"), Probe::Log { pattern: "on port (?P<port>\\d+)".into() });
        assert_eq!((parse("notify"), parse("exit"), parse("alive")), (Probe::Notify, Probe::Exit, Probe::Alive));
        for bad in ["", "tcp:", "tcp://", "tcp://host", "cmd:", "log: ", "notify:x", "http://", "http:///x", "ftp://x"]
        {
            assert!(Probe::parse(bad).is_err(), "{bad}");
        }
        assert!(Probe::parse("http://a|status=9").is_err());
    }
}
