//! Settings written in TOML: whatever stands in the file, every setting of every environment comes to a value or an error,
//! and never to a panic or a hang.

#![no_main]

use std::path::PathBuf;
use std::sync::Arc;

use envo::cli::options::Surroundings;
use envo::cli::{Parsed, parse};
use envo::model::{Interpreter, InterpreterLookup};
use envo::settings::Settings;
use envo::source::{Document, Format, Source, TomlDocument};

/// A machine without interpreters.
struct Nothing;

impl InterpreterLookup for Nothing {
    fn find(&self, _: &[String]) -> Option<Arc<Interpreter>> {
        None
    }

    fn host_python(&self) -> PathBuf {
        PathBuf::from("/usr/bin/python3")
    }

    fn uv(&self) -> Option<PathBuf> {
        None
    }
}

/// More environments than this teach nothing new.
const ENVIRONMENTS: usize = 5;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data).into_owned();
    let Ok(root) = toml::from_str::<toml::Table>(&text) else { return };
    let surroundings = Surroundings { current_dir: PathBuf::from("/nowhere"), ..Surroundings::default() };
    let Ok(Parsed::Run(resolved)) = parse(&["envo".into(), "list".into()], surroundings) else { return };
    let source = Source {
        path: PathBuf::from("/nowhere/tox.toml"),
        format: Format::ToxToml,
        text: Arc::new(text),
        document: Document::Toml(TomlDocument { root, prefix: &[] }),
        lines_before: 0,
    };
    let Ok(settings) = Settings::new(source, Arc::new(resolved.options), Arc::new(Nothing)) else { return };
    let Ok(names) = settings.declared_names() else { return };
    let sets = names.iter().take(ENVIRONMENTS).map(|name| settings.environment(name)).collect::<Vec<_>>();
    for set in std::iter::once(settings.core()).chain(sets.iter().map(Arc::as_ref)) {
        for key in settings.defined_keys(set).unwrap_or_default() {
            if let Ok(value) = settings.value(set, key) {
                let _ = settings.shown(set, key, &value);
            }
        }
        let _ = settings.unused_keys(set);
    }
});
