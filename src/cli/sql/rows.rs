use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use crate::evidence::{json_text, shown};
use crate::formats::csv_row;
use crate::review::{SqlRows, SqlValue};

use super::SqlFormat;

/// Writes an answer row by row. Whatever names it holds, nothing in it moves a cursor or ends a line.
pub(super) struct Rows<W: Write> {
    format: SqlFormat,
    out: W,
    columns: Vec<String>,
    /// Of a table the first rows, which say how wide its columns are.
    first: Vec<Vec<Cell>>,
    first_bytes: usize,
    /// Their widths, and whether numbers alone stand in them; once they are known.
    drawn: Option<Vec<(usize, bool)>>,
    rows: u64,
}

/// A cell as a table has it.
struct Cell {
    text: String,
    is_number: bool,
    is_null: bool,
}

/// Rows of a table that are looked at for their widths, and bytes of them.
const FIRST_ROWS: usize = 200;
const FIRST_BYTES_MAX: usize = 1 << 20;
/// What is wider stands out of its column.
const WIDTH_MAX: usize = 60;

impl<W: Write> Rows<W> {
    pub(super) fn new(format: SqlFormat, out: W) -> Self {
        Self { format, out, columns: Vec::new(), first: Vec::new(), first_bytes: 0, drawn: None, rows: 0 }
    }

    /// Writes what is left, after the last row.
    ///
    /// # Errors
    /// The output's.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if self.format == SqlFormat::Json {
            self.out.write_all(if self.rows == 0 { b"]\n" } else { b"\n]\n" })?;
        }
        self.flush()
    }

    /// Writes what it holds back.
    ///
    /// # Errors
    /// The output's.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.format == SqlFormat::Table && self.drawn.is_none() && !self.columns.is_empty() {
            self.draw_first()?;
        }
        self.out.flush()
    }

    fn draw_first(&mut self) -> io::Result<()> {
        let first = std::mem::take(&mut self.first);
        let heads: Vec<String> = self.columns.iter().map(|name| shown(name).into_owned()).collect();
        let drawn: Vec<(usize, bool)> = heads
            .iter()
            .enumerate()
            .map(|(at, head)| {
                let cells = || first.iter().filter_map(|row| row.get(at));
                let widest = cells().map(|cell| cell.text.width()).max().unwrap_or_default();
                let said: Vec<_> = cells().filter(|cell| !cell.is_null).collect();
                let numbers = !said.is_empty() && said.iter().all(|cell| cell.is_number);
                (widest.min(WIDTH_MAX).max(head.width()), numbers)
            })
            .collect();
        let heads = heads.into_iter().map(|text| Cell { text, is_number: false, is_null: false }).collect();
        draw(&mut self.out, &drawn, heads)?;
        for row in first {
            draw(&mut self.out, &drawn, row)?;
        }
        self.drawn = Some(drawn);
        Ok(())
    }

    fn object(&mut self, cells: &[SqlValue<'_>]) -> io::Result<()> {
        let mut line = Vec::from(if self.rows == 0 { &b"\n{"[..] } else { b",\n{" });
        for (at, (name, cell)) in self.columns.iter().zip(cells).enumerate() {
            if at > 0 {
                line.push(b',');
            }
            json_text(name, &mut line);
            line.push(b':');
            match cell {
                SqlValue::Null => line.extend_from_slice(b"null"),
                SqlValue::Integer(number) => write!(line, "{number}")?,
                // JSON has no infinity.
                SqlValue::Real(number) if !number.is_finite() => line.extend_from_slice(b"null"),
                SqlValue::Real(number) => write!(line, "{number:?}")?,
                SqlValue::Text(text) => json_text(text, &mut line),
                SqlValue::Bytes(bytes) => json_text(&hex(bytes), &mut line),
            }
        }
        line.push(b'}');
        self.out.write_all(&line)
    }
}

impl<W: Write> SqlRows for Rows<W> {
    fn head(&mut self, columns: &[String]) -> io::Result<()> {
        self.columns = columns.to_vec();
        match self.format {
            SqlFormat::Table => return Ok(()),
            SqlFormat::Csv => {
                let heads: Vec<_> = columns.iter().map(|name| shown(name)).collect();
                let mut line = Vec::new();
                csv_row(heads.iter().map(AsRef::as_ref), &mut line);
                self.out.write_all(&line)?;
            }
            SqlFormat::Json => {
                // An object has each name once.
                for at in 0..self.columns.len() {
                    let times = columns.iter().take(at).filter(|name| **name == columns[at]).count();
                    if times > 0 {
                        self.columns[at] = format!("{}:{times}", columns[at]);
                    }
                }
                self.out.write_all(b"[")?;
            }
        }
        // Whoever reads it sees that it has begun.
        self.out.flush()
    }

    fn row(&mut self, cells: &[SqlValue<'_>]) -> io::Result<()> {
        match self.format {
            SqlFormat::Table => {
                let row: Vec<Cell> = cells.iter().map(cell).collect();
                if let Some(drawn) = &self.drawn {
                    draw(&mut self.out, drawn, row)?;
                } else {
                    self.first_bytes += row.iter().map(|cell| cell.text.len()).sum::<usize>();
                    self.first.push(row);
                    if self.first.len() >= FIRST_ROWS || self.first_bytes >= FIRST_BYTES_MAX {
                        self.draw_first()?;
                    }
                }
            }
            SqlFormat::Csv => {
                let row: Vec<Cell> = cells.iter().map(cell).collect();
                let mut line = Vec::new();
                csv_row(row.iter().map(|cell| cell.text.as_str()), &mut line);
                self.out.write_all(&line)?;
            }
            SqlFormat::Json => self.object(cells)?,
        }
        self.rows += 1;
        Ok(())
    }
}

fn cell(value: &SqlValue<'_>) -> Cell {
    let text = match value {
        SqlValue::Null => String::new(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => format!("{number:?}"),
        SqlValue::Text(text) => shown(text).into_owned(),
        SqlValue::Bytes(bytes) => hex(bytes),
    };
    let is_number = matches!(value, SqlValue::Integer(_) | SqlValue::Real(_));
    Cell { text, is_number, is_null: matches!(value, SqlValue::Null) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Numbers stand at the right.
fn draw(out: &mut impl Write, drawn: &[(usize, bool)], row: Vec<Cell>) -> io::Result<()> {
    let mut line = String::new();
    for (cell, (width, is_number)) in row.iter().zip(drawn) {
        let space = " ".repeat(width.saturating_sub(cell.text.width()));
        let (before, behind) = if *is_number { (space.as_str(), "") } else { ("", space.as_str()) };
        for part in [before, cell.text.as_str(), behind, "  "] {
            line.push_str(part);
        }
    }
    writeln!(out, "{}", line.trim_end())
}

#[cfg(test)]
mod tests;
