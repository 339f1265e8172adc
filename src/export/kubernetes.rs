//! Jobs that test in slices, and Deployments with Services for what serves.
//! <https://kubernetes.io/docs/concepts/workloads/>

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::service::{ExportedPort, ExportedProbe, ExportedProcess, ExportedService};
use super::{ExportedFile, ExportedProject, JobGroup, env_names, names, selection, yaml_list, yaml_text};
use crate::error::ConfigError;
use crate::python_text::shlex;

const PATH: &str = "kubernetes.yaml";
/// More slices than this would only wait for each other.
const MOST_SLICES: usize = 100;
/// The longest name of a port.
const LONGEST_PORT: usize = 15;

pub(super) fn render(project: &ExportedProject) -> Result<ExportedFile, ConfigError> {
    if project.services.is_empty() {
        project.ensure_environments()?;
    }
    let mut text = project.header();
    let name = &project.name;
    let _ = write!(
        text,
        "# The images are built from the Dockerfile of `envo export dockerfile --write`, with the tag of their stage:\n\
         #   docker build --target tests --tag {name}-tests .\n"
    );
    if !project.groups.is_empty() {
        let _ = write!(
            text,
            "# The slices write their results to the volume claim {name}-results; merge them with\n\
             #   envo merge *.json --expect {}\n",
            selection(&project.all)
        );
    }
    for (job, group) in project.jobs() {
        write_job(&mut text, project, &names::label(&job), group);
    }
    for (name, service) in project.named_services() {
        match &service.process {
            Some(process) if service.is_job() => write_once(&mut text, project, (&name, service), process),
            Some(process) => write_deployment(&mut text, project, (&name, service), process),
            None => {}
        }
    }
    Ok(ExportedFile { path: PATH.to_owned(), text })
}

/// A slice runs beside the services that it needs.
fn write_job(text: &mut String, project: &ExportedProject, job: &str, group: &JobGroup) {
    let (name, total) = (&project.name, group.slices(MOST_SLICES));
    let sidecars: Vec<_> = project
        .names_of(&project.sidecars)
        .into_iter()
        .filter(|(_, service)| group.services.iter().any(|one| one == service.name()))
        .collect();
    let mut command = format!(
        "exec envo run -e {} --shard $((JOB_COMPLETION_INDEX + 1))/{total} --result-json /results/{job}-$JOB_COMPLETION_INDEX.json",
        selection(env_names(&group.environments))
    );
    for (_, service) in &sidecars {
        command.push_str(&adopting(service));
    }
    let _ = write!(
        text,
        "---\napiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {}\nspec:\n  completionMode: Indexed\n  \
         completions: {total}\n  parallelism: {total}\n  backoffLimit: {total}\n  template:\n    spec:\n      restartPolicy: Never\n",
        names::label(&format!("{name}-{job}"))
    );
    if !sidecars.is_empty() {
        text.push_str("      initContainers:\n");
    }
    for (container, service) in &sidecars {
        if let Some(process) = &service.process {
            // A job is an ordinary init container: the next one starts when it has ended.
            let policy = if service.is_job() { "" } else { "          restartPolicy: Always\n" };
            write_container(text, project, (container, service), process);
            text.push_str(policy);
        }
    }
    let command = ["sh".to_owned(), "-c".to_owned(), command];
    let _ = write!(
        text,
        "      containers:\n        - name: tests\n          image: {name}-tests\n          command: {}\n",
        yaml_list(command)
    );
    write_variables(text, project, &[], group.environments.iter().flat_map(|one| &one.secrets));
    let _ = write!(
        text,
        "          volumeMounts:\n            - name: results\n              mountPath: /results\n      volumes:\n        \
         - name: results\n          persistentVolumeClaim:\n            claimName: {name}-results\n"
    );
}

/// The overrides with which envo uses the service beside it instead of starting one.
fn adopting(service: &ExportedService) -> String {
    let ports: Vec<String> = service.ports.iter().map(|port| format!("{}={}", port.name, port.number)).collect();
    let values = if service.is_job() {
        // It has been done.
        ["commands_pre=".to_owned(), "allowlist_externals=true".to_owned(), "serve=true".to_owned()].to_vec()
    } else {
        [format!("ports={}", ports.join(", ")), "adopt=true".to_owned()].to_vec()
    };
    let overrides = values.iter().map(|value| format!("testenv:{}.{value}", service.name()));
    overrides.map(|text| format!(" -x {}", shlex::quote(&text))).collect()
}

fn write_deployment(
    text: &mut String,
    project: &ExportedProject,
    (name, service): (&str, &ExportedService),
    process: &ExportedProcess,
) {
    let _ = write!(
        text,
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: 1\n  selector:\n    \
         matchLabels:\n      app: {name}\n  template:\n    metadata:\n      labels:\n        app: {name}\n    spec:\n      \
         terminationGracePeriodSeconds: {}\n      containers:\n",
        service.life.stop_timeout.as_secs().max(1)
    );
    write_container(text, project, (name, service), process);
    if service.ports.is_empty() {
        return;
    }
    let _ = write!(
        text,
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  selector:\n    app: {name}\n  ports:\n"
    );
    for port in &service.ports {
        let _ = writeln!(text, "    - name: {}\n      port: {}", port_name(port), port.number);
    }
}

/// A service that ends by itself.
fn write_once(
    text: &mut String,
    project: &ExportedProject,
    (name, service): (&str, &ExportedService),
    process: &ExportedProcess,
) {
    let _ = write!(
        text,
        "---\napiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\nspec:\n  template:\n    spec:\n      \
         restartPolicy: OnFailure\n      containers:\n"
    );
    write_container(text, project, (name, service), process);
}

fn write_container(
    text: &mut String,
    project: &ExportedProject,
    (name, service): (&str, &ExportedService),
    process: &ExportedProcess,
) {
    let _ = writeln!(text, "        - name: {name}\n          image: {}-{name}", project.name);
    let _ = writeln!(text, "          command: {}", yaml_list(process.command().iter().map(literal)));
    if !service.ports.is_empty() {
        text.push_str("          ports:\n");
    }
    for port in &service.ports {
        let _ = writeln!(text, "            - name: {}\n              containerPort: {}", port_name(port), port.number);
    }
    write_variables(text, project, &process.variables, &service.environment.secrets);
    let probe = match &process.ready {
        ExportedProbe::Http { status: Some(_), .. } | ExportedProbe::Command(_) => {
            let Some(words) = process.ready.command() else { return };
            format!("exec:\n              command: {}", yaml_list(words.iter().map(literal)))
        }
        ExportedProbe::Http { url, status: None } => {
            let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
            let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
            let default = if scheme == "https" { "443" } else { "80" };
            let port = address.rsplit_once(':').map_or(default, |(_, port)| port);
            format!(
                "httpGet:\n              scheme: {}\n              path: {}\n              port: {port}",
                scheme.to_uppercase(),
                yaml_text(&format!("/{path}"))
            )
        }
        ExportedProbe::Tcp(address) => {
            let port = address.rsplit_once(':').map_or("", |(_, port)| port);
            format!("tcpSocket:\n              port: {port}")
        }
        ExportedProbe::Notify | ExportedProbe::Exit | ExportedProbe::None => return,
    };
    let attempts = service.life.ready_timeout.as_secs().max(1);
    let _ = writeln!(
        text,
        "          startupProbe:\n            periodSeconds: 1\n            failureThreshold: {attempts}\n            {probe}"
    );
}

/// The values of secrets stay in the cluster: a Secret with the project's name holds them.
fn write_variables<'a>(
    text: &mut String,
    project: &ExportedProject,
    variables: &[(String, String)],
    secrets: impl IntoIterator<Item = &'a String>,
) {
    let secrets: BTreeSet<&String> = secrets.into_iter().collect();
    if !secrets.is_empty() || !variables.is_empty() {
        text.push_str("          env:\n");
    }
    for (name, value) in variables {
        let value = yaml_text(&literal(value));
        let _ = writeln!(text, "            - name: {}\n              value: {value}", yaml_text(name));
    }
    for name in secrets {
        let _ = write!(
            text,
            "            - name: {name}\n              valueFrom:\n                secretKeyRef:\n                  \
             name: {}\n                  key: {name}\n",
            project.name
        );
    }
}

/// Kubernetes expands `$(NAME)`, and takes `$$` for `$`.
fn literal(word: impl AsRef<str>) -> String {
    word.as_ref().replace('$', "$$")
}

fn port_name(port: &ExportedPort) -> String {
    let name = names::label(&port.name);
    if name.len() <= LONGEST_PORT { name } else { format!("port-{}", port.number) }
}
