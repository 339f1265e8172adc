//! Selects the instances of an environment that a request means: the only one, one of several (`instances =
//! 3`), or one of a client's own (`share = worker`). Starts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::service::Share;
use crate::serve::fields::MARK;
use crate::serve::protocol::{ServiceDefinition, ServiceDependency};

/// The longest name that a client may give: it becomes part of file names.
const LONGEST_NAMESPACE: usize = 100;

/// The names that a client gives for instances that are not shared by all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    pub worker: Option<String>,
    pub test: Option<String>,
}

impl Namespaces {
    /// The first name that is not valid.
    pub fn refused(&self) -> Option<&str> {
        let good =
            |name: &str| !name.is_empty() && name.len() <= LONGEST_NAMESPACE && !name.contains(['/', '\0', '\n', MARK]);
        [&self.worker, &self.test].into_iter().flatten().map(String::as_str).find(|name| !good(name))
    }

    /// The name that applies to this kind of sharing; `None`: it is shared by all.
    fn of(&self, share: Share) -> Option<&str> {
        match share {
            Share::Run => None,
            Share::Worker => self.worker.as_deref(),
            Share::Test => self.test.as_deref().or(self.worker.as_deref()),
        }
    }
}

/// The name of one instance of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceName {
    /// `web` for the first or only one, `web@2`, and in namespaces `web@gw0`, `web@gw0.2`.
    pub name: String,
    pub environment: String,
    /// What distinguishes it from others: `1`, `2`, `gw0`, `gw0.2`.
    pub label: String,
    /// Whether it belongs to one client's namespace.
    pub is_apart: bool,
    /// The names that its dependents know it by.
    pub shown: Vec<String>,
}

/// The definition of an environment that a supervisor received.
#[derive(Debug, Clone)]
pub struct ServiceTemplate {
    pub definition: Arc<ServiceDefinition>,
    /// The definition's digest.
    digest: String,
}

impl ServiceTemplate {
    pub fn new(definition: ServiceDefinition) -> Self {
        Self { digest: definition.digest(), definition: Arc::new(definition) }
    }

    /// The number of instances in each namespace.
    pub fn instances(&self) -> u32 {
        self.definition.service.as_ref().map_or(1, |service| service.instances.max(1))
    }
}

/// An instance and its definition.
#[derive(Debug, Clone)]
pub struct ExpandedInstance {
    pub which: InstanceName,
    /// The environment's definition, with dependencies replaced by instances.
    pub definition: Arc<ServiceDefinition>,
    /// The digest of the environment's definition.
    pub digest: String,
}

/// The names of all instances outside namespaces.
pub fn plain_names(definition: &ServiceDefinition) -> Vec<String> {
    named(definition, None).into_iter().map(|which| which.name).collect()
}

/// The instances of the environments `asked`. `all`: those and their dependencies.
pub fn expand(
    all: &BTreeMap<String, ServiceTemplate>,
    asked: &BTreeSet<String>,
    namespaces: &Namespaces,
) -> Vec<ExpandedInstance> {
    let mut shares = BTreeMap::new();
    let mut instances: BTreeMap<&str, Vec<InstanceName>> = BTreeMap::new();
    for (name, template) in all {
        let share = find_share(all, name, &mut shares);
        instances.insert(name, named(&template.definition, namespaces.of(share)));
    }
    let mut expanded = Vec::new();
    for (name, which) in &instances {
        let Some(ServiceTemplate { definition, digest }) = asked.get(*name).and_then(|name| all.get(name)) else {
            continue;
        };
        let depends: Vec<ServiceDependency> = definition
            .depends
            .iter()
            .flat_map(|one| {
                let names = instances.get(one.name.as_str()).into_iter().flatten();
                names.map(|which| ServiceDependency { name: which.name.clone(), restart: one.restart })
            })
            .collect();
        for which in which {
            let same = which.name == definition.name && depends == definition.depends;
            let definition = match same {
                true => Arc::clone(definition),
                false => Arc::new(ServiceDefinition {
                    name: which.name.clone(),
                    depends: depends.clone(),
                    ..ServiceDefinition::clone(definition)
                }),
            };
            expanded.push(ExpandedInstance { which: which.clone(), definition, digest: digest.clone() });
        }
    }
    expanded
}

/// Who shares an environment: a dependent of something that is not shared by all is not shared by all either.
fn find_share<'a>(
    all: &'a BTreeMap<String, ServiceTemplate>,
    name: &'a str,
    known: &mut BTreeMap<&'a str, Share>,
) -> Share {
    if let Some(share) = known.get(name) {
        return *share;
    }
    let Some(definition) = all.get(name).map(|template| &template.definition) else { return Share::Run };
    let mut share = definition.service.as_ref().map_or(Share::Run, |service| service.share);
    // Ends the search even if there is a cycle.
    known.insert(name, share);
    for dependency in &definition.depends {
        share = share.max(find_share(all, &dependency.name, known));
    }
    known.insert(name, share);
    share
}

fn named(definition: &ServiceDefinition, namespace: Option<&str>) -> Vec<InstanceName> {
    let count = definition.service.as_ref().map_or(1, |service| service.instances.max(1));
    let environment = &definition.name;
    let which = |number: u32| {
        // The first one has the plain name, so that it keeps running when others are added.
        let mark = match (namespace, number) {
            (None, 1) => None,
            (Some(namespace), 1) => Some(namespace.to_owned()),
            (None, number) => Some(number.to_string()),
            (Some(namespace), number) => Some(format!("{namespace}.{number}")),
        };
        let first = (number == 1).then(|| environment.clone());
        let numbered = (count > 1).then(|| format!("{environment}{MARK}{number}"));
        InstanceName {
            name: mark.as_ref().map_or_else(|| environment.clone(), |mark| format!("{environment}{MARK}{mark}")),
            environment: environment.clone(),
            label: mark.unwrap_or_else(|| "1".to_owned()),
            is_apart: namespace.is_some(),
            shown: first.into_iter().chain(numbered).collect(),
        }
    };
    (1..=count).map(which).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServiceSettings;

    fn all(list: &[(&str, Share, u32, &[&str])]) -> BTreeMap<String, ServiceTemplate> {
        let definition = |(name, share, instances, depends): &(&str, Share, u32, &[&str])| {
            let service = ServiceSettings { share: *share, instances: *instances, ..ServiceSettings::new("run") };
            let depends =
                depends.iter().map(|name| ServiceDependency { name: (*name).into(), restart: false }).collect();
            let service = (*instances > 0).then_some(service);
            let definition =
                ServiceDefinition { name: (*name).into(), service, depends, ..ServiceDefinition::default() };
            ((*name).to_owned(), ServiceTemplate::new(definition))
        };
        list.iter().map(definition).collect()
    }

    fn expanded(list: &[(&str, Share, u32, &[&str])], worker: Option<&str>, test: Option<&str>) -> Vec<String> {
        let all = all(list);
        let namespaces = Namespaces { worker: worker.map(str::to_owned), test: test.map(str::to_owned) };
        let text = |one: ExpandedInstance| {
            let depends: Vec<&str> = one.definition.depends.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(one.which.name, one.definition.name);
            format!("{} < {}", one.which.name, depends.join(" "))
        };
        expand(&all, &all.keys().cloned().collect(), &namespaces).into_iter().map(text).collect()
    }

    #[test]
    fn shared_instances_ignore_a_clients_names() {
        let list: &[(&str, Share, u32, &[&str])] = &[("api", Share::Run, 1, &["db"]), ("db", Share::Run, 1, &[])];
        assert_eq!(expanded(list, Some("gw0"), Some("t")), ["api < db", "db < "]);
    }

    #[test]
    fn dependents_of_a_workers_instance_are_the_workers_too() {
        let list: &[(&str, Share, u32, &[&str])] = &[
            ("api", Share::Run, 1, &["migrate", "cache"]),
            ("cache", Share::Run, 1, &[]),
            ("db", Share::Worker, 1, &[]),
            ("mail", Share::Test, 1, &["db"]),
            ("migrate", Share::Run, 0, &["db"]),
        ];
        assert_eq!(
            expanded(list, Some("gw0"), Some("t7")),
            ["api@gw0 < migrate@gw0 cache", "cache < ", "db@gw0 < ", "mail@t7 < db@gw0", "migrate@gw0 < db@gw0"]
        );
        assert_eq!(expanded(list, Some("gw0"), None)[3], "mail@gw0 < db@gw0");
        assert_eq!(expanded(list, None, None)[3], "mail < db");
    }

    #[test]
    fn several_instances_are_numbered_and_the_first_represents_all() {
        let list: &[(&str, Share, u32, &[&str])] = &[("lb", Share::Run, 1, &["web"]), ("web", Share::Worker, 2, &[])];
        assert_eq!(expanded(list, None, None), ["lb < web web@2", "web < ", "web@2 < "]);
        assert_eq!(expanded(list, Some("gw0"), None), ["lb@gw0 < web@gw0 web@gw0.2", "web@gw0 < ", "web@gw0.2 < "]);
        let all = all(list);
        let names = BTreeSet::from(["web".to_owned()]);
        let which = |namespaces| expand(&all, &names, &namespaces).into_iter().map(|one| one.which).collect::<Vec<_>>();
        let of_worker = which(Namespaces { worker: Some("gw0".into()), test: None });
        assert_eq!(of_worker[0].shown, ["web", "web@1"]);
        assert_eq!((of_worker[1].shown.clone(), of_worker[1].label.as_str()), (vec!["web@2".to_owned()], "gw0.2"));
        assert!(of_worker[0].is_apart && !which(Namespaces::default())[0].is_apart);
        assert_eq!(plain_names(&all["web"].definition), ["web", "web@2"]);
        assert_eq!(crate::serve::fields::environment_of("web@gw0.2"), "web");
    }

    #[test]
    fn names_that_are_no_part_of_a_file_are_refused() {
        let refused = |name: &str| Namespaces { worker: Some(name.into()), test: None }.refused().is_some();
        assert!(["", "a/b", "a\0", "a@b", &"x".repeat(101)].into_iter().all(refused));
        assert!(!refused("gw0-test_x[1]"));
    }
}
