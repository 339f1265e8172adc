//! The service keys of an environment with a `serve` key, read from raw texts into typed values, as specified
//! in `docs/services.md`. Texts may still contain `{port}`, `{host}` and `{service:…}` fields, which are only
//! known when the service and its dependencies run; this module does not fill them in.

mod probe;
mod values;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Location};

pub use probe::Probe;
pub use values::signal_number;

/// How long one attempt of an `alive` probe may take by default.
pub const ALIVE_PATIENCE: Duration = Duration::from_secs(10);

/// A port a service listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSetting {
    pub name: String,
    /// `None`: envo chooses a free one.
    pub number: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    #[default]
    No,
    OnFailure,
    Always,
}

/// Which tests share an instance, from the most to the fewest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
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

/// A text outside the service keys that uses addresses of services: a command or variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressUse {
    /// `set_env`, `commands`, `commands_pre` or `commands_post`.
    pub key: &'static str,
    pub place: Option<Location>,
    /// As written, without lines that do not apply to the environment.
    pub text: String,
}

/// The service keys of one environment. Texts may still contain `{port}`, `{host}` and `{service:…}` fields,
/// which are only known when the service and its dependencies run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSettings {
    /// `serve`, before its fields are filled in.
    pub serve: String,
    #[serde(flatten)]
    pub address: AddressSettings,
    #[serde(flatten)]
    pub probes: ProbeSettings,
    #[serde(flatten)]
    pub restarts: RestartSettings,
    #[serde(flatten)]
    pub stopping: StopSettings,
    pub share: Share,
    #[serde(flatten)]
    pub storage: StorageSettings,
    /// Whether it writes to a pseudo-terminal, and so behaves as in the user's terminal.
    pub pty: bool,
    #[serde(flatten)]
    pub watching: WatchSettings,
    /// The profiles in which it is selected if no service is named; empty: always.
    pub profiles: Vec<String>,
    /// The number of instances, each with its own ports.
    pub instances: u32,
    /// Where `serve` is defined, for error messages: `tox.ini:12`. Set by the code that reads the keys.
    pub location: String,
    /// Where each key is defined.
    #[serde(skip)]
    pub locations: BTreeMap<String, Location>,
}

/// Where a service can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressSettings {
    pub ports: Vec<PortSetting>,
    pub host: String,
    /// Before its fields are filled in; `None`: derived from the probe.
    pub url: Option<String>,
    /// Use a program that already responds on a fixed port instead of starting one.
    pub adopt: bool,
    /// Whether it inherits listening sockets for its ports, as with systemd (`LISTEN_FDS`).
    pub listen_fds: bool,
}

/// How the readiness and health of a service are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeSettings {
    /// `ready`, before its fields are filled in; `None`: TCP on the first port, or alive.
    pub ready: Option<String>,
    #[serde(with = "seconds")]
    pub ready_timeout: Duration,
    /// How long one attempt of a probe may take; `None`: the rest of `ready_timeout`, or [`ALIVE_PATIENCE`].
    #[serde(with = "optional_seconds")]
    pub probe_timeout: Option<Duration>,
    /// `alive`, before its fields are filled in.
    pub alive: Option<String>,
}

/// What happens when a service ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartSettings {
    pub restart: RestartPolicy,
    pub restart_limit: u32,
    pub success_exit_codes: Vec<i32>,
}

/// When and how a service is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopSettings {
    /// `SIGTERM` and the like.
    pub stop_signal: String,
    #[serde(with = "seconds")]
    pub stop_timeout: Duration,
    /// How long it keeps running after the last lease.
    #[serde(with = "seconds")]
    pub idle_timeout: Duration,
}

/// The data of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageSettings {
    /// The folder with its data on disk, absolute; before its fields are filled in.
    pub data: Option<String>,
    /// Whether its data outlives a restart, wherever it is stored.
    pub persistent: bool,
}

/// The files whose change restarts a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchSettings {
    /// Paths and globs, absolute; those after `!` are excluded. A change of these files restarts the service.
    pub watch: Vec<String>,
    /// The command that a change runs instead of a restart; before its fields are filled in.
    pub watch_command: Option<String>,
}

impl Default for ServiceSettings {
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

/// The same for an optional value.
mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs_f64()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        seconds.map(Duration::try_from_secs_f64).transpose().map_err(serde::de::Error::custom)
    }
}

impl Default for AddressSettings {
    fn default() -> Self {
        Self { ports: Vec::new(), host: "127.0.0.1".to_owned(), url: None, adopt: false, listen_fds: false }
    }
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self { ready: None, ready_timeout: Duration::from_secs(60), probe_timeout: None, alive: None }
    }
}

impl Default for RestartSettings {
    fn default() -> Self {
        Self { restart: RestartPolicy::No, restart_limit: 5, success_exit_codes: vec![0] }
    }
}

impl Default for StopSettings {
    fn default() -> Self {
        Self { stop_signal: "SIGTERM".to_owned(), stop_timeout: Duration::from_secs(10), idle_timeout: Duration::ZERO }
    }
}

impl ServiceSettings {
    /// A service with `serve` and the defaults of all other keys.
    pub fn new(serve: impl Into<String>) -> Self {
        Self {
            serve: serve.into(),
            address: AddressSettings::default(),
            probes: ProbeSettings::default(),
            restarts: RestartSettings::default(),
            stopping: StopSettings::default(),
            share: Share::Run,
            storage: StorageSettings::default(),
            pty: false,
            watching: WatchSettings::default(),
            profiles: Vec::new(),
            instances: 1,
            location: String::new(),
            locations: BTreeMap::new(),
        }
    }

    /// Reads the keys from `source`. Returns `None` if `serve` is not set or empty: the environment is not a
    /// service.
    ///
    /// # Errors
    ///
    /// All errors of the source and all invalid values, with their locations; each message names the key and
    /// the value.
    pub fn from_keys(source: &impl ServiceSource) -> Result<Option<Self>, ConfigError> {
        let keys = ServiceKeyReader { source, locations: RefCell::default(), wrong: RefCell::default() };
        let serve = keys.read("serve", values::one_command);
        if serve.is_none() && keys.wrong.borrow().is_empty() {
            return Ok(None);
        }
        let mut service = Self::new(serve.unwrap_or_default());
        keys.put("ports", &mut service.address.ports, |_, text| values::ports(text));
        keys.put("host", &mut service.address.host, plain);
        service.address.url = keys.read("url", plain);
        service.probes.ready = keys.read("ready", probe_text);
        service.probes.alive = keys.read("alive", probe_text);
        keys.put("success_exit_codes", &mut service.restarts.success_exit_codes, values::exit_codes);
        keys.put("stop_signal", &mut service.stopping.stop_signal, values::signal);
        keys.put("ready_timeout", &mut service.probes.ready_timeout, values::seconds);
        service.probes.probe_timeout = keys.read("probe_timeout", values::positive_seconds);
        keys.put("stop_timeout", &mut service.stopping.stop_timeout, values::seconds);
        keys.put("idle_timeout", &mut service.stopping.idle_timeout, values::seconds);
        keys.put("watch", &mut service.watching.watch, |_, text| Ok(values::lines(text)));
        service.storage.data = keys.read("data", plain);
        service.watching.watch_command = keys.read("watch_command", values::one_command);
        keys.put("profiles", &mut service.profiles, values::names);
        keys.put("instances", &mut service.instances, values::instances);
        service.read_policies(&keys);
        if let Some(error) = ConfigError::of_several(keys.wrong.into_inner()) {
            return Err(error);
        }
        service.locations = keys.locations.into_inner();
        service.location = service.locations.get("serve").map(Location::short).unwrap_or_default();
        Ok(Some(service))
    }

    fn read_policies(&mut self, keys: &ServiceKeyReader<impl ServiceSource>) {
        let policies =
            [("no", RestartPolicy::No), ("on-failure", RestartPolicy::OnFailure), ("always", RestartPolicy::Always)];
        let shares = [("run", Share::Run), ("worker", Share::Worker), ("test", Share::Test)];
        keys.put("restart", &mut self.restarts.restart, |key, text| {
            values::word(key, &text.to_ascii_lowercase(), &policies)
        });
        keys.put("restart_limit", &mut self.restarts.restart_limit, values::count);
        keys.put("share", &mut self.share, |key, text| values::word(key, text, &shares));
        let Self {
            address: AddressSettings { adopt, listen_fds, .. },
            pty,
            storage: StorageSettings { persistent, .. },
            ..
        } = self;
        for (key, flag) in [("adopt", adopt), ("pty", pty), ("listen_fds", listen_fds), ("persistent", persistent)] {
            keys.put(key, flag, values::boolean);
        }
    }

    /// The value of `ready`, or its default: TCP on the first port, else alive.
    pub fn ready_text(&self) -> String {
        match (&self.probes.ready, self.address.ports.first()) {
            (Some(text), _) => text.clone(),
            (None, Some(port)) => format!("tcp://{{host}}:{{port:{}}}", port.name),
            (None, None) => "alive".to_owned(),
        }
    }

    /// Whether one of its probes is a command.
    pub fn runs_probes(&self) -> bool {
        let is_command = |text: &String| text.trim_start().starts_with("cmd:");
        self.probes.ready.iter().chain(&self.probes.alive).any(is_command)
    }

    /// Whether its data outlives a restart.
    pub fn keeps_state(&self) -> bool {
        self.storage.persistent || self.storage.data.is_some()
    }

    /// Where a key is defined, for error messages: `tox.ini:12`; empty if unknown.
    pub fn location_of(&self, key: &str) -> Cow<'_, str> {
        self.locations.get(key).map_or(Cow::Borrowed(&self.location), |location| Cow::Owned(location.short()))
    }
}

/// A configuration with service keys.
pub trait ServiceSource {
    /// The substituted text of a key, or `None` if it is not set.
    fn text(&self, key: &str) -> Result<Option<String>, ConfigError>;

    /// Where it is defined, if that is known.
    fn location(&self, key: &str) -> Option<Location>;

    /// The error at the position of the key's value.
    fn located(&self, key: &str, error: ConfigError) -> ConfigError {
        self.location(key).into_iter().fold(error, ConfigError::at)
    }
}

/// Reads keys one by one, and continues after an invalid one, so that all errors are reported at once.
struct ServiceKeyReader<'a, S: ServiceSource> {
    source: &'a S,
    /// The location of each key that was read.
    locations: RefCell<BTreeMap<String, Location>>,
    wrong: RefCell<Vec<ConfigError>>,
}

impl<S: ServiceSource> ServiceKeyReader<'_, S> {
    /// The key's value, `None` if it is not set, empty or invalid.
    fn read<T>(&self, key: &str, parse: impl FnOnce(&str, &str) -> Result<T, ConfigError>) -> Option<T> {
        if let Some(location) = self.source.location(key) {
            self.locations.borrow_mut().insert(key.to_owned(), location);
        }
        let value = self.source.text(key).and_then(|text| {
            let text = text.unwrap_or_default();
            let text = text.trim();
            if text.is_empty() { Ok(None) } else { parse(key, text).map(Some) }
        });
        value.unwrap_or_else(|error| {
            self.wrong.borrow_mut().push(self.source.located(key, error));
            None
        })
    }

    fn put<T>(&self, key: &str, target: &mut T, parse: impl FnOnce(&str, &str) -> Result<T, ConfigError>) {
        if let Some(value) = self.read(key, parse) {
            *target = value;
        }
    }
}

fn plain(_: &str, text: &str) -> Result<String, ConfigError> {
    Ok(text.to_owned())
}

fn probe_text(key: &str, text: &str) -> Result<String, ConfigError> {
    match Probe::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(mut error) => {
            error.message = format!("`{key} = {text}`: {}", error.message);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct KeyValuePairs<'a>(&'a [(&'a str, &'a str)]);

    impl ServiceSource for KeyValuePairs<'_> {
        fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
            Ok(self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()))
        }

        fn location(&self, key: &str) -> Option<Location> {
            let line = self.0.iter().position(|(name, _)| *name == key)? + 1;
            Some(Location { file: "a/tox.ini".into(), line, column: 1, length: 1 })
        }
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Option<ServiceSettings>, ConfigError> {
        ServiceSettings::from_keys(&KeyValuePairs(pairs))
    }

    fn message(pairs: &[(&str, &str)]) -> String {
        let mut all = vec![("serve", "x")];
        all.extend(pairs);
        read(&all).expect_err("the value is wrong").message
    }

    #[test]
    fn an_environment_without_serve_is_not_a_service() {
        assert_eq!(read(&[("ports", "http")]).unwrap(), None);
        assert_eq!(read(&[("serve", "  ")]).unwrap(), None);
    }

    #[test]
    fn only_serve_gives_every_default() {
        let found = read(&[("serve", "python -m app")]).unwrap().unwrap();
        let expected = ServiceSettings {
            location: "tox.ini:1".into(),
            locations: found.locations.clone(),
            ..ServiceSettings::new("python -m app")
        };
        assert_eq!(found, expected);
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
            ("probe_timeout", "2.5"),
            ("alive", "tcp://{host}:{port}"),
            ("restart", "on-failure"),
            ("restart_limit", "2"),
            ("success_exit_codes", "0, 143"),
            ("stop_signal", "int"),
            ("stop_timeout", "0.25"),
            ("adopt", "true"),
            ("share", "worker"),
            ("data", "/p/data"),
            ("persistent", "true"),
            ("idle_timeout", "30"),
            ("pty", "yes"),
            ("listen_fds", "1"),
            ("watch", "src/**/*.py  # code\n# not this\n!src/a b"),
            ("watch_command", "python -m reload"),
            ("profiles", "dev, ci"),
            ("instances", "3"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!(service.serve, "python -m app    --port {port}");
        assert_eq!(service.address.ports.len(), 2);
        assert_eq!(service.address.ports[1], PortSetting { name: "admin".into(), number: Some(8001) });
        assert_eq!(service.probes.ready_timeout, Duration::from_millis(1500));
        assert_eq!(service.probes.probe_timeout, Some(Duration::from_millis(2500)));
        assert_eq!(service.restarts.success_exit_codes, [0, 143]);
        assert_eq!(service.stopping.stop_signal, "SIGINT");
        assert_eq!((service.restarts.restart, service.restarts.restart_limit), (RestartPolicy::OnFailure, 2));
        assert!(service.address.adopt);
        assert_eq!((service.share, service.stopping.idle_timeout), (Share::Worker, Duration::from_secs(30)));
        assert!(service.pty && service.address.listen_fds);
        assert_eq!(service.watching.watch, ["src/**/*.py", "!src/a b"]);
        assert_eq!(service.watching.watch_command.as_deref(), Some("python -m reload"));
        assert_eq!((service.profiles.join("+").as_str(), service.instances), ("dev+ci", 3));
        assert_eq!([service.location_of("serve"), service.location_of("ready")], ["tox.ini:1", "tox.ini:5"]);
        let text = serde_json::to_string(&service).unwrap();
        let sent: ServiceSettings = serde_json::from_str(&text).unwrap();
        assert_eq!(sent, ServiceSettings { locations: BTreeMap::new(), ..service });
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
        assert!(message(&[("instances", "0")]).contains("a number from 1 to 1000"));
        assert!(message(&[("profiles", "a b/c")]).contains("`profiles = b/c`"));
        assert!(message(&[("pty", "perhaps")]).contains("`true` or `false`"));
        assert!(message(&[("watch_command", "a\nb")]).contains("`watch_command` takes one command"));
        let error = read(&[("serve", "x"), ("host", "h"), ("share", "all")]).unwrap_err();
        assert_eq!(error.location.unwrap().line, 3, "the line of the key, not of the service");
        let error = read(&[("serve", "a\nb"), ("host", "h"), ("share", "all"), ("pty", "?")]).unwrap_err();
        let further: Vec<usize> = error.further.iter().map(|one| one.location.as_ref().unwrap().line).collect();
        assert_eq!((error.location.unwrap().line, further), (1, vec![3, 4]), "every wrong key is reported");
        assert!(read(&[("serve", "a\nb")]).unwrap_err().message.contains("`b` is a second one"));
    }
}
