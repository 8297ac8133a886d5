use std::collections::HashMap;

use crate::evidence::{Beat, FindingId, FindingKind};
use crate::review::BadSaid;

use super::*;

const WRITTEN: Timestamp = Timestamp(1_795_568_400_000_000);
const HOSTILE: &str = "<script>alert('1')</script>\"&\u{202e}\u{1b}[2J";

fn beat(strip: &[f64]) -> Beat {
    Beat {
        period_seconds: 300.0,
        low_seconds: 290.0,
        high_seconds: 310.0,
        hits: 30,
        gaps: strip.len() as u32,
        multiples: 0,
        strip: strip.to_vec(),
    }
}

fn finding(kind: FindingKind, severity: Severity, client: &str, target: &str) -> Finding {
    let numbers = [("weight", f64::from(1.2_f32)), ("bytes", 245_760.0)];
    Finding {
        id: FindingId::new(kind, client, target),
        kind,
        severity,
        score: 6.5,
        client: client.into(),
        target: target.into(),
        port: 443,
        first: Timestamp(WRITTEN.0 - 86_400_000_000),
        last: WRITTEN,
        requests: 288,
        denied: 3,
        beat: Some(beat(&[0.0, 299.0, 300.5, 1_200.0, f64::INFINITY])),
        grounds: vec![Ground::new("executable", &numbers, format!("named {target}"), format!("名前は{target}"))],
        rarity: Some(Rarity { clients: 1, of: 40, known_seconds: 86_400 }),
        records: [7, 2_000],
    }
}

fn log(name: &str) -> LogRead {
    LogRead {
        log: name.to_owned(),
        format: Some("squid"),
        zones: vec!["UTC".to_owned(), "+09:00".to_owned()],
        lines: 1_000,
        told: 990,
        bad: 10,
        sample: vec![BadSaid { line: 4, reason: "it has no time".to_owned(), begins: HOSTILE.to_owned() }],
        stopped: None,
    }
}

/// A page of one finding.
fn page_of(finding: Finding) -> String {
    hunt_page(&Hunted { findings: vec![finding], logs: vec![log("access.log")], ..Hunted::default() }, WRITTEN)
}

/// Fails where an element is not closed, or closed by another.
#[track_caller]
fn assert_balanced(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let (_, mut rest) = page.split_once("<html").map(|(before, _)| page.split_at(before.len())).unwrap();
    while let Some((text, tag)) = rest.split_once('<') {
        assert!(!text.contains('>') || open.last() == Some(&"style"), "{text}");
        let (tag, behind) = tag.split_once('>').unwrap();
        rest = behind;
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if name != "meta" && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest == "\n", "{open:?} {rest}");
}

#[test]
fn a_page_says_of_a_finding_all_that_a_person_asks() {
    let finding = finding(FindingKind::Carrier, Severity::High, "10.0.0.7", "c2.example");
    let page = page_of(finding.clone());
    assert_balanced(&page);
    for part in [
        "1 finding, 1 of them high",
        "検出1件、うち「高」1件",
        "<span class=\"badge high\">high <span lang=\"ja\">高</span></span>",
        "carrier <span lang=\"ja\">不審な取得ファイル</span>",
        "initial intrusion <span lang=\"ja\">初期潜入</span>",
        "<bdi>10.0.0.7</bdi> → <bdi>c2.example</bdi>:443",
        "<dd>6.5</dd>",
        "<time>2026-11-24 01:00:00 UTC</time>",
        "<dd>1 / 40</dd>",
        "<li><code>executable</code> <span>weight <b>1.2</b></span> <span>bytes <b>245760</b></span></li>",
        "access.log",
        "squid",
        "UTC, +09:00",
        "<td class=\"number\">1000</td>",
        "<b>4</b> it has no time",
        "The last 5 gaps, the oldest on the left; shaded: 4.8 min to 5.2 min",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    for sentence in [finding.in_english(), finding.in_japanese()] {
        assert!(page.contains(&sentence), "{sentence}");
    }
    assert_eq!(page.matches("<circle").count(), 5);
    assert_eq!(page.matches("<circle class=\"in\"").count(), 2);
    assert!(!page.contains("NaN") && !page.contains("inf\""), "{page}");
    let id = finding.id.to_string();
    assert!(page.contains(&format!("href=\"#f{id}\"")) && page.contains(&format!("<article id=\"f{id}\"")));
}

#[test]
fn nothing_that_others_chose_becomes_part_of_the_page_itself() {
    let mut hostile = finding(FindingKind::Beacon, Severity::Low, HOSTILE, HOSTILE);
    hostile.target = HOSTILE.into();
    let mut read = log(HOSTILE);
    read.zones = vec![HOSTILE.to_owned()];
    read.stopped = Some(HOSTILE.to_owned());
    read.sample[0].reason = HOSTILE.to_owned();
    let page = hunt_page(&Hunted { findings: vec![hostile], logs: vec![read], ..Hunted::default() }, WRITTEN);
    assert_balanced(&page);
    assert!(!page.contains("<script") && !page.contains("alert('") && !page.contains('\u{202e}'));
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
    let escaped = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;\\u{202e}\\u{1b}[2J";
    assert!(page.matches(escaped).count() > 8, "{page}");
}

#[test]
fn a_page_names_nothing_outside_itself_and_its_style_is_the_one_that_is_let_in() {
    let page = page_of(finding(FindingKind::Beacon, Severity::Medium, "10.0.0.7", "c2.example"));
    for outside in ["http:", "https:", "//", "src=", "url(", "@import", "<script", "<link", "<iframe", "style="] {
        assert!(!page.contains(outside), "{outside}");
    }
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = BASE64.encode(&Sha256::digest(style));
    assert!(page.contains(&format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'")));
    assert!(page.starts_with(PAGE_BEGINS));
}

#[test]
fn pages_of_nothing_of_every_kind_and_of_too_much_are_whole() {
    let empty = hunt_page(&Hunted::default(), WRITTEN);
    assert_balanced(&empty);
    assert!(empty.contains("Nothing was found.") && empty.contains("検出はありません。"));
    let every = FindingKind::ALL.iter().map(|kind| finding(*kind, Severity::Low, "10.0.0.7", "")).collect();
    let page = hunt_page(&Hunted { findings: every, ..Hunted::default() }, WRITTEN);
    assert_balanced(&page);
    assert_eq!(page.matches("<article").count(), FindingKind::ALL.len());
    let many = |number: usize| finding(FindingKind::Beacon, Severity::Low, &number.to_string(), "c2.example");
    let counts = Counts { events: 9, pairs_evicted: 3, ..Counts::default() };
    let logs = (0..LOGS_MAX + 2).map(|number| log(&number.to_string())).collect();
    let findings: Vec<Finding> = (0..FINDINGS_MAX + 5).map(many).collect();
    let page = hunt_page(&Hunted { findings, counts, logs, ..Hunted::default() }, WRITTEN);
    assert_balanced(&page);
    assert_eq!(page.matches("<article").count(), FINDINGS_MAX);
    for part in
        ["1005 findings, 0 of them high", "5 less pressing findings", "2 more logs", "上限で忘れた組</span></dt><dd>3"]
    {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_picture_of_gaps_of_any_length_stays_in_its_frame() {
    for strip in [&[][..], &[0.0], &[f64::NAN, -1.0, f64::MAX], &[1.0; 300], &[1e-9, 1e9]] {
        let mut text = String::new();
        picture(&mut text, &beat(strip));
        assert_balanced(&format!("<html>{text}</html>\n"));
        assert_eq!(text.matches("<circle").count(), strip.len().min(256));
        for part in text.split("cy=\"").skip(1) {
            let y: f64 = part.split_once('"').unwrap().0.parse().unwrap();
            assert!((0.0..=160.0).contains(&y), "{text}");
        }
        assert!(text.contains("<text"), "the scale has a mark at least: {text}");
    }
}

/// The relative luminance of a colour (WCAG 2.2, "relative luminance").
fn luminance(colour: &str) -> f64 {
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

#[test]
fn all_text_has_the_contrast_of_level_aa_in_light_and_in_dark() {
    let (light, dark) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let dark = dark.split_once("}\n}").unwrap().0;
    for block in [light, dark] {
        let colours: HashMap<&str, &str> = block
            .split([';', '{'])
            .filter_map(|part| part.trim().strip_prefix("--")?.split_once(": "))
            .filter(|(_, colour)| colour.len() == 7)
            .collect();
        for (text, ground, least) in [
            ("text", "ground", 4.5),
            ("text", "panel", 4.5),
            ("muted", "ground", 4.5),
            ("muted", "panel", 4.5),
            ("link", "ground", 4.5),
            ("on-high", "high", 4.5),
            ("on-medium", "medium", 4.5),
            ("on-low", "low", 4.5),
            // Of what is no text (success criterion 1.4.11).
            ("dot", "panel", 3.0),
            ("dot", "window", 3.0),
        ] {
            let (a, b) = (luminance(colours[text]), luminance(colours[ground]));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= least, "{text} on {ground}: {contrast:.2}");
        }
    }
}

#[test]
fn stories_stand_on_the_page_with_links_to_what_they_rest_on_and_are_escaped() {
    let findings = vec![
        finding(FindingKind::Beacon, Severity::High, "10.0.0.5", "c2.example"),
        finding(FindingKind::SmallUploads, Severity::Medium, "10.0.0.5", HOSTILE),
    ];
    let stories = crate::detect::stories(&findings);
    assert_eq!(stories.len(), 1);
    let page = hunt_page(&Hunted { findings: findings.clone(), stories, ..Hunted::default() }, WRITTEN);
    assert!(page.contains("Stories of clients <span lang=\"ja\">端末ごとの経緯</span>"), "{page}");
    assert!(page.contains("beacon (c2.example)") && page.contains("到達段階：基盤構築・遂行。"), "{page}");
    for finding in &findings {
        assert_eq!(page.matches(&format!("href=\"#f{}\"", finding.id)).count(), 2, "in the table and in the story");
    }
    assert!(!page.contains("<script") && !page.contains('\u{202e}'));
    let none = page_of(finding(FindingKind::Beacon, Severity::High, "10.0.0.5", "c2.example"));
    assert!(!none.contains("Stories of clients"));
}
