//! Tests that `config --check` finds every error in the project's files that stops a run before its first command: both
//! check the same projects and must agree.

use crate::support::project::Project;

const MARK: &str = "first-command-ran";

type Files<'a> = &'a [(&'a str, &'a str)];

/// Runs the environment `a`, whose first command makes a file, and checks its configuration; both have to come to the
/// same. Nothing that is checked depends on what ran, and the other way round.
#[track_caller]
fn agree(files: Files<'_>, is_right: bool) {
    let project = || files.iter().fold(Project::new(), |project, (name, text)| project.file(name, text));
    let checked = project().run(["config", "--check"]);
    let project = project();
    let ran = project.run(["run", "-e", "a"]);
    let found = [project.path(MARK).exists(), ran.code == Some(0), checked.code == Some(0)];
    assert_eq!(found, [is_right; 3], "reached, ran, checked: {files:?}\n{checked:?}\n{ran:?}");
}

/// The same for `[testenv:a]` with these lines.
#[track_caller]
fn agree_on(lines: &str, others: Files<'_>, is_right: bool) {
    let touches = if lines.contains("commands =") { "" } else { "commands = touch {tox_root}/first-command-ran\n" };
    let allows = if lines.contains("allowlist_externals =") { "" } else { "allowlist_externals = *\n" };
    let text = format!("[tox]\nno_package = true\nenv_list = a\n[testenv:a]\n{allows}{touches}{lines}\n");
    agree(&[&[("tox.ini", text.as_str())], others].concat(), is_right);
}

/// The same for a table `[env.a]`.
#[track_caller]
fn agree_on_table(lines: &str, others: Files<'_>, is_right: bool) {
    let touches = "commands = [[\"touch\", \"{tox_root}/first-command-ran\"]]\n";
    let touches = if lines.contains("commands =") { "" } else { touches };
    let text =
        format!("no_package = true\nenv_list = [\"a\"]\n[env.a]\nallowlist_externals = [\"*\"]\n{touches}{lines}\n");
    agree(&[&[("tox.toml", text.as_str())], others].concat(), is_right);
}

const GROUPS: &str = "[dependency-groups]\nempty = []\nloop = [{include-group = \"again\"}]\n\
                      again = [{include-group = \"loop\"}]\nodd = [\"six >\"]\ntext = \"six\"\n";

#[test]
fn programs_outside_an_environment_of_another_language_are_found_as_a_run_finds_them() {
    let touch = "commands = touch {tox_root}/first-command-ran\n";
    let node = "commands = node -e \"fs.writeFileSync('{tox_root}/first-command-ran', '')\"\n";
    for runtime in ["runtime = node", "runtime = python, node", "runtime = ruby"] {
        agree_on(&format!("{runtime}\n{touch}allowlist_externals ="), &[], false);
        agree_on(&format!("{runtime}\n{touch}allowlist_externals = x"), &[("notes.txt", "")], false);
        agree_on(&format!("{runtime}\n{touch}allowlist_externals = touch"), &[], true);
    }
    for runtime in ["runtime = node", "runtime = python, node"] {
        agree_on(&format!("{runtime}\n{node}allowlist_externals ="), &[], true);
    }
    agree_on(&format!("runtime = system\n{touch}allowlist_externals ="), &[], true);
    agree_on(&format!("runtime = python, system\n{touch}allowlist_externals ="), &[], true);
}

#[test]
fn values_that_cannot_be_converted_are_found_as_a_run_finds_them() {
    for wrong in [
        "platform = linux(",
        "ignore_errors = maybe",
        "ignore_outcome = maybe",
        "fail_fast = maybe",
        "parallel_show_output = maybe",
        "recreate = maybe",
        "pip_pre = maybe",
        "constrain_package_deps = maybe",
        "use_frozen_constraints = maybe",
        "interrupt_post_commands = maybe",
        "system_site_packages = maybe",
        "always_copy = maybe",
        "download = maybe",
        "install_python = maybe",
        "install_runtime = maybe\nruntime = system",
        "commands_retry = often",
        "change_dir =",
        "env_dir =",
        "env_tmp_dir =",
        "env_log_dir =",
        "depends = {",
        "installer = conda",
        "virtualenv_spec = six",
        "runtime = pyton",
        "runtime = python, python",
        "runtime = system\ndeps = six",
        "set_env = A",
        "set_env = file|none.env",
        "set_env =\n    A = {env:B}\n    B = {env:A}",
        "pass_env = A B",
        "commands_pre = {[testenv:a]commands_pre}",
        "commands = -",
        "commands = !",
        "commands = ''",
        "commands_pre = -",
        "extra_setup_commands = -",
        "runner = nosuch",
        "deps = -e gone",
        "deps = ./gone",
        "deps = folder/gone.whl",
        "deps = file:./gone",
        "deps = x @ file:///gone/x.whl",
        "deps = six ; python_version",
        "deps = .",
        "env_tmp_dir = {tox_root}",
        "env_log_dir = {tox_root}",
        "env_dir = {tox_root}/tox.ini/a",
        "env_tmp_dir = {tox_root}/tox.ini/a",
        "env_log_dir = {tox_root}/tox.ini/a",
        "allowlist_externals = x",
        "allowlist_externals = x\ncommands_pre = /bin/sh -c true",
        "commands_pre = 'open",
    ] {
        agree_on(wrong, &[], false);
    }
    for right in [
        "platform = linux|darwin",
        "ignore_errors = yes",
        "commands_retry = 2",
        "runtime = system",
        "recreate =",
        "change_dir = gone",
        "allowlist_externals = tou*",
    ] {
        agree_on(right, &[], true);
    }
}

#[test]
fn files_that_an_environment_names_are_read_as_a_run_reads_them() {
    for (lines, file, text) in [
        ("env_file = a.env", "a.env", "A=\"open\n"),
        ("env_file = a.env", "b.env", "A=1\n"),
        ("deps = -r a.txt", "a.txt", "-r a.txt\n"),
        ("deps = -r b.txt", "a.txt", ""),
        ("deps = --nosuch", "a.txt", ""),
        ("deps = six ==", "a.txt", ""),
        ("deps = six >", "a.txt", ""),
        ("deps = six; nosuch == 'x'", "a.txt", ""),
        ("deps = -r a.txt", "a.txt", "six ; python_version <\n"),
        ("deps = -r a.txt", "a.txt", "-r gone.txt\n"),
        ("deps = -r a.txt", "a.txt", "-c gone.txt\n"),
        ("deps = -c gone.txt", "a.txt", ""),
        ("change_dir = a.txt", "a.txt", ""),
        ("change_dir = a.txt/below", "a.txt", ""),
        ("env_file = a.env", "a.env", "A=${B\n"),
        ("env_file = a.env", "a.env", "A=${NO_SUCH_VARIABLE:?is missing}\n"),
        ("base_python_file = version", "version", "nonsense\n"),
        ("base_python_file = version", "a.txt", ""),
        ("constraints = b.txt", "a.txt", ""),
        ("constraints = --zz", "a.txt", ""),
        ("dependency_groups = none", "pyproject.toml", GROUPS),
        ("dependency_groups = loop", "pyproject.toml", GROUPS),
        ("dependency_groups = odd", "pyproject.toml", GROUPS),
        ("dependency_groups = text", "pyproject.toml", GROUPS),
        ("dependency_groups = empty", "pyproject.toml", "[dependency-groups\n"),
        ("dependency_groups = empty", "pyproject.toml", ""),
        ("dependency_groups = empty", "other.toml", ""),
        ("pylock = pylock.toml", "other.toml", ""),
        ("pylock = pylock.toml", "pylock.toml", "lock-version = 3\n"),
        ("pylock = pylock.toml\ndeps = six", "pylock.toml", ""),
        ("runner = virtualenv-pep-723\nscript = a.py", "b.py", ""),
        ("runner = virtualenv-pep-723\nscript = a.py", "a.py", "# /// script\n# dependencies = 3\n# ///\n"),
        ("runner = virtualenv-pep-723\nscript = a.py\nbase_python = python3", "a.py", ""),
    ] {
        agree_on(lines, &[(file, text)], false);
    }
    for (lines, file, text) in [
        ("env_file = a.env", "a.env", "A=\"closed\"\n"),
        ("env_file = -none.env", "a.env", ""),
        ("deps = -r a.txt", "a.txt", "# nothing\n"),
        ("constraints = a.txt", "a.txt", "six<2\n"),
        ("dependency_groups = empty", "pyproject.toml", GROUPS),
        // Nothing asks for the others.
        ("description = x", "pyproject.toml", GROUPS),
    ] {
        agree_on(lines, &[(file, text)], true);
    }
}

#[test]
fn tables_are_found_wrong_as_a_run_finds_them() {
    for wrong in [
        "platform = \"linux(\"",
        "platform = 3",
        "ignore_errors = \"maybe\"",
        "commands_retry = \"often\"",
        "deps = [3]",
        "runtime = \"pyton\"",
        "runtime = 3",
        "base_python = 3",
        "pass_env = \"A\"",
        "depends = \"b\"",
        "commands = \"touch x\"",
        "commands = [[3]]",
        "set_env = 3",
        "set_env = { file = \"none.env\" }",
        "change_dir = 3",
        "env_file = \"none.env\"",
        "dependency_groups = [\"none\"]",
        "extras = \"x\"",
        "deps = [\"six ==\"]",
        "deps = [\"six ; nosuch == 'x'\"]",
        "change_dir = \"pyproject.toml\"",
        "depends = [\"db\"]\n[env.db]\nserve = \"-\"",
        "depends = [\"db\"]\n[env.db]\nserve = \"''\"",
    ] {
        agree_on_table(wrong, &[("pyproject.toml", GROUPS)], false);
    }
    for right in ["runtime = \"system\"", "runtime = [\"system\"]", "dependency_groups = [\"empty\"]"] {
        agree_on_table(right, &[("pyproject.toml", GROUPS)], true);
    }
}

#[test]
fn what_belongs_to_the_project_is_found_as_a_run_finds_it() {
    let touch = "commands = touch {tox_root}/first-command-ran\nallowlist_externals = *\n";
    let text = |core: &str, rest: &str| {
        format!("[tox]\nenv_list = a\n{core}\n[testenv]\npackage = skip\n[testenv:a]\n{touch}{rest}\n")
    };
    for (core, rest) in [
        ("work_dir =", ""),
        ("temp_dir =", ""),
        ("work_dir = tox.ini", ""),
        ("temp_dir = tox.ini/a", ""),
        ("skip_missing_interpreters = maybe", ""),
        ("no_package = maybe", ""),
        ("labels = x", ""),
        ("env_list = {", ""),
        ("requires = tox>=a!b", ""),
        ("min_version = abc", ""),
        ("locked = maybe", ""),
        ("locked = true", ""),
        ("", "package = whel"),
        ("venv_redirect = true", "env_dir = {tox_root}/.venv"),
        ("", "depends = a\n[testenv:b]\nserve = x\ndepends = b\n[testenv:c]\n[testenv:a]"),
        ("", "depends = db\n[testenv:db]\nserve = sleep 9\nports = x=y"),
        ("", "depends = db\n[testenv:db]\nserve = sleep 9\ndepends = none"),
        ("", "depends = db\n[testenv:db]\nserve = sleep 9\nready = htp:x"),
        ("", "depends = db\n[testenv:db]\nserve = -"),
        ("", "depends = db\n[testenv:db]\nserve = - sleep 9"),
        ("", "depends = db\n[testenv:db]\nserve = 'open"),
        ("", "depends = db\n[testenv:db]\nserve = sleep 9"),
        ("", "depends = db\n[testenv:db]\nallowlist_externals = sleep\nserve = sleep 9\nready = cmd:true"),
        ("", "depends = db\n[testenv:db]\nserve = ''"),
        ("", "depends = db\n[testenv:db]\nserve =\n  sleep 9\n  sleep 8"),
        ("", "depends = db\n[testenv:db]\nserve = sleep 9\nstop_signal = FOO"),
        ("", "depends = db\n[testenv:db]\nserve = sleep 9\nstop_timeout = x"),
        ("", "depends = db\n[testenv:db]\nserve = sleep 9\nenv_file = none.env"),
        ("", "set_env =\n    U = {service:db:url}\n[testenv:db]\nserve = sleep 9"),
    ] {
        agree(&[("tox.ini", &text(core, rest))], false);
    }
    let packaged = text("", "package = wheel");
    for broken in [
        "[build-system\n",
        "[build-system]\nrequires = 3\n",
        "build-system = 3\n",
        "[build-system]\nrequires = ['a >']\n",
    ] {
        agree(&[("tox.ini", &packaged), ("pyproject.toml", broken)], false);
    }
    let synced = text("", "runner = uv-venv-lock-runner");
    let unlocked = text("", "runner = uv-venv-lock-runner\nuv_sync_locked = false");
    let pyproject = ("pyproject.toml", "[project]\nname = 'x'\nversion = '1'\n");
    agree(&[("tox.ini", &synced)], false);
    agree(&[("tox.ini", &unlocked)], false);
    agree(&[("tox.ini", &synced), pyproject], false);
    agree(&[("tox.ini", &unlocked), pyproject], true);
    agree(&[("tox.ini", &text("labels = x = a", ""))], true);
    agree(&[("tox.ini", &text("locked = false", ""))], true);
    for quoted in ["\"./my sleep\"", "'./my sleep'"] {
        let serves = format!(
            "depends = db\n[testenv:db]\nruntime = system\nallowlist_externals =\n  cp\n  ./my*\n\
             commands_pre = cp /bin/sleep 'my sleep'\nserve = {quoted} 9"
        );
        agree(&[("tox.ini", &text("", &serves))], true);
    }
}

#[test]
fn what_another_environment_or_a_command_may_create_is_not_missed() {
    let ini = "[tox]\nno_package = true\nenv_list = a, b\n[testenv:a]\nallowlist_externals = *\ndeps =\n\
               commands = mkdir made\n[testenv:b]\ndeps = ./made\nchange_dir = made/below\n\
               [testenv:c]\ndeps = mine\ncommands = ls\n[testenv:d]\ncommands_pre = python -c 1\ncommands = ls\n";
    Project::new().ini(ini).run(["config", "--check"]).succeeds();
    let outcome = Project::new().ini(&ini.replace("env_list = a, b", "env_list = b")).run(["config", "--check"]);
    outcome.ends_with(1).explains("`./made` does not exist").explains("\n1 problem found\n");
}

#[test]
fn thousands_of_services_are_looked_at_together() {
    // As many as this are out of reach for whatever looks at each together with all that it needs.
    let service = |number: usize| {
        let before = if number == 0 { String::new() } else { format!("depends = s{}\n", number - 1) };
        format!("[testenv:s{number}]\nserve = x\n{before}")
    };
    let ini = format!("[tox]\nno_package = true\n{}", (0..1500).map(service).collect::<String>());
    let outcome = Project::new().ini(&ini.replace("depends = s5\n", "depends = none\n")).run(["config", "--check"]);
    outcome.explains("`s6` (tox.ini:22) depends on `none`, which does not exist").explains("\n1 problem found\n");
}

/// Without `env_list`, a run takes `py`; `-e` takes names that no section has.
#[test]
fn environments_without_a_section_are_checked_if_a_run_takes_them() {
    let ini = "[tox]\nno_package = true\n[testenv]\ncommands = touch x\n";
    let table = "no_package = true\n[env_run_base]\ncommands = [[\"touch\", \"x\"]]\n";
    for (name, text) in [("tox.ini", ini), ("tox.toml", table)] {
        let project = || Project::new().file(name, text);
        for asked in [&[][..], &["-e", "py"], &["-e", "py3"]] {
            let checked = project().run([&["config", "--check"], asked].concat());
            assert!(
                checked.code == Some(1) && checked.stderr.contains("touch is not allowed"),
                "{asked:?}: {checked:?}"
            );
            assert_eq!(project().run([&["run"], asked].concat()).code, Some(1), "{asked:?}");
        }
    }
    let with_sections = format!("{ini}[testenv:a]\nallowlist_externals = touch\n");
    Project::new().ini(&with_sections).run(["config", "--check"]).ends_with(1).explains("touch is not allowed");
    Project::new().ini(&with_sections).run(["config", "--check", "-e", "a"]).succeeds();
    let listed = ini.replace("[testenv]", "env_list = a\n[testenv:a]\nallowlist_externals = touch\n[testenv]");
    Project::new().ini(&listed).run(["config", "--check"]).succeeds();
}
