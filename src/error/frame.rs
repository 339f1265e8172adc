//! Formats configuration errors for people: message, lines of the file, trail and hints.

use rustix::termios::isatty;

use crate::bounded;
use crate::color::{BLUE, BRIGHT, CYAN, RED, RESET_ALL, YELLOW};
use crate::error::{ConfigError, Location};
use crate::python_text::{escaped, misleads, plain, shortened};

/// Formats the error with the lines of its file, and after it further errors. Ends with a line end.
pub fn with_source(error: &ConfigError, colored: bool) -> String {
    let draw = |error: &ConfigError| {
        let text = error.location.as_ref().and_then(|location| bounded::read_text(&location.file).ok());
        frame(error, text.as_deref(), colored)
    };
    std::iter::once(error).chain(&error.further).map(draw).collect()
}

/// The same below tox's words for it, which are not repeated if both are seen on one terminal.
pub fn below_words(error: &ConfigError, colored: bool) -> String {
    let drawn = with_source(error, colored);
    let together = isatty(std::io::stdout()) && isatty(std::io::stderr());
    if together { without_headline(&drawn, &error.message).to_owned() } else { drawn }
}

/// The parts of a formatted error other than its message.
pub fn without_headline<'a>(drawn: &'a str, message: &str) -> &'a str {
    let message = shown(message);
    match drawn.find(&*message) {
        Some(at) => drawn[at + message.len()..].trim_start_matches('\n'),
        None => drawn,
    }
}

/// Formats the error with the configuration file's text, if available. Ends with a line end.
pub fn frame(error: &ConfigError, source_text: Option<&str>, colored: bool) -> String {
    let number = error.location.as_ref().and_then(|location| location.line.checked_sub(1));
    over_line(error, source_text.zip(number).and_then(|(text, number)| text.lines().nth(number)), colored)
}

/// The same for a warning.
pub fn warning(error: &ConfigError, colored: bool) -> String {
    let drawn = with_source(error, colored);
    let (from, to) = if colored {
        (format!("{BRIGHT}{RED}error"), format!("{BRIGHT}{YELLOW}warning"))
    } else {
        ("error".to_owned(), "warning".to_owned())
    };
    drawn.strip_prefix(&from).map_or(drawn.clone(), |rest| format!("{to}{rest}"))
}

/// The same if the line is available.
pub fn over_line(error: &ConfigError, line_text: Option<&str>, colored: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colored { format!("{BRIGHT}{code}{text}{RESET_ALL}") } else { text.to_owned() }
    };
    let mut result = format!("{}: {}\n", paint(RED, "error"), shown(&error.message));
    let margin = error.location.as_ref().map_or(1, |location| location.line.to_string().len());
    if let Some(location) = &error.location {
        let Location { file, line, column, .. } = location.as_ref();
        result.push_str(&format!(
            "{}{} {}:{line}:{column}\n",
            " ".repeat(margin),
            paint(BLUE, "-->"),
            plain(&file.display().to_string())
        ));
        if let Some((before, marked)) = line_text.map(|text| marked_line(text, location)) {
            let bar = paint(BLUE, "|");
            result.push_str(&format!("{} {bar}\n", " ".repeat(margin)));
            result.push_str(&format!("{} {bar} {}\n", paint(BLUE, &line.to_string()), before));
            let (indent, carets) = marked.split_at(marked.len() - marked.trim_start().len());
            result.push_str(&format!("{} {bar} {indent}{}\n", " ".repeat(margin), paint(RED, carets)));
        }
    }
    if !error.trail.is_empty() {
        let trail = shortened(&error.trail.join(" → ")).into_owned();
        let trail = escaped(&trail);
        result.push_str(&format!("{} {} while resolving {trail}\n", " ".repeat(margin), paint(BLUE, "=")));
    }
    for hint in &error.hints {
        result.push_str(&format!("{}: {}\n", paint(CYAN, "help"), shown(hint)));
    }
    result
}

/// The text as people see it: without what would control a terminal, and without the middle of overlong words.
pub fn shown(text: &str) -> String {
    plain(&shortened(text)).into_owned()
}

/// The maximum number of characters shown of a line.
const LONGEST: usize = 300;

/// The line of an error, and below it the line with the marker. Tabs stay tabs, so that both align.
fn marked_line(line: &str, location: &Location) -> (String, String) {
    let shown = |character| if misleads(character) { char::REPLACEMENT_CHARACTER } else { character };
    // A very long line is reduced to the part around the location.
    let skipped = location.column.saturating_sub(LONGEST / 2) / LONGEST * LONGEST;
    let line: String = line.chars().skip(skipped).take(LONGEST).map(shown).collect();
    let width = line.chars().count();
    let start = location.column.saturating_sub(1 + skipped).min(width);
    let indent = line.chars().take(start).map(|character| if character == '\t' { '\t' } else { ' ' });
    let carets = "^".repeat(location.length.min(width - start).max(1));
    let marked = indent.chain(carets.chars()).collect();
    (line, marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize, length: usize) -> Location {
        Location { file: "tox.ini".into(), line, column, length }
    }

    #[test]
    fn the_place_is_pointed_at_with_the_way_there_and_the_help() {
        let mut error =
            ConfigError::key("unknown key `dep` in section `[base]`").at(at(4, 5, 11)).hint("did you mean `deps`?");
        error.trail = vec!["py310.deps".into(), "[base]dep".into()];
        let text = "[testenv]\n\ndeps =\n    {[base]dep}\n";
        assert_eq!(
            frame(&error, Some(text), false),
            "error: unknown key `dep` in section `[base]`\n \
             --> tox.ini:4:5\n  \
             |\n\
             4 |     {[base]dep}\n  \
             |     ^^^^^^^^^^^\n  \
             = while resolving py310.deps → [base]dep\n\
             help: did you mean `deps`?\n"
        );
    }

    #[test]
    fn places_outside_the_text_do_no_harm() {
        let error = |location| ConfigError::fail("bad").at(location);
        assert_eq!(frame(&error(at(9, 1, 1)), Some("x"), false), "error: bad\n --> tox.ini:9:1\n");
        assert_eq!(frame(&error(at(0, 0, 0)), Some("x"), false), "error: bad\n --> tox.ini:0:0\n");
        assert_eq!(
            frame(&error(at(1, 99, 99)), Some("äx"), false),
            "error: bad\n --> tox.ini:1:99\n  |\n1 | äx\n  |   ^\n"
        );
        assert_eq!(frame(&ConfigError::fail("bad"), Some("x"), false), "error: bad\n");
    }

    #[test]
    fn long_names_are_cut_wherever_they_are_shown() {
        let name = "n".repeat(5_000);
        let mut error =
            ConfigError::fail(format!("no `{name}` here")).hint(format!("remove `{name}`")).at(at(1, 1, 5_000));
        error.trail = vec![format!("{name}.deps")];
        let drawn = frame(&error, Some(&name), false);
        assert!(drawn.starts_with("error: no `nnn") && drawn.contains("n` here\n"), "{drawn}");
        assert!(drawn.contains("n.deps\n") && drawn.contains("nnn…nnn"), "{drawn}");
        assert!(drawn.lines().all(|line| line.chars().count() < 320), "{drawn}");
        assert!(!without_headline(&drawn, &error.message).contains("here"));
    }

    #[test]
    fn tabs_line_up() {
        let drawn = frame(&ConfigError::fail("bad").at(at(1, 2, 1)), Some("\tx"), false);
        assert!(drawn.ends_with("1 | \tx\n  | \t^\n"), "{drawn}");
    }

    #[test]
    fn colours_are_extra() {
        let error = ConfigError::fail("bad").hint("good");
        assert_eq!(frame(&error, None, true), "\x1b[1m\x1b[31merror\x1b[0m: bad\n\x1b[1m\x1b[36mhelp\x1b[0m: good\n");
    }
}
