//! What Debian expects in a package besides its files: a changelog, the licences, and what is deliberately otherwise.

use anyhow::Result;

use crate::ship::contents::PackedRelease;
use crate::ship::deb_control::Control;
use crate::ship::gzip;
use crate::ship::piece::{Origin, Part, Piece};

/// What `lintian` reports of every application that brings its own interpreter and packages.
const OVERRIDES: [(&str, &[&str]); 3] = [
    ("the release has a folder of its own, which no package of Debian uses", &["dir-or-file-in-opt"]),
    (
        "it brings its own interpreter and libraries, so that it runs as it was tested",
        &[
            "custom-library-search-path",
            "embedded-library",
            "library-not-linked-against-libc",
            "interpreter-in-usr-local",
        ],
    ),
    (
        "packages are as their authors have built them, and modules are compiled before they are packed",
        &[
            "package-installs-python-pycache-dir",
            "shared-library-is-executable",
            "unstripped-binary-or-object",
            "wrong-path-for-interpreter",
        ],
    ),
];

pub fn documents(release: &PackedRelease, control: &Control) -> Result<Vec<Piece>> {
    let name = &control.name;
    let time = jiff::Timestamp::from_second(release.manifest.source_date.cast_signed())?;
    let date = time.strftime("%a, %d %b %Y %H:%M:%S +0000");
    let changelog = format!(
        "{name} ({}) unstable; urgency=medium\n\n  * Release {}, packed by envo.\n\n -- {}  {date}\n",
        control.version, release.manifest.version, control.maintainer
    );
    let year = time.strftime("%Y");
    let mut copyright = format!(
        "{name} was packed by envo.\n\nCopyright {year} {}\nLicense: {}\n\n\
         It contains these packages, with their licences in their folders NAME-VERSION.dist-info below\n{}/env/lib:\n\n",
        control.maintainer,
        release.facts.licences.first().map_or("as the project states it", |(_, licence)| licence),
        release.facts.prefix,
    );
    for (package, licence) in &release.facts.licences {
        copyright.push_str(&format!(" {package}: {licence}\n"));
    }
    if release.manifest.python.is_bundled() {
        copyright.push_str(&format!(
            "\nIt contains CPython {}, which is distributed under the Python Software Foundation License\n\
             <https://docs.python.org/3/license.html>, and the shared libraries that it is linked with.\n",
            release.manifest.python.version
        ));
    }
    let mut overrides = String::new();
    for (reason, tags) in OVERRIDES {
        overrides.push_str(&format!("# {reason}\n"));
        tags.iter().for_each(|tag| overrides.push_str(&format!("{name}: {tag}\n")));
    }
    let piece = |path: String, content: Vec<u8>| Piece::new(path, Origin::Bytes(content), Part::Application);
    Ok(vec![
        piece(format!("usr/share/doc/{name}/changelog.Debian.gz"), gzip::whole(changelog.as_bytes())?),
        piece(format!("usr/share/doc/{name}/copyright"), copyright.into_bytes()),
        piece(format!("usr/share/lintian/overrides/{name}"), overrides.into_bytes()),
    ])
}
