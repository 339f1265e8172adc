//! Tables for people: columns as wide as their cells, numbers in readable units. Cells are shown escaped,
//! since many contain text from other programs.

use crate::python_text::escaped;

/// Rows below their headings. Each row has as many cells as there are headings.
pub fn format_table<const N: usize>(head: &[&str; N], rows: &[Vec<String>]) -> String {
    format_columns(head, rows)
}

fn format_columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let mut add = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width + 2 - cell.chars().count()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    add(&mut head.iter().copied());
    for row in &rows {
        add(&mut row.iter().map(String::as_str));
    }
    text
}

/// The table without as many of the columns `dispensable`, in that order, as needed to fit into `width`
/// characters; with all of them if there is no limit, as in a file.
pub fn format_within<const N: usize>(
    width: Option<usize>,
    (head, rows): (&[&str; N], &[Vec<String>]),
    dispensable: &[&str],
) -> String {
    let mut kept: Vec<usize> = (0..N).collect();
    let mut left_out = dispensable.iter();
    loop {
        let cells = |row: &[String]| kept.iter().map(|column| row[*column].clone()).collect::<Vec<_>>();
        let table = format_columns(
            &kept.iter().map(|column| head[*column]).collect::<Vec<_>>(),
            &rows.iter().map(|row| cells(row)).collect::<Vec<_>>(),
        );
        if width.is_none_or(|width| table.lines().all(|line| line.chars().count() <= width)) {
            return table;
        }
        let Some(next) = left_out.next() else { return table };
        kept.retain(|column| head[*column] != *next);
    }
}

/// Seconds as the largest two units.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// Bytes in the largest unit that leaves a whole number.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..1_048_576 => format!("{}K", bytes / 1024),
        1_048_576..1_073_741_824 => format!("{}M", bytes / 1_048_576),
        _ => format!("{:.1}G", bytes as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = vec![vec!["a".to_owned(), "läuft".to_owned()], vec!["longer".to_owned(), "-".to_owned()]];
        assert_eq!(format_table(&["NAME", "STATE"], &rows), "NAME    STATE\na       läuft\nlonger  -\n");
    }

    #[test]
    fn control_sequences_are_shown_escaped() {
        let rows = vec![vec!["\u{1b}[2Ja\nb\u{202e}".to_owned()]];
        assert_eq!(format_table(&["NAME"], &rows), "NAME\n\\x1b[2Ja\\nb\\u202e\n");
    }

    #[test]
    fn columns_are_left_out_until_lines_fit_into_the_terminal() {
        let rows = vec![["a", "ready", "12"].map(str::to_owned).to_vec()];
        let table = |width| format_within(width, (&["NAME", "STATE", "PID"], &rows), &["PID", "STATE"]);
        assert_eq!(table(None), "NAME  STATE  PID\na     ready  12\n");
        assert_eq!(table(Some(16)), table(None));
        assert_eq!(table(Some(15)), "NAME  STATE\na     ready\n");
        assert_eq!(table(Some(1)), "NAME\na\n");
    }

    #[test]
    fn numbers_have_units() {
        let times: Vec<String> = [0.4, 59.0, 61.0, 3660.0, 90_000.0].into_iter().map(duration).collect();
        assert_eq!(times, ["0s", "59s", "1m01s", "1h01m", "1d01h"]);
        let sizes: Vec<String> = [1, 2048, 5 << 20, 3 << 29].into_iter().map(bytes).collect();
        assert_eq!(sizes, ["1B", "2K", "5M", "1.5G"]);
    }
}
