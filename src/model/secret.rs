//! References to secrets: where a value is kept, never the value itself.

use std::fmt;

use crate::error::Location;

/// The providers of secrets, by the word before the colon; `secrets::providers` has a row for each.
pub const PROVIDERS: [&str; 9] = ["pass", "op", "sops", "age", "vault", "awssm", "gcsm", "secretspec", "cmd"];

/// A reference such as `vault:secret/data/app#key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// One of [`PROVIDERS`].
    pub provider: &'static str,
    /// What the provider finds it by.
    pub address: String,
    /// Which part of what it finds, after `#`.
    pub part: Option<String>,
}

impl SecretReference {
    /// # Errors
    /// It is not a reference; the text says why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let forms = || format!("a reference begins with one of {}", PROVIDERS.map(|one| format!("{one}:")).join(", "));
        let (name, rest) = text.trim().split_once(':').ok_or_else(forms)?;
        let provider = PROVIDERS.into_iter().find(|one| *one == name).ok_or_else(forms)?;
        // A command and the addresses of 1Password may contain a `#`.
        let (address, part) = match rest.split_once('#') {
            Some((address, part)) if !matches!(provider, "cmd" | "op" | "pass") => (address, Some(part)),
            _ => (rest, None),
        };
        if address.trim().is_empty() || address.starts_with('-') {
            return Err(format!("there is no valid address after `{provider}:`"));
        }
        if part.is_some_and(str::is_empty) {
            return Err("there is nothing after `#`".to_owned());
        }
        if matches!(provider, "vault") && part.is_none() {
            return Err("it lacks `#KEY`, the key within the secret".to_owned());
        }
        if provider == "op" && !address.starts_with("//") {
            return Err("its form is `op://VAULT/ITEM/FIELD`".to_owned());
        }
        if provider == "gcsm" && !matches!(address.split('/').collect::<Vec<_>>().as_slice(), [_, _] | [_, _, _]) {
            return Err("its form is `gcsm:PROJECT/NAME` or `gcsm:PROJECT/NAME/VERSION`".to_owned());
        }
        Ok(Self { provider, address: address.to_owned(), part: part.map(str::to_owned) })
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.address)?;
        self.part.iter().try_for_each(|part| write!(f, "#{part}"))
    }
}

/// A variable of an environment whose value is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretVariable {
    pub variable: String,
    pub reference: SecretReference,
    /// Where the configuration has it.
    pub place: Option<Location>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_they_are_written() {
        for text in [
            "pass:db/prod",
            "op://dev/api/token",
            "sops:secrets.enc.yaml#/db/password",
            "age:secrets.age#Y",
            "vault:secret/data/app#key",
            "awssm:db/prod#password",
            "gcsm:project/name/3",
            "secretspec:NAME",
            "cmd:./get-token --of 'a b' #x",
        ] {
            assert_eq!(SecretReference::parse(text).map(|one| one.to_string()), Ok(text.to_owned()));
        }
        let of = |text| SecretReference::parse(text).map(|one| (one.address, one.part));
        assert_eq!(of(" sops:a.yaml#/b/c "), Ok(("a.yaml".into(), Some("/b/c".into()))));
        assert_eq!(of("cmd:get #x"), Ok(("get #x".into(), None)));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "hunter2",
            "paas:db",
            "pass:",
            "pass: ",
            "pass:--help",
            "age:file#",
            "vault:secret/data/app",
            "op:dev/api",
            "gcsm:name",
            "gcsm:a/b/c/d",
        ] {
            assert!(SecretReference::parse(text).is_err(), "{text}");
        }
    }
}
