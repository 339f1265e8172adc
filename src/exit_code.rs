//! Every exit code, in one place; `docs/exit-codes.md` says the same to users.
//!
//! tox ends with Python's `SystemExit(-2)` and the like, of which the shell sees the low eight bits.

/// Everything that was asked for succeeded.
pub const OK: i32 = 0;
/// At least one environment failed, or every one was skipped.
pub const FAILED: i32 = 1;
/// The command line could not be understood.
pub const USAGE: i32 = 2;
/// What had to be asked on the network (a service, an index) could not be reached, so that nothing is known.
pub const UNREACHABLE: i32 = 3;
/// `config` could not work out at least one setting (tox's -1).
pub const CONFIG_EXCEPTION: i32 = -1;
/// The configuration or the request is wrong, or the run was interrupted (tox's -2).
pub const HANDLED_ERROR: i32 = -2;
/// An environment that was waiting when the run was interrupted (tox's -3; only seen in the summary).
pub const CANCELLED: i32 = -3;

/// What the shell sees of `code`.
pub fn to_shell(code: i32) -> u8 {
    code.rem_euclid(256) as u8
}

#[cfg(test)]
mod tests {
    #[test]
    fn negative_codes_wrap_as_the_shell_shows_them() {
        assert_eq!(super::to_shell(super::HANDLED_ERROR), 254);
        assert_eq!(super::to_shell(super::CONFIG_EXCEPTION), 255);
        assert_eq!(super::to_shell(3), 3);
    }
}
