//! Programs, scripts and archives that are not what they seem, or come from strangers.

use crate::evidence::{Finding, FindingKind, Part, Severity, Shown};

use super::traffic::{DAY, Entry, More, Source, found, log};

const PC: &str = "10.0.0.5";
const BROWSER: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
const KNOWN: &str = "download.example.net";
const NEW: &str = "files.example.org";

/// Nine days in which sixty clients go to a place that all know.
fn office() -> Vec<Entry> {
    let visit = |day: u32, client: u32| {
        let at = f64::from(day) * DAY + f64::from(client) * 600.0;
        let more = More { user_agent: BROWSER, ..More::default() };
        Entry { more, ..Entry::request(at, &format!("10.0.1.{client}"), KNOWN) }
    };
    (0..9).flat_map(|day| (0..60).map(move |client| visit(day, client))).collect()
}

fn hash() -> String {
    "0123456789abcdef".repeat(4)
}

/// A body on the ninth day, as the two records of its exchange tell of it.
fn fetched(host: &str, more: More) -> Vec<Entry> {
    let begun = More { user_agent: more.user_agent, standing: more.standing, ..More::default() };
    let more = More { user_agent: "", bytes_down: Some(245_760), status: 200, ..more };
    let part = |after: f64, part: Part, more: More| Entry {
        part,
        id: 9,
        more,
        port: 80,
        ..Entry::request(8.5 * DAY + after, PC, host)
    };
    vec![part(0.0, Part::Begun, begun), part(2.0, Part::Ended, more)]
}

fn told(parts: Vec<Entry>) -> Vec<Finding> {
    let mut findings = found(&log([office(), parts]));
    findings.retain(|finding| finding.kind == FindingKind::Carrier);
    findings
}

/// What speaks against a body, and how pressing that is; nothing where it is not told of.
fn judged(host: &str, more: More) -> (Vec<&'static str>, Option<Severity>) {
    let findings = told(fetched(host, more));
    assert!(findings.len() <= 1, "{findings:?}");
    let codes = findings.iter().flat_map(|finding| finding.grounds.iter().map(|ground| ground.ground)).collect();
    (codes, findings.first().map(|finding| finding.severity))
}

/// A body with its stated type and its name, fetched by a browser.
fn body(body_type: &'static str, content_type: &'static str, file_name: &str) -> More {
    let file_name = file_name.to_owned();
    More { user_agent: BROWSER, body_type, content_type, file_name, body_sha256: hash(), ..More::default() }
}

#[test]
fn a_program_that_is_said_to_be_a_picture_is_told_with_all_by_which_it_can_be_looked_for() {
    let more = More { user_agent: "curl/8.9.1", ..body("pe", "image/png", "logo.png") };
    let findings = told(fetched(NEW, more));
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!((&*finding.client, &*finding.target, finding.port), (PC, NEW, 80));
    assert_eq!((finding.severity, finding.kind.stage().as_str()), (Severity::High, "initial_intrusion"));
    assert_eq!(finding.number("executable", "bytes"), Some(245_760.0));
    assert_eq!(
        finding.in_english(),
        "fetched a program (pe) of 240.0 KiB, stated as image/png, named \"logo.png\", SHA-256 \
         0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef; its bytes are not what its Content-Type says; \
         its host was new here (this network is watched for 8.5 d); the program that fetched it is no browser; \
         1 of 61 clients talk to it, known here for 2.0 s."
    );
    assert_eq!(
        finding.in_japanese(),
        "プログラム（pe）を取得、大きさ240.0 KiB、Content-Typeはimage/png、ファイル名「logo.png」、SHA-256 \
         0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef。内容がContent-Typeの示す種類と異なる。\
         この網で初めて見る取得元（監視期間8.5日）。取得したのはブラウザではないプログラム。\
         61台中1台が通信、この網では2.0秒前から。"
    );
}

#[test]
fn what_package_managers_updaters_and_people_fetch_every_day_is_let_be() {
    let by = |user_agent: &'static str, more: More| More { user_agent, ..more };
    for (host, more) in [
        // A person with a browser, from where all go.
        (KNOWN, body("pe", "application/x-msdownload", "setup.exe")),
        (KNOWN, body("pe", "application/octet-stream", "")),
        (KNOWN, body("gzip", "application/gzip", "source.tar.gz")),
        (KNOWN, body("zip", "text/plain", "notes.zip")),
        (NEW, body("zip", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "報告.docx")),
        // Programs that fetch.
        (KNOWN, by("Debian APT-HTTP/1.3 (2.6.1)", body("deb", "application/vnd.debian.binary-package", "vim.deb"))),
        (KNOWN, by("pip/24.0", body("zip", "application/octet-stream", "wheel-1.0-py3-none-any.whl"))),
        (KNOWN, by("npm/10.2.4 node/v20", body("gzip", "application/octet-stream", "left-pad-1.0.0.tgz"))),
        (NEW, by("npm/10.2.4 node/v20", body("gzip", "application/octet-stream", "left-pad-1.0.0.tgz"))),
        (KNOWN, by("Updater/2", body("pe", "application/octet-stream", "update-3.exe"))),
        (KNOWN, by("curl/8.9.1", body("script", "text/plain", "install.sh"))),
        // What a page is made of.
        (NEW, body("text", "text/javascript", "report.pdf.js")),
        (NEW, body("png", "image/png", "a.png")),
        (NEW, body("pdf", "application/pdf", "\u{202a}שלום.pdf\u{202c}")),
    ] {
        let said = format!("{more:?}");
        assert_eq!(judged(host, more), (vec![], None), "{host}: {said}");
    }
}

#[test]
fn each_thing_that_speaks_against_a_body_counts() {
    use Severity::{High, Low, Medium};
    let by = |user_agent: &'static str, more: More| More { user_agent, ..more };
    let standing = |standing: Shown, more: More| More { standing, ..more };
    let program = || body("pe", "application/octet-stream", "setup.exe");
    for (host, more, codes, severity) in [
        (NEW, program(), vec!["executable", "stranger"], Low),
        (NEW, by("certutil", program()), vec!["executable", "stranger", "no_browser"], Medium),
        (KNOWN, standing(Shown::Mimic, program()), vec!["executable", "mimic"], Low),
        ("203.0.113.9", program(), vec!["executable", "stranger", "address_literal"], Medium),
        ("abc123.ngrok-free.app", program(), vec!["executable", "tunnel", "stranger"], Medium),
        (KNOWN, body("elf", "image/gif", ""), vec!["executable", "other_type"], Medium),
        (KNOWN, body("elf", "text/plain", ""), vec!["executable", "other_type"], Low),
        (KNOWN, body("script", "image/jpeg", ""), vec!["script", "other_type"], Low),
        (NEW, by("", body("zip", "image/png", "")), vec!["archive", "other_type", "stranger", "no_browser"], Medium),
        (KNOWN, body("pe", "", "invoice.pdf.exe"), vec!["executable", "double_extension"], Medium),
        // Under a coding of HTTP nobody sees what it is, but its name.
        (KNOWN, body("encoded", "", "invoice.pdf   .scr"), vec!["file", "double_extension"], Low),
        (KNOWN, body("pe", "image/png", "\u{202e}gnp.exe"), vec!["executable", "turned_name", "other_type"], High),
        (KNOWN, body("text", "", "\u{202e}fdp.vbs"), vec!["file", "turned_name"], Low),
    ] {
        let said = format!("{more:?}");
        assert_eq!(judged(host, more), (codes, Some(severity)), "{host}: {said}");
    }
}

#[test]
fn a_name_that_turns_is_shown_as_it_is_written_and_a_long_one_by_its_end() {
    let findings = told(fetched(KNOWN, body("pe", "image/png", "report\u{202e}fdp.exe")));
    assert!(findings[0].in_english().contains("named \"report\\u{202e}fdp.exe\""), "{}", findings[0].in_english());
    let long = format!("{}.pdf.exe", "語".repeat(80));
    let more = More { body_sha256: String::new(), ..body("pe", "image/png", &long) };
    let findings = told(fetched(KNOWN, more));
    let english = findings[0].in_english();
    assert!(
        english.contains("named \"…語") && english.contains("語.pdf.exe\", which did not come whole;"),
        "{english}"
    );
    assert!(english.len() < 800, "{english}");
}

#[test]
fn another_program_from_the_same_host_is_told_of_if_more_speaks_against_it() {
    let first = fetched(NEW, body("pe", "application/octet-stream", "a.exe"));
    let again = |more: More| {
        let later = |mut entry: Entry| {
            (entry.id, entry.time) = (10, entry.time + 60_000_000);
            entry
        };
        let second = fetched(NEW, more).into_iter().map(later).collect();
        let entries = log([office(), first.clone(), second]);
        let mut findings = super::traffic::told_of(&entries, crate::detect::Limits::LIVE);
        findings.retain(|finding| finding.kind == FindingKind::Carrier);
        findings.iter().map(|finding| finding.severity).collect::<Vec<_>>()
    };
    assert_eq!(again(body("pe", "application/octet-stream", "b.exe")), [Severity::Low]);
    assert_eq!(again(body("pe", "image/png", "b.exe")), [Severity::Low, Severity::Medium]);
}

#[test]
fn disguised_programs_are_found_and_plain_downloads_are_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    for _ in 0..40 {
        let program = ["pe", "elf", "macho", "class", "lnk"][source.below(5)];
        let host = [KNOWN.to_owned(), format!("h{}.example.org", source.below(999))][source.below(2)].clone();
        let is_disguised = source.below(2) == 0;
        let more = if is_disguised {
            let stated = ["image/png", "image/jpeg", "text/html", "text/css", "video/mp4"][source.below(5)];
            More { user_agent: ["", "curl/8.9.1", BROWSER][source.below(3)], ..body(program, stated, "a.bin") }
        } else {
            let what = ["gzip", "zip", "xz", "deb", "pdf", "png", "text"][source.below(7)];
            More {
                user_agent: ["pip/24.0", BROWSER][source.below(2)],
                ..body(what, "application/octet-stream", "a.bin")
            }
        };
        let findings = told(fetched(&host, more));
        assert_eq!(!findings.is_empty(), is_disguised, "seed {seed}: {host} {findings:?}");
    }
}
