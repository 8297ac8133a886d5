use proptest::prelude::*;

use super::*;

/// State, client, address, port, protocol and rule of a line that tells of a flow.
fn told(line: &str) -> String {
    match read_firewall_line(line.as_bytes()) {
        FirewallLine::Flow(Seen { key, .. }) => {
            let text = |one: Option<String>| one.unwrap_or_else(|| "-".to_owned());
            let state = serde_json::to_value(key.state).unwrap();
            [
                state.as_str().unwrap_or("-").to_owned(),
                text(key.client.map(|one| one.to_string())),
                text(key.address.map(|one| one.to_string()).or(key.host.map(|host| host.as_str().to_owned()))),
                text(key.port.map(|one| one.to_string())),
                text(key.protocol.map(|one| one.to_string())),
                text(key.rule.map(|one| one.as_str().to_owned())),
            ]
            .join(" ")
        }
        FirewallLine::Raw(_) => "raw".to_owned(),
        FirewallLine::Nothing => "nothing".to_owned(),
    }
}

#[test]
fn lines_of_the_kernel_are_read_with_any_header_and_prefix() {
    for (line, expected) in [
        (
            "<4>Nov 25 10:00:00 gw kernel: [12345.678901] sekisho:refused:out-tcp IN=inside OUT=outside MAC=aa:bb SRC=10.20.0.2 DST=11.77.0.80 LEN=60 TOS=0x00 TTL=63 ID=1 DF PROTO=TCP SPT=40000 DPT=4444 WINDOW=64240 RES=0x00 SYN URGP=0",
            "refused 10.20.0.2 11.77.0.80 4444 tcp out-tcp",
        ),
        (
            "<4>1 2026-11-25T10:00:00.123456+09:00 gw kernel - - - [UFW BLOCK] IN=eth0 OUT= SRC=fd20::2 DST=2001:db8::1 LEN=72 PROTO=UDP SPT=5353 DPT=53 LEN=32",
            "dropped fd20::2 2001:db8::1 53 udp [UFW BLOCK]",
        ),
        (
            "IN=eth0 OUT=eth1 SRC=10.0.0.1 DST=10.0.0.2 PROTO=ICMP TYPE=3 CODE=3 [SRC=10.0.0.2 DST=9.9.9.9 PROTO=UDP SPT=1 DPT=2 ]",
            "- 10.0.0.1 10.0.0.2 - icmp -",
        ),
        (
            "kernel: REJECT: IN= OUT=lo SRC=::ffff:10.0.0.1 DST=10.0.0.2 PROTO=ESP",
            "refused 10.0.0.1 10.0.0.2 - 50 REJECT:",
        ),
        ("kernel: ACCEPT IN=a OUT=b SRC=10.0.0.1 DST=10.0.0.2 PROTO=47", "established 10.0.0.1 10.0.0.2 - 47 ACCEPT"),
        ("kernel: IN=a OUT=b SRC=nowhere DST=10.0.0.1 PROTO=TCP DPT=99999", "raw"),
    ] {
        assert_eq!(told(line), expected, "{line}");
    }
}

#[test]
fn lines_of_keys_and_values_are_read_by_their_common_names() {
    for (line, expected) in [
        (
            r#"<189>date=2026-11-25 time=10:00:00 devname="fg 1" logid="0000000013" type="traffic" srcip=10.1.1.5 srcport=50000 srcintf="lan" dstip=203.0.113.9 dstport=443 dstintf="wan1" policyid=7 proto=6 action="deny" policyname="no \"direct\" way" service="HTTPS" sentbyte=0 rcvdbyte=0"#,
            r#"dropped 10.1.1.5 203.0.113.9 443 tcp no \"direct\" way"#,
        ),
        (
            "<134>Nov 25 10:00:00 fw CEF:0|V|P|1|100|traffic|5|src=10.1.1.5 spt=1 dst=203.0.113.9 dpt=22 proto=TCP act=blocked rule=r1",
            "dropped 10.1.1.5 203.0.113.9 22 tcp r1",
        ),
        (
            "id=firewall sn=0 time=\"2026-11-25 10:00:00\" src=10.1.1.5:50000:X0 dst=203.0.113.9:25:X1 proto=tcp/smtp",
            "- 10.1.1.5 203.0.113.9 25 tcp -",
        ),
        ("src=[fd00::1]:5 dst=[2001:db8::1]:443 protocol=17 action=reset-both", "reset fd00::1 2001:db8::1 443 udp -"),
        ("src=10.1.1.5 dst=c2.example dpt=8443 action=permit", "established 10.1.1.5 c2.example 8443 - -"),
        (
            "<134>1 2026-11-25T10:00:00Z fw app 1 id [x@1 src=\"10.1.1.5\" dst=\"203.0.113.9\" act=\"reject\"] text",
            "refused 10.1.1.5 203.0.113.9 - - -",
        ),
        ("src=10.1.1.5 user=tanaka", "raw"),
        ("dst=10.1.1.5", "raw"),
        ("<13>Nov 25 10:00:00 host sshd[1]: Failed password for root", "raw"),
        ("", "nothing"),
        (" \r\n", "nothing"),
    ] {
        assert_eq!(told(line), expected, "{line}");
    }
}

#[test]
fn bytes_and_packets_are_those_that_the_line_counts() {
    let line = b"srcip=10.1.1.5 dstip=203.0.113.9 sentbyte=180 rcvdbyte=5000 sentpkt=3 rcvdpkt=2 action=close";
    let FirewallLine::Flow(seen) = read_firewall_line(line) else { panic!() };
    assert_eq!((seen.bytes_up, seen.bytes_down, seen.packets), (Some(180), Some(5000), Some(5)));
    assert_eq!(seen.key.state, Some(FlowState::Closed));
}

#[test]
fn what_cannot_be_read_is_kept_bounded() {
    let line = [b"\xff\x1b[2J".to_vec(), vec![b'x'; 100_000]].concat();
    let FirewallLine::Raw(seen) = read_firewall_line(&line) else { panic!() };
    let raw = seen.key.raw.unwrap();
    assert!(raw.as_str().starts_with('ÿ') && raw.as_str().len() < 1100, "{}", raw.as_str().len());
}

fn framed(bytes: &[u8], step: usize) -> Vec<(String, bool)> {
    let (mut frames, mut all) = (Frames::default(), Vec::new());
    let mut each = |frame: Frame<'_>| all.push((String::from_utf8_lossy(frame.bytes).into_owned(), frame.is_cut));
    for part in bytes.chunks(step) {
        frames.take(part, &mut each);
    }
    frames.end(&mut each);
    all
}

#[test]
fn messages_with_lengths_and_with_line_ends_are_told_apart_however_they_arrive() {
    let stream = b"5 <1>a\n<2>line\r\n\n11 <3>a\nb\nc de7 <4>last2026-11-25 x\n<5>unended";
    let expected = [
        ("<1>a\n", false),
        ("<2>line\r", false),
        ("<3>a\nb\nc de", false),
        ("<4>last", false),
        ("2026-11-25 x", false),
    ];
    let mut expected: Vec<_> = expected.iter().map(|(text, cut)| ((*text).to_owned(), *cut)).collect();
    expected.push(("<5>unended".to_owned(), false));
    for step in 1..stream.len() {
        assert_eq!(framed(stream, step), expected, "{step}");
    }
}

#[test]
fn a_message_that_is_too_long_is_cut_and_the_next_one_is_read() {
    let long = FRAME_BYTES_MAX + 10;
    let stream = [format!("<1>{}\n", "x".repeat(long)), format!("{long} {}", "y".repeat(long)), "<2>a\n".to_owned()];
    let read = framed(stream.concat().as_bytes(), 1000);
    assert_eq!(
        read.iter().map(|(text, cut)| (text.len(), *cut)).collect::<Vec<_>>(),
        [(FRAME_BYTES_MAX, true), (FRAME_BYTES_MAX, true), (4, false)]
    );
    assert_eq!(framed(b"100 ended early", 3), [("ended early".to_owned(), true)]);
    assert_eq!(framed(b"12345678 line\n", 3), [("12345678 line".to_owned(), false)]);
}

proptest! {
    #[test]
    fn how_a_stream_is_cut_up_changes_nothing(
        bytes in prop::collection::vec(prop::sample::select(b"12 <>\n\0ax".to_vec()), 0..200), step in 1_usize..9,
    ) {
        prop_assert_eq!(framed(&bytes, step), framed(&bytes, usize::MAX));
    }
}
