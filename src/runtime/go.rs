//! Go: programs that `go install` builds, in the environment's folder; modules in the cache that all projects share.

use super::manifest::{dependency_inputs, input, read, step};
use super::ruby::dotted;
use super::{Contents, Place, Request, Runtime, Surroundings};
use crate::model::Variables;

pub struct Go;

impl Runtime for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn program(&self) -> Option<&'static str> {
        Some("go")
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &["version"]
    }

    /// `121` is 1.21.
    fn factor_version(&self, digits: &str) -> String {
        dotted(digits)
    }

    fn places(&self) -> &'static [&'static str] {
        &[
            "/usr/local/go/bin",
            "/usr/lib/go-*/bin",
            "~/sdk/go*/bin",
            "$GOENV_ROOT/versions/*/bin",
            "~/.goenv/versions/*/bin",
            "$MISE_DATA_DIR/installs/go/*/bin",
            "~/.local/share/mise/installs/go/*/bin",
            "$ASDF_DATA_DIR/installs/golang/*/go/bin",
            "~/.asdf/installs/golang/*/go/bin",
            "/opt/homebrew/opt/go*/bin",
            "/usr/local/opt/go*/bin",
        ]
    }

    fn companions(&self) -> &'static [&'static str] {
        &["gofmt"]
    }

    fn manifests(&self) -> &'static [&'static str] {
        &["go.mod"]
    }

    fn remedy(&self) -> &'static str {
        "install Go (your system's `golang-go`, https://go.dev/dl, or a version manager such as goenv or mise)"
    }

    fn passes(&self) -> &'static [&'static str] {
        &[
            "GOPROXY",
            "GOSUMDB",
            "GONOSUMDB",
            "GONOPROXY",
            "GOPRIVATE",
            "GOINSECURE",
            "GOCACHE",
            "GOMODCACHE",
            "GOFLAGS",
            "CGO_*",
        ]
    }

    fn surroundings(&self, place: &Place<'_>) -> Surroundings {
        let folder = place.folder.display().to_string();
        let mut variables = vec![("GOPATH".to_owned(), folder.clone()), ("GOBIN".to_owned(), format!("{folder}/bin"))];
        if let Some(cache) = module_cache(place.variables) {
            variables.push(("GOMODCACHE".to_owned(), cache));
        }
        if place.variables.get("GOTOOLCHAIN").is_none() {
            // The version that was asked for is the one that builds.
            variables.push(("GOTOOLCHAIN".to_owned(), "local".to_owned()));
        }
        Surroundings { paths: vec![place.folder.join("bin")], variables }
    }

    fn contents(&self, request: &Request<'_>) -> Result<Contents, String> {
        let project = request.place.project;
        let mut contents = Contents::default();
        if let Some(text) = read(&project.join("go.mod"))? {
            contents.inputs.push(input("go.mod", &text));
            if let Some(sums) = read(&project.join("go.sum"))? {
                contents.inputs.push(input("go.sum", &sums));
            }
            if names_modules(&text) {
                contents.steps.push(step(["go", "mod", "download"], project, "go.mod"));
            }
        }
        for dependency in request.dependencies {
            contents.steps.push(step(["go", "install", dependency], project, "go_deps"));
        }
        contents.inputs.extend(dependency_inputs(request.dependencies, request.place.root));
        Ok(contents)
    }
}

/// Where modules are when `GOPATH` is not the environment's.
fn module_cache(variables: &Variables) -> Option<String> {
    let set = |name: &str| variables.text(name).filter(|text| !text.is_empty());
    set("GOMODCACHE")
        .or_else(|| Some(format!("{}/pkg/mod", set("GOPATH")?.split(':').next()?)))
        .or_else(|| Some(format!("{}/go/pkg/mod", set("HOME")?)))
}

fn names_modules(manifest: &[u8]) -> bool {
    String::from_utf8_lossy(manifest).lines().any(|line| line.trim_start().starts_with("require"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn modules_are_fetched_only_where_there_are_any() {
        let project = tempfile::tempdir().unwrap();
        let variables = Variables::default();
        let place = Place {
            env_dir: Path::new("/e"),
            folder: Path::new("/e/go"),
            root: project.path(),
            project: project.path(),
            version: None,
            variables: &variables,
        };
        let commands = |text: &str| {
            std::fs::write(project.path().join("go.mod"), text).unwrap();
            let dependencies = ["example.org/x@v1".to_owned()];
            let contents = Go.contents(&Request { place, dependencies: &dependencies }).unwrap();
            contents.steps.iter().map(|step| step.argv.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(commands("module x\ngo 1.19\n"), ["go install example.org/x@v1"]);
        assert_eq!(commands("module x\nrequire a v1\n"), ["go mod download", "go install example.org/x@v1"]);
    }

    #[test]
    fn the_module_cache_stays_the_users() {
        let variables = |name: &str, value: &str| [(name.into(), value.into())].into_iter().collect::<Variables>();
        assert_eq!(module_cache(&variables("HOME", "/h")), Some("/h/go/pkg/mod".into()));
        assert_eq!(module_cache(&variables("GOPATH", "/a:/b")), Some("/a/pkg/mod".into()));
        assert_eq!(module_cache(&variables("GOMODCACHE", "/m")), Some("/m".into()));
    }

    #[test]
    fn what_go_says_of_its_version_is_understood() {
        assert_eq!(Go.version("go version go1.19.8 linux/amd64").unwrap().to_string(), "1.19.8");
    }
}
