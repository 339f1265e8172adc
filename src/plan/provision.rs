//! Decides whether envo satisfies the configuration's `requires`, or a real tox with plugins must be provisioned.
//! Decides only; `builder::provision` carries it out. <https://tox.wiki/en/4.67.15/reference/config.html#requires>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pep440_rs::{Version, VersionSpecifiers};
use serde::Serialize as _;
use serde_json::json;

use crate::error::ConfigError;
use crate::model::EnvVariables;
use crate::model::pep508::evaluate::MarkerEnvironment;
use crate::model::pep508::{Requirement, canonical_name};
use crate::model::provided::{OWN, PROVIDED};

/// Files beside the configuration that tox loads as plugins.
const INLINE_PLUGINS: [&str; 2] = ["toxfile.py", "☣.py"];

/// Whether envo replaces the distribution; `name` is in normal form.
pub fn is_provided(name: &str) -> bool {
    name == "wheel" || PROVIDED.iter().any(|(provided, _)| *provided == name)
}

/// The facts that decide whether a plugin has any effect.
#[derive(Debug, Clone, Copy)]
pub struct ProvisionContext<'a> {
    /// The configuration file.
    pub file: &'a Path,
    pub text: &'a str,
    pub variables: &'a EnvVariables,
    /// Of the Python that tox would run on; `None` if unknown, and then every requirement counts.
    pub markers: Option<&'a BTreeMap<String, String>>,
}

/// A requirement that envo does not satisfy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRequirement {
    pub requirement: String,
    /// The available version, if only the version does not match.
    pub has: Option<String>,
    /// Whether a version that differs from the available one only in the patch, and is newer, would match.
    pub is_newer_patch: bool,
}

/// Why a real tox is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProvisionReason {
    Requirements(Vec<MissingRequirement>),
    /// A plugin file in the project.
    InlinePlugin(PathBuf),
}

impl ProvisionReason {
    /// In tox's words, to follow the interpreter's path.
    pub fn reason(&self) -> String {
        match self {
            Self::Requirements(missing) => {
                let show = |one: &MissingRequirement| match &one.has {
                    Some(version) => format!("{} ({version})", one.requirement),
                    None => one.requirement.clone(),
                };
                let shown: Vec<String> = missing.iter().map(show).collect();
                format!("is missing [requires (has)]: {}", shown.join(", "))
            }
            Self::InlinePlugin(file) => format!("cannot run the plugin {}", file.display()),
        }
    }
}

/// The requirements that envo does not satisfy. `requires` is the setting's value.
pub fn need(requires: &[String], around: &ProvisionContext<'_>) -> Result<Option<ProvisionReason>, ConfigError> {
    let mut missing = Vec::new();
    for text in requires {
        let requirement = parse(text)?;
        if !applies(&requirement, around)? {
            continue;
        }
        if canonical_name(&requirement.name) == OWN {
            ensure_own_version(&requirement, text)?;
        } else if let Some(has) = unmet(&requirement, around)? {
            let is_newer_patch = match &has {
                Some(version) => accepts_newer_patch(&requirement, version)?,
                None => false,
            };
            missing.push(MissingRequirement { requirement: text.clone(), has, is_newer_patch });
        }
    }
    if !missing.is_empty() {
        return Ok(Some(ProvisionReason::Requirements(missing)));
    }
    Ok(inline_plugin(around.file).map(ProvisionReason::InlinePlugin))
}

/// Checks the versions of envo that the configuration requires: no real tox could provide another one.
pub fn ensure_own_versions(requires: &[String]) -> Result<(), ConfigError> {
    let parsed = requires.iter().filter_map(|text| Some((text, text.parse::<Requirement>().ok()?)));
    let mut own = parsed.filter(|(_, requirement)| canonical_name(&requirement.name) == OWN);
    own.try_for_each(|(text, requirement)| ensure_own_version(&requirement, text))
}

fn ensure_own_version(requirement: &Requirement, text: &str) -> Result<(), ConfigError> {
    let version = env!("CARGO_PKG_VERSION");
    if requirement.url.is_some() || fits(requirement, version)? {
        return Ok(());
    }
    let error = ConfigError::handled(format!("the configuration requires `{text}`, but this is envo {version}"));
    Err(error.hint(format!("install a matching version, for example with `pip install '{text}'`")))
}

/// Whether the requirement matches a version with the same first two numbers and a greater third one.
fn accepts_newer_patch(requirement: &Requirement, has: &str) -> Result<bool, ConfigError> {
    let Ok(has) = has.parse::<Version>() else { return Ok(false) };
    if requirement.url.is_some() {
        return Ok(false);
    }
    let patch = |release: &[u64]| release.get(2).copied().unwrap_or(0);
    for specifier in &requirement.specifiers {
        let Ok(named) = specifier.trim_start_matches(['<', '>', '=', '~', '!', ' ']).parse::<Version>() else {
            continue;
        };
        let same = named.release().iter().take(2).eq(has.release().iter().take(2));
        if !same || patch(named.release()) < patch(has.release()) {
            continue;
        }
        // `>4.67.15` means a later one.
        for later in [patch(named.release()), patch(named.release()) + 1] {
            let version = Version::new([has.release()[0], has.release().get(1).copied().unwrap_or(0), later]);
            if later > patch(has.release()) && fits(requirement, &version.to_string())? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The file next to the configuration that tox would load as a plugin.
pub fn inline_plugin(file: &Path) -> Option<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new(""));
    INLINE_PLUGINS.iter().map(|name| folder.join(name)).find(|file| file.is_file())
}

/// Whether another tox satisfies all requirements: everything is `installed` there in a matching version. Requirements by
/// URL never match, because a version does not prove where a package came from.
pub fn is_met_by(
    requires: &[String],
    around: &ProvisionContext<'_>,
    installed: impl Fn(&str) -> Option<String>,
) -> Result<bool, ConfigError> {
    for text in requires {
        let requirement = parse(text)?;
        if !applies(&requirement, around)? {
            continue;
        }
        let version = installed(&canonical_name(&requirement.name));
        let fits = match version {
            Some(version) if requirement.url.is_none() => fits(&requirement, &version)?,
            _ => false,
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

fn parse(text: &str) -> Result<Requirement, ConfigError> {
    let failed = |error| ConfigError::handled(format!("failed to load core.requires: {error}"));
    text.parse()
        .map_err(|error| failed(error).hint("write requirements as for pip, for example `requires = tox>=4.20`"))
}

fn applies(requirement: &Requirement, around: &ProvisionContext<'_>) -> Result<bool, ConfigError> {
    let (Some(marker), Some(values)) = (&requirement.marker, around.markers) else { return Ok(true) };
    let environment = MarkerEnvironment { values: Some(values), ..MarkerEnvironment::default() };
    marker.holds(&environment).map_err(ConfigError::handled)
}

/// `None` if the requirement is satisfied, else the available version.
fn unmet(requirement: &Requirement, around: &ProvisionContext<'_>) -> Result<Option<Option<String>>, ConfigError> {
    let name = canonical_name(&requirement.name);
    if let Some((_, version)) = PROVIDED.iter().find(|(provided, _)| *provided == name) {
        // A requirement by URL is a different package, even with the same name.
        let fits = requirement.url.is_none() && fits(requirement, version)?;
        return Ok((!fits).then(|| Some((*version).to_owned())));
    }
    let idle = requirement.url.is_none() && has_nothing_to_do(&name, around);
    Ok(if idle { None } else { Some(None) })
}

fn fits(requirement: &Requirement, version: &str) -> Result<bool, ConfigError> {
    let invalid = |error: String| ConfigError::handled(format!("failed to load core.requires: {error}"));
    let version: Version = version.parse().map_err(|error| invalid(format!("{error}")))?;
    let text = requirement.specifiers.iter().cloned().collect::<Vec<_>>().join(",");
    let specifiers: VersionSpecifiers = text.parse().map_err(|error| invalid(format!("{error}")))?;
    Ok(specifiers.contains(&version))
}

/// Whether a known plugin would have no effect.
fn has_nothing_to_do(plugin: &str, around: &ProvisionContext<'_>) -> bool {
    match plugin {
        // Builds in environments of their own do not see it.
        "wheel" => true,
        // It constrains installed packages if a variable or a key is set.
        "tox-min-req" => around.variables.text("MIN_REQ").as_deref() != Some("1") && !around.text.contains("min_req"),
        _ => false,
    }
}

/// The content of the file of `--no-provision FILE`.
pub fn metadata(requires: &[String]) -> String {
    let parsed = requires.iter().filter_map(|text| text.parse::<Requirement>().ok());
    let tox = parsed.into_iter().find(|requirement| requirement.name == "tox");
    let oldest = tox.iter().flat_map(|tox| &tox.specifiers).find_map(|specifier| {
        let version = specifier.strip_prefix(">=").or_else(|| specifier.strip_prefix("=="))?;
        (!version.starts_with('=')).then(|| version.trim().to_owned())
    });
    let mut text = Vec::new();
    let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, indented);
    // Writing texts and lists into memory cannot fail.
    let _ = json!({"minversion": oldest, "requires": requires}).serialize(&mut serializer);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(requires: &[&str], variables: &[(&str, &str)], file: &Path) -> String {
        let requires: Vec<String> = requires.iter().map(|text| (*text).to_owned()).collect();
        let mut own = EnvVariables::default();
        variables.iter().for_each(|(name, value)| own.set(name, value));
        let markers: BTreeMap<String, String> =
            [("python_version", "3.11"), ("sys_platform", "linux")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let around = ProvisionContext { file, text: "", variables: &own, markers: Some(&markers) };
        match need(&requires, &around) {
            Ok(need) => need.map_or_else(String::new, |need| need.reason()),
            Err(error) => error.message,
        }
    }

    fn missing(requires: &[&str]) -> String {
        found(requires, &[], Path::new("/nowhere/tox.ini"))
    }

    #[test]
    fn what_envo_does_itself_is_never_missing() {
        assert_eq!(missing(&["tox>=4", "tox_uv>=1.25", "virtualenv>20", "setuptools>=61", "tox"]), "");
    }

    #[test]
    fn other_plugins_and_newer_versions_are_missing() {
        let expected = "is missing [requires (has)]: tox-docker, tox>=5 (4.67.15)";
        assert_eq!(missing(&["tox-docker", "tox>=5"]), expected);
        assert_eq!(missing(&["tox-uv>=99"]), "is missing [requires (has)]: tox-uv>=99 (1.37.1)");
    }

    #[test]
    fn only_a_newer_patch_version_is_recognized_as_one() {
        let is_newer_patch = |text: &str| {
            let requirement: Requirement = text.parse().expect("a requirement");
            accepts_newer_patch(&requirement, "4.67.15").expect("valid specifiers")
        };
        for text in ["tox>=4.67.16", "tox>4.67.15", "tox~=4.67.20", "tox==4.67.99", "tox>=4.67.16,<5", "tox===4.67.17"]
        {
            assert!(is_newer_patch(text), "{text}");
        }
        for text in ["tox>=4.68", "tox>=5", "tox<4.67", "tox==4.67.14", "tox>=4.67.16,<4.67.16", "tox @ file:///x"] {
            assert!(!is_newer_patch(text), "{text}");
        }
    }

    #[test]
    fn envo_provides_itself_and_checks_its_version() {
        assert_eq!(missing(&["envo-run", "Envo_Run>=0.0.1"]), "");
        let own = env!("CARGO_PKG_VERSION");
        assert_eq!(
            missing(&["envo-run>=99", "tox-docker"]),
            format!("the configuration requires `envo-run>=99`, but this is envo {own}")
        );
        assert!(ensure_own_versions(&["envo-run<0.0.1".to_owned(), "x".to_owned()]).is_err());
        assert!(ensure_own_versions(&["envo-run".to_owned(), ">>".to_owned()]).is_ok());
    }

    #[test]
    fn a_marker_that_does_not_hold_excuses_a_requirement() {
        assert_eq!(missing(&["tox-docker; sys_platform == 'win32'"]), "");
        assert_ne!(missing(&["tox-docker; sys_platform == 'linux'"]), "");
    }

    #[test]
    fn a_plugin_that_has_nothing_to_do_is_not_missed() {
        let file = Path::new("/nowhere/tox.ini");
        assert_eq!(found(&["tox-min-req", "tox-gh>=1"], &[("GITHUB_ACTIONS", "true")], file), "");
        assert!(found(&["tox-min-req"], &[("MIN_REQ", "1")], file).contains("tox-min-req"));
    }

    #[test]
    fn a_plugin_beside_the_configuration_needs_a_real_tox() -> Result<(), std::io::Error> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("toxfile.py"), "")?;
        assert!(found(&["tox"], &[], &folder.path().join("tox.ini")).contains("toxfile.py"));
        Ok(())
    }

    #[test]
    fn a_tox_that_has_everything_can_do_the_work() {
        let own = EnvVariables::default();
        let around = ProvisionContext { file: Path::new("tox.ini"), text: "", variables: &own, markers: None };
        let installed = |name: &str| match name {
            "tox" => Some("4.67.15".to_owned()),
            "tox-docker" => Some("5.1".to_owned()),
            _ => None,
        };
        let met = |requires: &[&str]| {
            let requires: Vec<String> = requires.iter().map(|text| (*text).to_owned()).collect();
            is_met_by(&requires, &around, installed).expect("they are requirements")
        };
        assert!(met(&["tox_docker>=5", "tox"]));
        assert!(!met(&["tox-docker>=6", "tox"]));
        assert!(!met(&["tox-other", "tox"]));
        assert!(!met(&["tox-docker @ file:///x", "tox"]));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(missing(&["tox>>1"]).starts_with("failed to load core.requires"), "{}", missing(&["tox>>1"]));
    }

    #[test]
    fn metadata_tells_the_oldest_tox_that_will_do() {
        let text = metadata(&["tox-docker".to_owned(), "tox>=4.2".to_owned()]);
        assert_eq!(
            text,
            "{\n    \"minversion\": \"4.2\",\n    \"requires\": [\n        \"tox-docker\",\n        \"tox>=4.2\"\n    ]\n}"
        );
    }
}
