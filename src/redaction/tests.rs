use super::*;

fn hiding(values: &[&str]) -> Redactor {
    let redactor = Redactor::default();
    redactor.hide(&values.iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>());
    redactor
}

fn in_parts(redactor: &Redactor, parts: &[&str]) -> Vec<String> {
    let mut stream = redactor.stream();
    let mut shown: Vec<Vec<u8>> = parts.iter().map(|part| stream.push(part.as_bytes())).collect();
    shown.push(stream.finish());
    shown.into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
}

#[test]
fn a_value_is_hidden_wherever_it_is_and_nothing_else_is() {
    let redactor = hiding(&["hunter2!"]);
    assert_eq!(redactor.text("hunter2! is hunter2!hunter2!, not hunter2"), "*** is ***, not hunter2");
    assert_eq!(hiding(&["a.*(b"]).text("a.*(b axx(b"), "*** axx(b");
    assert_eq!(Redactor::default().text("hunter2!"), "hunter2!");
}

#[test]
fn a_value_split_at_any_byte_is_hidden() {
    let redactor = hiding(&["hunter2!"]);
    for at in 0.."hunter2!".len() {
        let (before, after) = "hunter2!".split_at(at);
        assert_eq!(in_parts(&redactor, &["a ", before, after, " z"]).concat(), "a *** z", "{at}");
    }
    assert_eq!(in_parts(&redactor, &["a hunt", "ing"]), ["a ", "hunting", ""], "decided as early as possible");
    assert_eq!(in_parts(&redactor, &["x\n", "hunt"]), ["x\n", "", "hunt"]);
}

#[test]
fn a_value_over_lines_is_hidden() {
    let redactor = hiding(&["first-line\nsecond-line\nx", "hunter2!"]);
    assert_eq!(redactor.text("[first-line\r\nsecond-line\r\nx]"), "[***]");
    assert_eq!(redactor.text("> first-line\n> second-line\n> x\n"), "> ***\n> ***\n> x\n");
    assert_eq!(redactor.text("hun\nter\r\n2!\n"), "***\n");
    assert_eq!(redactor.text("h\nu\nnothing"), "h\nu\nnothing");
}

#[test]
fn overlapping_values_leave_nothing() {
    let redactor = hiding(&["abcdef", "defghi", "cdef", "abcd"]);
    assert_eq!(redactor.text("-abcdefghi-"), "-***-");
    assert_eq!(redactor.text("-abcdeX-"), "-***eX-");
    assert_eq!(in_parts(&redactor, &["-abcd", "e", "fg", "hi-"]).concat(), "-***-");
    assert_eq!(hiding(&["aaaa"]).text(&"a".repeat(1000)), "***");
}

#[test]
fn encoded_values_are_hidden() {
    use base64::Engine as _;
    let value = "p@ss w/rd+é?";
    let redactor = hiding(&[value]);
    let engine = base64::engine::general_purpose::STANDARD;
    for before in ["", "u", "us", "usr", "user:"] {
        for after in ["", "\n", ":x", "more"] {
            let shown = redactor.text(&format!("[{}]", engine.encode(format!("{before}{value}{after}"))));
            let inner = engine.encode(value);
            assert!(shown.contains(MASK) && !shown.contains(&inner[4..12]), "{shown}");
        }
    }
    assert_eq!(redactor.text(&format!("[{}]", engine.encode(value))).replace('=', ""), "[***]");
    for url in [
        "p%40ss%20w%2Frd%2B%C3%A9%3F",
        "p%40ss+w%2Frd%2B%C3%A9%3F",
        "p%40ss%20w/rd%2B%C3%A9%3F",
        "p%40ss%20w%2frd%2b%c3%a9%3f",
    ] {
        assert_eq!(redactor.text(&format!("x={url}&")), "x=***&");
    }
    assert_eq!(hiding(&["it's \"so\"\nhere"]).text(r#"{"a": "it's \"so\"\nhere"}"#), r#"{"a": "***"}"#);
    let wrapped = engine.encode("0123456789".repeat(9));
    let wrapped = format!("{}\n{}\n", &wrapped[..76], &wrapped[76..]);
    assert_eq!(hiding(&[&"0123456789".repeat(9)]).text(&wrapped).replace('=', ""), "***\n");
}

#[test]
fn values_that_are_not_text_are_hidden() {
    let redactor = Redactor::default();
    redactor.hide(&[vec![0xff, 0xfe, b'x', 0x80]]);
    assert_eq!(redactor.bytes(b"a\xff\xfex\x80z"), b"a***z");
}

#[test]
fn a_value_added_later_is_hidden_from_then_on() {
    let redactor = hiding(&["first-value"]);
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"sec first-va"), b"sec ");
    redactor.hide(&[b"value-2".to_vec()]);
    assert_eq!(stream.push(b"lue-2 first-value"), b"*** ".to_vec());
    assert_eq!(stream.finish(), b"***");
}
