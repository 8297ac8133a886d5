/// By what the record of a sweep names the list that was asked for, beside where it came from: half of the BLAKE3 of its
/// lines, each with a line feed and without spaces behind it, from the first that says something to the last. Whoever has
/// the list can show that it was the one; a browser's line ends make no other one of it.
pub fn list_mark(list: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for line in list.trim().lines() {
        hasher.update(line.trim_end().as_bytes()).update(b"\n");
    }
    let hash = hasher.finalize().to_hex();
    format!("blake3 {}", hash.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_its_mark_however_its_lines_end_and_no_other_list_has_it() {
        let mark = list_mark("a.example\nb.example\n");
        // printf 'a.example\nb.example\n' | b3sum
        let whole = blake3::hash(b"a.example\nb.example\n").to_hex();
        assert_eq!(mark, format!("blake3 {}", &whole[..32]));
        for same in ["a.example\r\nb.example", "\n a.example \r\nb.example\r\n\r\n"] {
            assert_eq!(list_mark(same), mark, "{same:?}");
        }
        for other in ["", "a.example", "b.example\na.example", "a.example b.example", "a.example\n\nb.example"] {
            assert_ne!(list_mark(other), mark, "{other:?}");
        }
    }
}
