//! Values with conditional lines, read once and then asked by every environment. A generated configuration has thousands
//! of such lines, and hundreds of environments that each want a few of them.

use std::ops::Range;

use super::factor::{ActiveFactors, Condition, Conditions, MOST_NAMES, lines, too_many};
use crate::error::ConfigError;
use crate::python_text::strip;

/// The lines of a value, neighbours under the same condition together.
#[derive(Debug, Default)]
pub struct ConditionalValue {
    conditions: Vec<Condition>,
    blocks: Vec<Block>,
    /// What the lines say behind their conditions.
    text: String,
    /// Whether there is nothing at all in the value.
    pub is_blank: bool,
}

#[derive(Debug)]
struct Block {
    /// Which of the conditions; `None`: the lines always hold.
    condition: Option<usize>,
    lines: Range<usize>,
}

impl ConditionalValue {
    /// Reads a value without comments and without backslashes: a line that goes on in the next one takes that along,
    /// depending on the environment.
    ///
    /// # Errors
    /// When a condition, or all of them, stand for too many environments.
    pub fn of(value: &str) -> Result<Self, ConfigError> {
        let mut found = Self { is_blank: value.trim().is_empty(), ..Self::default() };
        let mut parsed: Vec<Condition> = Vec::new();
        let mut conditions = Conditions::new(None);
        let mut left = MOST_NAMES;
        let mut failure = Ok(());
        for line in lines(value) {
            let marked = conditions.of(line, |condition| {
                let at = parsed.len();
                let read = Condition::parse(condition).and_then(|read| {
                    let names = read.as_ref().map_or(0, |read| read.alternatives().len());
                    left = left.checked_sub(names).ok_or_else(|| too_many(condition))?;
                    Ok(read)
                });
                match read {
                    Ok(read) => parsed.extend(read),
                    Err(error) => failure = Err(error),
                }
                (parsed.len() > at).then_some(at)
            });
            match marked.and_then(|(number, rest)| Some((number?, strip(rest)))) {
                Some((number, content)) => found.add(Some(number), content),
                None if line.is_empty() => {}
                None => found.add(None, line),
            }
        }
        found.conditions = parsed;
        failure.map(|()| found)
    }

    fn add(&mut self, condition: Option<usize>, line: &str) {
        match self.blocks.last_mut().filter(|block| block.condition == condition) {
            Some(block) => {
                self.text.push('\n');
                self.text.push_str(line);
                block.lines.end = self.text.len();
            }
            None => {
                let start = self.text.len();
                self.text.push_str(line);
                self.blocks.push(Block { condition, lines: start..self.text.len() });
            }
        }
    }

    /// The lines that hold for an environment.
    pub fn of_environment(&self, active: &ActiveFactors) -> String {
        let holds = |block: &&Block| block.condition.is_none_or(|at| active.satisfy(&self.conditions[at]));
        let mut kept = String::new();
        for (at, block) in self.blocks.iter().filter(holds).enumerate() {
            if at > 0 {
                kept.push('\n');
            }
            kept.push_str(&self.text[block.lines.clone()]);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::factor::filter;

    #[test]
    fn the_same_lines_hold_as_when_they_are_read_for_one_environment() {
        let values = [
            "a",
            "",
            "\n",
            "\n\nx",
            "a: 1",
            "a: 1\na: 2\nb: 3\n\nplain\nb: 4\nplain\na: 5\na:\nb: \n!a: 6\na,b: 7\n{a,b}-c: 8\nno condition: 9",
            "a: 1\n\na: 2\nplain\n\n\nplain\na: 3\nhttps://x\nlinux: 10\n10-11: 12",
        ];
        for value in values {
            let read = ConditionalValue::of(value).expect("few enough");
            assert_eq!(read.is_blank, value.trim().is_empty());
            for name in ["a", "b", "a-c", "b-c", "other", "10-11"] {
                let active = ActiveFactors::of(Some(name), "linux", "x86_64");
                assert_eq!(
                    read.of_environment(&active),
                    filter(value, || &active).expect("few enough"),
                    "{value:?} for {name}"
                );
            }
        }
    }
}
