//! The systemd units of a packed service, and the scripts of a Debian package that enable, start and stop them.
//! <https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html>

use std::fmt::Write as _;

use crate::model::service::RestartPolicy;
use crate::ship::contents::PackedRelease;
use crate::ship::piece::{Origin, Part, Piece};
use crate::ship::refusal::Refusal;
use crate::systemd_text::{escaped, quoted};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The units, and the user they need.
pub fn pieces(release: &PackedRelease) -> Result<Vec<Piece>, Refusal> {
    let name = &release.manifest.name;
    let units = release.facts.settings.units;
    let mut pieces = Vec::new();
    let mut add = |path: String, text: String| {
        pieces.push(Piece::new(path, Origin::Bytes(text.into_bytes()), Part::Application));
    };
    if units.service {
        add(format!("usr/lib/systemd/system/{name}.service"), service(release));
    }
    if units.socket {
        add(format!("usr/lib/systemd/system/{name}.socket"), socket(release)?);
    }
    if let Some(user) = release.facts.settings.user.as_ref().filter(|_| release.facts.has_own_user()) {
        add(format!("usr/lib/sysusers.d/{name}.conf"), format!("u {user} - \"{name}\" {}\n", release.facts.prefix));
    }
    Ok(pieces)
}

fn service(release: &PackedRelease) -> String {
    let (name, facts) = (&release.manifest.name, &release.facts);
    let mut unit = format!(
        "[Unit]\nDescription={}\nWants=network-online.target\nAfter=network-online.target\n",
        escaped(&facts.summary(name))
    );
    if facts.settings.units.socket {
        unit.push_str(&format!("Requires={name}.socket\nAfter={name}.socket\n"));
    }
    let words: Vec<String> = facts.start_words.iter().map(|word| quoted(word)).collect();
    let prefix = &facts.prefix;
    unit.push_str(&format!(
        "\n[Service]\nType=exec\nExecStart={}\nWorkingDirectory={}\nEnvironment=PATH={prefix}/env/bin:{PATH}\n\
         Environment=VIRTUAL_ENV={prefix}/env\nEnvironmentFile=-/etc/default/{name}\nStateDirectory={name}\n",
        words.join(" "),
        facts.work_folder(),
    ));
    match facts.settings.user.as_deref() {
        Some(user) => {
            let _ = writeln!(unit, "User={user}");
        }
        None => unit.push_str("DynamicUser=yes\n"),
    }
    let mut restart = "on-failure";
    if let Some(service) = &facts.service {
        if service.restarts.restart == RestartPolicy::Always {
            restart = "always";
        }
        let _ = writeln!(
            unit,
            "KillSignal={}\nTimeoutStopSec={}",
            service.stopping.stop_signal,
            service.stopping.stop_timeout.as_secs_f64()
        );
        let codes: Vec<String> =
            service.restarts.success_exit_codes.iter().filter(|code| **code > 0).map(i32::to_string).collect();
        if !codes.is_empty() {
            let _ = writeln!(unit, "SuccessExitStatus={}", codes.join(" "));
        }
    }
    let _ = writeln!(unit, "Restart={restart}\nNoNewPrivileges=yes\nPrivateTmp=yes\nProtectSystem=full");
    unit.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    unit
}

fn socket(release: &PackedRelease) -> Result<String, Refusal> {
    let (name, facts) = (&release.manifest.name, &release.facts);
    let ports = facts.service.iter().flat_map(|service| &service.address.ports);
    let numbers: Vec<u16> = ports.filter_map(|port| port.number).collect();
    if numbers.is_empty() {
        let reason = "`pack_units` names a socket, but the environment has no port with a number";
        return Err(Refusal::new(reason).help("give the service one: `ports = http=8080`"));
    }
    let listen: String = numbers.iter().map(|number| format!("ListenStream={number}\n")).collect();
    let summary = escaped(&facts.summary(name));
    Ok(format!("[Unit]\nDescription=Socket of {summary}\n\n[Socket]\n{listen}\n[Install]\nWantedBy=sockets.target\n"))
}

/// The scripts that `dpkg` runs, by their names.
pub fn maintainer_scripts(release: &PackedRelease) -> Vec<(&'static str, String)> {
    let (name, units) = (&release.manifest.name, release.facts.settings.units);
    let mut names = Vec::new();
    if units.socket {
        names.push(format!("{name}.socket"));
    }
    if units.service {
        names.push(format!("{name}.service"));
    }
    let names = names.join(" ");
    let mut scripts = Vec::new();
    let mut configure = String::new();
    if release.facts.has_own_user() {
        configure.push_str(&format!("    systemd-sysusers ${{DPKG_ROOT:+--root=\"$DPKG_ROOT\"}} {name}.conf\n"));
    }
    if !names.is_empty() {
        configure.push_str(&CONFIGURE.replace("UNITS", &names));
        scripts.push(("prerm", format!("{SCRIPT}{}", REMOVE.replace("UNITS", &names))));
        scripts.push(("postrm", format!("{SCRIPT}{}", REMOVED.replace("UNITS", &names))));
    }
    if !configure.is_empty() {
        scripts.push(("postinst", format!("{SCRIPT}case $1 in configure | abort-*)\n{configure}    ;;\nesac\n")));
    }
    scripts
}

const SCRIPT: &str = "#!/bin/sh\nset -e\n";

/// A unit that the administrator has disabled stays so. Nothing is started in a folder that is not the running system.
const CONFIGURE: &str = r#"    for unit in UNITS; do
        deb-systemd-helper unmask "$unit" >/dev/null || true
        if deb-systemd-helper --quiet was-enabled "$unit"; then
            deb-systemd-helper enable "$unit" >/dev/null || true
        else
            deb-systemd-helper update-state "$unit" >/dev/null || true
        fi
    done
    if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if [ -n "${2:-}" ]; then action=restart; else action=start; fi
        deb-systemd-invoke "$action" UNITS >/dev/null || true
    fi
"#;

const REMOVE: &str = r#"if [ "$1" = remove ] && [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop UNITS >/dev/null || true
fi
"#;

const REMOVED: &str = r#"if [ "$1" = purge ] && [ -x "${DPKG_ROOT:-}/usr/bin/deb-systemd-helper" ]; then
    deb-systemd-helper purge UNITS >/dev/null || true
fi
if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
"#;
