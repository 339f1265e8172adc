//! Terminal colours, by the names and with the codes of colorama, which tox uses.

pub const RESET_ALL: &str = "\x1b[0m";
pub const RESET: &str = "\x1b[39m";
pub const BRIGHT: &str = "\x1b[1m";
pub const DIM: &str = "\x1b[2m";
pub const NORMAL: &str = "\x1b[22m";
pub const RED: &str = "\x1b[31m";
pub const GREEN: &str = "\x1b[32m";
pub const YELLOW: &str = "\x1b[33m";
pub const BLUE: &str = "\x1b[34m";
pub const MAGENTA: &str = "\x1b[35m";
pub const CYAN: &str = "\x1b[36m";
pub const WHITE: &str = "\x1b[37m";

/// The code of `colorama.Fore.NAME`; red for a name it does not have.
pub fn foreground(name: &str) -> &'static str {
    match name {
        "BLACK" => "\x1b[30m",
        "GREEN" => GREEN,
        "YELLOW" => YELLOW,
        "BLUE" => BLUE,
        "MAGENTA" => MAGENTA,
        "CYAN" => CYAN,
        "WHITE" => WHITE,
        "RESET" => RESET,
        "LIGHTBLACK_EX" => "\x1b[90m",
        "LIGHTRED_EX" => "\x1b[91m",
        "LIGHTGREEN_EX" => "\x1b[92m",
        "LIGHTYELLOW_EX" => "\x1b[93m",
        "LIGHTBLUE_EX" => "\x1b[94m",
        "LIGHTMAGENTA_EX" => "\x1b[95m",
        "LIGHTCYAN_EX" => "\x1b[96m",
        "LIGHTWHITE_EX" => "\x1b[97m",
        _ => RED,
    }
}
