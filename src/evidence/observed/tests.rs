use super::*;
use crate::evidence::read_record;

/// A line of the journal with these members behind the common ones.
fn line(kind: &str, members: &str) -> Vec<u8> {
    let comma = if members.is_empty() { "" } else { "," };
    format!(
        r#"{{"v":1,"seq":9,"gate":"g","time":"2026-11-25T01:00:00.123456Z","kind":"{kind}"{comma}{members},"h":"00"}}"#
    )
    .into_bytes()
}

fn observed<T>(kind: &str, members: &str, look: impl FnOnce(Option<Observed<'_>>) -> T) -> T {
    let line = line(kind, members);
    look(Observed::of(&read_record(&line).unwrap()))
}

fn exchange<T>(members: &str, look: impl FnOnce(Observed<'_>) -> T) -> T {
    observed("exchange", &format!(r#""event":"close",{members}"#), |seen| look(seen.unwrap()))
}

#[test]
fn all_that_a_line_says_is_taken_as_it_stands_there() {
    let members = r#""event":"open","id":"00000000007","inside":"0000000000A","client":"10.0.0.1","user":"a\u001bb","user_agent":"curl/8","method":"GET","scheme":"https","host":"a.example","port":8443,"path":"/x","verdict":"allow","reason":"rule","sni":"b.example","ja4":"t13d","tls_key":"stable","grounds":["tls_key","tls_ech","connect_host","what"],"carries":"tls","dialled":"192.0.2.1:8443","status":204,"content_type":"text/plain","body_type":"pe","body_sha256":"00ff","file_name":"a\u202eb.exe","bytes_up":1,"bytes_down":18446744073709551615,"total_us":77,"closed_by":"gate","closed_how":"idle_limit""#;
    let expected = Observed {
        time: Timestamp(1_795_568_400_123_456),
        part: Part::Begun,
        id: 7,
        inside: 10,
        line: 9,
        what: Asked::Request,
        client: "10.0.0.1",
        user: "a\u{1b}b",
        host: "a.example",
        port: 8443,
        address: "192.0.2.1:8443",
        protocol: "",
        method: "GET",
        path: "/x",
        user_agent: "curl/8",
        tls_key: "stable",
        contradictions: 2,
        standing: Shown::Unasked,
        sni: "b.example",
        carries: "tls",
        verdict: Verdict::Allowed,
        reason: "rule",
        failure: Failure::None,
        status: 204,
        content_type: "text/plain",
        body_type: "pe",
        body_sha256: "00ff",
        file_name: "a\u{202e}b.exe",
        bytes_up: Some(1),
        bytes_down: Some(u64::MAX),
        duration_us: Some(77),
        cut: true,
        closed_how: "idle_limit",
    };
    observed("exchange", members, |seen| assert_eq!(seen, Some(expected)));
}

#[test]
fn what_a_line_does_not_say_is_empty_and_not_guessed() {
    let expected =
        Observed { time: Timestamp(1_795_568_400_123_456), part: Part::Ended, line: 9, ..Observed::default() };
    observed("exchange", r#""event":"close""#, |seen| assert_eq!(seen, Some(expected)));
    exchange(r#""id":"not an id","inside":"0000000000I""#, |seen| assert_eq!((seen.id, seen.inside), (0, 0)));
}

#[test]
fn each_kind_of_line_is_its_part_of_an_exchange_and_others_are_none() {
    for (kind, event, part) in [
        ("exchange", "open", Some(Part::Begun)),
        ("exchange", "waiting", Some(Part::Waits)),
        ("exchange", "established", Some(Part::Shown)),
        ("exchange", "first_bytes", Some(Part::Shown)),
        ("exchange", "close", Some(Part::Ended)),
        ("exchange", "refused", Some(Part::Whole)),
        ("exchange", "answered", Some(Part::Whole)),
        ("exchange", "", None),
        ("progress", "", Some(Part::Going)),
        ("challenge", "", Some(Part::Shown)),
        ("finding", "", None),
        ("gap", "", None),
        ("own", "", None),
        ("a_kind_of_later", "", None),
    ] {
        let event = if event.is_empty() { r#""id":"00000000007""# } else { &format!(r#""event":"{event}""#) };
        observed(kind, event, |seen| assert_eq!(seen.map(|seen| seen.part), part, "{kind} {event}"));
    }
}

#[test]
fn what_the_gate_has_clients_ask_of_itself_is_nothing_to_look_at() {
    for (reason, is_seen) in [("next_authority", false), ("needs_inner_request", true)] {
        let members = format!(r#""event":"open","client":"10.0.0.1","host":"a.example","reason":"{reason}""#);
        observed("exchange", &members, |seen| assert_eq!(seen.is_some(), is_seen, "{reason}"));
    }
}

#[test]
fn a_connect_and_the_progress_of_one_are_tunnels_and_what_is_read_inside_is_none() {
    for (kind, scheme, what) in [
        ("exchange", "tunnel", Asked::Tunnel),
        ("exchange", "http", Asked::Request),
        ("exchange", "https", Asked::Request),
        ("progress", "", Asked::Tunnel),
    ] {
        observed(kind, &format!(r#""event":"open","scheme":"{scheme}""#), |seen| {
            assert_eq!(seen.unwrap().what, what, "{kind} {scheme}");
        });
    }
}

#[test]
fn what_would_have_been_decided_counts_before_what_was() {
    for (members, verdict) in [
        (r#""verdict":"allow""#, Verdict::Allowed),
        (r#""verdict":"challenge""#, Verdict::Challenged),
        (r#""verdict":"deny""#, Verdict::Denied),
        (r#""verdict":"allow","would":"deny""#, Verdict::Denied),
        (r#""verdict":"allow","would":"challenge""#, Verdict::Challenged),
        (r#""would":"deny""#, Verdict::Denied),
        (r#""status":200"#, Verdict::Allowed),
    ] {
        exchange(members, |seen| assert_eq!(seen.verdict, verdict, "{members}"));
    }
}

#[test]
fn a_program_has_shown_what_the_last_word_on_it_says() {
    for (members, standing) in [
        (r#""standing":"cleared""#, Shown::Cleared),
        (r#""standing":"uncleared""#, Shown::Uncleared),
        (r#""standing":"uncleared","reason":"mimic""#, Shown::Mimic),
        (r#""standing":"cleared","reason":"mimic""#, Shown::Mimic),
        (r#""outcome":"returned""#, Shown::Cleared),
        (r#""outcome":"solved""#, Shown::Cleared),
        (r#""outcome":"cleared""#, Shown::Cleared),
        (r#""outcome":"did_not_return""#, Shown::Failed),
        (r#""outcome":"not_solved""#, Shown::Failed),
        (r#""reason":"rule""#, Shown::Unasked),
    ] {
        exchange(members, |seen| assert_eq!(seen.standing, standing, "{members}"));
    }
}

#[test]
fn why_nothing_was_reached_is_told_apart_and_an_end_is_no_failure() {
    for (how, failure) in [
        ("dns_failed", Failure::NoName),
        ("connect_failed", Failure::Refused),
        ("connect_timeout", Failure::Unanswered),
        ("tls_failed", Failure::Other),
        ("parent_unreachable", Failure::Other),
        ("parent_timeout", Failure::Other),
        ("parent_cannot_reach", Failure::Other),
        ("closed", Failure::None),
        ("reset", Failure::None),
    ] {
        let members = format!(r#""closed_how":"{how}","closed_by":"origin""#);
        exchange(&members, |seen| assert_eq!((seen.failure, seen.cut), (failure, false), "{how}"));
    }
}

#[test]
fn the_stable_key_of_a_program_counts_before_its_ja4() {
    exchange(r#""ja4":"t13d""#, |seen| assert_eq!(seen.tls_key, "t13d"));
    exchange(r#""ja4":"t13d","tls_key":"stable""#, |seen| assert_eq!(seen.tls_key, "stable"));
}

#[test]
fn what_does_not_fit_is_counted_by_where_it_shows() {
    for (grounds, count) in
        [(r#""g""#, 0), (r#""tls_key","tls_ech""#, 1), (r#""tls_key","plain_order","inner_window""#, 3)]
    {
        exchange(&format!(r#""grounds":[{grounds}]"#), |seen| assert_eq!(seen.contradictions, count, "{grounds}"));
    }
}

#[test]
fn bursts_are_read_from_the_line_and_what_is_no_burst_is_refused() {
    let bursts = |text: &str| {
        let line = line("progress", &format!(r#""id":"00000000007","bursts":{text}"#));
        read_record(&line).map(|read| read.bursts).ok()
    };
    let burst = |after_cs, up, down| Burst { after_cs, up, down };
    assert_eq!(bursts("[[1,2,3],[4294967295,0,0]]"), Some(vec![burst(1, 2, 3), burst(u32::MAX, 0, 0)]));
    for bad in ["[[1,2]]", "[[1,2,3,4]]", "[[-1,2,3]]", "[[1,2,4294967296]]", "[1,2,3]", "null"] {
        assert_eq!(bursts(bad), None, "{bad}");
    }
}
