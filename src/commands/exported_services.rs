//! Works out how the services of a project run at the target of `envo export`: where, on which ports, with which words.

use std::collections::BTreeMap;

use crate::commands::export::exported_environment;
use crate::error::ConfigError;
use crate::export;
use crate::export::service::{ExportedPort, ExportedProbe, ExportedProcess, ExportedService, Placement, ServiceLife};
use crate::model::service::{Probe, ServiceSettings};
use crate::model::{Environment, literal};
use crate::os_text;
use crate::plan::Plan;
use crate::serve::fields::{self, ServiceInstance, ServiceInstances};

/// The first of the numbers for ports that have none.
const FIRST_NUMBER: u16 = 8000;

/// Variables that every environment gets, and that say nothing about the service.
const COMMON: [&str; 5] =
    ["PYTHONHASHSEED", "PYTHONIOENCODING", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_USER", "VIRTUAL_ENV"];

struct Served {
    environment: Environment,
    service: ServiceSettings,
    ports: Vec<ExportedPort>,
    depends: Vec<String>,
}

/// The services in `names`; with `placement` as they run there.
pub fn of(plan: &Plan, names: &[String], placement: Option<&Placement>) -> Result<Vec<ExportedService>, ConfigError> {
    let mut served = Vec::new();
    let mut next = FIRST_NUMBER;
    for name in names {
        if !plan.is_service(name)? {
            continue;
        }
        let environment = plan.environment(name)?;
        let Some(service) = environment.service.clone() else { continue };
        let ports = numbered(&service, &mut next);
        let depends = plan.services_of(name, names)?;
        served.push(Served { environment, service, ports, depends });
    }
    let mut known = BTreeMap::new();
    if let Some(placement) = placement {
        let labels = export::service_names(&served.iter().map(|one| one.environment.name.clone()).collect::<Vec<_>>());
        for (one, label) in served.iter().zip(labels) {
            let host = if placement.has_names { label } else { one.service.address.host.clone() };
            known.insert(one.environment.name.clone(), instance(one, host)?);
        }
    }
    served.iter().map(|one| exported(plan, one, placement.map(|placement| (placement, &known)))).collect()
}

/// Ports without a number get one: the same at every export, and different from all others.
fn numbered(service: &ServiceSettings, next: &mut u16) -> Vec<ExportedPort> {
    let number = |port: &crate::model::service::PortSetting| {
        let number = port.number.unwrap_or(*next);
        *next += u16::from(port.number.is_none());
        ExportedPort { name: port.name.clone(), number, is_fixed: port.number.is_some() }
    };
    service.address.ports.iter().map(number).collect()
}

/// The service as others see it at `host`.
fn instance(served: &Served, host: String) -> Result<ServiceInstance, ConfigError> {
    let mut instance = ServiceInstance {
        name: served.environment.name.clone(),
        host,
        ports: served.ports.iter().map(|port| (port.name.clone(), port.number)).collect(),
        ..ServiceInstance::default()
    };
    if let Some(url) = &served.service.address.url {
        instance.url = Some(fields::fill_own(url, &instance, &ServiceInstances::default())?);
    }
    let ready = served.service.ready_text();
    let scheme = ready.trim_start().split_once("://").map(|(scheme, _)| scheme);
    instance.derive_url(scheme.filter(|scheme| scheme.starts_with("http")).unwrap_or("tcp"));
    Ok(instance)
}

fn exported(
    plan: &Plan,
    served: &Served,
    place: Option<(&Placement, &BTreeMap<String, ServiceInstance>)>,
) -> Result<ExportedService, ConfigError> {
    let Served { environment, service, ports, depends } = served;
    let root = os_text::decode(plan.settings.tox_root()?.as_os_str());
    let life = ServiceLife {
        restart: service.restarts.restart,
        restart_limit: service.restarts.restart_limit,
        success_exit_codes: service.restarts.success_exit_codes.clone(),
        ready_timeout: service.probes.ready_timeout,
        stop_signal: service.stopping.stop_signal.clone(),
        stop_timeout: service.stopping.stop_timeout,
        listen_fds: service.address.listen_fds,
    };
    let process = match place {
        Some((placement, known)) => {
            let process = process(served, placement, known);
            let process = process.map_err(|error| error.hint("`envo config --check` shows where"))?;
            Some(moved(process, &root, placement))
        }
        None => None,
    };
    Ok(ExportedService {
        environment: exported_environment(plan, &environment.name)?,
        description: environment.description.get()?,
        command: service.serve.replace(&format!("{root}/"), ""),
        host: service.address.host.clone(),
        ports: ports.clone(),
        depends: depends.clone(),
        process,
        life,
    })
}

fn process(
    served: &Served,
    placement: &Placement,
    known: &BTreeMap<String, ServiceInstance>,
) -> Result<ExportedProcess, ConfigError> {
    let Served { environment, service, depends, .. } = served;
    let mut needed = ServiceInstances::default();
    depends.iter().filter_map(|name| known.get(name)).for_each(|one| needed.insert(one.clone()));
    let listening = instance(served, placement.listen.map_or_else(|| service.address.host.clone(), str::to_owned))?;
    let own = instance(served, service.address.host.clone())?;
    let fill = |text: &String| fields::fill_own(text, &listening, &needed);
    let setup = environment.execution.commands.pre.get()?;
    let setup = setup.iter().map(|command| command.argv.iter().map(fill).collect()).collect::<Result<_, ConfigError>>();
    let written = environment.variables.written.get()?;
    let mut variables: Vec<(String, String)> = needed.variables();
    for (name, text) in written.iter().filter(|(name, _)| !name.starts_with("TOX_") && !COMMON.contains(&name.as_str()))
    {
        variables.push((name.clone(), fill(text)?));
    }
    let folder = environment.execution.change_dir.get()?;
    Ok(ExportedProcess {
        folder: os_text::decode(folder.as_os_str()),
        programs: os_text::decode(environment.folders.env_dir.join("bin").as_os_str()),
        words: fields::words(&service.serve, &listening, &needed)?,
        setup: setup?,
        variables,
        ready: probe(&service.ready_text(), &own, &needed)?,
    })
}

fn probe(written: &str, own: &ServiceInstance, needed: &ServiceInstances) -> Result<ExportedProbe, ConfigError> {
    Ok(match Probe::parse(written)? {
        Probe::Command { text } => ExportedProbe::Command(fields::words(&text, own, needed)?),
        Probe::Http { .. } | Probe::Tcp { .. } => match Probe::parse(&fields::fill_own(written, own, needed)?)? {
            Probe::Http { url, status } => ExportedProbe::Http { url, status },
            Probe::Tcp { address } => ExportedProbe::Tcp(address),
            _ => ExportedProbe::None,
        },
        Probe::Notify => ExportedProbe::Notify,
        Probe::Exit => ExportedProbe::Exit,
        Probe::Unix { .. } | Probe::Log { .. } | Probe::Alive => ExportedProbe::None,
    })
}

/// With the paths that the project has at the target.
fn moved(process: ExportedProcess, root: &str, placement: &Placement) -> ExportedProcess {
    let moved = |text: String| literal::plain(&text).replace(root, &placement.root);
    let all = |words: Vec<String>| words.into_iter().map(moved).collect::<Vec<_>>();
    let folder = moved(process.folder);
    ExportedProcess {
        programs: moved(process.programs),
        words: all(process.words),
        setup: process.setup.into_iter().map(all).collect(),
        variables: process.variables.into_iter().map(|(name, value)| (name, moved(value))).collect(),
        ready: match process.ready {
            ExportedProbe::Command(words) => ExportedProbe::Command(all(words)),
            other => other,
        },
        folder: if folder.starts_with('/') { folder } else { format!("{}/{folder}", placement.root) },
    }
}
