//! Printing results: a table for people, JSON for programs.
//!
//! The JSON is stable: fields have the API's names, times are `_ms` since 1970 as in the API.

use std::io::{ErrorKind, Write};

use comfy_table::{Table, presets};
use serde_json::Value;

use super::OutputFormat;
use super::failure::Failure;

/// Writes text to standard output. A reader that is gone is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints one result: words for people, an object for programs.
pub(super) fn print_object(
    format: OutputFormat,
    words: &str,
    object: &Value,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => print(&format!("{words}\n")),
        OutputFormat::Json | OutputFormat::Ndjson => print(&format!("{object}\n")),
    }
}

/// Prints a list: a table for people, an array or lines of objects for programs.
pub(super) fn print_list(
    format: OutputFormat,
    header: &[&str],
    rows: Vec<Vec<String>>,
    objects: Vec<Value>,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => print(&table(header, rows)),
        OutputFormat::Json => print(&format!("{}\n", Value::Array(objects))),
        OutputFormat::Ndjson => {
            let lines: Vec<String> = objects.iter().map(Value::to_string).collect();
            print(&lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>())
        }
    }
}

/// A table without lines, which reads well and cuts well with awk.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    format!("{}\n", table.trim_fmt())
}

/// Columns of the terminal that standard output is; 80 where it is none.
pub(super) fn terminal_width() -> usize {
    // The table knows how to ask, and asks nobody where standard output is no terminal.
    Table::new().width().map_or(80, usize::from)
}

/// A time of the API for people.
pub(super) fn time(milliseconds: u64) -> String {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok())
        .map_or_else(|| milliseconds.to_string(), |time| time.to_string())
}

/// 1234567 as 1,234,567.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes for people, in powers of ten.
pub(super) fn bytes(number: f64) -> String {
    let mut value = number;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            let decimals = usize::from(unit != "B");
            return format!("{value:.decimals$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_plain_columns() {
        let rows = vec![
            vec!["orders".to_owned(), "ACTIVE".to_owned()],
            vec!["a".to_owned(), "ACTIVE".to_owned()],
        ];
        let text = table(&["NAME", "STATUS"], rows);
        assert_eq!(text, "NAME    STATUS\norders  ACTIVE\na       ACTIVE\n");
    }

    #[test]
    fn numbers_and_times_are_easy_to_read() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(1_500_000.0), "1.5 MB");
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
