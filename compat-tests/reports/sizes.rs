//! Checks how large files, types and functions of `src` are. The limits are those of `docs/architecture.md`.

use std::fs;

use regex::Regex;

use super::architecture::{root, source_files};

const LINES: usize = 600;
const FIELDS: usize = 15;
const ARGUMENTS: usize = 5;

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The number of fields of the formatted type whose first line is `lines[0]`.
fn fields(lines: &[&str]) -> usize {
    let field = Regex::new(r"^\s*(?:pub(?:\([a-z: ]+\))? )?(?:r#)?[a-z]\w*: ").expect("it is a pattern");
    let (start, inner) = (indentation(lines[0]), indentation(lines[0]) + 4);
    let body = lines[1..].iter().take_while(|line| line.is_empty() || indentation(line) > start);
    body.filter(|line| indentation(line) == inner && field.is_match(line)).count()
}

/// The number of parameters in `text`, which follows an opening parenthesis, `self` included.
fn parameters(text: &str) -> usize {
    let (mut depth, mut count, mut is_empty) = (0, 0, true);
    for (index, character) in text.char_indices() {
        match character {
            '(' | '[' | '{' | '<' => depth += 1,
            // The arrow of a closure's type closes nothing.
            '>' if text[..index].ends_with('-') => {}
            ')' if depth == 0 => break,
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if depth == 0 => {
                count += 1;
                is_empty = true;
                continue;
            }
            _ => {}
        }
        is_empty &= character.is_whitespace();
    }
    count + usize::from(!is_empty)
}

/// The types and functions of a formatted file that are too large, each with its line.
fn too_large(text: &str) -> Vec<String> {
    let code = |line: &str| !line.trim_start().starts_with("//");
    let lines: Vec<&str> = text.lines().map(|line| if code(line) { line } else { "" }).collect();
    let kind = Regex::new(r"^\s*(?:pub(?:\([a-z: ]+\))? )?struct (\w+)[^;(]*\{$").expect("it is a pattern");
    let function = Regex::new(r"^\s*(?:[a-z]+(?:\([a-z: ]+\))? )*fn (\w+)(?:<[^(]*>)?\(").expect("it is a pattern");
    let (mut found, mut implements_trait) = (Vec::new(), false);
    for (index, line) in lines.iter().enumerate() {
        // The trait decides how many parameters the functions of its implementation have, as in Clippy.
        if indentation(line) == 0 && !line.is_empty() {
            implements_trait = line.starts_with("impl") && line.contains(" for ") && line.ends_with('{');
        }
        if let Some(name) = kind.captures(line) {
            let count = fields(&lines[index..]);
            if count > FIELDS {
                found.push(format!("{}: `{}` has {count} fields", index + 1, &name[1]));
            }
        } else if let Some(name) = function.captures(line).filter(|_| !implements_trait) {
            let rest = format!("{}\n{}", &line[name[0].len()..], lines[index + 1..].join("\n"));
            let count = parameters(&rest);
            if count > ARGUMENTS {
                found.push(format!("{}: `{}` has {count} arguments", index + 1, &name[1]));
            }
        }
    }
    found
}

#[test]
fn files_types_and_functions_are_within_their_limits() {
    let mut files = Vec::new();
    source_files(&root().join("src"), &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("it can be read");
        let shown = file.strip_prefix(root()).expect("it is below").display();
        let count = text.lines().count();
        if count > LINES {
            wrong.push(format!("{shown} has {count} lines"));
        }
        wrong.extend(too_large(&text).into_iter().map(|one| format!("{shown}:{one}")));
    }
    assert!(wrong.is_empty(), "above the limits of docs/architecture.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_large_type_and_a_long_list_of_parameters_are_found() {
    let many = |count: usize| (0..count).map(|i| format!("    pub(super) f{i}: Map<A, B>,\n")).collect::<String>();
    let kind = |count| too_large(&format!("pub struct Large<'a> {{\n{}}}\n", many(count)));
    assert!(kind(FIELDS).is_empty());
    assert_eq!(kind(FIELDS + 1), ["1: `Large` has 16 fields"]);
    let five =
        "pub fn many(\n    &self,\n    a: (A, B),\n    b: &dyn Fn(A, B) -> C,\n    c: [A; 2],\n    d: M<A, B>,\n) {}";
    assert_eq!(too_large(five), Vec::<String>::new());
    let six = five.replace(") {}", "    e: E,\n) {}");
    assert_eq!(too_large(&six), ["1: `many` has 6 arguments"]);
    assert!(too_large(&format!("impl Other for Kind {{\n    {six}")).is_empty(), "in a trait's implementation");
    assert_eq!(
        too_large("    pub(crate) const fn short(a: A, b: B, c: C, d: D, e: E, f: F) -> G {"),
        ["1: `short` has 6 arguments"]
    );
}
