//! Chooses the installer of an environment: pip through `install_command`, or uv where it does the same faster.

use std::path::{Path, PathBuf};

use super::Installer;
use super::pip::Pip;
use super::pip_settings::PipSettings;
use super::uv::{Uv, UvRole};
use crate::error::ConfigError;
use crate::model::environment::{InstallSettings, InstallerChoice};
use crate::model::{EnvVariables, Interpreter};

/// The environment to install into.
#[derive(Debug, Clone, Copy)]
pub struct InstallTarget<'a> {
    pub env_dir: &'a Path,
    /// The environment's own interpreter.
    pub python: &'a Path,
    pub interpreter: &'a Interpreter,
    pub system_site_packages: bool,
    /// Whether it has no pip (`VIRTUALENV_NO_PIP` and the like).
    pub pip_is_missing: bool,
    /// The variables of the environment's processes.
    pub variables: &'a EnvVariables,
}

/// Chooses the installer of an environment. Reads pip's configuration files if uv may do the work, so call it only when
/// something has to be installed. `uv` finds the program or explains why it cannot; it may have to fetch it, so it
/// is called only if uv would do the work.
pub fn installer(
    choice: InstallerChoice,
    installation: &InstallSettings,
    target: &InstallTarget<'_>,
    uv: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<Box<dyn Installer>, ConfigError> {
    let pip = Pip::new(installation)?;
    let because = |pip: Pip, reason: &str| -> Result<Box<dyn Installer>, ConfigError> {
        Ok(Box::new(pip.because(format!("pip installs, not uv: {reason}"))))
    };
    if choice == InstallerChoice::Pip {
        return Ok(Box::new(pip));
    }
    if !installation.command_is_default {
        return if choice == InstallerChoice::Uv {
            because(pip, "`install_command` is set")
        } else {
            Ok(Box::new(pip))
        };
    }
    if let Some(reason) = unsuitable(target) {
        return because(pip, &reason);
    }
    // If the environment was created without pip, tox cannot install either.
    if choice == InstallerChoice::Automatic && target.pip_is_missing {
        return because(pip, "the environment has no pip, and uv only takes its place");
    }
    let settings = PipSettings::read(target.variables, target.env_dir);
    if let Some(reason) = settings.only_pips() {
        return because(pip, &reason);
    }
    let program = match uv() {
        Ok(program) => program,
        Err(reason) if choice == InstallerChoice::Uv => {
            return Err(ConfigError::fail(format!("uv is chosen as the installer, but {reason}"))
                .hint("install uv, or choose another `installer`"));
        }
        Err(reason) => return because(pip, &reason),
    };
    Ok(Box::new(Uv {
        program,
        python: target.python.to_owned(),
        pip,
        settings,
        pre: installation.pip_pre,
        role: if choice == InstallerChoice::Uv { UvRole::Chosen } else { UvRole::StandIn },
    }))
}

/// Why uv cannot install into the environment as pip would.
fn unsuitable(target: &InstallTarget<'_>) -> Option<String> {
    let version = &target.interpreter.version;
    if (version.major, version.minor) < (3, 7) {
        return Some(format!("it does not know Python {}.{}", version.major, version.minor));
    }
    if !matches!(target.interpreter.implementation.as_str(), "CPython" | "PyPy" | "GraalVM") {
        return Some(format!("it may not know {}", target.interpreter.implementation));
    }
    target.system_site_packages.then(|| "it does not look at the system's packages".to_owned())
}

/// Finds uv next to `own_program`, else on PATH. `variables` are those envo was started with.
pub fn find_uv(own_program: Option<&Path>, variables: &EnvVariables) -> Option<PathBuf> {
    let beside = own_program.and_then(Path::parent).map(|folder| folder.join("uv"));
    if let Some(program) = beside
        .filter(|program| which::which_in_global(program, None::<&str>).is_ok_and(|mut found| found.next().is_some()))
    {
        return Some(program);
    }
    which::which_in_global("uv", variables.get("PATH")).ok()?.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::InstallRequest;
    use crate::model::interpreter::PythonVersion;
    use crate::model::requirements::RequirementText;
    use crate::model::{Command, Deferred};

    fn installation(command_is_default: bool) -> InstallSettings {
        let words = ["python", "-m", "pip", "install", "{packages}"].map(str::to_owned).to_vec();
        InstallSettings {
            command: Deferred::ready(Command::from_words(words)),
            command_is_default,
            installer: InstallerChoice::Automatic,
            list_dependencies_command: Command::from_words(Vec::new()),
            pip_pre: true,
            constraints: Deferred::ready(RequirementText::default()),
            constrain_package_deps: false,
            use_frozen_constraints: false,
        }
    }

    fn interpreter(implementation: &str, minor: u32) -> Result<Interpreter, serde_json::Error> {
        let mut answer = serde_json::json!({
            "executable": "/python", "system_executable": "/python", "implementation": implementation,
            "version": PythonVersion { major: 3, minor, micro: 1, release_level: "final".to_owned(), serial: 0 },
            "version_text": "", "is_64_bit": true, "platform": "linux", "machine": null, "free_threaded": false,
            "debug": false, "base_prefix": "/", "standard_library": "/", "purelib": "", "platlib": "", "markers": {},
        });
        answer["base_exec_prefix"] = "/".into();
        answer["bundled_wheels"] = serde_json::json!([]);
        serde_json::from_value(answer)
    }

    /// The chosen program and the reason for the choice.
    fn chosen(
        choice: InstallerChoice,
        default_command: bool,
        interpreter: &Interpreter,
        uv: bool,
    ) -> Result<(String, Option<String>), ConfigError> {
        let mut variables = EnvVariables::default();
        variables.set("PIP_CONFIG_FILE", "/dev/null");
        let target = InstallTarget {
            env_dir: Path::new("/nonexistent"),
            python: Path::new("/e/bin/python"),
            interpreter,
            system_site_packages: false,
            pip_is_missing: false,
            variables: &variables,
        };
        let uv = || if uv { Ok("/bin/uv".into()) } else { Err("not found".to_owned()) };
        let installer = installer(choice, &installation(default_command), &target, uv)?;
        let command = installer.command(&InstallRequest::new("deps", vec!["a".to_owned()]));
        Ok((command.run.argv[0].clone(), command.note))
    }

    #[test]
    fn uv_installs_where_it_can_and_may() -> anyhow::Result<()> {
        let new = interpreter("CPython", 11)?;
        for (choice, default_command, uv, program) in [
            (InstallerChoice::Automatic, true, true, "/bin/uv"),
            (InstallerChoice::Automatic, false, true, "python"),
            (InstallerChoice::Pip, true, true, "python"),
            (InstallerChoice::Uv, true, true, "/bin/uv"),
        ] {
            assert_eq!(chosen(choice, default_command, &new, uv)?, (program.to_owned(), None), "{choice:?}");
        }
        Ok(())
    }

    #[test]
    fn pip_installs_with_a_reason_where_uv_cannot() -> anyhow::Result<()> {
        let new = interpreter("CPython", 11)?;
        for (choice, default_command, interpreter, reason) in [
            (InstallerChoice::Uv, false, &new, "`install_command` is set"),
            (InstallerChoice::Automatic, true, &interpreter("CPython", 6)?, "it does not know Python 3.6"),
            (InstallerChoice::Automatic, true, &interpreter("Jython", 11)?, "it may not know Jython"),
        ] {
            let expected = ("python".to_owned(), Some(format!("pip installs, not uv: {reason}")));
            assert_eq!(chosen(choice, default_command, interpreter, true)?, expected);
        }
        let expected = ("python".to_owned(), Some("pip installs, not uv: not found".to_owned()));
        assert_eq!(chosen(InstallerChoice::Automatic, true, &new, false)?, expected);
        let missing = chosen(InstallerChoice::Uv, true, &new, false).map_err(|error| error.message);
        assert_eq!(missing, Err("uv is chosen as the installer, but not found".to_owned()));
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn uv_beside_the_program_comes_before_the_one_on_path() -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir()?;
        let make = |name: &str| -> std::io::Result<PathBuf> {
            let file = folder.path().join(name).join("uv");
            std::fs::create_dir(folder.path().join(name))?;
            std::fs::write(&file, "")?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
            Ok(file)
        };
        let (beside, on_path) = (make("own")?, make("path")?);
        let mut variables = EnvVariables::default();
        assert_eq!(find_uv(Some(&folder.path().join("none/envo")), &variables), None);
        variables.set("PATH", folder.path().join("path"));
        assert_eq!(find_uv(Some(&folder.path().join("none/envo")), &variables), Some(on_path));
        assert_eq!(find_uv(Some(&beside.with_file_name("envo")), &variables), Some(beside));
        Ok(())
    }
}
