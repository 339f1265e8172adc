//! The manifest of a packed file: what it is, what the target machine must have, and the digest of every member. It is the
//! first member, so that all of this is known before anything is unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::digest::hexadecimal;
use crate::package::links::{Links, Lost, NodeId, ROOT};
use crate::python_text::is_printable;
use crate::ship::refusal::Refusal;

/// The folder for what describes the release; the rest is the release.
pub const FOLDER: &str = ".envo";
/// The manifest's path in a release.
pub const PATH: &str = ".envo/manifest.json";
/// The format this envo writes and reads.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub name: String,
    /// `1.2.3+gCOMMIT.CONTENT`.
    pub version: String,
    pub environment: String,
    /// SHA-256 over the members outside of [`FOLDER`].
    pub content: String,
    /// The time of all members, in seconds since 1970.
    pub source_date: u64,
    /// How many releases an installation keeps.
    pub keep: usize,
    /// The words of the command that starts the release; empty: none.
    pub start: Vec<String>,
    pub python: PythonPart,
    pub target: Target,
    pub scripts: Vec<ConsoleScript>,
    pub members: Vec<Member>,
}

/// The interpreter of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonPart {
    pub version: String,
    /// Its path in the release, or an absolute one on the target machine.
    pub path: String,
}

impl PythonPart {
    pub fn is_bundled(&self) -> bool {
        !self.path.starts_with('/')
    }
}

/// What the target machine must be and have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Target {
    pub system: String,
    /// `x86_64`.
    pub machine: String,
    /// The oldest glibc that runs it, such as `2.28`; empty: nothing is linked with glibc.
    pub glibc: String,
    /// Libraries that the release does not contain.
    pub libraries: BTreeMap<String, NeededLibrary>,
}

/// A library of the target machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NeededLibrary {
    /// One of the members that is linked with it.
    pub by: String,
    /// The versions of its symbols, such as `GLIBCXX_3.4.29`.
    pub versions: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleScript {
    pub name: String,
    pub module: String,
    pub attribute: String,
}

/// A file, link or folder of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub path: String,
    #[serde(flatten)]
    pub kind: MemberKind,
}

impl Member {
    /// The number of bytes of a file.
    pub fn size(&self) -> u64 {
        if let MemberKind::File { size, .. } = self.kind { size } else { 0 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberKind {
    File {
        size: u64,
        sha256: String,
        executable: bool,
    },
    /// A relative path inside of the release, or the target machine's interpreter.
    Link(String),
    Folder,
}

impl Manifest {
    pub const FORMAT: u32 = FORMAT;

    /// `demo-1.2.3+g0123abc.89abcdef`, the top folder of an archive.
    pub fn folder_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// Reads a manifest and checks that it is consistent and names no path outside of the release.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let altered = |reason: String| Refusal::new(format!("`{PATH}` was altered: {reason}"));
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| altered(error.to_string()))?;
        if manifest.format != FORMAT {
            let reason = format!("this file has format {}, but this envo reads format {FORMAT}", manifest.format);
            return Err(Refusal::new(reason).help("use the version of envo that packed it"));
        }
        if let Some(text) = manifest.texts().into_iter().find(|text| !text.chars().all(is_printable)) {
            return Err(altered(format!("`{text}` has characters that cannot be displayed")));
        }
        if let Some(name) = manifest.target.libraries.keys().find(|name| !is_file_name(name)) {
            return Err(altered(format!("`{name}` is not the name of a library")));
        }
        manifest.check_paths()?;
        manifest.check_links()?;
        if content_digest(&manifest.members) != manifest.content {
            return Err(altered("its members do not have the digest in `content`".to_owned()));
        }
        if !is_file_name(&manifest.name) || !is_file_name(&manifest.version) {
            return Err(altered("its name or version is not valid".to_owned()));
        }
        Ok(manifest)
    }

    /// All texts that are reported or passed on, except the paths of members.
    fn texts(&self) -> Vec<&str> {
        let (target, python) = (&self.target, &self.python);
        let mut texts = vec![&self.name, &self.version, &python.version, &python.path];
        texts.extend([&target.system, &target.machine, &target.glibc]);
        texts.extend(self.scripts.iter().flat_map(|script| [&script.name, &script.module, &script.attribute]));
        for (name, needed) in &target.libraries {
            texts.extend([name, &needed.by]);
            texts.extend(&needed.versions);
        }
        texts.into_iter().map(String::as_str).collect()
    }

    /// Members are sorted, below the release's folder, and not below a link.
    fn check_paths(&self) -> Result<(), Refusal> {
        let links: BTreeSet<&str> = self
            .members
            .iter()
            .filter(|member| matches!(member.kind, MemberKind::Link(_)))
            .map(|member| member.path.as_str())
            .collect();
        let mut before = "";
        for member in &self.members {
            let path = member.path.as_str();
            let outside = |what: &str| {
                let reason = format!("`{path}` {what}, so nothing was unpacked");
                Err(Refusal::new(reason).help("this file was not written by `envo pack`; do not use it"))
            };
            if !is_inside(path) || path == PATH {
                return outside("is not a path inside of the release");
            }
            if path <= before {
                return outside("is not in order");
            }
            before = path;
            let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
            if folders.any(|folder| links.contains(folder)) {
                return outside("is below a link");
            }
            if let MemberKind::Link(target) = &member.kind
                && !self.is_interpreter_here(target)
                && !is_written_shortest(target)
            {
                return outside("is a link out of the release");
            }
        }
        Ok(())
    }

    /// Whether a link leads to the target machine's interpreter, the only path out of the release that it may have.
    fn is_interpreter_here(&self, target: &str) -> bool {
        !self.python.is_bundled() && target == self.python.path
    }

    /// No link leads out of the release, neither by itself nor through other links.
    fn check_links(&self) -> Result<(), Refusal> {
        let refused = |path: &str, why: &str| {
            let reason = format!("`{path}` {why}, so nothing was unpacked");
            Refusal::new(reason).help("this file was not written by `envo pack`; do not use it")
        };
        let mut links = Links::default();
        let place = |links: &mut Links, path: &str| -> Result<NodeId, Lost> {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let folder = links.resolve(ROOT, Path::new(folder))?;
            links.child(folder, OsStr::new(name))
        };
        for member in &self.members {
            if let MemberKind::Link(target) = &member.kind
                && !self.is_interpreter_here(target)
            {
                let node = place(&mut links, &member.path).map_err(|_| refused(&member.path, "has too long a path"))?;
                links.set_link(node, Path::new(target));
            }
        }
        match links.astray() {
            Ok(None) => Ok(()),
            Ok(Some(node)) => Err(refused(&links.path(node).display().to_string(), "is a link out of the release")),
            Err(_) => Err(refused("a link", "leads to itself or through too many others")),
        }
    }

    pub fn json(&self) -> Vec<u8> {
        // Strings, numbers and lists can always be written.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The number of bytes of all files.
    pub fn size(&self) -> u64 {
        // The numbers may be any.
        self.members.iter().map(Member::size).fold(0, u64::saturating_add)
    }

    pub fn member(&self, path: &str) -> Option<&Member> {
        self.members.binary_search_by(|member| member.path.as_str().cmp(path)).ok().map(|at| &self.members[at])
    }
}

/// The digest over the members outside of [`FOLDER`], which must be sorted.
pub fn content_digest(members: &[Member]) -> String {
    let mut digest = Sha256::new();
    let own = |path: &str| path == FOLDER || path.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/'));
    for member in members.iter().filter(|member| !own(&member.path)) {
        let what = match &member.kind {
            MemberKind::File { sha256, executable, .. } => format!("file {sha256} {executable}"),
            MemberKind::Link(target) => format!("link {target}"),
            MemberKind::Folder => "folder".to_owned(),
        };
        digest.update(format!("{}\0{what}\n", member.path));
    }
    hexadecimal(&digest.finalize())
}

/// Whether the path is relative, without `..`, and as short as it can be written.
fn is_inside(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether the target of a link is relative and as short as it can be written.
fn is_written_shortest(target: &str) -> bool {
    !target.contains('\0') && target.split('/').all(|part| !matches!(part, "" | "."))
}

fn is_file_name(text: &str) -> bool {
    is_inside(text) && !text.contains('/')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn manifest(members: &[(&str, MemberKind)]) -> Manifest {
        let member = |(path, kind): &(&str, MemberKind)| Member { path: (*path).to_owned(), kind: kind.clone() };
        let members: Vec<Member> = members.iter().map(member).collect();
        Manifest {
            format: FORMAT,
            name: "demo".to_owned(),
            version: "1".to_owned(),
            environment: "web".to_owned(),
            content: content_digest(&members),
            source_date: 0,
            keep: 5,
            start: Vec::new(),
            python: PythonPart { version: "3.11.7".to_owned(), path: "python/bin/python3.11".to_owned() },
            target: Target::default(),
            scripts: Vec::new(),
            members,
        }
    }

    fn link(target: &str) -> MemberKind {
        MemberKind::Link(target.to_owned())
    }

    #[test]
    fn a_manifest_is_read_back_as_written() {
        let file = MemberKind::File { size: 3, sha256: "00".to_owned(), executable: true };
        let written = manifest(&[("a", MemberKind::Folder), ("a/b", file), ("a/c", link("../a/b"))]);
        assert_eq!(Manifest::parse(&written.json()), Ok(written.clone()));
        assert_eq!(written.member("a/b").map(|member| member.path.as_str()), Some("a/b"));
    }

    #[test]
    fn paths_and_links_that_leave_the_release_are_refused() {
        let folder = MemberKind::Folder;
        for members in [
            vec![("../x", folder.clone())],
            vec![("/x", folder.clone())],
            vec![("a/../../x", folder.clone())],
            vec![("a//x", folder.clone())],
            vec![("a/.", folder.clone())],
            vec![("", folder.clone())],
            vec![("b", folder.clone()), ("a", folder.clone())],
            vec![("a", folder.clone()), ("a", folder.clone())],
            vec![("a", link("/etc"))],
            vec![("a", link(".."))],
            vec![("a/b", link("../../x"))],
            vec![("a", link("b")), ("a/x", folder.clone())],
            vec![("a", link("b")), ("b", link("a"))],
            vec![("a", folder.clone()), ("a/b", link("../c/..")), ("c", folder.clone()), ("d", link("a/b/../x"))],
            vec![(".envo/manifest.json", folder.clone())],
        ] {
            let refused = Manifest::parse(&manifest(&members).json());
            assert!(refused.is_err(), "{members:?}");
        }
        let python = manifest(&[("a", link("/usr/bin/python3"))]);
        let allowed = PythonPart { path: "/usr/bin/python3".to_owned(), ..python.python.clone() };
        assert!(Manifest::parse(&Manifest { python: allowed, ..python }.json()).is_ok());
    }

    #[test]
    fn texts_that_disguise_themselves_are_refused() {
        let text = || "x\u{1b}[2J\nerror: y".to_owned();
        let refused = |change: &dyn Fn(&mut Manifest)| {
            let mut changed = manifest(&[]);
            change(&mut changed);
            let refused = Manifest::parse(&changed.json()).expect_err("it is refused").to_string();
            assert!(refused.lines().count() == 1 && !refused.contains('\u{1b}'), "{refused}");
        };
        refused(&|manifest| manifest.name = text());
        refused(&|manifest| manifest.version = text());
        refused(&|manifest| manifest.python.version = text());
        refused(&|manifest| manifest.target.machine = text());
        let script = |name: &str| ConsoleScript { name: name.to_owned(), module: "m".to_owned(), attribute: text() };
        refused(&|manifest| manifest.scripts = vec![script("s")]);
        for library in [text(), "../x".to_owned(), "/dev/zero".to_owned(), String::new()] {
            refused(&|manifest| _ = manifest.target.libraries.insert(library.clone(), NeededLibrary::default()));
        }
    }

    #[test]
    fn sizes_of_any_number_are_added() {
        let file = || MemberKind::File { size: u64::MAX / 2 + 1, sha256: String::new(), executable: false };
        assert_eq!(manifest(&[("a", file()), ("b", file())]).size(), u64::MAX);
    }

    #[test]
    fn members_that_are_not_those_of_the_digest_are_refused() {
        let mut altered = manifest(&[("a", MemberKind::Folder)]);
        altered.members[0].path = "b".to_owned();
        let refused = Manifest::parse(&altered.json()).expect_err("it was altered");
        assert!(refused.to_string().contains("`.envo/manifest.json` was altered"), "{refused}");
    }
}
