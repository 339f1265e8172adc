//! What the fuzz targets share: the Python they compare with, and what envo answers.

#[path = "../../configuration/property/answers.rs"]
pub mod answers;
#[path = "../../configuration/property/oracle.rs"]
mod oracle;
mod support;

use std::sync::LazyLock;

use envo::factor::ActiveFactors;
use regex::Regex;
use serde_json::Value;

use oracle::Oracle;

thread_local! {
    static ORACLE: Oracle = Oracle::start();
}

/// Fails when the oracle makes something else of the question than envo did.
pub fn same(kind: &str, question: impl Into<Value>, found: &Value) {
    let question = question.into();
    let expected = ORACLE.with(|oracle| oracle.ask(kind, question.clone()));
    assert!(expected == *found, "{question}\nexpected {expected}\n   found {found}");
}

/// Fails when Python's configparser makes something else of a file. Its errors have other words from Python 3.13 on, and
/// characters that Unicode knows only since its version is written are shown by their numbers.
pub fn same_file(text: &str, found: &Value) {
    static NEW: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[\p{Age=16.0}--\p{Age=13.0}]").expect("a pattern"));
    if NEW.is_match(text) {
        return;
    }
    let version = ORACLE.with(|oracle| oracle.version);
    assert!(version <= (3, 12), "the real tox has Python {version:?}; install it with 3.12 or older");
    same("ini", text, found);
}

/// What holds for an environment of that name on this machine.
pub fn active(name: &str) -> ActiveFactors {
    ORACLE.with(|oracle| ActiveFactors::of(Some(name), &oracle.platform, &oracle.machine))
}
