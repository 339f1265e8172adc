//! Tests arguments, variables and folders that are not UTF-8: commands get the exact bytes, as from tox, and users see
//! what tox shows. tox itself then fails on its own log.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::support::project::Project;

const INI: &str = "[tox]\nno_package = true\n[testenv]\nset_env =\n  A = {env:OUTER:}\n\
    commands = python -c \"import os, sys; print(list(map(os.fsencode, sys.argv[1:])), os.environb[b'A'])\" {posargs}\n";

fn os(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// What both print, and that envo is content.
#[track_caller]
fn both_say(arguments: &[&[u8]], texts: &[&str]) {
    let arguments: Vec<&OsStr> = arguments.iter().map(|bytes| OsStr::from_bytes(bytes)).collect();
    let project = || Project::new().ini(INI);
    for outcome in [project().run(&arguments).succeeds(), project().run_tox(&arguments)] {
        texts.iter().for_each(|text| assert!(outcome.stdout.contains(text), "{text}: {outcome:?}"));
    }
}

#[test]
fn words_behind_two_dashes_that_are_not_utf_8_reach_commands() {
    both_say(
        &[b"run", b"-e", b"py", b"--", b"a\xff b", "é".as_bytes(), "\u{10ffff}\u{10ff80}".as_bytes()],
        &[r"'a\udcff b' 'é'", r"[b'a\xff b', b'\xc3\xa9', b'\xf4\x8f\xbf\xbf\xf4\x8f\xbe\x80'] b''"],
    );
}

#[test]
fn a_command_for_exec_may_have_words_that_are_not_utf_8() {
    let code = b"import os, sys; print(os.fsencode(sys.argv[1]))";
    both_say(
        &[b"exec", b"-e", b"py", b"--", b"python", b"-c", code, b"\xc3\xff"],
        &[r"'\udcc3\udcff'", r"b'\xc3\xff'"],
    );
}

#[test]
fn overrides_and_variables_that_are_not_utf_8_reach_commands() {
    both_say(&[b"run", b"-e", b"py", b"-x", b"testenv.set_env=A=\xff"], &[r"[] b'\xff'"]);
    let script = "OUTER=$(printf '\\377\\303\\251') exec \"$0\" run -e py -- x";
    let ran = Project::new().ini(INI).run_program("sh", &["-c", script, env!("CARGO_BIN_EXE_envo")]);
    ran.succeeds().says(r"[b'x'] b'\xff\xc3\xa9'");
}

#[test]
fn a_character_of_the_configuration_is_never_taken_for_a_byte() {
    let toml = "skip_missing_interpreters = false\n[env_run_base]\npackage = \"skip\"\nset_env = { A = \"\\U0010FFFF\" }\n\
                commands = [[\"python\", \"-c\", \"import os; print(ascii(os.environ['A']), '\u{10ff80}')\"]]\n";
    Project::new().file("tox.toml", toml).run(["run", "-e", "py"]).succeeds().says("'\\U0010ffff' \u{10ff80}\n");
    let ini = INI.replace("{env:OUTER:}", "\u{10ffff}");
    let ran = Project::new().ini(&ini).run(["run", "-e", "py"]).succeeds();
    ran.says(r"[] b'\xf4\x8f\xbf\xbf'");
    let shown = Project::new().ini(&ini).run(["config", "-e", "py", "-k", "set_env"]).succeeds();
    shown.says("A=\u{10ffff}\n");
}

#[test]
fn a_project_may_be_in_a_folder_whose_name_is_not_utf_8() {
    let project = Project::new().ini("");
    let folder = project.root().join(os(b"d\xff"));
    fs::create_dir(&folder).expect("a folder can be made");
    let ini = "[tox]\nno_package = true\n[testenv:a]\nruntime = system\nallowlist_externals = sh\n\
               set_env = B = {tox_root}\nchange_dir = {tox_root}/below\n\
               commands = sh -c 'test \"$1\" = \"$B\"; cd \"$1\"; cat told; cd below; test \"$PWD\" -ef .' - {tox_root}\n";
    fs::write(folder.join("tox.ini"), ini).expect("a file can be written");
    fs::write(folder.join("told"), "it is here\n").expect("a file can be written");
    let arguments = [os(b"run"), os(b"-c"), os(b"d\xff/tox.ini"), os(b"-e"), os(b"a")];
    project.run(&arguments).succeeds().says("it is here\n").says("/d\\udcff'\n");
    assert!(folder.join("below").is_dir() && folder.join(".tox").is_dir());
    let shown =
        project.run([os(b"config"), os(b"-c"), os(b"d\xff"), os(b"-k"), os(b"change_dir"), os(b"-e"), os(b"a")]);
    shown.succeeds().says("change_dir = [ROOT]/d\\udcff/below\n");
}

#[test]
fn services_are_started_with_what_is_not_utf_8() {
    let ini = "[tox]\nno_package = true\n[testenv:s]\nruntime = system\nallowlist_externals = sh\nready = log:ff fe\n\
               serve = sh -c 'printf %s \"$A$1\" | od -An -tx1; exec sleep 3600' - {posargs}\n";
    let project = Project::new().ini(ini);
    let words = [b"up".as_slice(), b"-e", b"s", b"--wait", b"-x", b"testenv:s.set_env=A=\xff", b"--", b"\xfe"];
    project.run(words.map(os)).succeeds();
    project.run(["down"]).succeeds();
}

#[test]
fn files_whose_names_are_not_utf_8_are_read_where_they_are() {
    let project = Project::new().ini("");
    let folder = project.root().join(os(b"d\xff"));
    fs::create_dir(&folder).expect("a folder can be made");
    let ini = "[tox]\nno_package = true\n[testenv:a]\nruntime = system\nallowlist_externals = *\n\
               env_file = {tox_root}/env\nset_env = file|{tox_root}/set\ncommands = sh -c 'echo $A $B'\n\
               [testenv:g]\nruntime = system\nallowlist_externals = *\n\
               commands = cat {glob:*.x}\n\
               [testenv:r]\ndeps = -r {tox_root}/r.txt\ncommands = python -c 1\n";
    for (name, text) in
        [("tox.ini", ini), ("env", "A=one\n"), ("set", "B=two\n"), ("r.txt", "-c c.txt\n"), ("c.txt", "")]
    {
        fs::write(folder.join(name), text).expect("a file can be written");
    }
    fs::write(folder.join(os(b"\xfe.x")), "glob\n").expect("a file can be written");
    let run = |words: &[&[u8]]| {
        project.run([&[b"run".as_slice(), b"-c", b"d\xff"], words].concat().iter().map(|word| os(word)))
    };
    run(&[b"-e", b"a"]).succeeds().says("\none two\n");
    run(&[b"-e", b"g"]).succeeds().says("\nglob\n");
    run(&[b"-e", b"r", b"--workdir", b"work"]).succeeds();
    project.run([os(b"config"), os(b"--check"), os(b"-c"), os(b"d\xff")]).succeeds();
    let gone = run(&[b"-e", b"r", b"--workdir", b"work", b"-x", b"testenv:r.deps=-r gone\xff.txt"]).ends_with(1);
    gone.says("Could not open requirements file").says("/d\\udcff/gone\\udcff.txt");
    fs::write(project.root().join(os(b"\xff.yaml")), "services: {s: {image: redis}}").expect("a file can be written");
    project.run([os(b"import"), os(b"compose"), os(b"\xff.yaml")]).says("[testenv:s]");
}

#[test]
fn the_users_file_may_have_a_name_that_is_not_utf_8_and_keeps_its_characters() {
    let run = |text: &[u8]| {
        let project = Project::new().ini(INI).variable("LC_ALL", "C");
        fs::write(project.root().join(os(b"u\xff")), text).expect("a file can be written");
        let script = "TOX_USER_CONFIG_FILE=$(printf 'u\\377') exec \"$0\" config -e py -k env_dir";
        project.run_program("sh", &["-c", script, env!("CARGO_BIN_EXE_envo")])
    };
    run("[tox]\nwork_dir = w\u{10ffff}\n".as_bytes()).succeeds().says("env_dir = [ROOT]/w\u{10ffff}/py\n");
    let refused = run(b"[tox]\nwork_dir = \xff\n").succeeds();
    refused.says("failed to read config file [ROOT]/u\\udcff because UnicodeDecodeError('utf-8')\n");
}
