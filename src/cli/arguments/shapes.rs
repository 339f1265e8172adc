//! Constructors for the kinds of arguments: flags, values and choices.

use clap::{Arg, ArgAction, value_parser};

pub(super) fn flag(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id).action(ArgAction::SetTrue).help(help)
}

pub(super) fn value(id: &'static str, name: &'static str, help: &'static str) -> Arg {
    Arg::new(id).action(ArgAction::Set).value_name(name).value_parser(value_parser!(String)).help(help)
}

pub(super) fn values(id: &'static str, name: &'static str, help: &'static str) -> Arg {
    value(id, name, help).num_args(1..).allow_negative_numbers(true)
}

pub(super) fn choice<const N: usize>(id: &'static str, choices: [&'static str; N], help: &'static str) -> Arg {
    Arg::new(id).action(ArgAction::Set).value_parser(choices).help(help)
}

pub(super) fn under(heading: &'static str, arguments: Vec<Arg>) -> Vec<Arg> {
    arguments.into_iter().map(|argument| argument.help_heading(heading)).collect()
}
