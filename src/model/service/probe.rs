//! Probes: how to check whether a service can be used, parsed from text.

use crate::error::ConfigError;

/// How to check whether a service can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A GET that returns 2xx or 3xx, or exactly `status` if given. The text is an `http://` or `https://`
    /// URL.
    Http { url: String, status: Option<u16> },
    /// A TCP connection can be made to `host:port`.
    Tcp { address: String },
    /// A Unix socket can be connected to.
    Unix { path: String },
    /// A command, not yet split into words, exits with 0.
    Command { text: String },
    /// A line of the service's output matches; named groups become fields.
    Log { pattern: String },
    /// The service sends `READY=1` to `$NOTIFY_SOCKET`.
    Notify,
    /// The service is a job: ready when it has ended successfully.
    Exit,
    /// Ready as soon as it runs.
    Alive,
}

impl Probe {
    /// Parses a probe, which may still contain fields in braces.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_distinguished() {
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
