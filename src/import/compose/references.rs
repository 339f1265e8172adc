//! Finds references to other services in a text: in a container the name is a host, here it is a field.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::import::fields::{CLOSE, OPEN};

/// The names that services are reached by, and which service that is.
#[derive(Debug, Default)]
pub struct ServiceNames {
    places: BTreeMap<String, usize>,
}

/// One mention of a service as a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    pub range: Range<usize>,
    pub service: usize,
    pub kind: ReferenceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceKind {
    /// `db:5432`
    HostAndPort(u16),
    /// `nc -z db 5432`
    HostThenPort(u16),
    /// `http://api/`: the port is that of the scheme.
    HostOfUrl,
    /// Only the name.
    Host,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextRole<'a> {
    /// The value of a variable.
    Variable(&'a str),
    /// A command, or words of one.
    Command,
}

/// Parts of a variable's name that say its value is no host, whatever it is.
const OTHERS: [&str; 27] = [
    "NAME",
    "DATABASE",
    "DB",
    "USER",
    "USERNAME",
    "PASSWORD",
    "PASS",
    "ENV",
    "ENVIRONMENT",
    "MODE",
    "ROLE",
    "TYPE",
    "DRIVER",
    "ENGINE",
    "CONNECTION",
    "DIALECT",
    "ADAPTER",
    "BACKEND",
    "STORE",
    "QUEUE",
    "TOPIC",
    "SCHEMA",
    "PREFIX",
    "KIND",
    "CLIENT",
    "COMMAND",
    "TARGET",
];
const HOSTS: [&str; 8] = ["HOST", "HOSTNAME", "HOSTS", "SERVER", "SERVERS", "ADDR", "ADDRESS", "URL"];

/// Whether a variable of that name may have a host as its value.
pub fn may_be_host(variable: &str) -> bool {
    let upper = variable.to_ascii_uppercase();
    let parts: Vec<&str> = upper.split(['_', '-', '.']).collect();
    let ends_with_host = HOSTS.iter().any(|host| upper.ends_with(host));
    ends_with_host || !parts.last().is_some_and(|last| OTHERS.contains(last))
}

impl ServiceNames {
    pub fn add(&mut self, name: &str, service: usize) {
        // What a service is called counts more than what another is called besides.
        self.places.entry(name.to_owned()).or_insert(service);
    }

    pub fn get(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Every mention of a service in a text, in order. `knows`: whether a service has that port.
    pub fn mentions(&self, text: &str, what: TextRole<'_>, knows: &dyn Fn(usize, u16) -> bool) -> Vec<Mention> {
        let in_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let mut found = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let end = rest.find(|c| !in_name(c)).unwrap_or(rest.len());
            if end == 0 {
                at += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            }
            let word = at..at + end;
            at = word.end;
            if let Some(service) = self.get(&text[word.clone()])
                && let Some((kind, length)) = kind(text, &word, what, &|port| knows(service, port))
            {
                at = word.end + length;
                found.push(Mention { range: word.start..at, service, kind });
            }
        }
        found
    }
}

/// How the name at `word` is a host, and how much of the text behind it belongs to that.
fn kind(
    text: &str,
    word: &Range<usize>,
    what: TextRole<'_>,
    knows: &dyn Fn(u16) -> bool,
) -> Option<(ReferenceKind, usize)> {
    let (before, after) = (&text[..word.start], &text[word.end..]);
    let in_url =
        (before.ends_with("//") && !before.ends_with("///")) || (before.ends_with('@') && before.contains("://"));
    let number = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let ends = !text[digits..].starts_with(|c: char| c.is_alphanumeric() || c == '.');
        text[..digits].parse::<u16>().ok().filter(|_| ends).map(|port| (port, digits))
    };
    if before.ends_with(['/', '\\']) && !in_url || before.ends_with('$') {
        return None;
    }
    if let Some((port, digits)) = after.strip_prefix(':').and_then(number) {
        let is_one = in_url || before.ends_with('(') || before.ends_with('@') || knows(port) || port >= 1024;
        return is_one.then_some((ReferenceKind::HostAndPort(port), 1 + digits));
    }
    if in_url && !after.starts_with([':', '@']) {
        return Some((ReferenceKind::HostOfUrl, 0));
    }
    let named = |names: &[&str]| names.iter().any(|name| before.to_ascii_lowercase().ends_with(name));
    let ends = after.is_empty() || after.starts_with([' ', ';', ',', '&', '"', '\'', CLOSE]);
    if ends && named(&["host=", "server=", "hostname=", "--host ", "--hostname ", "-h "]) {
        return Some((ReferenceKind::Host, 0));
    }
    match what {
        TextRole::Variable(name) => {
            // The default of a variable of another name is a value, too.
            let is_default =
                before.starts_with(OPEN) && before.ends_with(':') && after.trim_end_matches(CLOSE).is_empty();
            let is_whole = is_default || (before.is_empty() && after.is_empty());
            let in_list = name.to_ascii_uppercase().ends_with("HOSTS") && (before.is_empty() || before.ends_with(','));
            (is_whole && may_be_host(name) || in_list && ends).then_some((ReferenceKind::Host, 0))
        }
        TextRole::Command => {
            let (port, digits) = after.strip_prefix(' ').and_then(number)?;
            knows(port).then_some((ReferenceKind::HostThenPort(port), 1 + digits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentions(text: &str, what: TextRole<'_>) -> Vec<(String, ReferenceKind)> {
        let mut names = ServiceNames::default();
        ["db", "redis", "web", "my-api"].iter().enumerate().for_each(|(at, name)| names.add(name, at));
        let knows = |service: usize, port: u16| (service == 0 && port == 5432) || (service == 2 && port == 80);
        let found = names.mentions(text, what, &knows);
        found.into_iter().map(|mention| (text[mention.range].to_owned(), mention.kind)).collect()
    }

    #[test]
    fn names_of_services_are_hosts_where_they_stand_as_such() {
        let value = |text: &str| mentions(text, TextRole::Variable("SOME_URL"));
        let one = |text: &str, kind| vec![(text.to_owned(), kind)];
        assert_eq!(value("postgres://u:p@db:5432/db"), one("db:5432", ReferenceKind::HostAndPort(5432)));
        assert_eq!(value("redis://redis/0"), one("redis", ReferenceKind::HostOfUrl));
        assert_eq!(value("amqp://user:pass@redis"), one("redis", ReferenceKind::HostOfUrl));
        assert_eq!(value("http://my-api"), one("my-api", ReferenceKind::HostOfUrl));
        assert_eq!(value("u:p@tcp(db:5432)/x"), one("db:5432", ReferenceKind::HostAndPort(5432)));
        assert_eq!(value("host=db port=5432 dbname=db"), one("db", ReferenceKind::Host));
        assert_eq!(value("db"), one("db", ReferenceKind::Host));
        assert_eq!(value("web:80,my-api:3000").len(), 2);
        assert_eq!(mentions("db,redis", TextRole::Variable("REDIS_HOSTS")).len(), 2);
        for text in [
            "redis:7",
            "web.example.org:80",
            "/db/redis",
            "sqlite:///db",
            "my-db:5432",
            "the db",
            "https://example.org/web",
            "db://x",
        ] {
            assert_eq!(value(text), [], "{text}");
        }
    }

    #[test]
    fn a_name_in_a_variable_for_something_else_stays() {
        for name in ["DB_CONNECTION", "CACHE_DRIVER", "POSTGRES_DB", "POSTGRES_USER", "SESSION_STORE", "RAILS_ENV"] {
            assert_eq!(mentions("redis", TextRole::Variable(name)), [], "{name}");
        }
        for name in ["REDIS_HOST", "DB", "CACHE", "POSTGRES_HOSTNAME", "BROKER", "DB_SERVER", "PGHOST"] {
            assert_eq!(mentions("redis", TextRole::Variable(name)).len(), usize::from(name != "DB"), "{name}");
        }
    }

    #[test]
    fn commands_name_hosts_with_ports_beside_them() {
        let command = |text: &str| mentions(text, TextRole::Command);
        assert_eq!(command("nc -z db 5432 && run"), [("db 5432".to_owned(), ReferenceKind::HostThenPort(5432))]);
        assert_eq!(
            command("wait-for-it.sh db:5432 -- web"),
            [("db:5432".to_owned(), ReferenceKind::HostAndPort(5432))]
        );
        assert_eq!(command("psql -h db -U x"), [("db".to_owned(), ReferenceKind::Host)]);
        assert_eq!(command("npm run web"), []);
    }
}
