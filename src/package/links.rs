//! Resolves paths in an archive through the links unpacked before, without the file system, which would take
//! quadratic time in the depth. No path leads out of the target folder.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// The maximum number of files and folders in an archive.
const MAX_NODES: usize = 1_000_000;
/// The maximum number of links in one path, as on Linux.
const MAX_LINKS: usize = 40;
/// The maximum number of path components that all links together may add.
const MAX_STEPS: usize = 10_000_000;
/// The maximum length of a path, as on Linux.
const MAX_PATH: usize = 4096;

/// A file, folder or link, by its number.
pub type NodeId = usize;

/// The folder itself.
pub const ROOT: NodeId = 0;

#[derive(Default)]
struct Node {
    parent: NodeId,
    name: OsString,
    children: HashMap<OsString, NodeId>,
    /// Its target, if it is a symbolic link.
    link: Option<PathBuf>,
    is_folder: bool,
}

/// Why a path cannot be resolved.
#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    /// It leads to this path, relative to the folder.
    Outside(PathBuf),
    TooMuch(&'static str),
}

/// The files unpacked so far.
pub struct Links {
    nodes: Vec<Node>,
    steps: usize,
}

impl Default for Links {
    fn default() -> Self {
        Self { nodes: vec![Node { is_folder: true, ..Node::default() }], steps: 0 }
    }
}

impl Links {
    /// Resolves `path` from `folder`; a last component that is a link is followed as well. Missing components
    /// are resolved as if they existed.
    pub fn resolve(&mut self, folder: NodeId, path: &Path) -> Result<NodeId, Lost> {
        let mut links = 0;
        // The remaining components, the next one last.
        let mut rest = Vec::new();
        push_parts(path, &mut rest)?;
        let mut at = folder;
        while let Some(part) = rest.pop() {
            if part == ".." {
                if at == ROOT {
                    return Err(Lost::Outside(outside(rest)));
                }
                at = self.nodes[at].parent;
                continue;
            }
            let child = self.child(at, &part)?;
            let Some(link) = self.nodes[child].link.clone() else {
                at = child;
                continue;
            };
            links += 1;
            let before = rest.len();
            push_parts(&link, &mut rest)?;
            self.steps += rest.len() - before;
            if links > MAX_LINKS || self.steps > MAX_STEPS {
                return Err(Lost::TooMuch("too many levels of symbolic links"));
            }
        }
        Ok(at)
    }

    /// `name` in `folder`, not followed if it is a link.
    pub fn child(&mut self, folder: NodeId, name: &OsStr) -> Result<NodeId, Lost> {
        if let Some(known) = self.nodes[folder].children.get(name) {
            return Ok(*known);
        }
        if self.nodes.len() >= MAX_NODES {
            return Err(Lost::TooMuch("too many files"));
        }
        let id = self.nodes.len();
        self.nodes.push(Node { parent: folder, name: name.to_owned(), ..Node::default() });
        self.nodes[folder].children.insert(name.to_owned(), id);
        Ok(id)
    }

    pub fn set_link(&mut self, node: NodeId, target: &Path) {
        self.nodes[node].link = Some(target.to_owned());
    }

    /// The missing folders above `node` and, if `itself`, the node, outermost first; they count as created.
    pub fn make_folders(&mut self, node: NodeId, itself: bool) -> Vec<NodeId> {
        let mut missing = Vec::new();
        let mut at = if itself { node } else { self.nodes[node].parent };
        while !self.nodes[at].is_folder {
            self.nodes[at].is_folder = true;
            missing.push(at);
            at = self.nodes[at].parent;
        }
        missing.reverse();
        missing
    }

    /// The path of `node` relative to the folder, without links except the node itself.
    pub fn path(&self, node: NodeId) -> PathBuf {
        let mut names = Vec::new();
        let mut at = node;
        while at != ROOT {
            names.push(self.nodes[at].name.as_os_str());
            at = self.nodes[at].parent;
        }
        names.iter().rev().collect()
    }

    /// A link that leads outside by now, since a component of its path was replaced by a link later.
    pub fn astray(&mut self) -> Result<Option<NodeId>, Lost> {
        for node in 0..self.nodes.len() {
            let Some(link) = self.nodes[node].link.clone() else { continue };
            match self.resolve(self.nodes[node].parent, &link) {
                Ok(_) => {}
                Err(Lost::Outside(_)) => return Ok(Some(node)),
                Err(lost) => return Err(lost),
            }
        }
        Ok(None)
    }
}

fn push_parts(path: &Path, rest: &mut Vec<OsString>) -> Result<(), Lost> {
    if path.as_os_str().len() > MAX_PATH {
        return Err(Lost::TooMuch("a path is too long"));
    }
    let parts = path.components().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    let before = rest.len();
    rest.extend(parts);
    rest[before..].reverse();
    Ok(())
}

/// The path after a step out of the folder and the components of `rest`.
fn outside(mut rest: Vec<OsString>) -> PathBuf {
    rest.push("..".into());
    let mut path = PathBuf::new();
    while let Some(part) = rest.pop() {
        if part == ".." && path.file_name().is_some() {
            path.pop();
        } else {
            path.push(part);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(links: &mut Links, path: &str, target: &str) -> Result<(), Lost> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = links.resolve(ROOT, Path::new(folder))?;
        let node = links.child(folder, OsStr::new(name))?;
        links.set_link(node, Path::new(target));
        Ok(())
    }

    #[test]
    fn paths_lead_through_the_links_that_are_there() -> Result<(), Lost> {
        let mut links = Links::default();
        link(&mut links, "a/b/up", "../..")?;
        link(&mut links, "c", "a/b")?;
        for (path, expected) in [("c/x", "a/b/x"), ("c/up/y", "y"), ("c/../z", "a/z"), ("./q/../r", "r"), ("c", "a/b")]
        {
            let node = links.resolve(ROOT, Path::new(path))?;
            assert_eq!(links.path(node), Path::new(expected), "{path}");
        }
        for (path, expected) in [("..", ".."), ("c/up/../x/../y", "../y"), ("a/../../..", "../..")] {
            assert_eq!(links.resolve(ROOT, Path::new(path)), Err(Lost::Outside(expected.into())), "{path}");
        }
        Ok(())
    }

    #[test]
    fn endless_links_and_links_to_the_outside_are_found() -> Result<(), Lost> {
        let mut links = Links::default();
        link(&mut links, "a", "b")?;
        link(&mut links, "b", "a")?;
        assert!(matches!(links.resolve(ROOT, Path::new("a/x")), Err(Lost::TooMuch(_))));
        let mut links = Links::default();
        link(&mut links, "x", "p/q/../..")?;
        assert_eq!(links.astray(), Ok(None));
        link(&mut links, "p", ".")?;
        assert!(links.astray().is_ok_and(|astray| astray.is_some()));
        Ok(())
    }

    #[test]
    fn archives_have_size_limits() {
        let mut links = Links::default();
        let deep = "d/".repeat(2000);
        assert!(
            (0..1000).try_for_each(|name| links.resolve(ROOT, Path::new(&format!("{name}/{deep}"))).map(drop)).is_err()
        );
        assert_eq!(links.resolve(ROOT, Path::new(&"d/".repeat(3000))), Err(Lost::TooMuch("a path is too long")));
    }
}
