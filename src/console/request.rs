use super::html::Language;

/// Bytes of a form: the longest holds a statement of SQL.
pub(super) const FORM_BYTES_MAX: usize = 64 << 10;
/// The same of the form that holds a list of indicators.
pub(super) const LIST_BYTES_MAX: usize = 1 << 20;
/// Values of a query or a form.
const PAIRS_MAX: usize = 64;

/// Names and values of a query or a form (application/x-www-form-urlencoded), the first of each name.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Reads them; beyond 64 they are left out. What is not UTF-8 is replaced.
    pub(super) fn read(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(PAIRS_MAX);
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// The value, where it says something.
    pub(super) fn some(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A password is what was typed, spaces included.
    pub(super) fn exact(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                match (ahead.next().and_then(hex), ahead.next().and_then(hex)) {
                    (Some(high), Some(low)) => {
                        bytes.push(high << 4 | low);
                        rest = ahead;
                    }
                    _ => bytes.push(byte),
                }
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The value of a cookie (RFC 6265 §5.4); where there are several of a name, nobody knows whose they are, and there is none.
pub(super) fn cookie<'a>(fields: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    let mut found = fields
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(known, _)| *known == name)
        .map(|(_, value)| value);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The language that a person has chosen, or that their browser asks for.
pub(super) fn language(chosen: Option<&str>, kept: Option<&str>, accepts: &str) -> Language {
    chosen.and_then(Language::named).or_else(|| kept.and_then(Language::named)).unwrap_or(Language::accepted(accepts))
}

/// Whether a `Host` is one that the console may be called by: an address, `localhost`, or a name of its config. A page of
/// another site whose name is made to lead here has another.
pub(super) fn is_own_host(host: &str, names: &[Box<str>]) -> bool {
    let is_end = |rest: &str| {
        rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if let Some((address, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return is_end(rest) && address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
    let is_known = || {
        name.parse::<std::net::Ipv4Addr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || names.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    is_end(rest) && is_known()
}

/// Whether it leads to a page of the console itself, as where to go after the log-in.
pub(super) fn is_own_way(way: &str) -> bool {
    let mut bytes = way.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && way.len() <= 2048
        && way.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let pairs = Pairs::read("name=a%20b&why=%E6%97%A5+x&empty=&name=second&bad=%zz%4&password=+p+");
        assert_eq!((pairs.get("name"), pairs.get("why"), pairs.some("empty")), (Some("a b"), Some("日 x"), None));
        assert_eq!((pairs.get("bad"), pairs.exact("password"), pairs.get("none")), (Some("%zz%4"), " p ", None));
        assert_eq!(Pairs::read(&"a=1&".repeat(1000)).each().count(), 64);
    }

    #[test]
    fn of_two_cookies_with_one_name_neither_is_taken() {
        let fields = ["lang=ja; sekisho=abc", "other=1"];
        assert_eq!(cookie(fields.into_iter(), "sekisho"), Some("abc"));
        assert_eq!(cookie(fields.into_iter(), "kisho"), None);
        assert_eq!(cookie(["sekisho=a; sekisho=b"].into_iter(), "sekisho"), None);
    }

    #[test]
    fn hosts_and_ways_of_others_are_not_its_own() {
        let names = ["gate.office.example".into()];
        for own in ["127.0.0.1:3180", "[::1]:3180", "localhost", "Gate.office.example:3180"] {
            assert!(is_own_host(own, &names), "{own}");
        }
        for foreign in [
            "evil.example:3180",
            "",
            "gate.office.example.evil.example",
            "localhost.evil.example",
            "[::1]evil.example",
            "[localhost]",
            "localhost:evil:80",
            "127.0.0.1:evil.example",
        ] {
            assert!(!is_own_host(foreign, &names), "{foreign}");
        }
        for (way, is_own) in [
            ("/client?name=a", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("https://e.example", false),
        ] {
            assert_eq!(is_own_way(way), is_own, "{way}");
        }
        assert!(!is_own_way("/a\r\nSet-Cookie: x") && !is_own_way(""));
    }
}
