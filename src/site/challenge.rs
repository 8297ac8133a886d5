use std::fmt::Write;

use crate::facts::ExchangeId;
use crate::parse::Fields;

use super::deny::{STYLE, STYLE_HASH, connection, escape, may_try, prefers_japanese, tried};

/// What a challenge page says.
#[derive(Debug)]
pub struct ChallengePage<'a> {
    /// The host the person asked for, as judged.
    pub host: &'a str,
    pub id: ExchangeId,
    /// What the script solves; of the letters of Base64url.
    pub token: &'a str,
    pub bits: u8,
    /// Of the letters of Base64url, and to be guessed by nobody.
    pub nonce: &'a str,
    /// Where the solution is sent: a path of the site itself, which the gate answers.
    pub path: &'a str,
    /// Where a browser without scripts answers after so many seconds: a path of the site itself.
    pub wait: Option<(&'a str, u64)>,
    /// A person must say first that the site is meant.
    pub confirm: bool,
    /// The contact line of the config.
    pub contact: Option<&'a str>,
    /// A host that the page has the browser ask for a picture: see [`Refusal::tries`](super::Refusal::tries).
    pub tries: Option<&'a str>,
}

const SCRIPT: &str = include_str!("challenge.js");

struct Words {
    language: &'static str,
    title: &'static str,
    about: &'static str,
    host: &'static str,
    id: &'static str,
    go: &'static str,
    ready: &'static str,
    working: &'static str,
    done: &'static str,
    failed: &'static str,
    no_script: &'static str,
    /// Before and behind the seconds for which a browser without scripts waits.
    waits: [&'static str; 2],
    by_hand: &'static str,
}

const ENGLISH: Words = Words {
    language: "en",
    title: "One moment: the gate makes sure that this is a browser",
    about: "Programs that only pretend to be a browser do not get out of this network. Your browser shows that it is one \
            by a short calculation, and the site opens by itself. This happens once; nothing is asked of you.",
    host: "Host",
    id: "Exchange",
    go: "Yes, I want to open this site",
    ready: "Ready.",
    working: "Calculating …",
    done: "Done. The site opens now.",
    failed: "This did not work. Load the page again; if that does not help, tell your administrator the exchange above.",
    no_script: "JavaScript is switched off, and the calculation needs it. Switch it on for this site, or ask your \
                administrator to allow the site.",
    waits: ["JavaScript is switched off, so your browser waits instead: the site can be opened after ", " seconds."],
    by_hand: "Open the site",
};

const JAPANESE: Words = Words {
    language: "ja",
    title: "ブラウザーであることを確認しています",
    about: "ブラウザーを装うだけのプログラムは、このネットワークの外に出られません。ブラウザーが短い計算を行うと、サイトが\
            自動的に開きます。この確認は一度だけで、操作は必要ありません。",
    host: "接続先",
    id: "交換番号",
    go: "はい、このサイトを開きます",
    ready: "準備ができました。",
    working: "計算しています…",
    done: "完了しました。サイトを開きます。",
    failed: "確認できませんでした。ページを再読み込みしてください。それでも開けない場合は、上の交換番号を管理者に伝えてください。",
    no_script: "JavaScript が無効になっているため、計算を実行できません。このサイトで JavaScript を有効にするか、管理者に\
                許可を依頼してください。",
    waits: ["JavaScript が無効になっているため、計算の代わりに待ち時間で確認します。サイトは ", " 秒後に開けます。"],
    by_hand: "サイトを開く",
};

/// The page that challenges a browser: 403, so that nothing keeps it for the site's own, with a script that solves
/// the token and then loads the page again. Japanese or English by `Accept-Language`.
pub fn challenge_page(page: &ChallengePage<'_>, fields: &Fields, keep_alive: bool) -> Vec<u8> {
    let words = if prefers_japanese(fields) { &JAPANESE } else { &ENGLISH };
    let body = html(page, words);
    let (connection, nonce, tries) = (connection(keep_alive), page.nonce, may_try(page.tries));
    format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Proxy-Status: sekisho; error=http_request_denied; details=\"challenge_page {}\"\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'none'; script-src 'nonce-{nonce}'; style-src 'sha256-{STYLE_HASH}'; \
         connect-src 'self'; {tries}base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nConnection: {connection}\r\n\r\n{body}",
        body.len(),
        page.id,
    )
    .into_bytes()
}

/// The answer to a solution that was taken.
pub fn challenge_solved(keep_alive: bool) -> Vec<u8> {
    let connection = connection(keep_alive);
    format!("HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\nConnection: {connection}\r\n\r\n").into_bytes()
}

/// The answer to a browser that has waited: where it came from.
pub fn challenge_waited(location: &str, keep_alive: bool) -> Vec<u8> {
    let connection = connection(keep_alive);
    format!(
        "HTTP/1.1 303 See Other\r\nLocation: {location}\r\nContent-Length: 0\r\nCache-Control: no-store\r\n\
         Referrer-Policy: no-referrer\r\nConnection: {connection}\r\n\r\n"
    )
    .into_bytes()
}

fn html(page: &ChallengePage<'_>, words: &Words) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"robots\" content=\"noindex\">\n\
         {}<title>{}</title>\n<style>{STYLE}</style>\n<main>\n<h1>{}</h1>\n<p>{}</p>\n<dl>\n\
         <dt>{}</dt><dd>{}</dd>\n<dt>{}</dt><dd>{}</dd>\n</dl>\n",
        words.language,
        refresh(page),
        words.title,
        words.title,
        words.about,
        words.host,
        escape(page.host),
        words.id,
        page.id
    );
    let _ = writeln!(
        html,
        "<p id=\"shown\" role=\"status\" data-working=\"{}\" data-done=\"{}\" data-failed=\"{}\">{}</p>",
        words.working, words.done, words.failed, words.ready
    );
    if page.confirm {
        let _ = writeln!(html, "<p><button id=\"go\" hidden>{}</button></p>", words.go);
    }
    let _ = match page.wait {
        None => writeln!(html, "<noscript><p>{}</p></noscript>", words.no_script),
        Some((link, seconds)) => {
            let ([before, behind], link) = (words.waits, escape(link));
            writeln!(
                html,
                "<noscript><p>{before}{seconds}{behind}</p>\n<p><a href=\"{link}\">{}</a></p></noscript>",
                words.by_hand
            )
        }
    };
    if let Some(contact) = page.contact {
        let _ = writeln!(html, "<p>{}</p>", escape(contact));
    }
    html.push_str(&tried(page.tries));
    let script =
        SCRIPT.replace("@token@", page.token).replace("@bits@", &page.bits.to_string()).replace("@path@", page.path);
    let _ = write!(html, "</main>\n<script nonce=\"{}\">\n{script}</script>\n</html>\n", page.nonce);
    html
}

/// What takes a browser without scripts on by itself, unless a person is to say that the site is meant.
fn refresh(page: &ChallengePage<'_>) -> String {
    let wait = page.wait.filter(|_| !page.confirm);
    wait.map_or_else(String::new, |(link, seconds)| {
        let link = escape(link);
        format!("<noscript><meta http-equiv=\"refresh\" content=\"{seconds};url={link}\"></noscript>\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(host: &str, confirm: bool) -> String {
        let page = ChallengePage {
            host,
            id: ExchangeId(1),
            token: "TOKEN",
            bits: 12,
            nonce: "NONCE",
            path: "/solve",
            wait: Some(("/solve?t=A&u=B", 5)),
            confirm,
            contact: Some("help <desk>"),
            tries: Some("try.example"),
        };
        html(&page, &ENGLISH)
    }

    #[test]
    fn what_a_client_chose_is_escaped_and_what_the_gate_chose_stands_in_the_script() {
        let page = page("<script>alert(1)</script>", false);
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;alert"), "{page}");
        assert!(page.contains("help &lt;desk&gt;"), "{page}");
        assert!(page.contains("<img src=\"https://try.example/\" alt=\"\" width=\"0\" height=\"0\">"), "{page}");
        assert!(page.contains("var token = \"TOKEN\", bits = 12, path = \"/solve\""), "{page}");
        assert!(page.contains("<script nonce=\"NONCE\">") && !page.contains('@'), "{page}");
        assert!(!page.contains("<button"));
    }

    #[test]
    fn a_browser_without_scripts_goes_on_by_itself_unless_a_person_is_asked() {
        let refresh = "<noscript><meta http-equiv=\"refresh\" content=\"5;url=/solve?t=A&amp;u=B\"></noscript>";
        let link = "<noscript><p>JavaScript is switched off, so your browser waits instead: the site can be opened after \
                    5 seconds.</p>\n<p><a href=\"/solve?t=A&amp;u=B\">Open the site</a></p></noscript>";
        let (by_itself, by_hand) = (page("a.test", false), page("a.test", true));
        assert!(by_itself.contains(refresh) && by_itself.contains(link), "{by_itself}");
        assert!(!by_hand.contains("refresh") && by_hand.contains(link), "{by_hand}");
    }

    #[test]
    fn a_person_is_asked_where_one_must_be_there() {
        let page = page("a.test", true);
        assert!(page.contains("<button id=\"go\" hidden>Yes, I want to open this site</button>"), "{page}");
    }

    #[test]
    fn the_script_needs_nothing_that_is_missing_over_http() {
        for missing in ["crypto", "fetch(", "=>", "let ", "const ", "async", "Worker"] {
            assert!(!SCRIPT.contains(missing), "{missing}");
        }
    }
}
