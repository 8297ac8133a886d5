use bytes::BytesMut;

use crate::facts::{Path, Scheme, Target};

use super::{
    Body, Fault, HeadLimits, RequestHead, Version, parse_absolute, parse_authority, parse_connect, request_body,
    take_request_head,
};

/// A whole request head, understood once: what is judged is what is sent.
#[derive(Debug)]
pub struct Request {
    pub head: RequestHead,
    pub form: Form,
    pub body: Body,
}

/// The form of the request-target (RFC 9112 §3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A proxy request: the target is elsewhere.
    Absolute(Target),
    /// CONNECT.
    Connect(Target),
    /// Spoken to the gate itself.
    Origin(Path),
}

/// Understands a head that arrived at the gate's own listener.
pub fn understand(head: RequestHead) -> Result<Request, Fault> {
    let (form, body) = examine(&head)?;
    Ok(Request { head, form, body })
}

/// The same, leaving the head with the caller, who may want to say what was wrong with it.
pub fn examine(head: &RequestHead) -> Result<(Form, Body), Fault> {
    let body = request_body(head)?;
    check_upgrade(head)?;
    let form = if head.method() == "CONNECT" {
        let target = parse_connect(head.target())?;
        if body != Body::None {
            return Err(Fault::BodyOnConnect);
        }
        check_host(head, &target)?;
        Form::Connect(target)
    } else if head.target().first() == Some(&b'/') {
        require_host(head)?;
        Form::Origin(Path::parse(head.target()).ok_or(Fault::BadTarget)?)
    } else if head.target() == b"*" && head.method() == "OPTIONS" {
        require_host(head)?;
        Form::Origin(Path::asterisk())
    } else {
        let mut target = parse_absolute(head.target())?;
        check_host(head, &target)?;
        if head.method() == "OPTIONS" && names_whole_server(head.target()) {
            target.path = Some(Path::asterisk());
        }
        Form::Absolute(target)
    };
    Ok((form, body))
}

/// An absolute-form target without path and query: to OPTIONS it means the server as a whole, and goes
/// on as `*` (RFC 9112 §3.2.4).
fn names_whole_server(target: &[u8]) -> bool {
    !target.get(7..).unwrap_or_default().iter().any(|b| matches!(b, b'/' | b'?'))
}

fn require_host(head: &RequestHead) -> Result<Option<&[u8]>, Fault> {
    let mut hosts = head.fields.get_all("host");
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(Fault::SeveralHosts);
    }
    if first.is_none() && head.version != Version::Http10 {
        return Err(Fault::MissingHost);
    }
    Ok(first)
}

/// A Host that names another place than the target is refused: RFC 9112 §3.2.2 lets a proxy replace
/// it, but here it is an attempt to front. A Host without its port is taken for the target's own,
/// since several honest clients leave the port out.
fn check_host(head: &RequestHead, target: &Target) -> Result<(), Fault> {
    let Some(value) = require_host(head)? else { return Ok(()) };
    let (host, port) = parse_authority(value)?;
    let port_agrees = port.is_none_or(|port| port == target.port);
    if host == target.host && port_agrees { Ok(()) } else { Err(Fault::HostMismatch) }
}

fn check_upgrade(head: &RequestHead) -> Result<(), Fault> {
    let h2c = head.fields.get_all("upgrade").any(|value| {
        value.split(|b| *b == b',').any(|token| {
            let name = token.trim_ascii().split(|b| *b == b'/').next().unwrap_or_default();
            name.eq_ignore_ascii_case(b"h2c") || name.eq_ignore_ascii_case(b"h2")
        })
    });
    if h2c { Err(Fault::H2cUpgrade) } else { Ok(()) }
}

/// Understands a head whose connection was captured on its way to `port` of an origin: what its client says to that, in
/// origin-form, is a request to the host that it names.
///
/// A Host is needed whatever the version: where else the connection was to go says nothing of what is asked for. One without
/// a port is taken for the port of the connection.
///
/// # Errors
/// Those of [`examine`], and [`Fault::MissingHost`].
pub fn examine_captured(head: &RequestHead, port: u16) -> Result<(Form, Body), Fault> {
    match examine(head)? {
        (Form::Origin(path), body) => {
            let (host, named) = parse_authority(require_host(head)?.ok_or(Fault::MissingHost)?)?;
            let target = Target { scheme: Scheme::Http, host, port: named.unwrap_or(port), path: Some(path) };
            Ok((Form::Absolute(target), body))
        }
        asked @ (Form::Absolute(_) | Form::Connect(_), _) => Ok(asked),
    }
}

/// The CONNECT that a client would have sent to reach this, had it spoken to the gate.
pub fn connect_head(target: &Target) -> RequestHead {
    let authority = format!("{}:{}", target.host, target.port);
    let mut head = BytesMut::from(&*format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
    let head = take_request_head(&mut head, &HeadLimits::default(), &mut 0);
    head.ok().flatten().expect("a host that was parsed, and a port, make a whole head")
}

/// How many more times a TRACE or OPTIONS may be passed on (RFC 9110 §7.6.2), where it says so. For any
/// other method the field means nothing.
pub fn max_forwards(head: &RequestHead) -> Result<Option<u32>, Fault> {
    if !matches!(head.method(), "TRACE" | "OPTIONS") {
        return Ok(None);
    }
    let mut values = head.fields.get_all("max-forwards");
    let (value, more) = (values.next(), values.next());
    let Some(digits) = value else { return Ok(None) };
    if more.is_some() || !(1..=9).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Fault::BadMaxForwards);
    }
    Ok(Some(digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))))
}

/// A request read inside a tunnel, of this scheme: origin-form, its Host equal to the CONNECT's host.
pub fn understand_inner(head: RequestHead, tunnel: &Target, scheme: Scheme) -> Result<Request, Fault> {
    if head.method() == "CONNECT" {
        return Err(Fault::BadTarget);
    }
    let body = request_body(&head)?;
    check_upgrade(&head)?;
    let path = Path::parse(head.target()).ok_or(Fault::BadTarget)?;
    let target = Target { scheme, host: tunnel.host.clone(), port: tunnel.port, path: Some(path) };
    check_host(&head, &target)?;
    Ok(Request { head, form: Form::Absolute(target), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> RequestHead {
        let mut bytes = BytesMut::from(format!("{text}\r\n\r\n").as_bytes());
        take_request_head(&mut bytes, &HeadLimits::default(), &mut 0).unwrap().unwrap()
    }

    /// What a head asks for whose connection was on its way to port 80.
    fn captured(text: &str) -> Result<String, Fault> {
        examine_captured(&head(text), 80).map(|(form, _)| match form {
            Form::Absolute(target) => target.to_string(),
            Form::Connect(target) => format!("CONNECT {target}"),
            Form::Origin(path) => format!("here {}", path.as_str()),
        })
    }

    #[test]
    fn what_was_captured_is_asked_of_the_host_that_it_names() {
        for (head, target) in [
            ("GET /x HTTP/1.1\r\nHost: A.example", "http://a.example/x"),
            ("GET / HTTP/1.0\r\nHost: a.example", "http://a.example/"),
            ("GET / HTTP/1.1\r\nHost: a.example:8080", "http://a.example:8080/"),
            ("GET / HTTP/1.1\r\nHost: [2001:db8::7]", "http://[2001:db8::7]/"),
            ("OPTIONS * HTTP/1.1\r\nHost: a.example", "http://a.example*"),
            ("GET http://b.example/ HTTP/1.1\r\nHost: b.example", "http://b.example/"),
            ("CONNECT c.example:443 HTTP/1.1\r\nHost: c.example:443", "CONNECT c.example:443"),
        ] {
            assert_eq!(captured(head).unwrap(), target, "{head}");
        }
    }

    #[test]
    fn what_was_captured_and_names_no_host_or_two_is_refused() {
        for (head, fault) in [
            ("GET / HTTP/1.1", Fault::MissingHost),
            ("GET / HTTP/1.0", Fault::MissingHost),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example", Fault::SeveralHosts),
            ("GET / HTTP/1.1\r\nHost: a.example@b.example", Fault::Userinfo),
            ("GET http://a.example/ HTTP/1.1\r\nHost: b.example", Fault::HostMismatch),
        ] {
            assert_eq!(captured(head), Err(fault), "{head}");
        }
    }

    #[test]
    fn the_connect_that_was_not_sent_asks_for_the_same_target() {
        for text in ["a.example:443", "192.0.2.7:80", "[2001:db8::7]:8443"] {
            let target = parse_connect(text.as_bytes()).unwrap();
            assert_eq!(understand(connect_head(&target)).unwrap().form, Form::Connect(target));
        }
    }
}
