//! Formats the manual page from the definitions of the options.

use std::fmt::Write as _;

use clap::Arg;

use super::arguments::{CommandWord, command, program_options};
use super::{help, program_version};

/// The first line of every page that envo writes, which identifies its own pages.
pub const MARK: &str = ".\\\" Written by envo.";

/// The whole page.
pub fn page(program: &str) -> String {
    let mut page =
        format!("{MARK}\n.TH {} 1 \"\" \"{program} {}\"\n", program.to_uppercase(), program_version(program));
    section(&mut page, "NAME");
    let _ = writeln!(page, "{} \\- build, test and serve the environments of a tox configuration", escaped(program));
    section(&mut page, "SYNOPSIS");
    let _ = writeln!(page, ".B {}\n[command] [options] [\\-\\- ARGUMENT ...]", escaped(program));
    section(&mut page, "DESCRIPTION");
    let _ = writeln!(page, "{}", escaped(help::DESCRIPTION));
    section(&mut page, "OPTIONS OF EVERY COMMAND");
    options(&mut page, program_options().iter());
    let general: Vec<_> = program_options().iter().map(|argument| argument.get_id().clone()).collect();
    for word in CommandWord::all() {
        let title = format!("{program} {}", word.name()).to_uppercase();
        section(&mut page, &title);
        let _ = writeln!(page, "{}", escaped(word.explanation()));
        let definition = command(word, program);
        options(&mut page, definition.get_arguments().filter(|argument| !general.contains(argument.get_id())));
        for (line, text) in word.examples() {
            let _ = writeln!(page, ".PP\n.B {}\n.RS\n{}\n.RE", escaped(&format!("{program} {line}")), escaped(text));
        }
    }
    page
}

fn section(page: &mut String, title: &str) {
    let _ = writeln!(page, ".SH \"{}\"", escaped(title));
}

fn options<'a>(page: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    for argument in arguments {
        let text = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(page, ".TP\n.B {}\n{}", escaped(help::names(argument).trim()), escaped(&text));
    }
}

/// Escapes hyphens, so that they can be copied, and text that `man` would read as a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_command_and_the_mark() {
        let page = page("envo");
        assert!(page.starts_with(MARK));
        for word in CommandWord::all() {
            let title = format!("ENVO {}", word.name()).to_uppercase().replace('-', "\\-");
            assert!(page.contains(&format!(".SH \"{title}\"\n")), "{title}");
        }
        assert!(page.contains(".B \\-c, \\-\\-conf file\n"), "{page}");
    }

    #[test]
    fn text_is_never_read_as_a_request() {
        assert_eq!(escaped(".pkg"), "\\&.pkg");
        assert_eq!(escaped("a\\b"), "a\\eb");
    }
}
