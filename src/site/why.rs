use std::fmt::Write as _;

use crate::evidence::{format_time, shown};
use crate::facts::{ExchangeId, Timestamp};
use crate::parse::Fields;

use super::deny::{STYLE, STYLE_HASH, connection, escape, prefers_japanese};
use super::words::{ENGLISH, JAPANESE, Words};

/// The name at which the gate answers its clients itself: `http://sekisho/`, through the proxy.
pub const OWN_NAME: &str = "sekisho";

/// What the person at a client is told of its last refusals.
#[derive(Debug)]
pub struct WhyPage<'a> {
    /// The client's address.
    pub client: &'a str,
    /// The newest first.
    pub refusals: &'a [WhyRefusal],
    pub now: Timestamp,
    /// The contact line of the config.
    pub contact: Option<&'a str>,
    /// The answer to a HEAD has none, and says how long it would be.
    pub has_body: bool,
}

/// One refusal.
#[derive(Debug, Clone)]
pub struct WhyRefusal {
    /// It says when, too.
    pub id: ExchangeId,
    /// Where it wanted to go, without a path.
    pub target: String,
    pub status: u16,
    /// The code of the reason, as in the record.
    pub reason: &'static str,
    pub detail: Option<Box<str>>,
    /// The rule that would let it through, in the language of policies.
    pub draft: Option<String>,
    /// When it was cut off, where it had been let out at first.
    pub cut: Option<Timestamp>,
}

/// What this page says, in one language.
struct Said {
    title: &'static str,
    none: &'static str,
    device: &'static str,
    ago: &'static str,
    send: &'static str,
    /// Of what had been let out.
    cut: &'static str,
}

const IN_ENGLISH: Said = Said {
    title: "Why was it stopped?",
    none: "Nothing of this device was stopped lately.",
    device: "This device",
    ago: "min ago",
    send: "If you need it, send these lines to your administrator:",
    cut: "This connection stood, and was cut off then.",
};
const IN_JAPANESE: Said = Said {
    title: "なぜ止められたのか",
    none: "この端末の通信は最近止められていません。",
    device: "この端末",
    ago: "分前",
    send: "必要な場合は、次の行を管理者に送ってください。",
    cut: "この接続は成立していましたが、この時刻に切断されました。",
};

/// The page of the gate's own name: why things of this device were stopped, and what to send to whom. In Japanese or English by
/// `Accept-Language`; no script, and nothing of another device.
pub fn why_page(why: &WhyPage<'_>, fields: &Fields, keep_alive: bool) -> Vec<u8> {
    let (said, words) = if prefers_japanese(fields) { (&IN_JAPANESE, &JAPANESE) } else { (&IN_ENGLISH, &ENGLISH) };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <main>\n<h1>{}</h1>\n<p>{}: {}</p>\n",
        words.language,
        said.title,
        said.title,
        said.device,
        escape(why.client)
    );
    if why.refusals.is_empty() {
        let _ = writeln!(page, "<p>{}</p>", said.none);
    }
    for refusal in why.refusals {
        one(&mut page, why, refusal, said, words);
    }
    if let Some(contact) = why.contact {
        let _ = writeln!(page, "<p>{}</p>", escape(contact));
    }
    page.push_str("</main>\n</html>\n");
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Vary: Accept-Language\r\nContent-Security-Policy: default-src 'none'; style-src 'sha256-{STYLE_HASH}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nConnection: {}\r\n\r\n{}",
        page.len(),
        connection(keep_alive),
        if why.has_body { &*page } else { "" },
    )
    .into_bytes()
}

fn one(page: &mut String, why: &WhyPage<'_>, refusal: &WhyRefusal, said: &Said, words: &Words) {
    let stopped = refusal.cut.unwrap_or(Timestamp(refusal.id.0));
    let minutes = why.now.0.saturating_sub(stopped.0) / 60_000_000;
    let time = format_time(stopped);
    let time = format!("{} UTC", time.get(..19).unwrap_or(&time).replace('T', " "));
    let target = shown(&refusal.target);
    let detail = refusal.detail.as_ref().map_or_else(String::new, |detail| format!(": {}", shown(detail)));
    let cut = refusal.cut.map_or(String::new(), |_| format!("{} ", said.cut));
    let sentence = words.sentence(refusal.status, refusal.reason);
    let _ = writeln!(
        page,
        "<section>\n<h2><bdi>{}</bdi></h2>\n<p>{time} ({minutes} {})</p>\n<p>{cut}{sentence}</p>\n<p>{}</p>\n<pre>{}: {}\n\
         {time}\n{} → {}\n{}{}</pre>",
        escape(&target),
        said.ago,
        said.send,
        words.id,
        refusal.id,
        escape(why.client),
        escape(&target),
        escape(refusal.reason),
        escape(&detail),
    );
    if let Some(draft) = &refusal.draft {
        let lines: Vec<String> = draft.lines().map(escape).collect();
        let _ = writeln!(page, "<p>{}</p>\n<pre>{}</pre>", words.of_draft(refusal.reason), lines.join("\n"));
    }
    page.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use crate::parse::{HeadLimits, take_request_head};

    use super::*;

    fn page(language: &str, refusals: &[WhyRefusal], has_body: bool) -> String {
        let head = format!("GET http://sekisho/ HTTP/1.1\r\nHost: sekisho\r\nAccept-Language: {language}\r\n\r\n");
        let mut bytes = bytes::BytesMut::from(head.as_bytes());
        let head = take_request_head(&mut bytes, &HeadLimits::default(), &mut 0).unwrap().unwrap();
        let now = Timestamp(1_795_568_400_000_000);
        let why = WhyPage { client: "10.0.0.1", refusals, now, contact: Some("ask <b>IT</b>"), has_body };
        String::from_utf8(why_page(&why, &head.fields, true)).unwrap()
    }

    fn refusal() -> WhyRefusal {
        WhyRefusal {
            id: ExchangeId(1_795_568_400_000_000 - 120_000_000),
            target: "https://<script>alert(1)</script>\u{202e}".into(),
            status: 403,
            reason: "no_rule",
            detail: Some("a\"<img src=x onerror=1>".into()),
            draft: Some("[[rule]]\nname = \"<x>\"".into()),
            cut: None,
        }
    }

    #[test]
    fn it_says_why_and_what_to_send_in_both_languages_and_escapes_what_others_chose() {
        let english = page("en", &[refusal()], true);
        for part in [
            "<html lang=\"en\">",
            "This device: 10.0.0.1",
            "2 min ago",
            "Exchange: ",
            "no_rule",
            "The rules of this network do not let this request out.",
            "[[rule]]\nname = &quot;&lt;x&gt;&quot;",
            "&lt;script&gt;",
            "\\u{202e}",
            "ask &lt;b&gt;IT",
        ] {
            assert!(english.contains(part), "{part}: {english}");
        }
        assert!(!english.contains("<script") && !english.contains("<img"), "{english}");
        let japanese = page("ja,en", &[refusal()], true);
        assert!(japanese.contains("<html lang=\"ja\">") && japanese.contains("2 分前"), "{japanese}");
        let cut = WhyRefusal { cut: Some(Timestamp(1_795_568_400_000_000 - 60_000_000)), ..refusal() };
        let (english, japanese) = (page("en", std::slice::from_ref(&cut), true), page("ja", &[cut], true));
        assert!(english.contains("1 min ago") && english.contains("was cut off then"), "{english}");
        assert!(japanese.contains("1 分前") && japanese.contains("切断されました"), "{japanese}");
    }

    #[test]
    fn who_was_refused_nothing_is_told_so_and_a_head_has_no_body() {
        let whole = page("en", &[], true);
        assert!(whole.contains("Nothing of this device"), "{whole}");
        let head = page("en", &[], false);
        let (fields, body) = whole.split_once("\r\n\r\n").unwrap();
        assert_eq!(head, format!("{fields}\r\n\r\n"));
        assert!(fields.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
