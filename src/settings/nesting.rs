//! Limits the depth of nested values. Values that are needed for another one, and nested expressions, are resolved on the
//! stack of the same thread; all of them together have a limit, because a stack overflow would end the program.

use std::cell::Cell;

use crate::error::{ConfigError, ErrorClass};

/// What fits on the two megabytes of a thread in a build without optimization. tox gives up earlier: its own limit is a
/// thousand Python frames.
const DEEPEST: usize = 520;

/// The cost of each, roughly proportional to its use of the stack.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// A setting.
    Value = 4,
    /// An expression.
    Expression = 2,
    /// A table that names what replaces it, with values of its own.
    Replacement = 3,
    /// A value within a list or table.
    Part = 1,
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// While this exists, the nesting is one step deeper.
pub struct Nesting(usize);

impl Nesting {
    pub fn enter(step: Step) -> Result<Self, ConfigError> {
        let deeper = DEPTH.get() + step as usize;
        if deeper > DEEPEST {
            return Err(ConfigError::new(ErrorClass::Recursion, "maximum recursion depth exceeded")
                .hint("the chain of references is too long: write some values out"));
        }
        DEPTH.set(deeper);
        Ok(Self(step as usize))
    }
}

impl Drop for Nesting {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - self.0);
    }
}
