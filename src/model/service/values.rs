//! Parses the values of service keys. Every error names the key and the value.

use std::time::Duration;

use super::PortSetting;
use crate::error::ConfigError;

/// A larger number of instances is probably a mistake.
const MOST_INSTANCES: u32 = 1000;

pub(super) fn wrong(key: &str, value: &str, expected: &str) -> ConfigError {
    ConfigError::handled(format!("`{key} = {value}`: `{value}` is not {expected}"))
}

/// `serve` is one command; a line that ends with a backslash continues.
pub(super) fn one_command(key: &str, text: &str) -> Result<String, ConfigError> {
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default().to_owned();
    if first.is_empty() {
        return Err(ConfigError::handled(format!("`{key} = {text}`: the command is empty")));
    }
    match lines.next() {
        None => Ok(first),
        Some(second) => Err(ConfigError::handled(format!("`{key}` takes one command, and `{second}` is a second one"))
            .hint(
                "list commands that run before it in `commands_pre`; give another long-running program an environment of its own",
            )),
    }
}

/// Items separated by commas and white space; a comment ends at the end of the line.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split_once('#').map_or(line, |(before, _)| before))
        .flat_map(|line| line.split([',', ' ', '\t']))
        .filter(|item| !item.is_empty())
}

/// Lines, each a path or a glob that may contain spaces; a comment begins with `#` at the start of a line or
/// after a space.
pub(super) fn lines(text: &str) -> Vec<String> {
    let without_comment = |line: &str| match line.find(" #") {
        Some(at) => line[..at].trim().to_owned(),
        None if line.trim_start().starts_with('#') => String::new(),
        None => line.trim().to_owned(),
    };
    text.lines().map(without_comment).filter(|line| !line.is_empty()).collect()
}

pub(super) fn names(key: &str, text: &str) -> Result<Vec<String>, ConfigError> {
    let plain = |item: &str| item.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    items(text).map(|item| if plain(item) { Ok(item.to_owned()) } else { Err(wrong(key, item, "a name")) }).collect()
}

pub(super) fn boolean(key: &str, text: &str) -> Result<bool, ConfigError> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "t" | "y" | "1" => Ok(true),
        "false" | "no" | "off" | "f" | "n" | "0" => Ok(false),
        _ => Err(wrong(key, text, "`true` or `false`")),
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(key: &str, text: &str, words: &[(&str, T)]) -> Result<T, ConfigError> {
    words.iter().find(|(known, _)| *known == text).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<String> = words.iter().map(|(known, _)| format!("`{known}`")).collect();
        wrong(key, text, &format!("one of {}", known.join(", ")))
    })
}

pub(super) fn count(key: &str, text: &str) -> Result<u32, ConfigError> {
    text.parse().map_err(|_| wrong(key, text, "a number"))
}

pub(super) fn instances(key: &str, text: &str) -> Result<u32, ConfigError> {
    let fits = |count: &u32| (1..=MOST_INSTANCES).contains(count);
    text.parse().ok().filter(fits).ok_or_else(|| wrong(key, text, &format!("a number from 1 to {MOST_INSTANCES}")))
}

pub(super) fn exit_codes(key: &str, text: &str) -> Result<Vec<i32>, ConfigError> {
    let code = |item: &str| item.parse().ok().filter(|code| (-64..=255).contains(code));
    items(text)
        .map(|item| {
            code(item).ok_or_else(|| {
                wrong(key, item, "an exit code from 0 to 255, or a negative signal number, for example `-15`")
            })
        })
        .collect()
}

/// Seconds with a fraction; at most a year, so that adding to a time never overflows.
pub(super) fn seconds(key: &str, text: &str) -> Result<Duration, ConfigError> {
    let seconds: f64 = text.parse().map_err(|_| wrong(key, text, "a number of seconds"))?;
    if !(0.0..=31_536_000.0).contains(&seconds) {
        return Err(wrong(key, text, "a number of seconds from 0 to a year"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Like [`seconds`], and more than 0.
pub(super) fn positive_seconds(key: &str, text: &str) -> Result<Duration, ConfigError> {
    match seconds(key, text)? {
        Duration::ZERO => Err(wrong(key, text, "a number of seconds above 0")),
        time => Ok(time),
    }
}

/// The signals that can stop a service, and their numbers.
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
pub(super) fn signal(key: &str, text: &str) -> Result<String, ConfigError> {
    let upper = text.to_ascii_uppercase();
    SIGNALS
        .iter()
        .find(|(name, number)| *name == upper || name[3..] == *upper || text.parse() == Ok(*number))
        .map(|(name, _)| (*name).to_owned())
        .ok_or_else(|| {
            let names: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
            wrong(key, text, "a signal").hint(format!("signals are {}", names.join(", ")))
        })
}

pub(super) fn ports(text: &str) -> Result<Vec<PortSetting>, ConfigError> {
    let mut ports: Vec<PortSetting> = Vec::new();
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
        ports.push(PortSetting { name: name.to_owned(), number });
    }
    Ok(ports)
}
