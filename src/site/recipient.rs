use crate::parse::{RequestHead, via_line};

/// A request that is sent back is repeated this far; fields beyond are left out.
const REPEATED_BYTES_MAX: usize = 16 * 1024;

/// Parts of the names of fields that carry what vouches for somebody.
const SECRETS: [&str; 11] =
    ["auth", "cookie", "token", "secret", "passw", "credential", "session", "signature", "csrf", "xsrf", "key"];

/// The answer to an OPTIONS or TRACE that may go no further (RFC 9110 §7.6.2): the gate is its last
/// recipient. OPTIONS says nothing of the target, which was not asked; TRACE repeats the head that came
/// here, without what vouches for somebody (§9.3.8). `via` is the gate's own name.
pub fn final_answer(head: &RequestHead, via: Option<&str>, keep_alive: bool) -> Vec<u8> {
    let repeats = head.method() == "TRACE";
    let body = if repeats { repeated(head) } else { Vec::new() };
    let kind = if repeats { "Content-Type: message/http\r\nX-Content-Type-Options: nosniff\r\n" } else { "" };
    let via = via.map_or_else(String::new, |name| via_line(head.version, name));
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\n{kind}Content-Length: {}\r\n{via}Cache-Control: no-store\r\nConnection: {connection}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}

fn repeated(head: &RequestHead) -> Vec<u8> {
    let line = [head.method().as_bytes(), b" ", head.target(), b" HTTP/", head.version.as_str().as_bytes(), b"\r\n"];
    let mut out = line.concat();
    for (name, value) in head.fields.iter() {
        let field = [name.as_bytes(), b": ", value, b"\r\n"].concat();
        if !holds_secret(name) && out.len() + field.len() <= REPEATED_BYTES_MAX {
            out.extend_from_slice(&field);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn holds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::parse::{HeadLimits, take_request_head};

    fn head(text: &str) -> RequestHead {
        take_request_head(&mut BytesMut::from(text.as_bytes()), &HeadLimits::default(), &mut 0).unwrap().unwrap()
    }

    fn answer(text: &str) -> String {
        String::from_utf8(final_answer(&head(text), Some("gate-7"), true)).unwrap()
    }

    #[test]
    fn options_is_answered_with_nothing_and_by_whom() {
        assert_eq!(
            answer("OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVia: 1.1 gate-7\r\nCache-Control: no-store\r\nConnection: keep-alive\r\n\r\n"
        );
    }

    #[test]
    fn trace_repeats_the_head_without_what_vouches_for_somebody() {
        let kept = "TRACE http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\nVia: 1.1 b\r\nX-One: 1\r\n";
        let left_out = "Authorization: Basic s\r\nCOOKIE: s=1\r\nProxy-Authorization: s\r\nX-Auth-Token: s\r\n\
                        X-Api-Key: s\r\nX-Amz-Security-Token: s\r\nCookie2: s\r\nX-CSRF: s\r\nAuthentication-Info: s\r\n";
        let answer = answer(&format!("{kept}{left_out}\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, format!("{kept}\r\n"));
        assert!(head.contains("Content-Type: message/http\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }

    #[test]
    fn what_is_repeated_is_bounded_and_whole_fields_are_left_out() {
        let long = format!("X-Long: {}\r\n", "a".repeat(REPEATED_BYTES_MAX));
        let answer =
            answer(&format!("TRACE http://a.example/ HTTP/1.1\r\nHost: a.example\r\n{long}X-Short: 1\r\n\r\n"));
        assert!(answer.len() < 1024 && answer.ends_with("Host: a.example\r\nX-Short: 1\r\n\r\n"), "{answer}");
    }
}
