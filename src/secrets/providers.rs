//! The programs that secrets come from: one row each. A new provider is a row here and its word in
//! [`crate::model::secret::PROVIDERS`].

use base64::Engine as _;
use serde_json::Value as Json;

use crate::model::EnvVariables;
use crate::model::secret::SecretReference;
use crate::python_text::shlex;

/// Finds a value in the output of a command.
type ReadValue = fn(&[u8], Option<&str>) -> Result<Vec<u8>, String>;

/// A program that prints secrets.
pub struct Provider {
    /// The word before the colon of a reference.
    pub name: &'static str,
    /// The words of its command. No shell sees them.
    pub command: fn(&SecretReference, &EnvVariables) -> Result<Vec<String>, String>,
    /// The value in what the command printed.
    pub value: ReadValue,
}

const PROVIDERS: [Provider; 9] = [
    Provider { name: "pass", command: |it, _| words(&["pass", "show", &it.address]), value: whole },
    Provider { name: "op", command: |it, _| words(&["op", "read", &format!("op:{}", it.address)]), value: whole },
    Provider { name: "sops", command: sops, value: member },
    Provider { name: "age", command: age, value: line },
    Provider {
        name: "vault",
        command: |it, _| words(&["vault", "read", "-format=json", &it.address]),
        value: vault_member,
    },
    Provider {
        name: "awssm",
        command: |it, _| {
            words(&["aws", "secretsmanager", "get-secret-value", "--secret-id", &it.address, "--output", "json"])
        },
        value: aws_member,
    },
    Provider { name: "gcsm", command: gcloud, value: member },
    Provider { name: "secretspec", command: |it, _| words(&["secretspec", "get", &it.address]), value: whole },
    Provider { name: "cmd", command: |it, _| Ok(shlex::words(&it.address)), value: whole },
];

/// The row of a reference.
pub fn of(reference: &SecretReference) -> Option<&'static Provider> {
    const { &PROVIDERS }.iter().find(|one| one.name == reference.provider)
}

fn words(words: &[&str]) -> Result<Vec<String>, String> {
    Ok(words.iter().map(|word| (*word).to_owned()).collect())
}

fn sops(it: &SecretReference, _: &EnvVariables) -> Result<Vec<String>, String> {
    match it.part {
        Some(_) => words(&["sops", "--decrypt", "--output-type", "json", &it.address]),
        None => words(&["sops", "--decrypt", &it.address]),
    }
}

/// age has no default for the file with the key; this is that of sops.
fn age(it: &SecretReference, variables: &EnvVariables) -> Result<Vec<String>, String> {
    let named = ["AGE_IDENTITY", "SOPS_AGE_KEY_FILE"].into_iter().find_map(|name| variables.text(name));
    let folder = || {
        let home = || variables.text("HOME").map(|home| format!("{home}/.config"));
        variables.text("XDG_CONFIG_HOME").filter(|path| path.starts_with('/')).or_else(home)
    };
    let identity = named.filter(|path| !path.is_empty());
    let identity = identity.or_else(|| folder().map(|folder| format!("{folder}/sops/age/keys.txt")));
    let identity = identity.ok_or("AGE_IDENTITY does not name the file with the key")?;
    words(&["age", "--decrypt", "--identity", &identity, &it.address])
}

fn gcloud(it: &SecretReference, _: &EnvVariables) -> Result<Vec<String>, String> {
    let mut parts = it.address.split('/');
    let (project, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let version = parts.next().unwrap_or("latest");
    if version.starts_with('-') {
        return Err(format!("`{version}` is not a version"));
    }
    let (name, project) = (format!("--secret={name}"), format!("--project={project}"));
    words(&["gcloud", "secrets", "versions", "access", version, &name, &project])
}

/// All of it, without the line break that ends it.
fn whole(out: &[u8], _: Option<&str>) -> Result<Vec<u8>, String> {
    let text = out.strip_suffix(b"\n").unwrap_or(out);
    Ok(text.strip_suffix(b"\r").unwrap_or(text).to_vec())
}

/// A member of a JSON document: `#/db/password` or `#password`.
fn member(out: &[u8], part: Option<&str>) -> Result<Vec<u8>, String> {
    match part {
        Some(part) => text_of(at(&json(out)?, part), part),
        None => whole(out, None),
    }
}

/// The value of a `NAME=VALUE` line.
fn line(out: &[u8], part: Option<&str>) -> Result<Vec<u8>, String> {
    let Some(name) = part else { return whole(out, None) };
    let named = |line: &&[u8]| {
        let line = line.strip_prefix(b"export ").unwrap_or(line);
        line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
    };
    let found = out.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).rfind(named);
    let found = found.and_then(|line| line.splitn(2, |byte| *byte == b'=').nth(1));
    let value = found.ok_or_else(|| absent(name))?.trim_ascii();
    let quoted = |quote: &[u8]| value.strip_prefix(quote)?.strip_suffix(quote);
    Ok(quoted(b"\"").or_else(|| quoted(b"'")).unwrap_or(value).to_vec())
}

/// A key of a secret of Vault, in the second or the first version of its engine.
fn vault_member(out: &[u8], part: Option<&str>) -> Result<Vec<u8>, String> {
    let document = json(out)?;
    let key = part.unwrap_or_default();
    let first = || document.get("data")?.get(key);
    text_of(document.get("data").and_then(|data| data.get("data")?.get(key)).or_else(first), key)
}

/// A secret of AWS, or a member of it if it is a JSON document.
fn aws_member(out: &[u8], part: Option<&str>) -> Result<Vec<u8>, String> {
    let document = json(out)?;
    let binary = || base64::engine::general_purpose::STANDARD.decode(document.get("SecretBinary")?.as_str()?).ok();
    let text = document.get("SecretString").and_then(Json::as_str).map(|text| text.as_bytes().to_vec());
    let value = text.or_else(binary).ok_or("the answer has neither `SecretString` nor `SecretBinary`")?;
    match part {
        Some(part) => member(&value, Some(part)),
        None => Ok(value),
    }
}

fn json(out: &[u8]) -> Result<Json, String> {
    // The parser's own message would quote the text.
    serde_json::from_slice(out).map_err(|_| "the answer is not JSON".to_owned())
}

fn at<'a>(document: &'a Json, part: &str) -> Option<&'a Json> {
    if part.starts_with('/') { document.pointer(part) } else { document.get(part) }
}

fn text_of(value: Option<&Json>, part: &str) -> Result<Vec<u8>, String> {
    match value {
        None | Some(Json::Null) => Err(absent(part)),
        Some(Json::String(text)) => Ok(text.as_bytes().to_vec()),
        Some(other) => Ok(other.to_string().into_bytes()),
    }
}

fn absent(part: &str) -> String {
    format!("there is no `{part}` in it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret;

    fn value(reference: &str, out: &str) -> Result<String, String> {
        let reference = SecretReference::parse(reference).unwrap();
        let value = (of(&reference).unwrap().value)(out.as_bytes(), reference.part.as_deref());
        value.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn command(reference: &str) -> Vec<String> {
        let reference = SecretReference::parse(reference).unwrap();
        let variables: EnvVariables = [("AGE_IDENTITY".into(), "/key".into())].into_iter().collect();
        (of(&reference).unwrap().command)(&reference, &variables).unwrap()
    }

    #[test]
    fn every_word_has_its_row() {
        assert_eq!(PROVIDERS.map(|one| one.name), secret::PROVIDERS);
    }

    #[test]
    fn programs_are_called_with_words() {
        for (reference, words) in [
            ("pass:db/prod $(x)", vec!["pass", "show", "db/prod $(x)"]),
            ("op://dev/api/token", vec!["op", "read", "op://dev/api/token"]),
            ("sops:a.yaml#/b", vec!["sops", "--decrypt", "--output-type", "json", "a.yaml"]),
            ("sops:a.yaml", vec!["sops", "--decrypt", "a.yaml"]),
            ("age:a.age#Y", vec!["age", "--decrypt", "--identity", "/key", "a.age"]),
            ("vault:secret/data/app#key", vec!["vault", "read", "-format=json", "secret/data/app"]),
            (
                "awssm:db/prod#p",
                vec!["aws", "secretsmanager", "get-secret-value", "--secret-id", "db/prod", "--output", "json"],
            ),
            ("gcsm:p/n", vec!["gcloud", "secrets", "versions", "access", "latest", "--secret=n", "--project=p"]),
            ("secretspec:NAME", vec!["secretspec", "get", "NAME"]),
            ("cmd:./get 'a b'", vec!["./get", "a b"]),
        ] {
            assert_eq!(command(reference), words);
        }
    }

    #[test]
    fn values_are_found_in_what_programs_print() {
        assert_eq!(value("pass:a", "one\ntwo\n").unwrap(), "one\ntwo");
        assert_eq!(value("sops:a#/db/password", r#"{"db": {"password": "x y"}}"#).unwrap(), "x y");
        assert_eq!(value("sops:a#port", r#"{"port": 5432}"#).unwrap(), "5432");
        assert_eq!(value("age:a#Y", "X=1\nexport Y = \"a=b\"\nYY=2\n").unwrap(), "a=b");
        assert_eq!(value("vault:a#k", r#"{"data": {"data": {"k": "two"}, "metadata": {}}}"#).unwrap(), "two");
        assert_eq!(value("vault:a#k", r#"{"data": {"k": "one"}}"#).unwrap(), "one");
        assert_eq!(value("awssm:a", r#"{"SecretString": "plain"}"#).unwrap(), "plain");
        assert_eq!(value("awssm:a#p", r#"{"SecretString": "{\"p\": \"in\"}"}"#).unwrap(), "in");
        assert_eq!(value("awssm:a", r#"{"SecretBinary": "YWJjZA=="}"#).unwrap(), "abcd");
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_else_is() {
        assert_eq!(value("sops:a#/x", r#"{"y": "hunter2"}"#).unwrap_err(), "there is no `/x` in it");
        assert_eq!(value("age:a#X", "Y=hunter2").unwrap_err(), "there is no `X` in it");
        assert_eq!(value("vault:a#k", r#"{"data": null}"#).unwrap_err(), "there is no `k` in it");
        assert_eq!(value("vault:a#k", "hunter2").unwrap_err(), "the answer is not JSON");
        assert!(value("awssm:a", r#"{"Other": "hunter2"}"#).is_err());
    }
}
