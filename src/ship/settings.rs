//! Reads the `pack_` keys of an environment.

use std::path::PathBuf;

use crate::error::ConfigError;
use crate::plan::Plan;
use crate::settings::value::SettingValue;

/// What an image is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageBase {
    /// The glibc of this machine, and the other libraries that the release needs.
    None,
    /// Packages of this release of Debian.
    Debian(String),
}

/// The longest folder of a release whose interpreter every kernel starts a script with.
const LONGEST_PREFIX: usize = 127 - "#!/env/bin/python\n".len();

/// The values of an environment's `pack_` keys.
#[derive(Debug, Clone)]
pub struct PackSettings {
    pub command: Vec<String>,
    pub tests: Vec<String>,
    pub is_bundled: bool,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub keep: usize,
    /// The secret key.
    pub sign: Option<PathBuf>,
    pub base: ImageBase,
    /// The folder of the release on the target machine, for formats that are not relocatable.
    pub prefix: Option<String>,
    pub user: Option<String>,
    pub units: PackedUnits,
}

/// The systemd units of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedUnits {
    pub service: bool,
    pub socket: bool,
}

impl PackSettings {
    pub fn read(plan: &Plan, name: &str) -> Result<Self, ConfigError> {
        let settings = &plan.settings;
        let set = settings.environment(name);
        let invalid = |key: &str, message: String| {
            let error = ConfigError::handled(message);
            match settings.written_at(name, key) {
                Some(place) => error.at(place),
                None => error,
            }
        };
        let command = match settings.value(&set, "pack_command")? {
            SettingValue::Command(command) => command.argv,
            _ => Vec::new(),
        };
        // Splitting leaves an unclosed quote in place.
        if let Some(word) = command.first().filter(|word| word.starts_with(['\'', '"'])) {
            let message = format!("`pack_command` begins with `{word}`, whose quote is not closed");
            return Err(invalid("pack_command", message));
        }
        let interpreter = settings.text(&set, "pack_interpreter")?;
        let is_bundled = match interpreter.trim() {
            "bundled" => true,
            "system" => false,
            other => {
                let message = format!("`pack_interpreter` is `{other}`, must be one of bundled, system");
                return Err(invalid("pack_interpreter", message));
            }
        };
        let keep = settings.text(&set, "pack_keep")?;
        let keep = keep.trim().parse().ok().filter(|keep| *keep > 0).ok_or_else(|| {
            invalid("pack_keep", format!("`pack_keep` is `{}`, must be a number of at least 1", keep.trim()))
        })?;
        let sign = settings.text(&set, "pack_sign")?;
        let sign = match sign.trim() {
            "" => None,
            text => match text.strip_prefix("minisign:").filter(|path| !path.is_empty()) {
                Some(path) => Some(settings.root().join(path)),
                None => {
                    let message = format!("`pack_sign` is `{text}`, must be `minisign:` and the path of a secret key");
                    return Err(invalid("pack_sign", message));
                }
            },
        };
        let tests = settings.list(&set, "pack_tests")?;
        let known = if tests.is_empty() { Vec::new() } else { plan.runs()? };
        if let Some(unknown) = tests.iter().find(|test| !known.contains(test) && **test != name) {
            return Err(invalid("pack_tests", format!("`pack_tests` names `{unknown}`, which is not an environment")));
        }
        let written = |key: &str| {
            Ok::<_, ConfigError>(Some(settings.text(&set, key)?.trim().to_owned()).filter(|text| !text.is_empty()))
        };
        let base = settings.text(&set, "pack_base")?;
        let base = base_of(base.trim()).ok_or_else(|| {
            let message = format!("`pack_base` is `{}`, must be none or debian:SUITE", base.trim());
            invalid("pack_base", message)
        })?;
        let prefix = written("pack_prefix")?;
        if let Some(prefix) = prefix.as_ref().filter(|prefix| !is_prefix(prefix)) {
            let message = format!(
                "`pack_prefix` is `{prefix}`, must be an absolute path of at most {LONGEST_PREFIX} letters, digits, \
                 and -._+/ that is not the root"
            );
            return Err(invalid("pack_prefix", message));
        }
        let user = written("pack_user")?;
        if let Some(user) = user.as_ref().filter(|user| !is_user(user)) {
            let message = format!(
                "`pack_user` is `{user}`, must be at most 32 lower-case letters, digits, - and _, beginning with a letter or _"
            );
            return Err(invalid("pack_user", message));
        }
        let units = settings.list(&set, "pack_units")?;
        if let Some(unknown) = units.iter().find(|unit| !["service", "socket"].contains(&unit.as_str())) {
            return Err(invalid("pack_units", format!("`pack_units` names `{unknown}`, must be of service, socket")));
        }
        let has = |unit: &str| units.iter().any(|one| one == unit);
        let units = PackedUnits { service: has("service"), socket: has("socket") };
        if units.socket && !units.service {
            return Err(invalid("pack_units", "`pack_units` names a socket without its service".to_owned()));
        }
        let (include, exclude) = (settings.list(&set, "pack_include")?, settings.list(&set, "pack_exclude")?);
        Ok(Self { command, tests, is_bundled, include, exclude, keep, sign, base, prefix, user, units })
    }
}

fn base_of(text: &str) -> Option<ImageBase> {
    if text == "none" {
        return Some(ImageBase::None);
    }
    let is_word = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    text.strip_prefix("debian:").filter(is_word).map(|suite| ImageBase::Debian(suite.to_owned()))
}

/// Whether the path can be in the first line of a script and in a systemd unit.
pub fn is_prefix(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte);
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain);
    path.len() <= LONGEST_PREFIX && path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_part))
}

/// <https://systemd.io/USER_NAMES/>
fn is_user(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let mut bytes = name.bytes();
    name.len() <= 32
        && bytes.next().is_some_and(is_letter)
        && bytes.all(|byte| is_letter(byte) || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_users_and_bases_that_a_target_refuses_are_refused() {
        for path in ["/opt/web", "/srv/a-1.2/x_"] {
            assert!(is_prefix(path), "{path}");
        }
        for path in
            ["", "/", "opt", "/opt/", "/opt//x", "/opt/../x", "/opt/a b", "/opt/%x", &format!("/{}", "x".repeat(120))]
        {
            assert!(!is_prefix(path), "{path}");
        }
        assert!(is_user("www-data") && is_user("_x1"));
        for name in ["", "1x", "Web", "a b", "-x", &"x".repeat(33)] {
            assert!(!is_user(name), "{name}");
        }
        assert_eq!(base_of("debian:bookworm"), Some(ImageBase::Debian("bookworm".to_owned())));
        for base in ["", "debian", "debian:", "debian:-x;y", "alpine:3"] {
            assert_eq!(base_of(base), None, "{base}");
        }
    }
}
