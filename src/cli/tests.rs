//! Whole command lines, from the words to the options.

use super::options::{ConfigFormat, EnvironmentChoice, Options, Parallelism, ProcessContext, SkipMissing, Verb};
use super::{OptionNotice, ParsedCommandLine, ResolvedOptions, Severity, UsageError, parse};

/// The context of a quiet machine: no variable, no terminal, no user file.
fn context(variables: &[(&str, &str)]) -> ProcessContext {
    let mut all = vec![("TOX_USER_CONFIG_FILE", "/nonexistent/config.ini")];
    all.extend_from_slice(variables);
    ProcessContext {
        variables: all.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        current_dir: "/project".into(),
        stdout_is_terminal: false,
    }
}

fn parse_line(line: &str, context: ProcessContext) -> Result<ParsedCommandLine, UsageError> {
    let words = std::iter::once("envo").chain(line.split_whitespace());
    parse(&words.map(Into::into).collect::<Vec<_>>(), context)
}

fn resolved(line: &str, variables: &[(&str, &str)]) -> ResolvedOptions {
    match parse_line(line, context(variables)) {
        Ok(ParsedCommandLine::Run(resolved)) => *resolved,
        other => panic!("{line}: {other:?}"),
    }
}

fn options(line: &str) -> Options {
    let resolved = resolved(line, &[]);
    assert_eq!(resolved.notices, []);
    resolved.options
}

fn options_with(line: &str, name: &str, value: &str) -> Options {
    resolved(line, &[(name, value)]).options
}

fn problem(line: &str) -> String {
    let error = parse_line(line, context(&[])).expect_err(line);
    format!("{}: error: {}", error.program, error.message)
}

fn named(names: &[&str]) -> EnvironmentChoice {
    EnvironmentChoice::Named(names.iter().map(|&name| name.to_owned()).collect())
}

#[test]
fn every_command_is_found_by_both_its_names() {
    let verbs = [
        ("run", "r", Verb::Run),
        ("run-parallel", "p", Verb::RunParallel),
        ("list", "l", Verb::List),
        ("config", "c", Verb::Config),
        ("depends", "de", Verb::Depends),
        ("exec", "e", Verb::Exec),
        ("devenv", "d", Verb::Devenv),
        ("legacy", "le", Verb::Run),
        ("serve", "serve", Verb::Serve),
    ];
    for (name, alias, verb) in verbs {
        assert_eq!(options(name).verb, verb);
        assert_eq!(options(alias).verb, verb);
    }
    assert_eq!(options("").verb, Verb::Run);
}

#[test]
fn environments_are_expanded_and_combined() {
    assert_eq!(options("-e A,B serve").selection.environments, named(&["A", "B"]));
    assert_eq!(options("run -e a -e=b,c -ed").selection.environments, named(&["a", "b", "c", "d"]));
    assert_eq!(options("run -e a,{b,c}-d").selection.environments, named(&["a", "b-d", "c-d"]));
    assert_eq!(options("run -e a,ALL").selection.environments, EnvironmentChoice::All);
    assert_eq!(options("run -e ,").selection.environments, EnvironmentChoice::Default);
    assert_eq!(options("exec -- x").selection.environments, named(&["py"]));
}

#[test]
fn arguments_override_variables_and_lists_are_extended() {
    let both = [("TOXENV", "x,y"), ("TOX_OVERRIDE", "a=b;c=d"), ("TOX_SKIP_ENV", "lint")];
    assert_eq!(resolved("run", &both).options.selection.environments, named(&["x", "y"]));
    let options = resolved("run -e z -x e=f --skip-env=", &both).options;
    assert_eq!(options.selection.environments, named(&["z"]));
    assert_eq!(options.project.overrides, ["a=b", "c=d", "e=f"]);
    assert_eq!(options.selection.skip, "");
    let options = resolved("run -f a b -f c", &[("TOX_FACTORS", "p,q;r")]).options;
    assert_eq!(options.selection.factors, [vec!["p", "q"], vec!["r"], vec!["a", "b"], vec!["c"]]);
}

#[test]
fn a_variable_counts_only_for_commands_with_its_option() {
    let options = resolved("list", &[("TOX_SKIP_ENV", "x"), ("TOX_NO_TEST", "1"), ("TOXENV", "a")]).options;
    assert_eq!(options.selection.skip, "x");
    assert!(!options.run.skip.no_test);
    assert_eq!(options.selection.environments, EnvironmentChoice::Default);
}

#[test]
fn verbosity_counts_from_its_default() {
    assert_eq!(options("run").output.verbosity, 2);
    assert_eq!(options("run -vv").output.verbosity, 4);
    assert_eq!(options("-qqq").output.verbosity, 0);
    assert_eq!(options("-vvvvvvvvvvvvvvvvvv").output.verbosity, 5);
    assert_eq!(resolved("run", &[("TOX_VERBOSE", "5"), ("TOX_QUIET", "1")]).options.output.verbosity, 4);
    assert_eq!(problem("run -vq"), "envo run: error: argument -q/--quiet: not allowed with argument -v/--verbose");
}

#[test]
fn invalid_variables_are_reported_and_ignored() {
    let ResolvedOptions { options, notices, .. } =
        resolved("", &[("TOX_VERBOSE", "should-be-number"), ("TOX_OVERRIDE", "x;--password=hunter2")]);
    assert_eq!(options.output.verbosity, 2);
    let texts: Vec<&str> = notices.iter().map(|notice| notice.text.as_str()).collect();
    assert!(texts.contains(
        &"env var TOX_VERBOSE='should-be-number' cannot be transformed to <class 'int'> because \
          ValueError(\"invalid literal for int() with base 10: 'should-be-number'\")"
    ));
    assert!(texts.contains(
        &"env var TOX_OVERRIDE='x;--password=*******' cannot be transformed to \
          list[tox.config.loader.api.Override] because ArgumentTypeError"
    ));
    assert_eq!(notices.len(), 2);
}

#[test]
fn the_users_file_comes_after_the_variables() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.ini");
    std::fs::write(&path, "[tox]\nenv = a, b\nparallel = 3\nno_test = true\nquiet = what\noverride =\n  a=b\n  c=d\n")
        .expect("written");
    let file = path.to_str().expect("text");
    let ResolvedOptions { options, notices, .. } =
        resolved("p", &[("TOX_USER_CONFIG_FILE", file), ("TOX_NO_TEST", "no")]);
    assert_eq!(options.selection.environments, named(&["a", "b"]));
    assert_eq!(options.run.parallel.parallelism, Parallelism::Limit(3));
    assert!(!options.run.skip.no_test);
    assert_eq!(options.project.overrides, ["a=b", "c=d"]);
    let expected = format!(
        "{file} key quiet as type <class 'int'> failed with HandledError(\"failed to load core.quiet: invalid literal \
         for int() with base 10: 'what'\")"
    );
    assert_eq!(notices, [OptionNotice { severity: Severity::Warning, text: expected }]);
}

#[test]
fn an_unreadable_users_file_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let notices = resolved("r", &[("TOX_USER_CONFIG_FILE", path)]).notices;
    let text = format!("failed to read config file {path} because IsADirectoryError(21, 'Is a directory')");
    assert_eq!(notices, [OptionNotice { severity: Severity::Error, text }]);
}

#[test]
fn colours_follow_the_setting_of_highest_priority() {
    assert!(!options("run").output.colored);
    assert!(options("run --colored yes").output.colored);
    assert!(options_with("run", "FORCE_COLOR", "0").output.colored);
    assert!(options_with("run", "TTY_COMPATIBLE", "1").output.colored);
    assert!(!resolved("run", &[("NO_COLOR", "1"), ("FORCE_COLOR", "1")]).options.output.colored);
    assert!(resolved("run", &[("NO_COLOR", "1"), ("TOX_COLORED", "yes")]).options.output.colored);
    let on_terminal = |variables: &[(&str, &str)]| {
        let context = ProcessContext { stdout_is_terminal: true, ..context(variables) };
        match parse_line("run", context) {
            Ok(ParsedCommandLine::Run(resolved)) => resolved.options.output.colored,
            other => panic!("{other:?}"),
        }
    };
    assert!(on_terminal(&[]) && on_terminal(&[("NO_COLOR", "")]));
    assert!(!on_terminal(&[("TERM", "dumb")]) && !on_terminal(&[("TTY_COMPATIBLE", "0")]));
}

#[test]
fn a_missing_interpreter_is_skipped_as_asked() {
    assert_eq!(options("run").run.interpreters.skip_missing_interpreters, SkipMissing::Configured);
    assert_eq!(options("-s").run.interpreters.skip_missing_interpreters, SkipMissing::Yes);
    assert_eq!(options("-s false r").run.interpreters.skip_missing_interpreters, SkipMissing::No);
    assert_eq!(
        options_with("r", "TOX_SKIP_MISSING_INTERPRETERS", "true").run.interpreters.skip_missing_interpreters,
        SkipMissing::Yes
    );
    assert_eq!(
        problem("run -s maybe"),
        "envo run: error: argument -s/--skip-missing-interpreters: value must be 'config', 'true', or 'false' (got 'maybe')"
    );
}

#[test]
fn hash_seeds_are_positive_or_not_set() {
    assert_eq!(options("run --hashseed 7").run.hash_seed, Some(7));
    assert_eq!(options("run --hashseed notset").run.hash_seed, None);
    assert!(options("run").run.hash_seed.is_some_and(|seed| seed > 0));
    assert_eq!(options_with("run", "PYTHONHASHSEED", "0").run.hash_seed, Some(0));
    assert_eq!(options_with("run", "TOX_HASH_SEED", "12").run.hash_seed, Some(12));
    assert_eq!(problem("run --hashseed 0"), "envo run: error: argument --hashseed: must be greater than zero");
    assert_eq!(
        problem("run --hashseed ok"),
        "envo run: error: argument --hashseed: invalid literal for int() with base 10: 'ok'"
    );
    assert!(problem("run --hashseed 4294967296").ends_with("must be at most 4294967295"));
}

#[test]
fn parallelism_is_a_number_a_word_or_nothing() {
    assert_eq!(options("p -p 3").run.parallel.parallelism, Parallelism::Limit(3));
    assert_eq!(options("p -p all").run.parallel.parallelism, Parallelism::Unlimited);
    assert!(matches!(options("p").run.parallel.parallelism, Parallelism::Limit(limit) if limit > 0));
    assert_eq!(options("p -p 0").verb, Verb::RunParallel);
    assert_eq!(
        problem("p -p x"),
        "envo run-parallel: error: argument -p/--parallel: value must be a positive number, is 'x'"
    );
    assert_eq!(
        problem("scale web=0"),
        "envo scale: error: argument ENV=N: `web=0`: a service has at least one instance"
    );
    assert_eq!(problem("p -p -1"), "envo run-parallel: error: argument -p/--parallel: value must be positive, is -1");
}

#[test]
fn legacy_options_select_other_verbs() {
    assert_eq!(options("-p").run.parallel.parallelism, Parallelism::Unlimited);
    assert_eq!(options("-p").verb, Verb::RunParallel);
    assert_eq!(options("-p 0").verb, Verb::Run);
    assert_eq!(options_with("", "TOX_PARALLEL", "2").verb, Verb::RunParallel);

    let list = options("-l");
    assert_eq!((list.verb, list.list.no_description, list.list.default_only), (Verb::List, true, true));
    let list = options("-av");
    assert_eq!((list.verb, list.list.no_description, list.list.default_only), (Verb::List, false, false));
    assert!(list.list.no_fallback && !options("list").list.no_fallback);

    let shown = options("--showconfig");
    assert_eq!((shown.verb, shown.config.show_core, shown.config.format), (Verb::Config, true, ConfigFormat::Ini));
    let shown = options("--hi -e py");
    assert_eq!((shown.verb, shown.config.show_core), (Verb::Config, false));

    let devenv = options("--devenv ../there");
    assert_eq!((devenv.verb, devenv.generate.devenv_path.to_str()), (Verb::Devenv, Some("/project/../there")));
    assert_eq!(devenv.selection.environments, named(&["py"]));
    assert_eq!(options("--devenv x -e a").selection.environments, named(&["a"]));
}

#[test]
fn a_development_environment_is_built_and_runs_nothing() {
    let devenv = options("devenv");
    assert_eq!(devenv.generate.devenv_path.to_str(), Some("/project/venv"));
    assert!(devenv.run.skip.no_test);
    assert_eq!(devenv.run.interpreters.skip_missing_interpreters, SkipMissing::No);
    assert_eq!(options("devenv -e a path").generate.devenv_path.to_str(), Some("/project/path"));
}

#[test]
fn commands_for_an_environment_run_without_the_project() {
    let exec = options("exec -e a -- python --version");
    assert_eq!(exec.invocation.positional.as_deref(), Some(&["python".to_owned(), "--version".to_owned()][..]));
    assert!(exec.run.skip.skip_package_install && exec.run.no_capture);
    assert_eq!(options("run --").invocation.positional, Some(Vec::new()));
    assert_eq!(options("run").invocation.positional, None);
}

#[test]
fn conflicting_options_are_rejected_in_order() {
    assert_eq!(problem("l -m t -f a"), "envo list: error: argument -f: not allowed with argument -m");
    assert_eq!(problem("run -e a -m b"), "envo run: error: argument -m: not allowed with argument -e");
    assert!(problem("run --list-dependencies --no-list").contains("--no-list-dependencies: not allowed with argument"));
    assert!(problem("run -i --result-json x").contains("-i/--no-capture: not allowed with argument --result-json"));
    assert_eq!(
        problem("run --colored maybe"),
        "envo run: error: argument --colored: invalid choice: 'maybe' (choose from 'yes', 'no')"
    );
    assert_eq!(problem("run -x foo"), "envo run: error: argument -x/--override: override foo has no = sign in it");
    assert_eq!(
        problem("le --force-dep =="),
        "envo legacy: error: argument --force-dep: invalid Requirement value: '=='"
    );
    assert_eq!(
        problem("l --exit-and-dump-after x"),
        "envo list: error: argument --exit-and-dump-after: invalid int value: 'x'"
    );
}

#[test]
fn the_last_of_several_single_values_counts() {
    let options = options("c -k a b -k c -c one -c two --root=");
    assert_eq!(options.config.keys, ["c"]);
    assert_eq!(options.project.config_file.as_deref(), Some("two".as_ref()));
    assert_eq!(options.project.root_dir.as_deref(), Some(".".as_ref()));
    assert_eq!(self::options("c -k -2 -").config.keys, ["-2", "-"]);
}

#[test]
fn paths_of_packages_are_absolute_and_must_be_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let wheel = folder.path().join("a b.whl");
    std::fs::write(&wheel, "").expect("written");
    let uri = format!("file://{}/a%20b.whl", folder.path().display());
    assert_eq!(options(&format!("run --installpkg {uri}")).run.package.install_package.as_ref(), Some(&wheel));
    assert_eq!(options_with("run", "TOX_INSTALL_PKG", &uri).run.package.install_package.as_ref(), Some(&wheel));
    let relative = options_with("run", "TOX_INSTALL_PKG", "dist/x.whl").run.package.install_package;
    assert_eq!(relative.as_deref(), Some("/project/dist/x.whl".as_ref()));
    assert!(problem("run --installpkg nope").ends_with("--installpkg: /project/nope does not exist"));
    assert!(problem("run --installpkg=").ends_with("--installpkg: cannot be empty"));
    assert!(problem(&format!("run --installpkg {}", folder.path().display())).ends_with("is not a file"));
}

#[test]
fn provisioning_can_be_disabled_with_or_without_a_file() {
    assert_eq!(options("run").run.provision.no_provision, None);
    assert_eq!(options("run --no-provision").run.provision.no_provision.as_deref(), Some(""));
    assert_eq!(options("run --no-provision x.json").run.provision.no_provision.as_deref(), Some("x.json"));
    assert_eq!(options_with("run", "TOX_NO_PROVISION", "1").run.provision.no_provision.as_deref(), Some(""));
}

#[test]
fn ci_lists_dependencies_and_shows_no_progress() {
    let in_ci = options_with("p", "CI", "true").run;
    assert!(in_ci.list_dependencies && in_ci.parallel.parallel_no_spinner);
    assert!(!resolved("p --no-list-dependencies", &[("CI", "1")]).options.run.list_dependencies);
    assert!(!options("p").run.list_dependencies);
    assert!(options("p --list-dep").run.list_dependencies);
}

#[test]
fn unknown_arguments_are_kept_for_later() {
    assert_eq!(options("run foo --nope --bar=1").invocation.unknown_arguments, ["foo", "--nope", "--bar=1"]);
    assert_eq!(options("list -e x").invocation.unknown_arguments, ["-e", "x"]);
}

#[test]
fn help_and_version_are_shown_instead_of_running() {
    let shown = |line: &str| match parse_line(line, context(&[])) {
        Ok(ParsedCommandLine::Show(answer)) => answer.text,
        other => panic!("{line}: {other:?}"),
    };
    assert!(shown("-h").starts_with("usage: envo [command]"));
    assert!(shown("-h").contains("config file '/nonexistent/config.ini' missing (changed via env var"));
    assert!(shown("-h run").starts_with("usage: envo run "));
    assert!(shown("p -h").contains("--parallel"));
    assert!(shown("run --version").starts_with("envo "));
    assert!(!shown("-h").contains('\u{1b}'));
    let colored = parse_line("run -h", context(&[("FORCE_COLOR", "1")]));
    assert!(matches!(colored, Ok(ParsedCommandLine::Show(answer)) if answer.text.contains('\u{1b}')));
}

#[test]
fn a_request_for_help_still_selects_the_project() {
    let file = |line: &str| match parse_line(line, context(&[])) {
        Ok(ParsedCommandLine::Show(answer)) => answer.options.and_then(|options| options.project.config_file),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(file("--help -c a/tox.ini"), Some("a/tox.ini".into()));
    assert_eq!(file("run -c a --version -- -h"), Some("a".into()));
    assert_eq!(file("-h"), None);
    assert_eq!(file("run --hel -c a"), None);
}

#[test]
fn a_link_called_tox_answers_as_tox() {
    let shown = parse(&["/usr/bin/tox".into(), "-h".into()], context(&[]));
    assert!(matches!(shown, Ok(ParsedCommandLine::Show(answer)) if answer.text.starts_with("usage: tox ")));
    let error = parse(&["tox".into(), "r".into(), "-e".into()], context(&[])).expect_err("no value");
    assert_eq!(error.program, "tox run");
    assert!(error.to_string().starts_with("usage: tox run [options]"));
}

#[cfg(unix)]
#[test]
fn arguments_that_are_not_utf8_do_not_panic() {
    use std::os::unix::ffi::OsStringExt;
    let odd = std::ffi::OsString::from_vec(vec![b'-', 0xff, b'=']);
    for words in [vec![odd.clone()], vec!["-e".into(), odd.clone()], vec!["-r".into(), "--".into(), odd]] {
        let arguments: Vec<_> = std::iter::once("envo".into()).chain(words).collect();
        drop(parse(&arguments, context(&[])));
    }
    assert!(parse(&[], context(&[])).is_ok());
}

proptest::proptest! {
    #[test]
    fn no_command_line_panics(
        words in proptest::collection::vec("(-{0,3}(e|p|s|k|conf|root|run|list|hashseed|installpkg|x|é)?=?[ -~é]{0,6})", 0..6),
        value in "[ -~é\n]{0,8}",
    ) {
        let arguments: Vec<_> = std::iter::once("envo".to_owned()).chain(words).map(Into::into).collect();
        let variables = [("TOX_PARALLEL", value.as_str()), ("TOXENV", &value), ("TOX_HASH_SEED", &value)];
        match parse(&arguments, context(&variables)) {
            Ok(ParsedCommandLine::Show(answer)) => proptest::prop_assert!(answer.text.ends_with('\n')),
            Ok(ParsedCommandLine::Run(resolved)) => proptest::prop_assert!(resolved.options.output.verbosity <= 5),
            Err(error) => proptest::prop_assert!(!error.message.is_empty() && error.program.starts_with("envo ")),
        }
    }
}

#[test]
fn help_and_version_may_be_words() {
    let shown = |line: &str| match parse_line(line, context(&[])) {
        Ok(ParsedCommandLine::Show(answer)) => answer.text,
        other => panic!("{other:?}"),
    };
    assert_eq!(shown("version"), shown("--version"));
    assert_eq!(shown("-V"), shown("--version"));
    assert_eq!(shown("run -V"), shown("--version"));
    assert_eq!(shown("help"), shown("--help"));
    assert_eq!(shown("help run"), shown("run --help"));
    assert_eq!(shown("help p"), shown("run-parallel -h"));
    assert_eq!(shown("help version"), shown("version"));
}
