//! The conditions of `replace = "if"`: `factor.x and not env.Y`, comparisons of strings, parentheses.
//! <https://tox.wiki/en/4.67.15/reference/config.html#conditional-value-reference>

use crate::error::{ConfigError, ErrorClass};
use crate::factor::ActiveFactors;
use crate::model::EnvVariables;

/// The facts that conditions can test.
pub struct ConditionScope<'a> {
    pub factors: &'a ActiveFactors,
    pub variables: &'a EnvVariables,
    pub env_name: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ConditionToken {
    Name(String),
    Text(String),
    Symbol(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ConditionValue {
    Text(String),
    Flag(bool),
}

impl ConditionValue {
    fn holds(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Flag(flag) => *flag,
        }
    }
}

pub fn holds(condition: &str, scope: &ConditionScope<'_>) -> Result<bool, ConfigError> {
    let invalid = || ConfigError::new(ErrorClass::Match, format!("Invalid condition expression: {condition}"));
    let tokens = tokens(condition).ok_or_else(invalid)?;
    // As in tox, syntax errors are reported before unsupported expressions.
    let mut reading = ConditionParser { tokens: &tokens, at: 0, depth: 0, condition, scope, only_reads: true };
    reading.either()?;
    if reading.at < tokens.len() {
        return Err(invalid());
    }
    let mut parser = ConditionParser { at: 0, depth: 0, only_reads: false, ..reading };
    Ok(parser.either()?.holds())
}

fn tokens(text: &str) -> Option<Vec<ConditionToken>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let symbol =
            ["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", "."].into_iter().find(|one| rest.starts_with(one));
        if let Some(symbol) = symbol {
            found.push(ConditionToken::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else if matches!(first, '\'' | '"') {
            let end = rest[1..].find(first)?;
            found.push(ConditionToken::Text(rest[1..=end].to_owned()));
            rest = &rest[end + 2..];
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            found.push(ConditionToken::Name(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            return None;
        }
        rest = rest.trim_start();
    }
    (!found.is_empty()).then_some(found)
}

/// Parentheses nested deeper than this are rejected.
const DEEPEST: usize = 100;

struct ConditionParser<'a> {
    tokens: &'a [ConditionToken],
    at: usize,
    depth: usize,
    condition: &'a str,
    scope: &'a ConditionScope<'a>,
    /// Whether nothing is asked for yet.
    only_reads: bool,
}

impl ConditionParser<'_> {
    fn error(&self, message: String) -> ConfigError {
        ConfigError::new(ErrorClass::Match, message)
    }

    fn invalid(&self) -> ConfigError {
        self.error(format!("Invalid condition expression: {}", self.condition))
    }

    fn next_is_name(&mut self, name: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(ConditionToken::Name(found)) if found == name);
        self.at += usize::from(found);
        found
    }

    fn next_is(&mut self, symbol: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(ConditionToken::Symbol(found)) if *found == symbol);
        self.at += usize::from(found);
        found
    }

    fn either(&mut self) -> Result<ConditionValue, ConfigError> {
        let mut answer = self.both()?;
        while self.next_is_name("or") {
            let other = self.both()?;
            answer = ConditionValue::Flag(answer.holds() || other.holds());
        }
        Ok(answer)
    }

    fn both(&mut self) -> Result<ConditionValue, ConfigError> {
        let mut answer = self.negation()?;
        while self.next_is_name("and") {
            let other = self.negation()?;
            answer = ConditionValue::Flag(answer.holds() && other.holds());
        }
        Ok(answer)
    }

    fn negation(&mut self) -> Result<ConditionValue, ConfigError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.invalid());
        }
        let answer =
            if self.next_is_name("not") { ConditionValue::Flag(!self.negation()?.holds()) } else { self.comparison()? };
        self.depth -= 1;
        Ok(answer)
    }

    fn comparison(&mut self) -> Result<ConditionValue, ConfigError> {
        let left = self.operand()?;
        let Some(ConditionToken::Symbol(symbol @ ("==" | "!=" | "<" | ">" | "<=" | ">="))) = self.tokens.get(self.at)
        else {
            return Ok(left);
        };
        let symbol = *symbol;
        self.at += 1;
        let right = self.operand()?;
        match symbol {
            "==" => Ok(ConditionValue::Flag(left == right)),
            "!=" => Ok(ConditionValue::Flag(left != right)),
            _ if self.only_reads => Ok(ConditionValue::Flag(false)),
            _ => Err(self.error(format!("Unsupported comparison operator in condition: {}", self.condition))),
        }
    }

    fn operand(&mut self) -> Result<ConditionValue, ConfigError> {
        let Some(token) = self.tokens.get(self.at).cloned() else { return Err(self.invalid()) };
        self.at += 1;
        match token {
            ConditionToken::Text(text) => Ok(ConditionValue::Text(text)),
            ConditionToken::Symbol("(") => {
                let answer = self.either()?;
                if self.next_is(")") { Ok(answer) } else { Err(self.invalid()) }
            }
            ConditionToken::Symbol(_) => Err(self.invalid()),
            ConditionToken::Name(name) => self.lookup(&name),
        }
    }

    /// `env.NAME`, `env["NAME"]`, `factor.NAME`, or `env_name`.
    fn lookup(&mut self, name: &str) -> Result<ConditionValue, ConfigError> {
        let key = if self.next_is(".") {
            match self.tokens.get(self.at) {
                Some(ConditionToken::Name(key)) => key.clone(),
                _ => return Err(self.invalid()),
            }
        } else if self.next_is("[") {
            match (self.tokens.get(self.at), self.tokens.get(self.at + 1)) {
                (Some(ConditionToken::Text(key)), Some(ConditionToken::Symbol("]"))) => {
                    self.at += 1;
                    key.clone()
                }
                _ => return Err(self.invalid()),
            }
        } else if name == "env_name" {
            return Ok(ConditionValue::Text(self.scope.env_name.to_owned()));
        } else if self.only_reads && !matches!(name, "and" | "or" | "not") {
            return Ok(ConditionValue::Flag(false));
        } else if self.only_reads {
            return Err(self.invalid());
        } else {
            let message = format!("Unsupported expression in condition: Name(id='{name}', ctx=Load())");
            return Err(self.error(message));
        };
        self.at += 1;
        match name {
            "env" => Ok(ConditionValue::Text(self.scope.variables.text(&key).unwrap_or_default())),
            "factor" => Ok(ConditionValue::Flag(self.scope.factors.contains(&key))),
            _ if self.only_reads => Ok(ConditionValue::Flag(false)),
            _ => {
                let message = format!("Unsupported namespace in condition: {name} (expected 'env' or 'factor')");
                Err(self.error(message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(condition: &str) -> Result<bool, String> {
        let factors = ActiveFactors::of(Some("py311-django"), "linux", "x86_64");
        let mut variables = EnvVariables::default();
        variables.set("CI", "yes");
        let scope = ConditionScope { factors: &factors, variables: &variables, env_name: "py311-django" };
        holds(condition, &scope).map_err(|error| error.message)
    }

    #[test]
    fn conditions_test_factors_variables_and_the_name() {
        assert_eq!(check("factor.django and not env.NOPE"), Ok(true));
        assert_eq!(check("env.CI == 'yes' or factor.lint"), Ok(true));
        assert_eq!(check("factor['py311'] and (env[\"CI\"] != 'no')"), Ok(true));
        assert_eq!(check("env_name == 'x'"), Ok(false));
    }

    #[test]
    fn invalid_conditions_are_rejected_in_toxs_words() {
        for wrong in ["foo bar", "os.name factor.x", "factor.x and", "and", "foo < 1 2", "(foo"] {
            assert_eq!(check(wrong), Err(format!("Invalid condition expression: {wrong}")));
        }
        assert_eq!(check("foo"), Err("Unsupported expression in condition: Name(id='foo', ctx=Load())".into()));
        assert_eq!(check("factor. =="), Err("Invalid condition expression: factor. ==".into()));
        assert_eq!(check("os.name"), Err("Unsupported namespace in condition: os (expected 'env' or 'factor')".into()));
        assert!(check(&"(".repeat(10_000)).is_err());
        assert!(check(&"not ".repeat(10_000)).is_err());
    }
}
