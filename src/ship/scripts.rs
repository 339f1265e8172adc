//! Scripts that find the release's interpreter relative to themselves, so that a release runs wherever it was unpacked.

use crate::ship::manifest::ConsoleScript;

/// How the scripts of a release start the interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// Through `/bin/sh`, which finds the interpreter next to the script.
    Relative,
    /// By this path of the interpreter, without a shell.
    Absolute(String),
}

/// Where the interpreter is started from, for both the shell and Python: for Python, all of it is a string.
const RELATIVE: &str = r#"#!/bin/sh
''':'
script=$0
[ -L "$script" ] && script=$(readlink -f -- "$script")
case $script in */*) ;; *) script=./$script ;; esac
exec "${script%/*}/python" "$0" "$@"
'''
"#;

/// The script of an entry point.
pub fn console_script(script: &ConsoleScript, launch: &Launch) -> String {
    let ConsoleScript { module, attribute, .. } = script;
    let (object, call) = match attribute.split_once('.') {
        Some((object, _)) => (object, attribute.as_str()),
        None => (attribute.as_str(), attribute.as_str()),
    };
    let body = format!(
        "import sys\n\nfrom {module} import {object}\n\nif __name__ == \"__main__\":\n    sys.exit({call}())\n"
    );
    format!("{}{body}", head(launch))
}

/// A script of a package that starts with the environment's interpreter, started with the release's; `None` for any
/// other file.
pub fn moved(content: &[u8], launch: &Launch) -> Option<Vec<u8>> {
    let rest = content.strip_prefix(b"#!")?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let first = String::from_utf8_lossy(&rest[..end]).into_owned();
    let mut body = &rest[end + 1..];
    let is_python = |line: &str| line.split_whitespace().next().is_some_and(named_python);
    if !is_python(&first) {
        // An interpreter whose path is too long for the kernel is started by a shell.
        let (second, more) = line(body);
        let (third, rest) = line(more);
        if first != "/bin/sh" || !second.starts_with("'''exec' ") || third != "' '''" {
            return None;
        }
        body = rest;
    }
    Some([head(launch).as_bytes(), body].concat())
}

fn line(text: &[u8]) -> (String, &[u8]) {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    (String::from_utf8_lossy(&text[..end]).into_owned(), text.get(end + 1..).unwrap_or_default())
}

fn named_python(program: &str) -> bool {
    program.rsplit('/').next().is_some_and(|name| name.starts_with("python"))
}

fn head(launch: &Launch) -> String {
    match launch {
        Launch::Relative => RELATIVE.to_owned(),
        Launch::Absolute(interpreter) => format!("#!{interpreter}\n"),
    }
}

/// The script that starts the release: its command, in the release's folder or in that of the project's files.
pub fn start_script(words: &[String], folder: &str) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!(
        "#!/bin/sh\nscript=$0\n[ -L \"$script\" ] && script=$(readlink -f -- \"$script\")\n\
         case $script in */*) ;; *) script=./$script ;; esac\n\
         release=$(cd \"${{script%/*}}\" && pwd -P) || exit 1\ncd \"$release/{folder}\" || exit 1\n\
         PATH=$release/env/bin:$PATH VIRTUAL_ENV=$release/env\nexport PATH VIRTUAL_ENV\nexec {} \"$@\"\n",
        words.join(" ")
    )
}

fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The console scripts of `entry_points.txt`, with those for windows.
/// <https://packaging.python.org/en/latest/specifications/entry-points/#file-format>
pub fn console_scripts(text: &str) -> Vec<ConsoleScript> {
    let mut scripts = Vec::new();
    let mut counts = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            counts = matches!(section.trim_end_matches(']').trim(), "console_scripts" | "gui_scripts");
        } else if let Some((name, target)) = line.split_once('=').filter(|_| counts && !line.starts_with(['#', ';'])) {
            // Extras after it were required at most at installation.
            let target = target.split('[').next().unwrap_or_default().trim();
            if let Some((module, attribute)) = target.split_once(':') {
                let trimmed = |text: &str| text.trim().to_owned();
                let name = trimmed(name);
                scripts.push(ConsoleScript { name, module: trimmed(module), attribute: trimmed(attribute) });
            }
        }
    }
    scripts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_scripts_are_read_from_entry_points() {
        let text =
            "[console_scripts]\ndemo = demo.cli:main\n# x = y:z\n[gui_scripts]\n w=a:b.c [extra]\n[other]\nno = n:o\n";
        let scripts = console_scripts(text);
        let shown: Vec<String> =
            scripts.iter().map(|one| format!("{}={}:{}", one.name, one.module, one.attribute)).collect();
        assert_eq!(shown, ["demo=demo.cli:main", "w=a:b.c"]);
        let script = console_script(&scripts[1], &Launch::Absolute("/opt/x/env/bin/python".to_owned()));
        assert!(script.starts_with("#!/opt/x/env/bin/python\nimport sys\n\nfrom a import b\n"), "{script}");
        assert!(script.contains("sys.exit(b.c())"), "{script}");
    }

    #[test]
    fn only_scripts_for_python_are_moved() {
        let moved = |text: &str| moved(text.as_bytes(), &Launch::Absolute("/p".to_owned()));
        assert_eq!(moved("#!/x/bin/python3\nprint()\n"), Some(b"#!/p\nprint()\n".to_vec()));
        assert_eq!(
            moved("#!/bin/sh\n'''exec' '/long/python' \"$0\" \"$@\"\n' '''\nprint()\n"),
            Some(b"#!/p\nprint()\n".to_vec())
        );
        for other in ["#!/bin/sh\necho\n", "\x7fELF", "", "#!/bin/bash", "print()\n"] {
            assert_eq!(moved(other), None, "{other}");
        }
    }

    #[test]
    fn words_that_the_shell_would_read_differently_are_quoted() {
        let script = start_script(&["gunicorn".to_owned(), "a b".to_owned(), "it's".to_owned(), String::new()], "app");
        assert!(script.contains("exec gunicorn 'a b' 'it'\\''s' '' \"$@\"\n"), "{script}");
        assert!(script.contains("cd \"$release/app\" || exit 1"), "{script}");
    }
}
