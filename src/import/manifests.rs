//! The manifests of other languages (`package.json`, `go.mod`, `Cargo.toml`) as environments: how each language starts
//! and tests a project.

use serde_json::Value as Json;
use toml::{Table, Value};

use super::fields::cleaned;
use super::section::{ImportedSection, words_line};
use super::{Imported, ProjectFiles};

/// What one manifest says of the project.
#[derive(Default)]
struct Offer {
    serve: Option<String>,
    test: Option<String>,
}

/// A manifest, its environment, and how it is read.
struct Language {
    manifest: &'static str,
    runtime: &'static str,
    environment: &'static str,
    read: fn(&str, &ProjectFiles<'_>) -> Result<Offer, String>,
}

const LANGUAGES: [Language; 3] = [
    Language { manifest: "package.json", runtime: "node", environment: "web", read: node },
    Language { manifest: "go.mod", runtime: "go", environment: "go", read: go },
    Language { manifest: "Cargo.toml", runtime: "rust", environment: "rust", read: rust },
];

/// Adds an environment for each manifest in the project's root. One whose name is taken, by a service of a compose file,
/// is named after its runtime.
pub fn manifests(files: &ProjectFiles<'_>, imported: &mut Imported) {
    for language in &LANGUAGES {
        let Some(text) = (files.read)(language.manifest) else { continue };
        match (language.read)(&text, files) {
            Ok(offer) => add(language, &offer, imported),
            Err(reason) => imported.note(language.manifest, reason),
        }
    }
}

fn add(language: &Language, offer: &Offer, imported: &mut Imported) {
    let is_taken = |name: &str| imported.sections.iter().any(|section| section.name == name);
    let named = [language.environment.to_owned(), language.runtime.to_owned()];
    let numbered = (2..).map(|number| format!("{}-{number}", language.runtime));
    let Some(name) = named.into_iter().chain(numbered).find(|name| !is_taken(name)) else { return };
    let mut section = ImportedSection::new(&name);
    section.add("description", format!("the project described by {}", language.manifest));
    section.add("runtime", language.runtime);
    for (key, how, line) in [("serve", "start", &offer.serve), ("commands", "test", &offer.test)] {
        match line {
            Some(line) => section.add(key, line),
            None => imported.note(
                language.manifest,
                format!("no known way to {how} it: set the command as `{key}` of `[testenv:{name}]`"),
            ),
        }
    }
    for refused in section.refused() {
        imported.note(language.manifest, refused);
    }
    imported.sections.push(section);
}

/// The scripts that are there. Without `start`, npm starts a `server.js`.
fn node(text: &str, files: &ProjectFiles<'_>) -> Result<Offer, String> {
    let manifest: Json = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| format!("not valid JSON: {error}"))?;
    if !manifest.is_object() {
        return Err("not a JSON object".to_owned());
    }
    let script = |name: &str| manifest["scripts"][name].as_str().filter(|script| !script.trim().is_empty());
    let has = |path: &str| (files.read)(path).is_some();
    let manager = package_manager(&manifest, &has);
    let serve = if script("start").is_some() || (manager == "npm" && has("server.js")) {
        Some(format!("{manager} start"))
    } else {
        ["dev", "serve"].into_iter().find(|name| script(name).is_some()).map(|name| format!("{manager} run {name}"))
    };
    // `npm init` writes a test that does nothing but fail.
    let test = script("test").filter(|script| !script.contains("no test specified"));
    Ok(Offer { serve, test: test.map(|_| format!("{manager} test")) })
}

/// As the lock file says, else `packageManager`.
fn package_manager(manifest: &Json, has: &dyn Fn(&str) -> bool) -> &'static str {
    const LOCKS: [(&str, &str); 4] = [
        ("npm-shrinkwrap.json", "npm"),
        ("package-lock.json", "npm"),
        ("pnpm-lock.yaml", "pnpm"),
        ("yarn.lock", "yarn"),
    ];
    let named = manifest["packageManager"].as_str().unwrap_or_default();
    match LOCKS.iter().find(|(lock, _)| has(lock)) {
        Some((_, manager)) => manager,
        None => ["pnpm", "yarn"].into_iter().find(|name| named.split('@').next() == Some(name)).unwrap_or("npm"),
    }
}

/// The program is in the root, or in the folder of `cmd` that is named like the module.
fn go(text: &str, files: &ProjectFiles<'_>) -> Result<Offer, String> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let module = words.filter(|words| words.first() == Some(&"module")).find_map(|words| words.get(1).copied());
    let module = module.ok_or("it names no module")?.trim_matches(['"', '`']);
    // The last part of `example.com/shop/v2` is the version.
    let is_version = |part: &str| part.strip_prefix('v').is_some_and(|digits| digits.parse::<u32>().is_ok());
    let name = module.rsplit('/').find(|part| !is_version(part)).unwrap_or(module);
    let folder = format!("cmd/{name}");
    let serve = if (files.read)("main.go").is_some() {
        Some("go run .".to_owned())
    } else if (files.read)(&format!("{folder}/main.go")).is_some() {
        Some(words_line(&["go".to_owned(), "run".to_owned(), format!("./{}", cleaned(&folder))]))
    } else {
        None
    };
    Ok(Offer { serve, test: Some("go test ./...".to_owned()) })
}

/// The one program of the package, or the one that counts as such.
fn rust(text: &str, files: &ProjectFiles<'_>) -> Result<Offer, String> {
    let manifest: Table =
        text.parse().map_err(|error: toml::de::Error| format!("not valid TOML: {}", error.message()))?;
    let package = manifest.get("package");
    let string = |table: &Value, key: &str| table.get(key).and_then(Value::as_str).map(str::to_owned);
    let programs = manifest.get("bin").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of_root = programs.iter().find(|program| string(program, "path").as_deref() == Some("src/main.rs"));
    let chosen = package.and_then(|package| {
        let of_main = || match of_root {
            Some(program) => string(program, "name"),
            None => (files.read)("src/main.rs").and_then(|_| string(package, "name")),
        };
        let only = || programs.first().filter(|_| programs.len() == 1).and_then(|program| string(program, "name"));
        string(package, "default-run").or_else(of_main).or_else(only)
    });
    let serve =
        chosen.map(|name| words_line(&["cargo".to_owned(), "run".to_owned(), "--bin".to_owned(), cleaned(&name)]));
    let test = if manifest.contains_key("workspace") { "cargo test --workspace" } else { "cargo test" };
    Ok(Offer { serve, test: Some(test.to_owned()) })
}
