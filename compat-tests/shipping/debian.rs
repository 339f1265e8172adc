//! Tests Debian packages: Debian's own programs accept them, and they are installed, upgraded and removed without a trace.

use std::fs;
use std::sync::LazyLock;

use crate::shipping::application::{SETTINGS, locked_with, upgrade};
use crate::support::machine;
use crate::support::project::Project;

const SERVICE: &str = "serve = app\nports = http=8080\nstop_signal = SIGINT\nsuccess_exit_codes = 0, 3\n\
    pack_user = shop\npack_units = service, socket\n";

fn service() -> Project {
    let project = locked_with(&SETTINGS.replace("pack_tests = test\n", SERVICE));
    project.variable("DEBFULLNAME", "Jane Doe").variable("DEBEMAIL", "jane@example.org")
}

/// The names and the contents of two versions, which are packed once for all tests.
static PACKAGES: LazyLock<[(String, Vec<u8>); 2]> = LazyLock::new(|| {
    let project = service();
    ["1.0", "1.1"].map(|version| {
        upgrade(&project, version);
        let packed = project.run(["pack", "--untested", "--format", "deb"]).succeeds();
        let name = packed.stdout.lines().last().and_then(|line| line.split(' ').next()).expect("it prints the file");
        (name.to_owned(), fs::read(project.path(name)).expect("it was written"))
    })
});

/// A project with `old.deb` and `new.deb`.
pub fn with_packages() -> Project {
    let project = Project::new();
    for (name, (_, content)) in ["old.deb", "new.deb"].iter().zip(&*PACKAGES) {
        fs::write(project.path(name), content).expect("it can be written");
    }
    project
}

#[test]
fn a_package_is_installed_upgraded_checked_and_removed() {
    machine::need(&["dpkg"]);
    let project = with_packages();
    let allowed = project.run_program("unshare", &["--user", "--map-root-user", "--mount", "true"]);
    if allowed.code != Some(0) {
        machine::notice("a package of Debian was not installed: this machine has no user namespaces");
        return;
    }
    let script = "set -e
        root=$PWD/root
        mkdir -p root/var/lib/dpkg/info root/var/lib/dpkg/updates root/etc
        touch root/var/lib/dpkg/status
        dpkg() { command dpkg --root=\"$root\" --force-script-chrootless --force-depends --force-bad-path --log=/dev/null \"$@\" 2>&1; }
        start() {
            mount -t tmpfs tmpfs /opt && mkdir /opt/web && mount --bind root/opt/web /opt/web
            /opt/web/env/bin/app && /opt/web/run && test -d /opt/web/env/lib
            if command -v systemd-analyze >/dev/null; then
                systemd-analyze --man=no verify root/usr/lib/systemd/system/web.service \\
                    root/usr/lib/systemd/system/web.socket 2>&1 | grep web || echo units fine
            fi
            umount /opt/web && umount /opt
        }
        dpkg -i old.deb && dpkg -V web && echo verified && start
        dpkg -i new.deb && dpkg -V web && echo verified && start
        echo >> root/opt/web/env/bin/app
        dpkg -V web || true
        dpkg -r web
        dpkg -P web
        test ! -e root/opt/web && test ! -e root/usr/lib/systemd/system/web.service && echo gone";
    let outcome =
        project.run_program("unshare", &["--user", "--map-root-user", "--mount", "sh", "-c", script]).succeeds();
    for text in ["version 1.0 1.0\n", "version 1.1 1.0\n", "prefix /opt/web/env\n", "/opt/web/env/bin/app\n", "gone\n"]
    {
        assert!(outcome.stdout.contains(text), "{text}: {}", outcome.stdout);
    }
    assert_eq!(outcome.stdout.matches("verified\n").count(), 2, "{}", outcome.stdout);
    if machine::has("systemd-analyze") {
        assert_eq!(outcome.stdout.matches("units fine\n").count(), 2, "{}", outcome.stdout);
    } else {
        machine::notice("the units of a package were not checked: systemd-analyze is not here");
    }
}

#[test]
fn lintian_finds_no_error_in_a_package() {
    if !machine::has("lintian") {
        machine::notice("a package of Debian was not checked by lintian, which is not here");
        return;
    }
    let project = with_packages();
    // Of warnings there are some, such as for an interpreter in a folder of its own.
    project.run_program("lintian", &["--no-cfg", "--allow-root", "--fail-on", "error", "old.deb"]).succeeds();
}

#[test]
fn a_package_describes_itself_and_its_units() {
    machine::need(&["dpkg-deb"]);
    let project = with_packages();
    let name = &PACKAGES[0].0;
    assert!(
        name.starts_with("web_0+") && name.ends_with("-1_amd64.deb") || cfg!(not(target_arch = "x86_64")),
        "{name}"
    );
    let control = project.run_program("dpkg-deb", &["--field", "old.deb"]).succeeds();
    for field in ["Package: web\n", "Maintainer: Jane Doe <jane@example.org>\n", "Depends: libc6 (>= 2.", "systemd | "]
    {
        assert!(control.stdout.contains(field), "{field}: {}", control.stdout);
    }
    project.run_program("dpkg-deb", &["--extract", "old.deb", "files"]).succeeds();
    let unit = fs::read_to_string(project.path("files/usr/lib/systemd/system/web.service")).expect("it is there");
    for line in [
        "ExecStart=/opt/web/env/bin/app",
        "User=shop",
        "KillSignal=SIGINT",
        "SuccessExitStatus=3",
        "Requires=web.socket",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}: {unit}");
    }
    let socket = fs::read_to_string(project.path("files/usr/lib/systemd/system/web.socket")).expect("it is there");
    assert!(socket.contains("ListenStream=8080\n"), "{socket}");
    // What is installed can be verified by envo, too.
    project.run(["verify", "files/opt/web"]).succeeds();
}

#[test]
fn what_debian_would_refuse_is_refused_with_a_remedy() {
    let project = locked_with(SETTINGS);
    let pack = ["pack", "--untested", "--format", "deb"];
    project.run(pack).ends_with(1).explains("the project does not name one").explains("DEBFULLNAME and DEBEMAIL");
    let project = project.variable("DEBEMAIL", "jane at home");
    project.run(pack).ends_with(1).explains("`web <jane at home>` is not a valid maintainer");
    let project = project.variable("DEBEMAIL", "jane@example.org");
    let refused = |from: &str, to: &str, reason: &str, remedy: &str| {
        let settings = SETTINGS.replace(from, to).replace("env_list = web", "env_list = web, w");
        fs::write(project.path("tox.ini"), settings).expect("it can be written");
        project.run(["lock"]).succeeds();
        let environment = if to.contains("[testenv:w]") { "w" } else { "web" };
        let outcome = project.run(["pack", "-e", environment, "--untested", "--format", "deb"]);
        outcome.ends_with(1).explains(reason).explains(remedy);
        let left = fs::read_dir(project.root()).expect("it can be listed").flatten();
        assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains(".deb")));
    };
    let socket = "pack_units = service, socket\n";
    refused("pack_tests = test\n", socket, "has no port with a number", "`ports = http=8080`");
    refused("pack_command = app", "description = x", "its systemd unit would start nothing", "set `pack_command`");
    refused("[testenv:web]", "[testenv:w]", "`w` cannot be the name of a package of Debian", "rename the project");
}
