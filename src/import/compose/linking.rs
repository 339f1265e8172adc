//! Links services: dependencies, addresses of other services, and ports that must have a fixed number.

use std::collections::BTreeSet;

use yaml_rust2::Yaml;

use super::environment_of;
use super::notes::ImportNotes;
use super::references::{Mention, ReferenceKind, ServiceNames, TextRole};
use super::service::{ContainerVariable, ServiceDraft};
use super::values::{entries, get, text, texts};
use crate::import::fields::{field, outside, settled};

pub struct ServiceLinks<'a, 'b> {
    drafts: &'a mut [ServiceDraft<'b>],
    notes: &'a mut ImportNotes,
    names: ServiceNames,
    /// Dependencies, by position.
    edges: BTreeSet<(usize, usize)>,
    /// Whether a service has dependents.
    needed: Vec<bool>,
    /// Whose ports have to be those of the container, and why.
    fixed: Vec<Option<&'static str>>,
}

/// A text of a service that may name others.
enum LinkedText {
    Variable(usize),
    Word(usize),
    Argument(usize),
    Prepare(usize),
}

impl<'a, 'b> ServiceLinks<'a, 'b> {
    pub fn new(drafts: &'a mut [ServiceDraft<'b>], notes: &'a mut ImportNotes) -> Self {
        let mut names = ServiceNames::default();
        for (at, draft) in drafts.iter().enumerate() {
            names.add(&draft.name, at);
        }
        for (at, draft) in drafts.iter().enumerate() {
            let networks = draft.get("networks").map(entries).unwrap_or_default();
            let aliases = networks.iter().flat_map(|(_, how)| get(how, "aliases").map(texts).unwrap_or_default());
            let own = ["container_name", "hostname"].iter().filter_map(|key| draft.text(key));
            aliases.chain(own).for_each(|alias| names.add(&alias, at));
        }
        for link in drafts.iter().flat_map(|draft| draft.get("links").map(texts).unwrap_or_default()) {
            if let Some((name, alias)) = link.split_once(':')
                && let Some(at) = names.get(name)
            {
                names.add(alias, at);
            }
        }
        let (fixed, needed) = (vec![None; drafts.len()], vec![false; drafts.len()]);
        Self { drafts, notes, names, edges: BTreeSet::new(), needed, fixed }
    }

    pub fn work_in(mut self) {
        (0..self.drafts.len()).for_each(|at| self.read_depends(at));
        (0..self.drafts.len()).for_each(|at| self.learn_ports(at));
        (0..self.drafts.len()).for_each(|at| self.write_addresses(at));
        let mut taken = BTreeSet::new();
        (0..self.drafts.len()).for_each(|at| self.own_ports(at, &mut taken));
    }

    fn read_depends(&mut self, at: usize) {
        let mut named: Vec<(String, bool, bool)> = match self.drafts[at].get("depends_on") {
            Some(list @ Yaml::Array(_)) => texts(list).into_iter().map(|name| (name, false, true)).collect(),
            Some(mapping) => entries(mapping)
                .into_iter()
                .map(|(name, how)| {
                    let is = |key: &str| get(how, key).and_then(Yaml::as_bool);
                    (name, is("restart") == Some(true), is("required") != Some(false))
                })
                .collect(),
            None => Vec::new(),
        };
        let links = self.drafts[at].get("links").map(texts).unwrap_or_default();
        named.extend(links.iter().map(|link| (link.split(':').next().unwrap_or_default().to_owned(), false, true)));
        let from = self.drafts[at].get("volumes_from").map(texts).unwrap_or_default();
        named.extend(from.iter().map(|from| (from.split(':').next().unwrap_or_default().to_owned(), false, true)));
        for (name, restart, is_required) in named {
            let env = environment_of(&name);
            match self.drafts.iter().position(|draft| draft.env == env) {
                Some(other) if other == at || self.reaches(other, at) => {
                    self.notes.add(
                        &self.drafts[at].name,
                        format!("it would depend on itself through `{env}`, which is left out"),
                    );
                }
                Some(other) => {
                    self.connect(at, other);
                    let depends = &mut self.drafts[at].depends;
                    if depends.iter().all(|(known, _)| *known != env) {
                        depends.push((env, restart));
                    }
                }
                None if is_required => {
                    self.notes.add(&self.drafts[at].name, format!("it depends on `{env}`, which is not in the file"))
                }
                None => {}
            }
        }
    }

    fn connect(&mut self, from: usize, to: usize) {
        self.edges.insert((from, to));
        self.needed[to] = true;
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        if !self.needed[to] {
            return false;
        }
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(one) = open.pop() {
            if one == to {
                return true;
            }
            for (_, next) in self.edges.range((one, 0)..=(one, usize::MAX)) {
                if seen.insert(*next) {
                    open.push(*next);
                }
            }
        }
        false
    }

    fn texts(&self, at: usize) -> Vec<(LinkedText, String)> {
        let draft = &self.drafts[at];
        let variables = draft.variables.iter().enumerate();
        let variables = variables.filter_map(|(at, one)| Some((LinkedText::Variable(at), one.value.clone()?)));
        let words = draft.program.words.iter().enumerate().map(|(at, word)| (LinkedText::Word(at), word.clone()));
        let arguments =
            draft.program.arguments.iter().enumerate().map(|(at, word)| (LinkedText::Argument(at), word.clone()));
        let prepare =
            draft.installs.commands_pre.iter().enumerate().map(|(at, line)| (LinkedText::Prepare(at), line.clone()));
        variables.chain(words).chain(arguments).chain(prepare).collect()
    }

    fn mentions(&self, at: usize, place: &LinkedText, text: &str) -> Vec<Mention> {
        let draft = &self.drafts[at];
        // The image of a known program has its own variables, and they name no others.
        if draft.known.is_some() && matches!(place, LinkedText::Variable(_)) {
            return Vec::new();
        }
        let knows = |service: usize, port: u16| self.drafts[service].ports.iter().any(|one| one.target == port);
        let what = match place {
            LinkedText::Variable(index) => TextRole::Variable(&draft.variables[*index].name),
            _ => TextRole::Command,
        };
        // A word after an option for a host is one.
        if let (LinkedText::Word(index), true) = (place, what == TextRole::Command) {
            let before = index.checked_sub(1).and_then(|before| draft.program.words.get(before));
            let is_host = before.is_some_and(|word| matches!(word.as_str(), "-h" | "--host" | "--hostname"));
            if let Some(service) = self.names.get(text).filter(|_| is_host) {
                return vec![Mention { range: 0..text.len(), service, kind: ReferenceKind::Host }];
            }
        }
        self.names.mentions(text, what, &knows)
    }

    /// Ports that only those who ask for them name.
    fn learn_ports(&mut self, at: usize) {
        for (place, text) in self.texts(at) {
            for mention in self.mentions(at, &place, &text) {
                let port = match mention.kind {
                    ReferenceKind::HostAndPort(port) | ReferenceKind::HostThenPort(port) => Some(port),
                    ReferenceKind::HostOfUrl if self.drafts[mention.service].ports.is_empty() => {
                        scheme_port(&text[..mention.range.start])
                    }
                    _ => None,
                };
                let other = &mut self.drafts[mention.service];
                if let Some(port) = port.filter(|_| other.known.is_none()) {
                    other.add_port(port, None);
                }
            }
        }
    }

    fn write_addresses(&mut self, at: usize) {
        let mut named = BTreeSet::new();
        let mut hosts_only: Vec<(Option<usize>, usize)> = Vec::new();
        for (place, text) in self.texts(at) {
            let mut result = String::new();
            let mut end = 0;
            for mention in self.mentions(at, &place, &text) {
                let (host, port) = self.address(at, &mention);
                let Some(host) = host else { continue };
                result.push_str(&text[end..mention.range.start]);
                result.push_str(&host);
                match (mention.kind, port) {
                    (ReferenceKind::HostAndPort(_) | ReferenceKind::HostOfUrl, Some(port)) => {
                        result.extend([":", &port])
                    }
                    (ReferenceKind::HostThenPort(_), Some(port)) => result.extend([" ", &port]),
                    (ReferenceKind::Host, _) => {
                        let index = if let LinkedText::Variable(index) = place { Some(index) } else { None };
                        hosts_only.push((index, mention.service));
                    }
                    (_, None) => {}
                }
                end = mention.range.end;
                named.insert(mention.service);
            }
            if end == 0 {
                continue;
            }
            result.push_str(&text[end..]);
            let draft = &mut self.drafts[at];
            match place {
                LinkedText::Variable(index) => {
                    draft.variables[index].value = Some(result);
                    draft.variables[index].from_file = false;
                }
                LinkedText::Word(index) => draft.program.words[index] = result,
                LinkedText::Argument(index) => draft.program.arguments[index] = result,
                LinkedText::Prepare(index) => draft.installs.commands_pre[index] = result,
            }
        }
        for (variable, service) in hosts_only {
            self.neighbouring_port(at, variable, service);
        }
        self.untold(at, &named);
    }

    /// Host and port of a mentioned service, as fields. No host: its name stays.
    fn address(&mut self, at: usize, mention: &Mention) -> (Option<String>, Option<String>) {
        let other = mention.service;
        let wanted = match mention.kind {
            ReferenceKind::HostAndPort(port) | ReferenceKind::HostThenPort(port) => Some(port),
            _ => self.drafts[other].ports.first().map(|port| port.target),
        };
        let place = wanted.and_then(|wanted| self.drafts[other].ports.iter().position(|port| port.target == wanted));
        if at == other {
            let port = wanted.and_then(|wanted| self.drafts[at].port_field(wanted, true));
            return (port.is_some().then(|| field("host")), port);
        }
        if !self.drafts[other].is_served() {
            let text =
                format!("it uses the address of `{}`, which does not run as a service here", self.drafts[other].env);
            self.look(at, text);
            return (None, None);
        }
        let Some(place) = place else {
            let text = format!(
                "it uses `{}` on port {}, which is not available here",
                self.drafts[other].env,
                wanted.unwrap_or_default()
            );
            self.look(at, text);
            return (None, None);
        };
        let (env, target) = (self.drafts[other].env.clone(), self.drafts[other].ports[place].target);
        if !self.edges.contains(&(at, other)) {
            if self.reaches(other, at) {
                // Each has the other's address, so one of them has to be known beforehand.
                self.fixed[other] = Some("services that start before it use its address");
                return (Some("127.0.0.1".to_owned()), Some(target.to_string()));
            }
            self.connect(at, other);
            self.drafts[at].depends.push((env.clone(), false));
        }
        let port = match place {
            0 => field(&format!("service:{env}:port")),
            _ => field(&format!("service:{env}:port:{}", self.drafts[other].ports[place].name)),
        };
        (Some(field(&format!("service:{env}:host"))), Some(port))
    }

    fn look(&mut self, at: usize, text: String) {
        self.drafts[at].needs_look = true;
        self.notes.add(&self.drafts[at].name, text);
    }

    /// A host stands alone: its port is in the variable beside it, or is the usual one.
    fn neighbouring_port(&mut self, at: usize, variable: Option<usize>, other: usize) {
        let env = self.drafts[other].env.clone();
        let ports: Vec<(u16, String)> =
            self.drafts[other].ports.iter().map(|port| (port.target, port.name.clone())).collect();
        let field_of = |number: u16| {
            let at = ports.iter().position(|(target, _)| *target == number)?;
            let name = if at == 0 { String::new() } else { format!(":{}", ports[at].1) };
            Some(field(&format!("service:{env}:port{name}")))
        };
        let draft = &mut self.drafts[at];
        if let Some(index) = variable {
            // `host=db port=5432`
            let value = draft.variables[index].value.clone().unwrap_or_default();
            if let Some((before, after)) = value.split_once("port=").or_else(|| value.split_once("Port=")) {
                let digits = after.bytes().take_while(u8::is_ascii_digit).count();
                if let Some(port) = after[..digits].parse().ok().and_then(field_of) {
                    let name = &value[before.len()..before.len() + 5];
                    draft.variables[index].value = Some(format!("{before}{name}{port}{}", &after[digits..]));
                    return;
                }
            }
            let name = draft.variables[index].name.to_ascii_uppercase();
            let prefix =
                ["HOSTNAME", "HOST", "SERVER", "ADDRESS", "ADDR"].iter().find_map(|end| name.strip_suffix(end));
            let wanted = prefix.map(|prefix| format!("{prefix}PORT"));
            let beside = draft
                .variables
                .iter_mut()
                .find(|one| wanted.as_deref() == Some(one.name.to_ascii_uppercase().as_str()));
            let beside = beside.filter(|one| one.value.is_some());
            if let Some(ContainerVariable { value: Some(value), from_file, .. }) = beside {
                if let Some(port) = settled(value).parse().ok().and_then(field_of) {
                    (*value, *from_file) = (port, false);
                    return;
                }
                // It was put in for another host already.
                if value.contains(&format!("service:{env}:port")) {
                    return;
                }
            }
        }
        self.fixed[other].get_or_insert("its users expect this port");
    }

    /// Notes services with dependents that have no reference to their address.
    fn untold(&mut self, at: usize, named: &BTreeSet<usize>) {
        let draft = &self.drafts[at];
        if !draft.is_served() && !draft.is_job || draft.known.is_some() {
            return;
        }
        let needed: Vec<usize> = self.edges.range((at, 0)..=(at, usize::MAX)).map(|(_, other)| *other).collect();
        let has_ports = |other: &&usize| self.drafts[**other].is_served() && !self.drafts[**other].ports.is_empty();
        let untold: Vec<&usize> = needed.iter().filter(has_ports).filter(|other| !named.contains(other)).collect();
        if untold.is_empty() {
            return;
        }
        let names: Vec<String> = untold.iter().map(|other| self.drafts[**other].env.clone()).collect();
        let variable = format!("ENVO_{}_URL", names[0].to_ascii_uppercase().replace(['-', '.'], "_"));
        let text = format!(
            "no variable or argument contains the address of {}: if its code or one of its files does, make it read {variable}",
            names.join(", ")
        );
        if named.is_empty() {
            self.look(at, text);
        } else {
            self.notes.add(&self.drafts[at].name, text);
        }
    }

    /// Where a service listens itself: a field if its command or a variable says the port, else the number in its code.
    fn own_ports(&mut self, at: usize, taken: &mut BTreeSet<u16>) {
        let is_known = self.drafts[at].known.is_some();
        if !self.drafts[at].is_served() {
            return;
        }
        for index in 0..self.drafts[at].ports.len() {
            let (target, published) = (self.drafts[at].ports[index].target, self.drafts[at].ports[index].published);
            let service = self.drafts[at].name.clone();
            let is_told = is_known || self.stated_port(at, index);
            // Only its own programs use that one.
            let is_inner = is_known && self.drafts[at].ports[index].name == "dist";
            let wanted = match (is_known, self.fixed[at].filter(|_| !is_inner)) {
                (_, Some(reason)) => {
                    self.notes.add(&service, format!("it needs the port {target} here: {reason}"));
                    Some(target)
                }
                (true, None) => {
                    if let Some(number) = published {
                        self.notes.add(
                            &service,
                            format!(
                                "it gets a free port instead of {number}; other services receive it through fields"
                            ),
                        );
                    }
                    None
                }
                (false, None) if is_told => published.filter(|number| *number >= 1024),
                (false, None) => {
                    let is_free = !taken.contains(&target);
                    if is_free && published.is_some_and(|number| number != target) {
                        let number = published.unwrap_or_default();
                        self.notes.add(
                            &service,
                            format!("its command sets the port {target}, which is used instead of {number}"),
                        );
                    }
                    Some(target)
                }
            };
            let many = self.drafts[at].text("scale").is_some_and(|count| count != "1")
                || self.drafts[at]
                    .get("deploy")
                    .and_then(|deploy| get(deploy, "replicas"))
                    .and_then(text)
                    .is_some_and(|count| count != "1");
            let mut number = wanted.filter(|number| !many && taken.insert(*number));
            if let (Some(wanted), None) = (wanted, number) {
                number = published.filter(|number| !many && *number >= 1024 && taken.insert(*number));
                self.drafts[at].needs_look |= !is_told;
                let text = if is_told {
                    "so it gets another port"
                } else {
                    "so it receives another port in the variable PORT"
                };
                self.notes.add(&service, format!("{wanted} is taken by another service or instance, {text}"));
                let draft = &mut self.drafts[at];
                if !is_told && index == 0 {
                    draft.variables.retain(|variable| variable.name != "PORT");
                    let value = Some(field("port"));
                    draft.variables.push(ContainerVariable { name: "PORT".to_owned(), value, from_file: false });
                }
            }
            self.drafts[at].ports[index].number = number;
        }
        if !is_known {
            for word in &mut self.drafts[at].program.words {
                *word = outside(word, |text| text.replace("0.0.0.0", &field("host")));
            }
        }
    }

    /// Inserts the field wherever the service receives its own port; returns whether there was any.
    fn stated_port(&mut self, at: usize, index: usize) -> bool {
        let draft = &mut self.drafts[at];
        let (target, field) = (draft.ports[index].target, field(&format!("port:{}", draft.ports[index].name)));
        let number = target.to_string();
        let mut told = false;
        let mut after_option = false;
        for word in &mut draft.program.words {
            let is_sure = target >= 1000 || after_option || word.contains(&format!(":{number}"));
            after_option = word.contains("port") || matches!(word.as_str(), "-p" | "-P" | "-b" | "-l");
            let is_sure = is_sure || (word.contains("port") && word.contains('='));
            if is_sure {
                *word = outside(word, |text| {
                    let changed = replace_number(text, &number, &field);
                    told |= changed.is_some();
                    changed.unwrap_or_else(|| text.to_owned())
                });
            }
        }
        for ContainerVariable { name, value, from_file } in &mut draft.variables {
            let upper = name.to_ascii_uppercase();
            let Some(value) = value else { continue };
            let is_port = upper.ends_with("PORT") && settled(value) == number;
            let own = ["localhost", "127.0.0.1", "0.0.0.0"].map(|host| format!("{host}:{number}"));
            let address = own.iter().find(|address| value.contains(*address));
            if is_port {
                (*value, *from_file, told) = (field.clone(), false, true);
            } else if let Some(address) = address {
                let host = address.split(':').next().unwrap_or_default();
                *value = outside(value, |text| text.replace(address, &format!("{host}:{field}")));
                *from_file = false;
                told |= ["ADDR", "BIND", "LISTEN", "HOST"].iter().any(|part| upper.contains(part));
            }
        }
        if told || index > 0 {
            return told;
        }
        // Programs that read their port from a variable when no argument says it.
        let known = [
            ("flask", "FLASK_RUN_PORT", 5000),
            ("uvicorn", "UVICORN_PORT", 8000),
            ("streamlit", "STREAMLIT_SERVER_PORT", 8501),
        ];
        let Some((_, variable, usual)) =
            known.iter().find(|(program, ..)| draft.program.words.iter().any(|word| word == program))
        else {
            return false;
        };
        if *usual != target
            || draft.program.words.iter().any(|word| word == "--port" || word == "-p")
            || draft.variable(variable).is_some()
        {
            return false;
        }
        draft.variables.push(ContainerVariable { name: (*variable).to_owned(), value: Some(field), from_file: false });
        true
    }
}

/// The port that an address without one means.
fn scheme_port(before: &str) -> Option<u16> {
    let scheme = before.rsplit_once("://")?.0.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '+').next()?;
    Some(match scheme.split('+').next()? {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "postgres" | "postgresql" => 5432,
        "redis" => 6379,
        "amqp" => 5672,
        "mysql" => 3306,
        "mongodb" => 27017,
        _ => return None,
    })
}

/// The line with a field where the number stands by itself, if it does.
fn replace_number(line: &str, number: &str, field: &str) -> Option<String> {
    let alone = |character: Option<char>| !character.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
    let mut result = String::new();
    let mut end = 0;
    for (at, _) in line.match_indices(number) {
        if alone(line[..at].chars().next_back()) && alone(line[at + number.len()..].chars().next()) {
            result.push_str(&line[end..at]);
            result.push_str(field);
            end = at + number.len();
        }
    }
    (end > 0).then(|| result + &line[end..])
}
