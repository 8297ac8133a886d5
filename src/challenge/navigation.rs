use crate::parse::Fields;

/// Whether a request asks for a page to show: a GET that is no prefetch, and that names a document or, where it says
/// nothing of that, takes HTML and wants it upgraded. Of all that a browser asks for, such a request alone can be
/// answered by a page; navigations that a service worker asks for again are among them. Over `http://` a browser
/// says nothing of what it asks for, and a frame looks the same.
pub fn is_navigation(method: &str, fields: &Fields) -> bool {
    let is =
        |name: &str, value: &str| fields.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value.as_bytes()));
    let purpose = ["sec-purpose", "purpose", "x-moz"].into_iter().any(|name| fields.get(name).is_some());
    if method != "GET" || purpose {
        return false;
    }
    if is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document") {
        return true;
    }
    let takes_html = fields.elements("accept").any(|kind| {
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/html")
    });
    let no_dest = fields.get("sec-fetch-dest").is_none() || is("sec-fetch-dest", "empty");
    takes_html && is("upgrade-insecure-requests", "1") && no_dest
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use crate::parse::{HeadLimits, take_request_head};

    use super::*;

    fn judged(method: &str, fields: &str) -> bool {
        let mut buffer =
            BytesMut::from(format!("{method} http://a.test/ HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n").as_str());
        let head = take_request_head(&mut buffer, &HeadLimits::default(), &mut 0).unwrap().unwrap();
        is_navigation(method, &head.fields)
    }

    const PAGE: &str = "Upgrade-Insecure-Requests: 1\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n";

    #[test]
    fn a_page_is_asked_for_by_a_navigation_and_by_nothing_else() {
        assert!(judged("GET", PAGE), "over http");
        assert!(judged("GET", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"));
        // As service workers of Chromium and Firefox ask again.
        assert!(judged("GET", &format!("{PAGE}Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: empty\r\n")));
        assert!(judged("GET", &format!("{PAGE}Sec-Fetch-Mode: same-origin\r\nSec-Fetch-Dest: empty\r\n")));
        for (method, fields) in [
            ("POST", PAGE.to_owned()),
            ("HEAD", PAGE.to_owned()),
            ("GET", "Accept: */*\r\n".to_owned()),
            ("GET", "Accept: text/html\r\n".to_owned()),
            ("GET", "Upgrade-Insecure-Requests: 1\r\nAccept: text/htmlx, image/png\r\n".to_owned()),
            ("GET", format!("{PAGE}Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n")),
            ("GET", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: embed\r\n".to_owned()),
            ("GET", format!("{PAGE}Sec-Purpose: prefetch;prerender\r\nSec-Fetch-Dest: document\r\n")),
            ("GET", format!("{PAGE}X-Moz: prefetch\r\n")),
            ("GET", format!("{PAGE}Purpose: prefetch\r\n")),
            ("GET", "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nAccept: text/html\r\n".to_owned()),
        ] {
            assert!(!judged(method, &fields), "{method} {fields}");
        }
    }
}
