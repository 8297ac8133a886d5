use super::Fault;
use super::text::{Scratch, split, split_last};

/// Where a request was to go, as its log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// In lower case, without a trailing dot; never empty.
    pub(super) host: &'a str,
    /// 0 where neither the text nor its scheme says one.
    pub(super) port: u16,
    /// Without its query; empty for a host with a port.
    pub(super) path: &'a str,
}

/// Reads an absolute URL. A user and password in it are left out, as are query and fragment.
pub(super) fn url<'a>(text: &'a str, scratch: &mut Scratch<'a>) -> Result<Place<'a>, Fault> {
    let (scheme, rest) = split(text, b':').ok_or(Fault::Target)?;
    let rest = rest.strip_prefix("//").ok_or(Fault::Target)?;
    let end = rest.bytes().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Fault::Target)?;
    let authority = split_last(authority, b'@').map_or(authority, |(_, host)| host);
    let place = host_and_port(authority, port_of(scheme), scratch)?;
    Ok(Place { path: without_query(path), ..place })
}

/// Reads `host` or `host:port`.
pub(super) fn host_and_port<'a>(text: &'a str, port: u16, scratch: &mut Scratch<'a>) -> Result<Place<'a>, Fault> {
    let (name, port) = match split_last(text, b':') {
        // Colons alone make an IPv6 address, which has no port then.
        Some((name, _)) if name.contains(':') && !name.ends_with(']') => (text, port),
        Some((name, "")) => (name, port),
        Some((name, port)) => (name, port.parse().map_err(|_| Fault::Target)?),
        None => (text, port),
    };
    Ok(Place { host: host(name, scratch).ok_or(Fault::Target)?, port, path: "" })
}

/// The host in the form that our own records have; `None` for nothing.
pub(super) fn host<'a>(text: &'a str, scratch: &mut Scratch<'a>) -> Option<&'a str> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text == "-" {
        return None;
    }
    let bare = text.bytes().any(|byte| byte == b':') && !text.starts_with('[');
    if !bare && !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(text);
    }
    let (open, close) = if bare { ("[", "]") } else { ("", "") };
    scratch.keep(open.bytes().chain(text.bytes()).chain(close.bytes()).map(|byte| byte.to_ascii_lowercase()))
}

/// The path without its query and fragment; `/` for none.
pub(super) fn without_query(path: &str) -> &str {
    let end = path.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    match path.get(..end) {
        Some("") | None => "/",
        Some(path) => path,
    }
}

fn port_of(scheme: &str) -> u16 {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    match () {
        () if is("http") || is("ws") => 80,
        () if is("https") || is("wss") => 443,
        () if is("ftp") => 21,
        () => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(text: &str, read: impl for<'a> FnOnce(&'a str, &mut Scratch<'a>) -> T) -> T {
        read(text, &mut Scratch::of(&mut Vec::new(), text.len()))
    }

    #[test]
    fn urls_are_taken_apart_and_lose_their_secrets() {
        for (text, host, port, path) in [
            ("http://a.example/x/y?z=1", "a.example", 80, "/x/y"),
            ("HTTPS://A.Example./", "a.example", 443, "/"),
            ("http://a.example", "a.example", 80, "/"),
            ("http://a.example?secret", "a.example", 80, "/"),
            ("http://a.example:8080/x#f", "a.example", 8080, "/x"),
            ("http://ada:pass@word@a.example/x", "a.example", 80, "/x"),
            ("ftp://a.example/f", "a.example", 21, "/f"),
            ("urn://a.example/f", "a.example", 0, "/f"),
            ("http://[2001:DB8::1]/x", "[2001:db8::1]", 80, "/x"),
            ("http://[2001:db8::1]:81/", "[2001:db8::1]", 81, "/"),
            ("http://192.0.2.7:/x", "192.0.2.7", 80, "/x"),
            ("http://関所.example/道?x", "関所.example", 80, "/道"),
        ] {
            with(text, |text, scratch| assert_eq!(url(text, scratch), Ok(Place { host, port, path }), "{text}"));
        }
        for text in
            ["", "a.example/x", "http://", "http:///x", "http://a.example:99999/", "http://ada@/", "http://:80/"]
        {
            with(text, |text, scratch| assert_eq!(url(text, scratch), Err(Fault::Target), "{text}"));
        }
    }

    #[test]
    fn a_host_has_a_port_unless_its_colons_are_those_of_ipv6() {
        for (text, host, port) in [
            ("a.example:443", "a.example", 443),
            ("a.example", "a.example", 7),
            ("[2001:db8::1]:443", "[2001:db8::1]", 443),
            ("[2001:db8::1]", "[2001:db8::1]", 7),
            ("2001:db8::1", "[2001:db8::1]", 7),
        ] {
            with(text, |text, scratch| {
                assert_eq!(host_and_port(text, 7, scratch), Ok(Place { host, port, path: "" }), "{text}");
            });
        }
        for text in ["", "-", ".", ":443", "a.example:-1", "a.example:x"] {
            with(text, |text, scratch| assert_eq!(host_and_port(text, 7, scratch), Err(Fault::Target), "{text}"));
        }
    }
}
