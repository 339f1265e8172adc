use super::*;

fn read_text(text: &str) -> Result<EnvFiles, ConfigError> {
    let mut found = EnvFiles::default();
    let outside = |name: &str| (name == "HOST").then(|| "machine".to_owned());
    found.add(text.as_bytes(), Path::new(".env"), &outside).map(|()| found)
}

fn pairs(text: &str) -> Vec<(String, String)> {
    read_text(text).unwrap_or_else(|error| panic!("{text:?}: {error}")).variables
}

fn message(text: &str) -> String {
    read_text(text).expect_err(text).message
}

fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn statements_are_read_as_compose_reads_them() {
    let table: &[(&str, &[(&str, &str)])] = &[
        ("\u{feff}# comment\n\nA=1 # one\n", &[("A", "1")]),
        ("export B = two words \r\n", &[("B", "two words")]),
        ("\texport\tA=1\n  B: 2\nC.d-e[0]=3", &[("A", "1"), ("B", "2"), ("C.d-e[0]", "3")]),
        ("A='as # is\\n' # c\nB=x#y", &[("A", "as # is\\n"), ("B", "x#y")]),
        ("V='Let\\'s go!'", &[("V", "Let's go!")]),
        ("A=\"a\\n\\\"b\\\" \\x\" # c", &[("A", "a\n\"b\" \\x")]),
        ("A=\"\\a\\b\\f\\r\\t\\v\\\\\\0101\\07\\c\"", &[("A", "\u{7}\u{8}\u{c}\r\t\u{b}\\A\\7\\c")]),
        ("A=\nB=''\nC=\"\"", &[("A", ""), ("B", ""), ("C", "")]),
        ("URL=http://a/?b=c:d", &[("URL", "http://a/?b=c:d")]),
        ("A=\"two\r\nlines\"\r\nB='two\nmore'\nC=last", &[("A", "two\r\nlines"), ("B", "two\nmore"), ("C", "last")]),
        ("A=it's \"so\"\nB=a\\tb", &[("A", "it's \"so\""), ("B", "a\\tb")]),
        ("A='x' B='y'", &[("A", "x"), ("B", "y")]),
        ("A=1\nB=2\nA=3", &[("A", "3"), ("B", "2")]),
        ("HOST\nNONE\nexport HOST \r\n", &[("HOST", "machine")]),
    ];
    for (text, expected) in table {
        assert_eq!(pairs(text), own(expected), "{text:?}");
    }
}

#[test]
fn variables_are_replaced_in_values_without_or_in_double_quotes() {
    let table = [
        ("$A-${A}", "1-1"),
        ("\"$A ${A}\"", "1 1"),
        ("'$A ${A}'", "$A ${A}"),
        ("$$A $${A} a$ $1 $-", "$A ${A} a$ $1 $-"),
        ("\"\\$A \\${A} $$A\"", "$A ${A} $A"),
        ("${A:-x}${E:-x}${N:-x}", "1xx"),
        ("${A-x}${E-x}${N-x}", "1x"),
        ("${A:+x}${E:+x}${N:+x}", "x"),
        ("${A+x}${E+x}${N+x}", "xx"),
        ("${A?x}${A:?x}${E?x}", "11"),
        ("${N:-${E:-${A}}} ${N:-{x}}", "1 {x}"),
        ("${N:-a b}${N-}", "a b"),
        ("$HOST.${N:-$HOST}", "machine.machine"),
    ];
    for (text, expected) in table {
        let found = pairs(&format!("A=1\nE=\nV={text}\n"));
        assert_eq!(found.last().map(|(_, value)| value.as_str()), Some(expected), "{text}");
    }
    // A variable from outside overrides the file.
    assert_eq!(pairs("HOST=own\nV=$HOST"), own(&[("HOST", "own"), ("V", "machine")]));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    assert_eq!(message("A=1\nno thing\n"), ".env:2: `no thing` is not a valid variable name");
    assert_eq!(message("A='1\n2'\nB=\"x\n"), ".env:3: the quote is not closed: `\"x`");
    assert_eq!(message("V='Let's go!'"), ".env:1: text follows the closing quote: `s go!'`");
    assert_eq!(message("A=\"1\n2\" 3"), ".env:2: text follows the closing quote: `3`");
    assert!(message("a b=1").contains("`a b` is not a valid variable name"));
    assert!(message("=1").contains("`` is not a valid variable name"));
    assert_eq!(message("A=\0"), ".env:1: a value cannot hold a NUL character");
    assert!(message("\nA=${\n").starts_with(".env:2: invalid expression: `${`"));
    assert!(message("A=${N x}\n").starts_with(".env:1: invalid expression: `${N x}`"));
    assert!(message("A=\"${N:-\n}\"\n").starts_with(".env:1: invalid expression: `${N:-`"));
    assert_eq!(message("A=${N:?say $HOST}"), ".env:1: the required variable `N` is missing: say machine");
    assert_eq!(message("E=\nA=${E:?}"), ".env:2: the required variable `E` is missing");
    let deep = format!("A={}{}", "${N:-".repeat(100_000), "}".repeat(100_000));
    assert_eq!(message(&deep), ".env:1: expressions are nested too deeply");
    let outside = |_: &str| None;
    let error = EnvFiles::default().add(b"A=1\nB=\xe4\n", Path::new(".env"), &outside).unwrap_err();
    assert_eq!(error.message, ".env:2: the text is not UTF-8");
}

#[test]
fn a_variable_that_is_not_set_is_warned_about() {
    let found = read_text("A=pa$word\nB=${N:-}${HOST}").unwrap();
    assert_eq!(found.variables, own(&[("A", "pa"), ("B", "machine")]));
    let [warning] = found.warnings.as_slice() else { panic!("{found:?}") };
    assert!(warning.starts_with(".env:1: `A` uses `$word`, which is not set"), "{warning}");
}

#[test]
fn later_files_count_more_and_one_after_a_dash_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "X=1\nY=1").unwrap();
    std::fs::write(folder.path().join("b"), "Y=2\nZ=2$X").unwrap();
    let outside = |_: &str| None;
    let found = read("a\n- missing\nb\n", folder.path(), &outside).unwrap();
    assert_eq!(found.variables, own(&[("X", "1"), ("Y", "2"), ("Z", "21")]));
    let error = read("a\nmissing", folder.path(), &outside).unwrap_err();
    assert!(error.message.starts_with("`env_file = missing`: "), "{error}");
    assert_eq!(error.hints, ["write `- missing` if the file is optional"]);
}
