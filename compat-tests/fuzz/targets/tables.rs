//! Settings written in TOML: the tree holds what the `toml` crate reads, and whatever stands in the file, every setting of every environment comes to a value or an error,
//! and never to a panic or a hang.

#![no_main]

use std::path::PathBuf;
use std::sync::Arc;

use envo::cli::options::ProcessContext;
use envo::cli::{ParsedCommandLine, parse};
use envo::model::{Interpreter, InterpreterLookup};
use envo::settings::Settings;
use envo::source::{ConfigDocument, ConfigFormatKind, ConfigSource, TomlDocument, TomlTree};

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

/// A value as text, tables in the order of their keys: the crate does not always keep that of the file.
fn sorted(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) => {
            let mut pairs: Vec<String> = table.iter().map(|(key, value)| format!("{key:?}: {}", sorted(value))).collect();
            pairs.sort();
            format!("{pairs:?}")
        }
        toml::Value::Array(values) => format!("{:?}", values.iter().map(sorted).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}

/// More environments than this teach nothing new.
const ENVIRONMENTS: usize = 5;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data).into_owned();
    let expected = toml::from_str::<toml::Table>(&text);
    let text = Arc::new(text);
    let found = TomlTree::read(&text);
    match (&expected, &found) {
        (Ok(expected), Ok(found)) => assert_eq!(sorted(&found.root().to_value()), sorted(&expected.clone().into())),
        (Err(expected), Err(found)) => assert_eq!(found.to_string(), expected.to_string()),
        _ => panic!("{expected:?} is not {:?}", found.map(|found| found.root().to_table())),
    }
    let Ok(root) = found else { return };
    let surroundings = ProcessContext { current_dir: PathBuf::from("/nowhere"), ..ProcessContext::default() };
    let Ok(ParsedCommandLine::Run(resolved)) = parse(&["envo".into(), "list".into()], surroundings) else { return };
    let source = ConfigSource {
        path: PathBuf::from("/nowhere/tox.toml"),
        format: ConfigFormatKind::ToxToml,
        text,
        document: ConfigDocument::Toml(TomlDocument { root, prefix: &[] }),
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
