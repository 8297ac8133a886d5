use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use jiff::tz::TimeZone;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::evidence::shown;
use crate::facts::Timestamp;
use crate::review::questions::{Cell, Shape, Table};

/// How tables are drawn.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) zone: TimeZone,
    pub(super) colour: bool,
    /// Columns of the terminal.
    pub(super) width: usize,
}

/// Where standard output is no terminal.
const WIDTH: usize = 180;
const WIDTH_MIN: usize = 60;
/// Texts are cut to no less than this, and to no more than that.
const TEXT_MIN: usize = 12;
const TEXT_MAX: usize = 60;
/// Between two columns.
const GAP: usize = 2;

impl Look {
    /// As standard output wants it: colour on a terminal alone, and not where NO_COLOR is set (no-color.org).
    pub(super) fn of_output(zone: TimeZone) -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        let refuses = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let columns = rustix::termios::tcgetwinsize(&out).map_or(0, |size| usize::from(size.ws_col));
        let width = if is_terminal && columns > 0 { columns.max(WIDTH_MIN) } else { WIDTH };
        Self { zone, colour: is_terminal && !refuses, width }
    }

    /// A moment in the zone, to the second, with the offset.
    pub(super) fn time(&self, time: Timestamp) -> String {
        self.moment(time, "%Y-%m-%d %H:%M:%S%:z")
    }

    /// The same by RFC 3339, to the microsecond.
    pub(super) fn exact_time(&self, time: Timestamp) -> String {
        self.moment(time, "%Y-%m-%dT%H:%M:%S.%6f%:z")
    }

    fn moment(&self, time: Timestamp, format: &str) -> String {
        let micros = i64::try_from(time.0).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
        moment.to_zoned(self.zone.clone()).strftime(format).to_string()
    }

    /// A cell as eyes want it. Nothing in it moves a cursor or reorders text.
    pub(super) fn cell(&self, cell: &Cell) -> String {
        match cell {
            Cell::Text(text) => shown(text).into_owned(),
            Cell::Count(number) => number.to_string(),
            Cell::Bytes(bytes) => in_units(*bytes),
            Cell::Time(time) => self.time(*time),
            Cell::Nothing => String::new(),
        }
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        if self.colour && !colour.is_empty() { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A table with its head; columns in which no row has anything, or
    /// only noughts, are left out. Those for which a terminal has no room are
    /// named below it.
    pub(super) fn table(&self, table: &Table) -> String {
        let mut columns: Vec<Drawn> =
            (0..table.columns.len()).filter_map(|number| Drawn::of(table, number, |cell| self.cell(cell))).collect();
        let left_out = fit(&mut columns, self.width);
        let mut text = String::new();
        let heads: Vec<String> = columns.iter().map(|column| column.padded(&cut(&column.head, column.width))).collect();
        let _ = writeln!(text, "{}", self.painted(heads.join("  ").trim_end(), "1"));
        for (row, cells) in table.rows.iter().enumerate() {
            let mut line = String::new();
            for (number, column) in columns.iter().enumerate() {
                let cell = cut(column.cells.get(row).map_or("", String::as_str), column.width);
                let colour = colour_of(&cell);
                let padded = column.padded(&cell);
                let padded = if number + 1 == columns.len() { padded.trim_end() } else { &padded };
                let gap = if number > 0 { "  " } else { "" };
                let _ = write!(line, "{gap}{}", self.painted(padded, colour));
            }
            let _ = writeln!(text, "{}", line.trim_end());
            for (column, cell) in table.columns.iter().zip(cells) {
                if let (Shape::Sentence, Cell::Text(sentence)) = (column.shape, cell) {
                    let _ = writeln!(text, "    {}", shown(sentence));
                }
            }
        }
        if !left_out.is_empty() {
            let _ =
                writeln!(text, "no room for: {}; a wider terminal or --format json shows them", left_out.join(", "));
        }
        text
    }
}

/// A column as it is drawn.
struct Drawn {
    head: String,
    cells: Vec<String>,
    width: usize,
    is_text: bool,
    is_left: bool,
}

impl Drawn {
    /// `None` where no row has anything in it, or only noughts, or it is a sentence.
    fn of(table: &Table, number: usize, text: impl Fn(&Cell) -> String) -> Option<Self> {
        let column = table.columns.get(number)?;
        let is_any = |cell: &Cell| !matches!(cell, Cell::Nothing | Cell::Count(0) | Cell::Bytes(0));
        let has_any = table.rows.iter().any(|row| row.get(number).is_some_and(is_any));
        if column.shape == Shape::Sentence || !has_any {
            return None;
        }
        let cells: Vec<String> = table.rows.iter().map(|row| row.get(number).map_or_else(String::new, &text)).collect();
        let is_text = column.shape == Shape::Text;
        let most = if is_text { TEXT_MAX } else { usize::MAX };
        let head = column.key.replace('_', " ");
        let widest = cells.iter().map(|cell| cell.width()).max().unwrap_or_default();
        let is_left = is_text || column.shape == Shape::Time;
        Some(Self { width: widest.min(most).max(head.width()), head, cells, is_text, is_left })
    }

    /// Numbers stand at the right.
    fn padded(&self, text: &str) -> String {
        let space = " ".repeat(self.width.saturating_sub(text.width()));
        if self.is_left { format!("{text}{space}") } else { format!("{space}{text}") }
    }
}

/// Makes columns as narrow as they must be: first the widest texts, then the last columns go. Names those that went.
fn fit(columns: &mut Vec<Drawn>, width: usize) -> Vec<String> {
    let all = |columns: &[Drawn]| {
        columns.iter().map(|column| column.width).sum::<usize>() + GAP * columns.len().saturating_sub(1)
    };
    let mut left_out = Vec::new();
    loop {
        let over = all(columns).saturating_sub(width);
        if over == 0 {
            break;
        }
        let count = columns.len();
        let widest = columns
            .iter_mut()
            .filter(|column| column.is_text && column.width > TEXT_MIN.max(column.head.width()))
            .max_by_key(|column| column.width);
        match widest {
            Some(column) => column.width -= 1,
            None if count > 1 => left_out.extend(columns.pop().map(|column| column.head)),
            None => break,
        }
    }
    left_out.reverse();
    left_out
}

/// Text of at most so many columns; what is cut off is shown as `…`.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += character.width().unwrap_or_default();
        if used > width {
            break;
        }
        out.push(character);
    }
    out.push('…');
    out
}

fn colour_of(cell: &str) -> &'static str {
    match cell {
        "high" | "deny" | "malicious" => "31",
        "medium" | "challenge" | "watching" => "33",
        "uncertain" => "2",
        _ => "",
    }
}

/// Bytes in the largest unit of which there is one at least.
fn in_units(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    format!("{size:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::questions::Column;

    fn look(width: usize, colour: bool) -> Look {
        Look { zone: TimeZone::get("Asia/Tokyo").unwrap(), colour, width }
    }

    fn table(rows: Vec<Vec<Cell>>) -> Table {
        let column = |key, shape| Column { key, shape };
        let columns = vec![
            column("host", Shape::Text),
            column("empty", Shape::Text),
            column("up", Shape::Bytes),
            column("last", Shape::Time),
            column("english", Shape::Sentence),
        ];
        Table { name: "t", columns, rows, more: 0 }
    }

    fn row(host: &str, up: u64) -> Vec<Cell> {
        let time = Cell::Time(Timestamp(1_795_568_400_000_000));
        vec![Cell::Text(host.to_owned()), Cell::Nothing, Cell::Bytes(up), time, Cell::Text("It calls.".to_owned())]
    }

    #[test]
    fn wide_characters_count_double_and_empty_columns_go() {
        let drawn = look(80, false).table(&table(vec![row("関所.example", 1536), row("a", 7)]));
        let expected = "\
host               up  last
関所.example  1.5 KiB  2026-11-25 10:00:00+09:00
    It calls.
a                 7 B  2026-11-25 10:00:00+09:00
    It calls.
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn what_a_host_calls_itself_never_reaches_the_terminal_raw() {
        let hostile = format!("a\u{1b}[2J\r\n\u{202e}b\u{9b}{}", "x".repeat(65_536));
        let drawn = look(80, false).table(&table(vec![row(&hostile, 1)]));
        assert!(drawn.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{drawn:?}");
        assert!(drawn.lines().all(|line| line.width() <= 80) && drawn.contains('…'), "{drawn}");
    }

    #[test]
    fn colours_are_there_where_they_are_wanted_and_nowhere_else() {
        let rows = vec![row("deny", 1)];
        assert!(look(80, true).table(&table(rows.clone())).contains("\x1b[31mdeny"));
        assert!(!look(80, false).table(&table(rows)).contains('\x1b'));
    }

    #[test]
    fn columns_without_room_are_named() {
        let drawn = look(30, false).table(&table(vec![row("host.example", 1)]));
        assert!(drawn.contains("no room for: last;"), "{drawn}");
    }

    #[test]
    fn bytes_have_units() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 20, "1.0 MiB"), (u64::MAX, "16777216.0 TiB")]
        {
            assert_eq!(in_units(bytes), text);
        }
    }
}
