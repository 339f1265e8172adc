//! The control file of a Debian package, checked by Debian's rules.
//! <https://www.debian.org/doc/debian-policy/ch-controlfields.html>

use std::path::PathBuf;

use regex::Regex;

use crate::execute::process::ask;
use crate::model::EnvVariables;
use crate::ship::contents::PackedRelease;
use crate::ship::host::{Host, debian_package};
use crate::ship::refusal::Refusal;

/// The fields of a package.
#[derive(Debug, Clone)]
pub struct Control {
    pub name: String,
    pub version: String,
    architecture: &'static str,
    /// `Jane Doe <jane@example.org>`.
    pub maintainer: String,
    depends: Vec<String>,
    homepage: Option<String>,
    synopsis: String,
    description: String,
}

impl Control {
    pub fn of(release: &PackedRelease, variables: &EnvVariables) -> Result<Self, Refusal> {
        let manifest = &release.manifest;
        let field = |name: &str| release.facts.field(name);
        let python = if manifest.python.is_bundled() { "its own Python" } else { "its packages for Python" };
        Ok(Self {
            name: manifest.name.clone(),
            version: version(&manifest.version)?,
            architecture: architecture(&manifest.target.machine)?,
            maintainer: maintainer(release, variables, &field)?,
            depends: depends(release, variables)?,
            homepage: field("Home-page").filter(|url| url.starts_with("http") && !url.contains(char::is_whitespace)),
            synopsis: release.facts.summary(&manifest.name),
            description: format!(
                " This package contains {} with {python} {} in {}.\n The tests that have passed on these files are \
                 listed in .envo/provenance.json.\n",
                manifest.name, manifest.python.version, release.facts.prefix
            ),
        })
    }

    /// The version without an epoch is that of the file.
    pub fn file_name(&self) -> String {
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, version)| version);
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }

    /// `size`: of the installed files, in kibibytes.
    pub fn text(&self, size: u64) -> String {
        let Self { name, version, architecture, maintainer, synopsis, description, .. } = self;
        let depends = match self.depends.join(", ") {
            none if none.is_empty() => none,
            depends => format!("Depends: {depends}\n"),
        };
        let homepage = self.homepage.as_ref().map(|url| format!("Homepage: {url}\n")).unwrap_or_default();
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {maintainer}\n\
             Installed-Size: {size}\n{depends}Section: misc\nPriority: optional\n{homepage}\
             Description: {synopsis}\n{description}"
        )
    }
}

/// The version with a revision. Debian writes epochs and what sorts before a release in its own way.
fn version(python: &str) -> Result<String, Refusal> {
    let pre =
        Regex::new(r"^((?:\d+[!:])?\d+(?:\.\d+)*)\.?(a|b|rc|dev)(\d+)").unwrap_or_else(|_| unreachable!("it is valid"));
    let converted = pre.replace(python, "$1~$2$3").replacen('!', ":", 1);
    let version = format!("{converted}-1");
    let (epoch, upstream) = converted.split_once(':').unwrap_or(("0", &converted));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+~-".contains(&byte);
    let is_valid = !epoch.is_empty()
        && epoch.bytes().all(|byte| byte.is_ascii_digit())
        && upstream.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
        && upstream.bytes().all(is_plain);
    if is_valid {
        return Ok(version);
    }
    let reason = format!(
        "Debian does not accept the version `{python}`: it must begin with a digit and consist of letters, digits and .+~-"
    );
    Err(Refusal::new(reason).help("give the project a version such as 1.2.3"))
}

/// <https://wiki.debian.org/SupportedArchitectures>
fn architecture(machine: &str) -> Result<&'static str, Refusal> {
    Ok(match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "riscv64" => "riscv64",
        "s390x" => "s390x",
        "powerpc64" => "ppc64el",
        other => return Err(Refusal::new(format!("envo does not know what Debian calls the processor {other}"))),
    })
}

fn maintainer(
    release: &PackedRelease,
    variables: &EnvVariables,
    field: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Refusal> {
    let variable = |name: &str| variables.text(name).filter(|text| !text.is_empty());
    let address = |mail: Option<String>, name: Option<String>| {
        let mail = mail?;
        // Of several, the first; one may have its name with it.
        let first = mail.split(',').next().unwrap_or_default().trim().to_owned();
        if first.contains('<') {
            Some(first)
        } else {
            Some(format!("{} <{first}>", name.unwrap_or_else(|| release.manifest.name.clone())))
        }
    };
    let found = address(variable("DEBEMAIL"), variable("DEBFULLNAME"))
        .or_else(|| address(field("Maintainer-email"), field("Maintainer")))
        .or_else(|| address(field("Author-email"), field("Author")))
        .or_else(|| release.facts.commit.as_ref().map(|commit| commit.author.clone()));
    let help = "set `authors` in pyproject.toml, or the variables DEBFULLNAME and DEBEMAIL";
    let Some(found) = found else {
        return Err(
            Refusal::new("a package of Debian needs a maintainer, but the project does not name one").help(help)
        );
    };
    let found = found.replace('"', "");
    let is_valid = found.strip_suffix('>').and_then(|found| found.split_once(" <")).is_some_and(|(name, mail)| {
        let (user, host) = mail.split_once('@').unwrap_or_default();
        let is_plain = |text: &str| {
            !text.is_empty()
                && !text
                    .contains(|letter: char| letter.is_whitespace() || letter.is_control() || "<>@".contains(letter))
        };
        !name.trim().is_empty() && !name.contains(['\n', '<', '>']) && is_plain(user) && is_plain(host)
    });
    if is_valid {
        return Ok(found);
    }
    Err(Refusal::new(format!("`{found}` is not a valid maintainer of a package of Debian")).help(help))
}

fn depends(release: &PackedRelease, variables: &EnvVariables) -> Result<Vec<String>, Refusal> {
    let manifest = &release.manifest;
    let mut found = Vec::new();
    if !manifest.target.glibc.is_empty() {
        found.push(format!("libc6 (>= {})", manifest.target.glibc));
    }
    if !manifest.python.is_bundled() {
        let path = &manifest.python.path;
        let name = path.strip_prefix("/usr/bin/").filter(|name| name.starts_with("python3."));
        let name = name.ok_or_else(|| {
            Refusal::new(format!("`pack_interpreter = system` needs a Python of Debian, but {path} is not one"))
                .help("set `pack_interpreter = bundled`, or `base_python` to a Python below /usr/bin")
        })?;
        found.push(name.to_owned());
    }
    for name in manifest.target.libraries.keys() {
        let package = debian_package(name).map(str::to_owned).or_else(|| owner(name, variables));
        found.push(package.ok_or_else(|| {
            Refusal::new(format!("the release needs the library {name}, which no package of Debian contains here"))
                .help("install the package that contains it")
        })?);
    }
    if release.facts.has_own_user() {
        found.push("systemd | systemd-standalone-sysusers | systemd-sysusers".to_owned());
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The installed package that contains a library.
fn owner(library: &str, variables: &EnvVariables) -> Option<String> {
    let (path, _) = Host::new().library(library, &[])?;
    let merged = PathBuf::from(path.to_string_lossy().replacen("/usr/lib", "/lib", 1));
    [path, merged].into_iter().find_map(|path| {
        let arguments = ["--search".as_ref(), path.as_os_str()];
        let said = ask("dpkg-query".as_ref(), &arguments, variables, &Default::default())
            .ok()
            .filter(|said| said.code == 0)?;
        let out = String::from_utf8_lossy(&said.out).into_owned();
        Some(out.split([':', ',']).next()?.trim().to_owned()).filter(|name| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_in_debian_as_in_python() {
        let converted = |text: &str| version(text).map_err(|refusal| refusal.reason);
        for (python, debian) in [
            ("1.2.3+g0123abc.89abcdef", "1.2.3+g0123abc.89abcdef-1"),
            ("1.0rc1+89abcdef", "1.0~rc1+89abcdef-1"),
            ("1.0.dev3+89abcdef", "1.0~dev3+89abcdef-1"),
            ("1.0.post1+89abcdef", "1.0.post1+89abcdef-1"),
            ("1!2.0a2+89abcdef", "1:2.0~a2+89abcdef-1"),
        ] {
            assert_eq!(converted(python), Ok(debian.to_owned()));
        }
        for refused in ["v1+1", "1_2+1", "x!1+1", "1 2", ""] {
            assert!(converted(refused).is_err(), "{refused}");
        }
    }
}
