//! Maps paths of a container to paths on this machine.

use crate::import::fields::field;

/// A path relative to the project's root, `.` and `..` worked out; empty for the root itself.
pub fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

pub fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A path of the container, made absolute.
pub fn absolute(workdir: &str, path: &str) -> String {
    format!("/{}", if path.starts_with('/') { joined("", path) } else { joined(workdir, path) })
}

/// Paths of a container and what they are here. Of several that fit, the longest counts, then the latest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerPaths {
    entries: Vec<(String, HostPath)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPath {
    /// Relative to the project's root.
    Project(String),
    /// A text with fields: what envo makes, not the project.
    Made(String),
}

impl ContainerPaths {
    /// `container` is absolute, `project` relative to the project's root.
    pub fn add(&mut self, container: &str, project: &str) {
        self.entries.push((container.to_owned(), HostPath::Project(project.to_owned())));
    }

    pub fn add_made(&mut self, container: &str, place: &str) {
        self.entries.push((container.to_owned(), HostPath::Made(place.to_owned())));
    }

    fn find(&self, path: &str) -> Option<(&HostPath, String)> {
        let rest = |container: &str| match path.strip_prefix(container.trim_end_matches('/'))? {
            rest if rest.is_empty() || rest.starts_with('/') => Some(rest.trim_start_matches('/').to_owned()),
            _ => None,
        };
        self.entries
            .iter()
            .filter_map(|(container, place)| Some((container.len(), place, rest(container)?)))
            .max_by_key(|(length, ..)| *length)
            .map(|(_, place, rest)| (place, rest))
    }

    /// Relative to the project's root.
    pub fn in_project(&self, path: &str) -> Option<String> {
        match self.find(path)? {
            (HostPath::Project(project), rest) => Some(joined(project, &rest)),
            (HostPath::Made(_), _) => None,
        }
    }

    /// As a value says it, wherever it is used.
    pub fn value(&self, path: &str) -> Option<String> {
        match self.find(path)? {
            (HostPath::Project(project), rest) => {
                let inside = joined(project, &rest);
                let root = field("tox_root");
                Some(if inside.is_empty() { root } else { format!("{root}/{inside}") })
            }
            (HostPath::Made(made), rest) if rest.is_empty() => Some(made.clone()),
            (HostPath::Made(made), rest) => Some(format!("{made}/{rest}")),
        }
    }

    /// Whether a path is something that is made here.
    pub fn is_made(&self, path: &str) -> bool {
        self.find(path).is_some_and(|(place, rest)| matches!(place, HostPath::Made(_)) && rest.is_empty())
    }

    /// Copies what another stage has at a path.
    pub fn copy(&mut self, from: &Self, source: &str, destination: &str) {
        if let Some((place, rest)) = from.find(source) {
            let place = match place {
                HostPath::Project(project) => HostPath::Project(joined(project, &rest)),
                HostPath::Made(made) if rest.is_empty() => HostPath::Made(made.clone()),
                HostPath::Made(made) => HostPath::Made(format!("{made}/{rest}")),
            };
            self.entries.push((destination.to_owned(), place));
        }
    }

    /// The folder that corresponds to a container's, also if only files of it are known.
    pub fn folder(&self, path: &str) -> Option<String> {
        let sibling = || {
            let (container, place) = self.entries.iter().rev().find(|(container, _)| {
                folder_of(container) == path.trim_end_matches('/') && !container.ends_with('/')
            })?;
            let HostPath::Project(project) = place else { return None };
            let same_name = container.rsplit('/').next() == project.rsplit('/').next();
            same_name.then(|| folder_of(project).to_owned())
        };
        self.in_project(path).or_else(sibling)
    }

    /// A text in which the paths of the container that stand by themselves are those of here.
    pub fn replaced(&self, text: &str) -> String {
        let ends = |c: char| c.is_whitespace() || "\"'=:,;()&|<>".contains(c);
        let mut result = String::new();
        let mut rest = text;
        let mut begins = true;
        while let Some(character) = rest.chars().next() {
            if character == '/' && begins && !rest.starts_with("//") {
                let end = rest.find(ends).unwrap_or(rest.len());
                let path = &rest[..end];
                match self.value(&absolute("/", path)).filter(|_| path.len() > 1) {
                    Some(value) => result.push_str(&value),
                    None => result.push_str(path),
                }
                rest = &rest[end..];
                begins = false;
                continue;
            }
            begins = ends(character);
            result.push(character);
            rest = &rest[character.len_utf8()..];
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::fields::written;

    #[test]
    fn paths_of_the_container_are_found_here() {
        let mut paths = ContainerPaths::default();
        paths.add("/app", "web");
        paths.add("/app/config", "deploy/config");
        paths.add_made("/bin/server", &field("env_dir"));
        assert_eq!(paths.in_project("/app/a/b").as_deref(), Some("web/a/b"));
        assert_eq!(paths.in_project("/app/config/x").as_deref(), Some("deploy/config/x"));
        assert_eq!(paths.in_project("/apple"), None);
        let replaced = |text: &str| written(&paths.replaced(text)).unwrap();
        assert_eq!(replaced("run --config=/app/config/x /usr/x"), "run --config={tox_root}/deploy/config/x /usr/x");
        assert_eq!(replaced("/app:/app/lib http://app/app"), "{tox_root}/web:{tox_root}/web/lib http://app/app");
        assert_eq!(replaced("/bin/server -x"), "{env_dir} -x");
        assert_eq!(replaced("/app/../etc /"), "/app/../etc /");
    }

    #[test]
    fn a_folder_is_known_by_its_files() {
        let mut paths = ContainerPaths::default();
        paths.add("/code/package.json", "web/package.json");
        assert_eq!(paths.folder("/code").as_deref(), Some("web"));
        assert_eq!(paths.folder("/other"), None);
        assert_eq!(joined("a/b", "../../../c"), "../c");
        assert_eq!(absolute("/app", "x/../y"), "/app/y");
    }
}
