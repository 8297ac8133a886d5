use data_encoding::BASE64URL_NOPAD;

use crate::facts::Path;

/// Where a page sends its answer, at whatever site it stands: the gate takes it (RFC 8615 keeps such paths for such
/// uses).
pub const ANSWER_PATH: &str = "/.well-known/sekisho/challenge";
/// A longer path is not carried along: who waited for it goes back by hand.
const BACK_BYTES_MAX: usize = 2048;

/// What a page is answered with; nothing of it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    pub token: &'a str,
    pub proof: Proof<'a>,
}

/// How a browser has shown itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof<'a> {
    /// By the number that its script has found.
    Work(&'a str),
    /// By having waited; with the path to go back to, where that is short enough. Nobody has signed it: it is a path
    /// of the same site, to which any link could lead as well.
    Waited(Option<Path>),
}

/// Reads the answer that a request sends, where it asks for the path of answers: `t=TOKEN&n=NUMBER`,
/// `t=TOKEN&u=PATH` or `t=TOKEN`, and nothing else.
pub fn read_answer(path: &Path) -> Option<Answer<'_>> {
    if path.path() != ANSWER_PATH {
        return None;
    }
    let query = path.query()?.strip_prefix("t=")?;
    let (token, proof) = match query.split_once('&') {
        None => (query, Proof::Waited(None)),
        Some((token, rest)) => match rest.split_once('=')? {
            ("n", number) => (token, Proof::Work(number)),
            ("u", back) => (token, Proof::Waited(Some(read_back(back)?))),
            _ => return None,
        },
    };
    Some(Answer { token, proof })
}

/// The path and query by which a browser without scripts answers.
pub fn waited(token: &str, back: Option<&Path>) -> String {
    let back = back.filter(|path| path.as_str().starts_with('/') && path.as_str().len() <= BACK_BYTES_MAX);
    let back = back.map_or_else(String::new, |path| format!("&u={}", BASE64URL_NOPAD.encode(path.as_str().as_bytes())));
    format!("{ANSWER_PATH}?t={token}{back}")
}

fn read_back(text: &str) -> Option<Path> {
    if text.len() > BACK_BYTES_MAX.div_ceil(3) * 4 {
        return None;
    }
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    // What is sent back is what was read, and begins at the root of the site.
    Path::parse(&bytes).filter(|path| path.as_str().as_bytes() == bytes && bytes.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_answer_is_written_in_one_way() {
        let text = format!("{ANSWER_PATH}?t=AB-_&n=17");
        assert_eq!(read_answer(&path(&text)), Some(Answer { token: "AB-_", proof: Proof::Work("17") }));
        let text = waited("AB", Some(&path("/a?b=c&d")));
        let proof = Proof::Waited(Some(path("/a?b=c&d")));
        assert_eq!(read_answer(&path(&text)), Some(Answer { token: "AB", proof }));
        let text = waited("AB", None);
        assert_eq!(read_answer(&path(&text)), Some(Answer { token: "AB", proof: Proof::Waited(None) }));
        for other in ["", "?", "?n=1&t=A", "?t=A&m=1", "?t=A&n", "?t=A&u=!", "?t=A&u=aHR0cA", "?T=A", "/?t=A", "x?t=A"]
        {
            assert_eq!(read_answer(&path(&format!("{ANSWER_PATH}{other}"))), None, "{other}");
        }
        assert_eq!(read_answer(&path("/.well-known/sekisho/%63hallenge?t=A")), None, "another spelling");
    }

    #[test]
    fn a_long_path_is_left_out() {
        let long = path(&format!("/{}", "a".repeat(BACK_BYTES_MAX)));
        assert_eq!(waited("A", Some(&long)), format!("{ANSWER_PATH}?t=A"));
        let longest = path(&format!("/{}", "a".repeat(BACK_BYTES_MAX - 1)));
        let text = waited("A", Some(&longest));
        assert!(matches!(read_answer(&path(&text)).unwrap().proof, Proof::Waited(Some(back)) if back == longest));
    }
}
