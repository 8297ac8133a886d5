/// Appends a row of comma-separated values (RFC 4180), with its line end. Cells that a spreadsheet would run as a formula
/// get an apostrophe in front (OWASP, "CSV Injection"); numbers are never such.
pub fn csv_row<'a>(cells: impl IntoIterator<Item = &'a str>, into: &mut Vec<u8>) {
    for (number, cell) in cells.into_iter().enumerate() {
        if number > 0 {
            into.push(b',');
        }
        let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
        if !is_formula && !cell.contains(['"', ',', '\n', '\r']) {
            into.extend_from_slice(cell.as_bytes());
            continue;
        }
        into.push(b'"');
        if is_formula {
            into.push(b'\'');
        }
        into.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
        into.push(b'"');
    }
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> String {
        let mut text = Vec::new();
        csv_row(cells.iter().copied(), &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn cells_are_quoted_where_they_would_end_early() {
        assert_eq!(row(&["a", "", "b c"]), "a,,b c\r\n");
        assert_eq!(row(&["a,b", "say \"x\"", "two\nlines"]), "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\r\n");
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        assert_eq!(row(&["=cmd|' /C calc'!A0", "@x", "+1+2"]), "\"'=cmd|' /C calc'!A0\",\"'@x\",\"'+1+2\"\r\n");
        assert_eq!(row(&["-12.5", "+3"]), "-12.5,+3\r\n");
    }
}
