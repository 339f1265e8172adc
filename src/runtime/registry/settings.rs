//! Reads npm's registry settings: `npm_config_…` variables, then `.npmrc` of the project, the user and the machine.
//! Done here because there is no npm yet where Node.js is missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bounded;
use crate::model::EnvVariables;

const DEFAULT_REGISTRY: &str = "https://registry.npmjs.org/";

/// Settings by name; those of a registry begin with `//` and its URL.
#[derive(Debug, Default)]
pub struct RegistrySettings {
    known: BTreeMap<String, String>,
}

impl RegistrySettings {
    /// The settings that npm would have in the project at `root`.
    pub fn read(root: &Path, variables: &EnvVariables) -> Self {
        let mut settings = Self::default();
        for (name, value) in variables.iter() {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            let lower = name.to_ascii_lowercase();
            let Some(key) = lower.strip_prefix("npm_config_").filter(|_| !value.is_empty()) else { continue };
            // Keys of a registry are case-sensitive.
            let key =
                if key.starts_with("//") { name["npm_config_".len()..].to_owned() } else { key.replace('_', "-") };
            settings.known.entry(key).or_insert_with(|| value.into_owned());
        }
        let home = variables.text("HOME").map(PathBuf::from);
        let user = settings.path("userconfig").or_else(|| home.map(|home| home.join(".npmrc")));
        let machine = settings.path("globalconfig").unwrap_or_else(|| PathBuf::from("/etc/npmrc"));
        for file in [Some(root.join(".npmrc")), user, Some(machine)].into_iter().flatten() {
            settings.add(&bounded::read_text(file).unwrap_or_default(), variables);
        }
        settings
    }

    fn add(&mut self, text: &str, variables: &EnvVariables) {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with([';', '#', '[']));
        for (key, value) in lines.filter_map(|line| line.split_once('=')) {
            let value = value.trim().trim_matches(['"', '\'']);
            // The first value wins; within a file npm takes the last, but duplicates are unusual.
            self.known.entry(key.trim().to_owned()).or_insert_with(|| expanded(value, variables));
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.known.get(key).map(String::as_str)
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.get(key).map(PathBuf::from)
    }

    /// The registry's URL, with a slash at its end.
    pub fn registry(&self) -> String {
        let address = self.get("registry").unwrap_or(DEFAULT_REGISTRY);
        format!("{}/", address.trim_end_matches('/'))
    }

    /// The headers of a request to `url`, with credentials if the settings have some for a parent of the URL.
    fn headers(&self, url: &str, accept: &str) -> Value {
        let mut headers = json!({"Accept": accept, "User-Agent": "envo"});
        let below = url.split_once(':').map_or(url, |(_, rest)| rest);
        let locations =
            below.char_indices().filter(|(at, letter)| *at > 1 && *letter == '/').map(|(at, _)| &below[..=at]);
        for location in locations.collect::<Vec<_>>().into_iter().rev() {
            let of = |key: &str| {
                self.get(&format!("{location}:{key}"))
                    .or_else(|| self.get(&format!("{}:{key}", location.trim_end_matches('/'))))
            };
            let authorization = of("_authToken")
                .map(|token| format!("Bearer {token}"))
                .or_else(|| of("_auth").map(|basic| format!("Basic {basic}")));
            if let Some(value) = authorization {
                headers["Authorization"] = Value::from(value);
                break;
            }
        }
        headers
    }

    /// The input of the script that fetches `url`.
    pub fn for_request(&self, url: &str, accept: &str) -> Value {
        let mut proxies = BTreeMap::new();
        if let Some(proxy) = self.get("https-proxy").or_else(|| self.get("proxy")) {
            proxies.insert("https", proxy);
        }
        if let Some(proxy) = self.get("proxy") {
            proxies.insert("http", proxy);
        }
        json!({
            "headers": self.headers(url, accept),
            "proxies": proxies,
            "noproxy": self.get("noproxy").unwrap_or_default(),
            "cafile": self.get("cafile"),
            "strict-ssl": self.get("strict-ssl") != Some("false"),
        })
    }
}

/// Expands `${NAME}`; an unset variable stays as it is written.
fn expanded(value: &str, variables: &EnvVariables) -> String {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        match after.split_once('}') {
            Some((name, after)) => {
                match variables.text(name) {
                    Some(value) => text.push_str(&value),
                    None => text.push_str(&format!("${{{name}}}")),
                }
                rest = after;
            }
            None => {
                text.push_str("${");
                rest = after;
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> EnvVariables {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_variable_counts_before_the_projects_file_and_that_before_the_users() {
        let folder = tempfile::tempdir().unwrap();
        let (root, home) = (folder.path().join("project"), folder.path().join("home"));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        let home_text = home.display().to_string();
        let registry = |more: &[(&str, &str)]| {
            RegistrySettings::read(&root, &variables(&[&[("HOME", home_text.as_str())], more].concat())).registry()
        };
        let missing = [("npm_config_globalconfig", "/none")];
        assert_eq!(registry(&missing), DEFAULT_REGISTRY);
        std::fs::write(home.join(".npmrc"), "registry = https://user.example/npm\n").unwrap();
        assert_eq!(registry(&missing), "https://user.example/npm/");
        std::fs::write(root.join(".npmrc"), "; a comment\nregistry=\"https://project.example\"\n").unwrap();
        assert_eq!(registry(&missing), "https://project.example/");
        assert_eq!(registry(&[("NPM_CONFIG_REGISTRY", "https://v.example/")]), "https://v.example/");
    }

    #[test]
    fn a_token_is_sent_only_below_the_place_it_is_for() {
        let mut settings = RegistrySettings::default();
        let text = "//r.example/npm/:_authToken=${TOKEN}\n//other.example/:_auth = YTpi\nstrict-ssl=false\n";
        settings.add(text, &variables(&[("TOKEN", "secret")]));
        let sent = |url: &str| settings.headers(url, "x")["Authorization"].as_str().map(str::to_owned);
        assert_eq!(sent("https://r.example/npm/node"), Some("Bearer secret".into()));
        assert_eq!(sent("https://r.example/npm/node/-/node.tgz"), Some("Bearer secret".into()));
        assert_eq!(sent("https://r.example/else"), None);
        assert_eq!(sent("https://other.example/a/b"), Some("Basic YTpi".into()));
        assert_eq!(sent("https://evil.example/r.example/npm/node"), None);
        assert_eq!(settings.for_request("https://x/", "x")["strict-ssl"], Value::from(false));
    }

    #[test]
    fn what_is_no_variable_stays_as_it_is_written() {
        let known = variables(&[("A", "1")]);
        assert_eq!(expanded("x${A}y${B}${", &known), "x1y${B}${");
    }
}
