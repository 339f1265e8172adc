//! `Procfile`: a line `NAME: COMMAND` for each process. <https://devcenter.heroku.com/articles/procfile>

use super::Imported;
use super::fields::{cleaned, field};
use super::section::{ImportedSection, command_line, distribution, is_pythons, program};
use crate::error::ConfigError;

/// Translates the file's text. `has_env_file`: a `.env` lies beside it, which programs that run such files read.
pub fn procfile(text: &str, has_env_file: bool) -> Result<Imported, ConfigError> {
    let mut imported = Imported::default();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name_fits =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        let Some((name, command)) = line.split_once(':').filter(|(name, _)| name_fits(name.trim())) else {
            imported.notes.push(format!("line {}: `{line}` is not `NAME: COMMAND`", at + 1));
            continue;
        };
        let section = process(name.trim(), command.trim(), &mut imported);
        imported.sections.push(section);
    }
    if imported.sections.is_empty() {
        return Err(ConfigError::handled("it contains no processes").hint("a Procfile has lines `NAME: COMMAND`"));
    }
    if has_env_file {
        imported.sections.iter_mut().for_each(|section| section.add("env_file", "- .env"));
    }
    release_first(&mut imported.sections);
    Ok(imported)
}

fn process(name: &str, command: &str, imported: &mut Imported) -> ImportedSection {
    let mut section = ImportedSection::new(name);
    // What the runner of a Procfile gives in `PORT` is known to envo as a field.
    let ported = cleaned(command)
        .replace(['\u{1}', '\u{2}'], " ")
        .replace("${PORT}", "\u{1}")
        .replace("$PORT", "\u{1}")
        .replace("${PORT:-", "\u{2}");
    let uses_port = ported.contains('\u{1}') || ported.contains('\u{2}');
    let ported = without_default(&ported);
    let line = command_line(&ported).replace('\u{1}', &field("port"));
    let key = if name == "release" { "commands" } else { "serve" };
    if uses_port && key == "serve" {
        section.add("ports", "http");
    } else if name == "web" {
        section.add("ports", "http");
        section.add("set_env", format!("PORT = {}", field("port")));
        imported.note(name, "its port is in the variable PORT; use `{port}` in `serve` to pass it in another way");
    }
    let program = program(&line).to_owned();
    if let Some(needed) = distribution(&program) {
        section.add("deps", needed);
    }
    if !is_pythons(&program) {
        section.add("allowlist_externals", program);
    }
    section.add(key, line);
    for refused in section.refused() {
        imported.note(name, refused);
    }
    section
}

/// `${PORT:-5000}` is the port too.
fn without_default(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\u{2}') {
        result.push_str(&rest[..at]);
        result.push('\u{1}');
        rest = rest[at..].split_once('}').map_or("", |(_, after)| after);
    }
    result + rest
}

/// `release` runs before the others.
fn release_first(sections: &mut [ImportedSection]) {
    let has_release = sections.iter().any(|section| section.name == "release");
    for section in sections.iter_mut().filter(|section| has_release && section.name != "release") {
        section.add("depends", "release");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_become_services() {
        let text = "# a comment\nweb: gunicorn app:app --bind 127.0.0.1:$PORT\nworker: celery -A app worker\n\
                    assets: npm run watch | tee log\nrelease: python manage.py migrate\nno process\n";
        let imported = procfile(text, true).unwrap();
        assert_eq!(
            imported.text(),
            "[testenv:web]\nports = http\ndeps = gunicorn\nserve = gunicorn app:app --bind 127.0.0.1:{port}\n\
             env_file = - .env\ndepends = release\n\n\
             [testenv:worker]\ndeps = celery\nserve = celery -A app worker\nenv_file = - .env\ndepends = release\n\n\
             [testenv:assets]\nallowlist_externals = sh\nserve = sh -c 'npm run watch | tee log'\nenv_file = - .env\n\
             depends = release\n\n\
             [testenv:release]\ncommands = python manage.py migrate\nenv_file = - .env\n"
        );
        assert_eq!(imported.notes, ["line 6: `no process` is not `NAME: COMMAND`"]);
    }

    #[test]
    fn every_way_to_write_the_port_is_known() {
        for port in ["$PORT", "${PORT}", "${PORT:-5000}"] {
            let text = procfile(&format!("web: run --port {port} --x"), false).unwrap().text();
            assert!(text.contains("serve = run --port {port} --x\n"), "{text}");
        }
        let imported = procfile("web: node server.js", false).unwrap();
        assert!(imported.text().contains("set_env = PORT = {port}\n"), "{}", imported.text());
        assert_eq!(imported.notes.len(), 1);
    }

    #[test]
    fn a_file_without_processes_is_refused() {
        for text in ["", "# only\n", "nothing here"] {
            assert!(procfile(text, false).is_err());
        }
    }
}
