use crate::facts::{BadHost, Host, Path, Scheme, Target};

use super::Fault;

impl From<BadHost> for Fault {
    fn from(bad: BadHost) -> Self {
        match bad {
            BadHost::NonAscii => Fault::NonAsciiHost,
            BadHost::Percent => Fault::PercentHost,
            BadHost::Bracket => Fault::BadBracket,
            BadHost::Empty
            | BadHost::TooLong
            | BadHost::EmptyLabel
            | BadHost::Character
            | BadHost::LegacyIpv4
            | BadHost::Punycode => Fault::BadHost,
        }
    }
}

/// Reads `http://host[:port][/path][?query]` (RFC 9112 §3.2.2). Other schemes are [`Fault::BadTarget`].
pub fn parse_absolute(target: &[u8]) -> Result<Target, Fault> {
    let rest = target
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case(b"http://"))
        .and_then(|_| target.get(7..))
        .ok_or(Fault::BadTarget)?;
    if rest.contains(&b'#') {
        return Err(Fault::Fragment);
    }
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = parse_authority(authority)?;
    let path = Path::parse(path).ok_or(Fault::BadTarget)?;
    Ok(Target { scheme: Scheme::Http, host, port: port.unwrap_or(80), path: Some(path) })
}

/// Reads the `host:port` of a CONNECT (RFC 9112 §3.2.3); the port must be there.
pub fn parse_connect(target: &[u8]) -> Result<Target, Fault> {
    let (host, port) = parse_authority(target)?;
    let port = port.ok_or(Fault::BadPort)?;
    Ok(Target { scheme: Scheme::Tunnel, host, port, path: None })
}

/// Reads `host[:port]`. A port is 1 to 65535 without leading zeros; an empty one is a fault.
pub fn parse_authority(authority: &[u8]) -> Result<(Host, Option<u16>), Fault> {
    if authority.contains(&b'@') {
        return Err(Fault::Userinfo);
    }
    let host_end = match authority.first() {
        Some(b'[') => authority.iter().position(|b| *b == b']').ok_or(Fault::BadBracket)? + 1,
        _ => authority.iter().position(|b| *b == b':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_end);
    let host = Host::parse(host)?;
    match rest.split_first() {
        None => Ok((host, None)),
        Some((b':', digits)) => Ok((host, Some(parse_port(digits)?))),
        Some(_) => Err(Fault::BadBracket),
    }
}

/// The host of an `http` or `https` URL as a Referer field holds it, where it is one we can name.
pub fn referer_host(referer: &[u8]) -> Option<Host> {
    let rest = [b"https://".as_slice(), b"http://"].into_iter().find_map(|scheme| {
        let (start, rest) = referer.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    parse_authority(rest.get(..end)?).ok().map(|(host, _)| host)
}

fn parse_port(digits: &[u8]) -> Result<u16, Fault> {
    let plain = !digits.is_empty()
        && digits.len() <= 5
        && digits.first() != Some(&b'0')
        && digits.iter().all(u8::is_ascii_digit);
    if !plain {
        return Err(Fault::BadPort);
    }
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(Fault::BadPort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_referer_is_read_from_both_schemes_and_from_nothing_else() {
        let host = |referer: &str| referer_host(referer.as_bytes()).map(|host| host.to_string());
        assert_eq!(host("https://A.example:8443/x?y#z").as_deref(), Some("a.example"));
        assert_eq!(host("http://a.example").as_deref(), Some("a.example"));
        for no in ["a.example/x", "ftp://a.example/", "https://u@a.example/", "https:///x", "about:blank", ""] {
            assert_eq!(host(no), None, "{no}");
        }
    }

    #[test]
    fn an_absolute_target_is_read_and_its_default_port_filled_in() {
        let target = parse_absolute(b"HTTP://A.Example/x?y=1").unwrap();
        assert_eq!((target.host.to_string().as_str(), target.port), ("a.example", 80));
        assert_eq!(target.path.unwrap().as_str(), "/x?y=1");
        assert_eq!(parse_absolute(b"http://a.example").unwrap().path.unwrap().as_str(), "/");
        assert_eq!(parse_absolute(b"http://a.example?q").unwrap().path.unwrap().as_str(), "/?q");
    }

    #[test]
    fn odd_authorities_are_refused_by_the_name_of_their_fault() {
        for (text, fault) in [
            ("http://u@a.example/", Fault::Userinfo),
            ("http://a.example/#f", Fault::Fragment),
            ("http://a.example:/", Fault::BadPort),
            ("http://a.example:0/", Fault::BadPort),
            ("http://a.example:007/", Fault::BadPort),
            ("http://a.example:65536/", Fault::BadPort),
            ("http://[a.example]/", Fault::BadBracket),
            ("http://[::1]x/", Fault::BadBracket),
            ("http://a%2eb/", Fault::PercentHost),
            ("https://a.example/", Fault::BadTarget),
            ("ftp://a.example/", Fault::BadTarget),
        ] {
            assert_eq!(parse_absolute(text.as_bytes()).unwrap_err(), fault, "{text}");
        }
        assert_eq!(parse_absolute(b"http://a.example:65535/").unwrap().port, 65535);
    }

    #[test]
    fn connect_needs_a_port_and_takes_no_path() {
        assert_eq!(parse_connect(b"a.example").unwrap_err(), Fault::BadPort);
        assert!(parse_connect(b"a.example:443/").is_err());
        assert_eq!(parse_connect(b"[2001:db8::1]:443").unwrap().port, 443);
    }
}
