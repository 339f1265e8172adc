//! The options of the commands for packed files.

use clap::Arg;

use super::Verb;
use super::locks::TABLE_FORMATS;
use super::shapes::{choice, flag, under, value};

/// The output formats of `pack`, the default first.
pub const PACK_FORMATS: [&str; 3] = ["tar", "oci", "deb"];

pub(super) fn arguments(verb: Verb) -> Vec<Arg> {
    let mut result = Vec::new();
    let (file, number) = ("a file that `pack` wrote", "number of the release [default: the one before the current]");
    match verb {
        Verb::Pack => {
            let help = "set the format of the file: tar, oci or deb [default: tar]";
            result.push(choice("pack_format", PACK_FORMATS, help).long("format").value_name("FORMAT"));
            let help = "write to this file [default: named after the project and its version]";
            result.push(value("pack_file", "FILE", help).short('o').long("output-file"));
            let help = "pack even if tests in pack_tests have not passed on these files, and record that in it";
            result.push(flag("pack_untested", help).long("untested"));
        }
        Verb::Verify | Verb::Install => result.push(value("ship_file", "FILE", file).required(true)),
        Verb::Rollback => result.push(value("rollback_number", "N", number)),
        Verb::Releases => {
            let help = "set the output format: table or json [default: table]";
            result.push(choice("releases_format", TABLE_FORMATS, help).long("format").value_name("FORMAT"));
        }
        _ => {}
    }
    if matches!(verb, Verb::Verify | Verb::Install) {
        let help = "check the signature with this public key of minisign, or the file that contains it";
        result.push(value("ship_key", "KEY", help).long("key"));
    }
    if matches!(verb, Verb::Install | Verb::Releases | Verb::Rollback) {
        let help = "folder of the releases and of the link current [default: the current folder]";
        result.push(value("root_dir", "dir", help).long("root"));
    }
    under("Packed files", result)
}
