//! The output of `--version`.

pub use crate::model::provided::TOX_VERSION;

/// The version to report for the name by which the program was called.
pub fn program_version(program: &str) -> &'static str {
    if program == "tox" { TOX_VERSION } else { env!("CARGO_PKG_VERSION") }
}

/// Through a link named `tox`, the line has the format of tox's own, because scripts parse it.
pub fn text(program: &str) -> String {
    let place = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_else(|_| program.to_owned());
    if program == "tox" {
        format!("{TOX_VERSION} from {place}\n")
    } else {
        format!("envo {} from {place}\nworks like tox {TOX_VERSION}\n", env!("CARGO_PKG_VERSION"))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_first_word_is_a_version_when_called_tox() {
        assert!(super::text("tox").starts_with("4.67.15 from /"));
        assert!(super::text("envo").starts_with("envo 0."));
    }
}
