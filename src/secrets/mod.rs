//! Fetches secrets from the programs that keep them. Values stay in memory; only references are reported and recorded.

mod audit;
pub mod providers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rayon::prelude::*;

use crate::execute::interrupt::Interrupt;
use crate::execute::process::{Spawn, finish_within};
use crate::model::EnvVariables;
use crate::model::secret::{SecretReference, SecretVariable};
use crate::secrets::providers::Provider;

/// How long a provider may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much it may print.
const LARGEST: usize = 4 << 20;
/// How many programs run at the same time.
const PARALLEL: usize = 8;
/// A shorter value is refused: hiding it would hide much that is not secret, and it is no secret for long.
const SHORTEST: usize = 4;

/// A secret that an environment names.
#[derive(Debug, Clone)]
pub struct SecretRequest {
    pub environment: String,
    pub secret: SecretVariable,
}

/// What providers need to know, and the record of what was fetched.
pub struct SecretContext<'a> {
    /// The variables that envo was started with: providers find their own settings there.
    pub variables: &'a EnvVariables,
    /// The project's root, which relative paths are relative to.
    pub root: PathBuf,
    pub interrupt: &'a Interrupt,
    /// The verb that needs them.
    pub purpose: &'a str,
}

/// The value of a secret, or why there is none, without any part of a value.
pub type SecretResult = Result<Vec<u8>, String>;

/// Fetches all secrets, in the order of the requests: one call for all that the same command prints, several at a time.
/// Also returns why that could not be recorded, if it could not.
pub fn fetch(requests: &[SecretRequest], context: &SecretContext<'_>) -> (Vec<SecretResult>, Option<String>) {
    let commands: Vec<Result<Vec<String>, String>> =
        requests.iter().map(|request| command(&request.secret.reference, context)).collect();
    let mut outputs: BTreeMap<&Vec<String>, Result<Vec<u8>, String>> =
        commands.iter().flatten().map(|words| (words, Ok(Vec::new()))).collect();
    let threads = outputs.len().clamp(1, PARALLEL);
    let mut run_all = || outputs.par_iter_mut().for_each(|(words, output)| *output = run(words, context));
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(run_all),
        Err(_) => run_all(),
    }
    let results: Vec<SecretResult> = requests
        .iter()
        .zip(&commands)
        .map(|(request, command)| {
            let output = outputs[command.as_ref().map_err(Clone::clone)?].as_ref().map_err(Clone::clone)?;
            let reference = &request.secret.reference;
            let value = provider(reference)?.value;
            checked(value(output, reference.part.as_deref())?)
        })
        .collect();
    let recorded = audit::record(requests, &results, context);
    (results, recorded.err().map(|error| format!("the use of secrets could not be recorded: {error}")))
}

fn provider(reference: &SecretReference) -> Result<&'static Provider, String> {
    providers::of(reference).ok_or_else(|| format!("there is no provider `{}`", reference.provider))
}

fn command(reference: &SecretReference, context: &SecretContext<'_>) -> Result<Vec<String>, String> {
    let mut words = (provider(reference)?.command)(reference, context.variables)?;
    let program = words.first_mut().filter(|word| !word.is_empty()).ok_or("the command is empty")?;
    if program.contains('/') {
        *program = context.root.join(&*program).to_string_lossy().into_owned();
    }
    Ok(words)
}

fn run(words: &[String], context: &SecretContext<'_>) -> Result<Vec<u8>, String> {
    let (program, arguments) = words.split_first().ok_or("the command is empty")?;
    let mut spawn = Spawn::new(program, arguments, context.variables.clone());
    spawn.cwd = Some(context.root.clone());
    let patience = context.variables.text("ENVO_SECRETS_TIMEOUT").and_then(|text| text.trim().parse().ok());
    let patience = patience.filter(|seconds| *seconds > 0).map_or(PATIENCE, Duration::from_secs);
    match finish_within(spawn, context.interrupt, patience, LARGEST) {
        Ok((0, out, _)) => Ok(out),
        // What it has written may contain a value.
        Ok((code, ..)) => Err(format!("`{program}` failed with exit code {code}")),
        Err(error) => Err(match error.kind() {
            std::io::ErrorKind::NotFound => format!("`{program}` is not installed"),
            std::io::ErrorKind::TimedOut => {
                format!("`{program}` timed out: it did not end within {} seconds", patience.as_secs())
            }
            std::io::ErrorKind::Interrupted => "interrupted".to_owned(),
            _ => format!("`{program}` could not be run: {error}"),
        }),
    }
}

/// The value, if a variable can hold it and it can be hidden.
fn checked(value: Vec<u8>) -> SecretResult {
    if value.is_empty() {
        return Err("it is empty".to_owned());
    }
    if value.contains(&0) {
        return Err("it contains a NUL byte, which a variable cannot hold".to_owned());
    }
    let length = String::from_utf8_lossy(&value).chars().count();
    if length < SHORTEST {
        return Err(format!("it has fewer than {SHORTEST} characters, too few to hide it in output"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn requests(references: &[&str]) -> Vec<SecretRequest> {
        let secret = |text: &&str| SecretVariable {
            variable: "X".into(),
            reference: SecretReference::parse(text).unwrap(),
            place: None,
        };
        references.iter().map(|text| SecretRequest { environment: "web".into(), secret: secret(text) }).collect()
    }

    fn fetched(folder: &Path, timeout: &str, references: &[&str]) -> Vec<Result<String, String>> {
        let variables: EnvVariables = [
            ("PATH".into(), format!("{}:/usr/bin:/bin", folder.display()).into()),
            ("ENVO_STATE_DIR".into(), folder.join("state").into()),
            ("ENVO_SECRETS_TIMEOUT".into(), timeout.into()),
        ]
        .into_iter()
        .collect();
        let interrupt = Interrupt::default();
        let context =
            SecretContext { variables: &variables, root: folder.into(), interrupt: &interrupt, purpose: "run" };
        let (results, trouble) = fetch(&requests(references), &context);
        assert_eq!(trouble, None);
        results.into_iter().map(|one| one.map(|value| String::from_utf8_lossy(&value).into_owned())).collect()
    }

    #[test]
    fn one_call_serves_all_references_that_need_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("get"), "echo once >> calls\necho value-a\n").unwrap();
        let found = fetched(folder.path(), "", &["cmd:sh get", "cmd:sh  get", "cmd:sh absent"]);
        assert_eq!(found[..2], [Ok("value-a".to_owned()), Ok("value-a".to_owned())]);
        assert!(found[2].is_err());
        assert_eq!(std::fs::read_to_string(folder.path().join("calls")).unwrap(), "once\n");
        let audit = std::fs::read_to_string(folder.path().join("state/audit.log")).unwrap();
        assert_eq!(audit.lines().count(), 3);
        assert!(audit.contains("\"cmd:sh get\"") && !audit.contains("value-a"));
    }

    #[test]
    fn a_value_that_cannot_be_used_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let found = fetched(
            folder.path(),
            "",
            &[
                "cmd:printf abc",
                "cmd:printf 'a\\0bcd'",
                "cmd:true",
                "cmd:false",
                "cmd:printf '\\377\\376ab'",
                "cmd:printf 'a\\nb\\nc\\n'",
                "cmd:no-such-program",
            ],
        );
        let error = |at: usize| found[at].clone().unwrap_err();
        assert!(error(0).contains("fewer than 4 characters"));
        assert!(error(1).contains("NUL"));
        assert_eq!(error(2), "it is empty");
        assert_eq!(error(3), "`false` failed with exit code 1");
        assert_eq!(found[4], Ok("\u{fffd}\u{fffd}ab".to_owned()));
        assert_eq!(found[5], Ok("a\nb\nc".to_owned()));
        assert_eq!(error(6), "`no-such-program` is not installed");
    }

    #[test]
    fn a_provider_that_hangs_is_named_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        let found = fetched(folder.path(), "1", &["cmd:sleep 600"]);
        assert_eq!(found, [Err("`sleep` timed out: it did not end within 1 seconds".to_owned())]);
    }
}
