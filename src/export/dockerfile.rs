//! A Dockerfile with a stage for everything that changes apart, so that a change of the project installs no dependency.
//! <https://docs.docker.com/reference/dockerfile/>

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::service::{ExportedProcess, ExportedService};
use super::{ExportedEnv, ExportedFile, ExportedProject, pythons, selection, yaml_list};
use crate::error::ConfigError;
use crate::python_text::shlex;

const PATH: &str = "Dockerfile";
const IGNORED: &str = "Dockerfile.dockerignore";

pub(super) fn render(project: &ExportedProject) -> Result<Vec<ExportedFile>, ConfigError> {
    project.ensure_services()?;
    let tested: Vec<&ExportedEnv> = project.tested().collect();
    let all = tested.iter().copied().chain(project.services.iter().map(|service| &service.environment));
    if let Some((name, runtime)) = all.clone().find_map(|one| Some((&one.name, one.runtimes.first()?))) {
        let error = ConfigError::handled(format!("`{name}` needs {runtime}, and the image has only Python"));
        return Err(error.hint("select environments without it with -e, and write a stage with it by hand"));
    }
    let versions = pythons(all.clone());
    let newest = versions.iter().rfind(|version| *version != "3.x").map_or("3", String::as_str);
    let root = format!("/srv/{}", project.name);
    let mut text = project.header();
    let _ = write!(
        text,
        "FROM python:{newest}-slim AS base\nRUN pip install --no-cache-dir envo-run=={}\nWORKDIR {root}\n",
        env!("CARGO_PKG_VERSION")
    );
    if !tested.is_empty() {
        let names = selection(tested.iter().map(|one| &one.name));
        let _ = write!(text, "\nFROM base AS test-dependencies\n{}", copied(project, &tested));
        let _ = writeln!(text, "RUN envo run -e {names} --notest --skip-pkg-install --install-python");
        let _ = write!(text, "\nFROM test-dependencies AS tests\nCOPY . .\n");
        let _ = writeln!(text, "RUN envo run -e {names} --install-python && touch /tested");
    }
    for (name, service) in project.named_services() {
        if let Some(process) = &service.process {
            if let Some((variable, _)) = process.variables.iter().find(|(_, value)| value.contains('\n')) {
                let error = format!("a Dockerfile has nothing for the lines of `{variable}` in `{}`", service.name());
                return Err(ConfigError::handled(error).hint("give it a value without line breaks"));
            }
            write_service(&mut text, project, (&name, service), process);
        }
    }
    let ignored = format!("{}.git\n.tox\n**/__pycache__\n", project.header());
    Ok(vec![ExportedFile { path: PATH.to_owned(), text }, ExportedFile { path: IGNORED.to_owned(), text: ignored }])
}

fn write_service(
    text: &mut String,
    project: &ExportedProject,
    (name, service): (&str, &ExportedService),
    process: &ExportedProcess,
) {
    let own = selection([&service.environment.name]);
    let _ = write!(text, "\nFROM base AS {name}-dependencies\n{}", copied(project, &[&service.environment]));
    let _ = writeln!(text, "RUN envo run -e {own} --notest --skip-pkg-install --install-python");
    let _ = write!(text, "\nFROM {name}-dependencies AS {name}\nCOPY . .\n");
    if project.tested().next().is_some() {
        // Without what the tests write, the tests would not be run for this stage.
        text.push_str("COPY --from=tests /tested /tested\n");
    }
    let _ = writeln!(text, "RUN envo run -e {own} --notest --install-python");
    let _ = writeln!(text, "ENV PATH={}:$PATH", shlex::quote(&process.programs));
    for (variable, value) in &process.variables {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
        let _ = writeln!(text, "ENV {variable}=\"{value}\"");
    }
    if process.folder != format!("/srv/{}", project.name) {
        let _ = writeln!(text, "WORKDIR {}", process.folder);
    }
    for port in &service.ports {
        let _ = writeln!(text, "EXPOSE {}", port.number);
    }
    let _ = writeln!(text, "STOPSIGNAL {}\nCMD {}", service.life.stop_signal, yaml_list(process.command()));
}

/// Copies what says what is installed, each file to its own folder.
fn copied(project: &ExportedProject, environments: &[&ExportedEnv]) -> String {
    let named = environments.iter().flat_map(|one| &one.files).map(String::as_str);
    let files: BTreeSet<&str> = named.chain([project.source.as_str()]).collect();
    let one = |file: &str| format!("COPY {}\n", yaml_list([file, file]));
    files.into_iter().map(one).collect()
}
