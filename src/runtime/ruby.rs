//! Ruby: gems in the environment's folder, by `gem` for `ruby_deps` and by Bundler for the project's `Gemfile`.

use super::manifest::{dependency_inputs, input, local_path, read, step};
use super::{Contents, Place, Request, Runtime, Step, Surroundings};

pub struct Ruby;

impl Runtime for Ruby {
    fn name(&self) -> &'static str {
        "ruby"
    }

    fn program(&self) -> Option<&'static str> {
        Some("ruby")
    }

    /// `31` is 3.1, as rbenv's users write it.
    fn factor_version(&self, digits: &str) -> String {
        dotted(digits)
    }

    fn places(&self) -> &'static [&'static str] {
        &[
            "$RBENV_ROOT/versions/*/bin",
            "~/.rbenv/versions/*/bin",
            "$rvm_path/rubies/ruby-*/bin",
            "~/.rvm/rubies/ruby-*/bin",
            "/usr/local/rvm/rubies/ruby-*/bin",
            "~/.rubies/*/bin",
            "/opt/rubies/*/bin",
            "$MISE_DATA_DIR/installs/ruby/*/bin",
            "~/.local/share/mise/installs/ruby/*/bin",
            "$ASDF_DATA_DIR/installs/ruby/*/bin",
            "~/.asdf/installs/ruby/*/bin",
            "/opt/homebrew/opt/ruby*/bin",
            "/usr/local/opt/ruby*/bin",
        ]
    }

    fn companions(&self) -> &'static [&'static str] {
        &["gem", "bundle", "bundler", "irb", "erb", "rake", "rdoc", "ri"]
    }

    fn manifests(&self) -> &'static [&'static str] {
        &["Gemfile"]
    }

    fn remedy(&self) -> &'static str {
        "install Ruby (your system's `ruby` and `ruby-bundler`, or a version manager such as rbenv, rvm, chruby or mise)"
    }

    fn passes(&self) -> &'static [&'static str] {
        &["BUNDLE_*", "RUBYGEMS_*", "GEM_HOST_*", "GEMRC"]
    }

    fn surroundings(&self, place: &Place<'_>) -> Surroundings {
        let folder = place.folder.display().to_string();
        let mut variables = vec![
            ("GEM_HOME".to_owned(), folder.clone()),
            ("GEM_PATH".to_owned(), folder.clone()),
            // What `bundle config` keeps in the project may send gems elsewhere.
            ("BUNDLE_APP_CONFIG".to_owned(), format!("{folder}/.bundle")),
            // Nothing of the machine's is touched, whoever runs it.
            ("BUNDLE_SILENCE_ROOT_WARNING".to_owned(), "true".to_owned()),
        ];
        let gemfile = place.project.join("Gemfile");
        if gemfile.is_file() && place.variables.get("BUNDLE_GEMFILE").is_none() {
            variables.push(("BUNDLE_GEMFILE".to_owned(), gemfile.display().to_string()));
            if place.project.join("Gemfile.lock").is_file() {
                variables.push(("BUNDLE_FROZEN".to_owned(), "true".to_owned()));
            }
        }
        Surroundings { paths: vec![place.folder.join("bin")], variables }
    }

    fn contents(&self, request: &Request<'_>) -> Result<Contents, String> {
        let project = request.place.project;
        let mut contents = Contents::default();
        for dependency in request.dependencies {
            contents.steps.push(install_gem(dependency, request)?);
        }
        contents.inputs.extend(dependency_inputs(request.dependencies, request.place.root));
        if let Some(gemfile) = read(&project.join("Gemfile"))? {
            contents.inputs.push(input("Gemfile", &gemfile));
            let lock = read(&project.join("Gemfile.lock"))?;
            if let Some(lock) = &lock {
                contents.inputs.push(input("Gemfile.lock", lock));
            }
            let cause = if lock.is_some() { "Gemfile.lock" } else { "Gemfile" };
            let mut bundle = step(["bundle", "install"], project, cause);
            if has_gems(&project.join("vendor").join("cache")) {
                // The project brings its gems along: no index needs to be asked.
                bundle.argv.push("--local".to_owned());
            }
            contents.steps.push(bundle);
        }
        Ok(contents)
    }
}

/// `rack`, `rack ~> 3.0` or a gem's file.
fn install_gem(dependency: &str, request: &Request<'_>) -> Result<Step, String> {
    let mut step = step(["gem", "install", "--no-document", "--env-shebang"], request.place.project, "ruby_deps");
    if let Some(path) = local_path(dependency, request.place.root) {
        step.argv.push(path.display().to_string());
        return Ok(step);
    }
    let (name, requirement) = dependency.split_once(char::is_whitespace).unwrap_or((dependency, ""));
    if name.starts_with('-') {
        return Err(format!(
            "`{dependency}` in `ruby_deps` is no gem; write NAME or NAME VERSION, such as `rack ~> 3.0`"
        ));
    }
    step.argv.push(name.to_owned());
    if !requirement.trim().is_empty() {
        step.argv.extend(["--version".to_owned(), requirement.trim().to_owned()]);
    }
    Ok(step)
}

fn has_gems(folder: &std::path::Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|extension| extension == "gem"))
}

/// `31` as `3.1`; a version with a dot is left alone.
pub fn dotted(digits: &str) -> String {
    match digits.split_at_checked(1) {
        Some((major, minor)) if !digits.contains('.') && !minor.is_empty() => format!("{major}.{minor}"),
        _ => digits.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::Variables;

    fn contents(project: &Path, dependencies: &[&str]) -> Result<Contents, String> {
        let dependencies: Vec<String> = dependencies.iter().map(|text| (*text).to_owned()).collect();
        let variables = Variables::default();
        let place = Place {
            env_dir: Path::new("/e"),
            folder: Path::new("/e/ruby"),
            root: project,
            project,
            version: None,
            variables: &variables,
        };
        Ruby.contents(&Request { place, dependencies: &dependencies })
    }

    #[test]
    fn gems_are_named_as_in_a_gemfile() {
        let project = tempfile::tempdir().unwrap();
        let steps = contents(project.path(), &["rack ~> 3.0", "puma", "./a.gem"]).unwrap().steps;
        assert_eq!(steps[0].argv[4..], ["rack", "--version", "~> 3.0"]);
        assert_eq!(steps[1].argv[4..], ["puma"]);
        assert_eq!(steps[2].argv[4..], [project.path().join("./a.gem").display().to_string()]);
        assert!(contents(project.path(), &["--source x"]).unwrap_err().contains("`--source x` in `ruby_deps`"));
    }

    #[test]
    fn bundler_takes_the_gems_that_come_with_the_project() {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("Gemfile"), "").unwrap();
        assert_eq!(contents(project.path(), &[]).unwrap().steps[0].argv, ["bundle", "install"]);
        std::fs::create_dir_all(project.path().join("vendor/cache")).unwrap();
        std::fs::write(project.path().join("vendor/cache/a-1.gem"), "").unwrap();
        assert_eq!(contents(project.path(), &[]).unwrap().steps[0].argv, ["bundle", "install", "--local"]);
    }

    #[test]
    fn two_digits_are_two_numbers() {
        assert_eq!((dotted("31"), dotted("3"), dotted("3.1")), ("3.1".into(), "3".into(), "3.1".into()));
    }
}
