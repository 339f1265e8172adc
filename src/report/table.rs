//! Tables for people: columns as wide as what stands in them, numbers in units that can be read.

/// Rows below their headings. Every row has as many cells as there are headings.
pub fn lay_out<const N: usize>(head: &[&str; N], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
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
    for row in rows {
        add(&mut row.iter().map(String::as_str));
    }
    text
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
    fn columns_are_as_wide_as_what_stands_in_them() {
        let rows = vec![vec!["a".to_owned(), "läuft".to_owned()], vec!["longer".to_owned(), "-".to_owned()]];
        assert_eq!(lay_out(&["NAME", "STATE"], &rows), "NAME    STATE\na       läuft\nlonger  -\n");
    }

    #[test]
    fn numbers_are_told_in_units() {
        let times: Vec<String> = [0.4, 59.0, 61.0, 3660.0, 90_000.0].into_iter().map(duration).collect();
        assert_eq!(times, ["0s", "59s", "1m01s", "1h01m", "1d01h"]);
        let sizes: Vec<String> = [1, 2048, 5 << 20, 3 << 29].into_iter().map(bytes).collect();
        assert_eq!(sizes, ["1B", "2K", "5M", "1.5G"]);
    }
}
