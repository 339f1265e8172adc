use super::*;
use crate::model::service::{AddressUse, PortSetting};

fn line(line: usize) -> Location {
    Location { file: "tox.ini".into(), line, column: 1, length: 1 }
}

/// A service that is defined at these lines.
fn defined(lines: &[(&str, usize)]) -> ServiceSettings {
    let locations = lines.iter().map(|(key, at)| ((*key).to_owned(), line(*at))).collect();
    let location = lines.first().map(|(_, at)| line(*at).short()).unwrap_or_default();
    ServiceSettings { location, locations, ..ServiceSettings::new("run") }
}

fn service(name: &str, depends: &[&str]) -> GraphMember {
    GraphMember {
        name: name.to_owned(),
        restarts_with: Vec::new(),
        depends_inherited: None,
        asks: Vec::new(),
        depends: depends.iter().map(|one| (*one).to_owned()).collect(),
        service: Some(defined(&[("serve", name.len())])),
    }
}

fn job(name: &str, depends: &[&str]) -> GraphMember {
    GraphMember { service: None, ..service(name, depends) }
}

fn with(name: &str, change: impl FnOnce(&mut ServiceSettings)) -> GraphMember {
    let mut member = service(name, &[]);
    change(member.service.as_mut().unwrap());
    member
}

fn messages(members: Vec<GraphMember>, known: &[&str]) -> Vec<String> {
    let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
    ServiceGraph::new(members).check(&known).into_iter().map(|error| error.message).collect()
}

#[test]
fn a_cycle_is_printed_as_a_circle_with_its_lines() {
    let graph = ServiceGraph::new(vec![
        service("top", &["a"]),
        service("a", &["bb"]),
        service("bb", &["ccc"]),
        service("ccc", &["a"]),
    ]);
    let errors = graph.check(&[]);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].message, "circular dependency of services: a → bb → ccc → a");
    assert_eq!(errors[0].hints[0], "`a` (tox.ini:1) depends on `bb`");
    assert_eq!(messages(vec![service("a", &["a"])], &[]), ["circular dependency of services: a → a"]);
}

#[test]
fn a_diamond_is_not_a_cycle() {
    let members = vec![service("a", &["b", "c"]), service("b", &["d"]), service("c", &["d"]), service("d", &[])];
    assert!(messages(members, &[]).is_empty());
}

#[test]
fn unknown_dependencies_get_a_suggestion() {
    let known = ["database".to_owned()];
    let errors = ServiceGraph::new(vec![service("a", &["databse", "x*"])]).check(&known);
    assert_eq!(errors[0].message, "`a` (tox.ini:1) depends on `databse`, which does not exist");
    assert_eq!(errors[0].hints, ["did you mean `database`?"]);
    assert_eq!(errors.len(), 1, "a glob may match nothing");
    assert!(messages(vec![job("a", &["nothing"])], &[]).is_empty(), "tox lets a job name anything");
}

#[test]
fn two_services_cannot_have_one_port() {
    let port = |name: &str| vec![PortSetting { name: name.to_owned(), number: Some(80) }];
    let members =
        vec![with("a", |one| one.address.ports = port("http")), with("bb", |one| one.address.ports = port("web"))];
    assert_eq!(
        messages(members, &[]),
        ["`a` (tox.ini:1) and `bb` (tox.ini:2) both have port 80 (`http=80` and `web=80`)"]
    );
    let elsewhere = |service: &mut ServiceSettings| {
        service.address.ports = port("web");
        service.address.host = "127.0.0.2".into();
    };
    assert!(messages(vec![with("a", |one| one.address.ports = port("http")), with("bb", elsewhere)], &[]).is_empty());
}

#[test]
fn only_services_in_depends_can_be_used_for_their_fields() {
    let asks = |depends: &[&str]| {
        let mut member = service("a", depends);
        member.service.as_mut().unwrap().serve = "run {service:db:host}".into();
        vec![member, service("mid", &["db"]), service("db", &[])]
    };
    assert_eq!(
        messages(asks(&[]), &[]),
        ["`serve` of `a` (tox.ini:1) names the service `db`, which is not in its `depends`"]
    );
    assert!(messages(asks(&["mid"]), &["mid"]).is_empty(), "through another is good enough");
}

#[test]
fn bad_probes_and_signals_are_found_before_anything_starts() {
    let ready = |text: &str| messages(vec![with("a", |one| one.probes.ready = Some(text.into()))], &[]);
    assert!(ready("log:(").concat().ends_with(": invalid regular expression: unclosed group"));
    assert!(ready("nonsense").concat().contains("is not a probe"));
    assert!(ready("log:up (?P<port>[0-9]+)").is_empty());
    assert!(
        messages(vec![with("a", |one| one.probes.alive = Some("exit".into()))], &[]).concat().contains("only once")
    );
    let signal = messages(vec![with("a", |one| one.stopping.stop_signal = "SIGNOPE".into())], &[]);
    assert_eq!(signal, ["`stop_signal = SIGNOPE` of `a` (tox.ini:1) is not a signal"]);
}

fn ports(written: &[(&str, Option<u16>)]) -> Vec<PortSetting> {
    written.iter().map(|(name, number)| PortSetting { name: (*name).to_owned(), number: *number }).collect()
}

#[test]
fn everywhere_is_also_there() {
    let at = |host: &'static str| {
        move |service: &mut ServiceSettings| {
            service.address.host = host.into();
            service.address.ports = ports(&[("p", Some(80))]);
        }
    };
    assert_eq!(messages(vec![with("a", at("127.0.0.1")), with("b", at("0.0.0.0"))], &[]).len(), 1);
    assert_eq!(messages(vec![with("a", at("localhost")), with("b", at("127.0.0.1"))], &[]).len(), 1);
    assert!(messages(vec![with("a", at("::1")), with("b", at("127.0.0.1"))], &[]).is_empty());
}

#[test]
fn several_instances_cannot_have_one_port() {
    let three = |number| {
        messages(
            vec![with("a", |one| {
                one.instances = 3;
                one.address.ports = ports(&[("p", number)]);
            })],
            &[],
        )
    };
    assert_eq!(three(Some(80)), ["`a` (tox.ini:1) has 3 `instances`, which cannot all have port 80 (`p=80`)"]);
    assert!(three(None).is_empty());
}

#[test]
fn fields_that_will_never_exist_are_found_before_a_start() {
    let serve = |text: &str, change: fn(&mut ServiceSettings)| {
        let mut asking = service("a", &["db", "job"]);
        asking.service.as_mut().unwrap().serve = text.into();
        let mut job = service("job", &[]);
        job.service = None;
        messages(vec![asking, with("db", change), job], &["db", "job"])
    };
    let nothing = |_: &mut ServiceSettings| {};
    assert_eq!(serve("x {port}", nothing), ["`serve` of `a` (tox.ini:1) uses `{port}` but declares no such port"]);
    assert_eq!(
        serve("{service:db:url}", nothing),
        ["`serve` of `a` (tox.ini:1) uses `url` of `db` (tox.ini:2), which has neither `ports` nor `url`"]
    );
    assert!(serve("{service:db:url}", |db| db.address.url = Some("x://y".into())).is_empty());
    assert!(serve("{service:db:host}", nothing).is_empty());
    let named = |db: &mut ServiceSettings| db.probes.ready = Some("log:on (?P<port>[0-9]+) with (?P<token>.*)".into());
    assert!(serve("{service:db:url} {service:db:port} {service:db:token}", named).is_empty());
    assert!(serve("{service:db:tokn}", named).concat().contains("which has no such field"));
    assert!(serve("{service:db:port:sql}", named).concat().contains("no port named `sql`"));
    assert_eq!(
        serve("{service:job:url}", nothing),
        ["`serve` of `a` (tox.ini:1) uses `url` of `job`, which is not a service: it has no `serve` key"]
    );
    let mut typed = with("a", |one| {
        one.address.ports = ports(&[("http", None)]);
        one.serve = "x {port:htp}".into();
    });
    let error = ServiceGraph::new(vec![typed.clone()]).check(&[]).remove(0);
    assert_eq!(error.hints, ["did you mean `{port:http}`?"]);
    typed.service.as_mut().unwrap().serve = "x {port:http} {port}".into();
    assert!(messages(vec![typed], &[]).is_empty());
}

#[test]
fn two_services_cannot_define_the_same_variables() {
    assert_eq!(
        messages(vec![service("a-b", &[]), service("A.b", &[])], &[]),
        ["`a-b` (tox.ini:3) and `A.b` (tox.ini:3) would both define `ENVO_A_B_URL`"]
    );
}

#[test]
fn keys_that_can_never_do_anything_are_found() {
    let one = |change: fn(&mut ServiceSettings)| messages(vec![with("a", change)], &[]).concat();
    assert!(one(|a| a.address.adopt = true).contains("needs a port with a number"));
    assert!(
        one(|a| {
            a.address.adopt = true;
            a.address.ports = ports(&[("p", Some(80))]);
            a.probes.ready = Some("log:up".into());
        })
        .contains("`ready = log:up` cannot check a running program")
    );
    assert!(one(|a| a.address.listen_fds = true).contains("`listen_fds` but declares no `ports`"));
    assert!(one(|a| a.watching.watch_command = Some("x".into())).contains("`watch` is empty"));
    assert!(
        one(|a| {
            a.probes.ready = Some("exit".into());
            a.probes.alive = Some("tcp://x:1".into());
        })
        .contains("it has ended by the time it is ready")
    );
}

#[test]
fn a_key_on_another_line_is_named_with_that_line() {
    let member = with("a", |one| {
        one.probes.ready = Some("nonsense".into());
        one.locations.insert("ready".into(), line(9));
    });
    assert!(messages(vec![member], &[]).concat().starts_with("`ready = nonsense` of `a` (tox.ini:9): "));
}

#[test]
fn variables_and_commands_use_existing_services_in_depends() {
    let asking = |key, text: &str| AddressUse { key, place: Some(line(9)), text: text.into() };
    let asks = |member: GraphMember, key, text: &str| GraphMember { asks: vec![asking(key, text)], ..member };
    let db = || service("db", &[]);
    let check = |member: GraphMember| messages(vec![db(), member], &["db", "app", "migrate"]);
    assert_eq!(
        check(asks(job("app", &[]), "commands", "curl {service:db:host}")),
        ["`commands` of `app` (tox.ini:9) names the service `db`, which is not in its `depends`"]
    );
    assert_eq!(
        check(asks(service("app", &["db"]), "set_env", "DB={service:db:url}")),
        ["`set_env` of `app` (tox.ini:9) uses `url` of `db` (tox.ini:2), which has neither `ports` nor `url`"]
    );
    assert_eq!(
        check(asks(job("app", &["mig*"]), "commands_pre", "{service:migrate:url}")),
        [
            "`commands_pre` of `app` (tox.ini:9) uses an address of `migrate`, which is not a service: it has no `serve` \
          key"
        ]
    );
    assert!(check(asks(job("app", &["db"]), "commands", "curl {service:db:host}")).is_empty());
    assert!(check(asks(service("app", &[]), "commands", "{service:db:host}")).is_empty(), "it runs `serve` instead");
}

#[test]
fn addresses_that_can_never_be_asked_are_reported() {
    let wrong = |text: &str| {
        let member = with("a", |service| {
            service.address.ports = vec![PortSetting { name: "http".into(), number: None }];
            service.probes.ready = Some(text.into());
        });
        messages(vec![member], &[])
    };
    assert_eq!(
        wrong("http://{host}:99999/up"),
        ["`ready = http://{host}:99999/up` of `a` (tox.ini:1): `99999` in `http://1:99999/up` is not a port"]
    );
    assert_eq!(wrong("tcp://{host}:x").len(), 1);
    for good in ["http://{host}:{port:http}/", "tcp://{host}:{port}", "tcp://[::1]:80", "https://{host}/x?y={z"] {
        assert!(wrong(good).is_empty(), "{good}");
    }
}

#[test]
fn an_unknown_field_in_an_address_is_reported_with_its_line() {
    let check = |ready: &str, url: &str| {
        let change = |service: &mut ServiceSettings| {
            service.address.ports = ports(&[("http", None)]);
            (service.probes.ready, service.address.url) = (Some(ready.into()), Some(url.into()));
            service.locations.insert("url".into(), line(7));
        };
        ServiceGraph::new(vec![with("a", change)]).check(&[])
    };
    for (ready, url) in [
        ("tcp://{host}:{port}", "http://{host}:{port:http}/{instance}"),
        ("log:t=(?P<token>.*)", "http://{host}:{port}/?t={token}"),
        ("cmd:test \"{a}\"", "plain"),
    ] {
        assert_eq!(check(ready, url), [], "{ready} {url}");
    }
    let errors = check("http://{hots}:{port}/", "http://{host}:{port}/{nope}");
    let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    let expected = [
        "`ready` of `a` (tox.ini:1) has `{hots}`, which is not a field",
        "`url` of `a` (tox.ini:7) has `{nope}`, which is not a field",
    ];
    assert_eq!(messages, expected);
    assert_eq!(errors[0].hints, ["did you mean `{host}`?"]);
    assert!(!check("tcp://{token}:1", "x").is_empty() && !check("tcp://{host}:1", "{service:x}").is_empty());
}

#[test]
fn a_host_is_an_address_or_a_name() {
    let check = |host: &str| messages(vec![with("a", |service| service.address.host = host.into())], &[]);
    for good in ["127.0.0.1", "::1", "[::1]", "fe80::1%eth0", "localhost", "db_1.example.org", "0.0.0.0"] {
        assert_eq!(check(good), [""; 0], "{good}");
    }
    for bad in ["not a host", "http://x", "127.0.0.1:80", "a/b", "[::1"] {
        assert_eq!(check(bad), [format!("`host = {bad}` of `a` (tox.ini:1) is neither an address nor a name")]);
    }
}
