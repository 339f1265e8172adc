//! `envo outdated`: lists locked packages with newer versions, both compatible and newest.

use anyhow::Result;
use serde_json::json;

use crate::cli::options::Options;
use crate::commands::locks::{hint_left_out, with_locks};
use crate::exit_code;
use crate::lock::outdated::outdated;
use crate::report::plain;
use crate::report::table;

const HEAD: [&str; 5] = ["ENVIRONMENT", "PACKAGE", "LOCKED", "COMPATIBLE", "NEWEST"];

pub fn execute(options: &Options) -> Result<i32> {
    with_locks(options, |locks| {
        let result = outdated(locks)?;
        let rows = &result.rows;
        if options.locks.format == "json" {
            let entry = |row: &[String; 5]| json!({"environment": row[0], "package": row[1], "locked": row[2], "compatible": row[3], "newest": row[4]});
            plain::out(&format!("{}\n", serde_json::to_string_pretty(&rows.iter().map(entry).collect::<Vec<_>>())?));
        } else if rows.is_empty() {
            let which = if result.left_out.is_empty() { "" } else { " that could be checked" };
            plain::out(&format!("every locked package{which} is up to date\n"));
        } else {
            plain::out(&table::format_table(&HEAD, &rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>()));
        }
        hint_left_out(&result.left_out);
        Ok(if rows.is_empty() { exit_code::OK } else { exit_code::FAILED })
    })
}
