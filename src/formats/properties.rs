//! What must hold for any bytes at all. Fuzz targets call this and so do tests; the gate does not.

use std::net::IpAddr;

use super::*;
use crate::evidence::{Asked, Chain, DeviceSource, Flow, FlowKey, Kind, Noted, Record, Seen, read_noted, read_record};
use crate::facts::Timestamp;

/// Any bytes as the lines of a log. Panics when one of these does not hold.
///
/// Every line is counted once, and as what it was said to be. What a line told is bounded by the line, its host has
/// the form of our records, and its client is said. Written as other programs write it, it is read back. An attempt to
/// connect is one line on record, and its two ends and port are read back from it. What is kept of bad lines is bounded and safe to look at.
pub fn lines(bytes: &[u8]) {
    let mut reader = Reader::new();
    let mut count = Tally::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        count.lines += 1;
        match reader.read(line) {
            Line::Observed(observed) => {
                count.observed += 1;
                assert_eq!(observed.line, count.lines);
                told(&observed, line.len());
            }
            Line::Journal => count.journal += 1,
            Line::Passed => count.passed += 1,
            Line::Bad(_) => count.bad += 1,
        }
        assert_eq!(reader.tally(), count);
    }
    assert!(reader.sample().len() <= SAMPLE_MAX && reader.sample().len() as u64 <= count.bad);
    for bad in reader.sample() {
        assert!((1..=count.lines).contains(&bad.line) && bad.begins.len() < 120 * 12);
        assert!(!bad.begins.contains(char::is_control), "{}", bad.begins.escape_debug());
    }
    assert!(reader.zones().seen().len() <= 8);
}

/// Any bytes as lines that a firewall sends by syslog. Panics when one of these does not hold.
///
/// How a stream of them is cut up changes nothing, and each is bounded. What a line tells is bounded, and one line on
/// record; what it does not tell is kept as it came, and an address is told of each flow.
pub fn firewall_lines(bytes: &[u8]) {
    let whole = frames(bytes, bytes.len().max(1));
    assert_eq!(whole, frames(bytes, 7));
    for frame in whole {
        let seen = match read_firewall_line(&frame) {
            FirewallLine::Flow(seen) => {
                assert!(seen.key.client.is_some() && (seen.key.address.is_some() || seen.key.host.is_some()));
                seen
            }
            FirewallLine::Raw(seen) => {
                assert!(seen.key.raw.is_some());
                seen
            }
            FirewallLine::Nothing => continue,
        };
        // Who sent it, the listener knows.
        let told_by = Some(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]));
        on_record(Seen { key: FlowKey { told_by, ..seen.key }, ..seen });
    }
}

/// That it is one line, bounded, and read back as who reached for what.
fn on_record(seen: Seen) {
    let Seen { key, packets, bytes_up, bytes_down, .. } = seen;
    let known = key.clone();
    let (first, last) = (Timestamp(1), Timestamp(2));
    let flow = Flow { key, count: 1, packets, bytes_up, bytes_down, rolled_up: None, first, last };
    let mut line = Vec::new();
    Chain::start().append(&Record::Flow(Box::new(flow)).encode(Timestamp(3)), &mut line);
    one_line(&line);
    assert!(line.len() < 16_000, "{}", line.len());
    let back = read_record(&line).expect("it is a record");
    let text = |address: Option<IpAddr>| address.map(|address| address.to_string());
    assert_eq!((back.kind, back.client.as_deref(), back.port), (Kind::Flow, text(known.client).as_deref(), known.port));
    assert_eq!(back.address.as_deref(), text(known.address).as_deref());
    assert_eq!(back.state.is_some(), known.state.is_some());
}

fn frames(bytes: &[u8], step: usize) -> Vec<Vec<u8>> {
    let (mut frames, mut all) = (Frames::default(), Vec::new());
    let mut each = |frame: Frame<'_>| {
        assert!(frame.bytes.len() <= FRAME_BYTES_MAX);
        all.push(frame.bytes.to_vec());
    };
    bytes.chunks(step).for_each(|part| frames.take(part, &mut each));
    frames.end(&mut each);
    all
}

/// Any bytes as files that say which client is which device. Panics when one of these does not hold.
///
/// What is taken of a file is bounded, is one record each, and is read back from it as it was. What a file says goes on
/// record once, however often it is read.
pub fn devices(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let table = read_table("t.csv", &text).or_else(|_| read_table("t.toml", &text)).unwrap_or_default();
    for (source, read) in [(DeviceSource::Kea, read_kea(bytes)), (DeviceSource::Dnsmasq, read_dnsmasq(bytes))] {
        assert_eq!(read.bad > 0, read.first_bad.is_some());
        let now = Timestamp(1_795_651_200_000_000);
        let named = assignments(&table, read.leases.iter().map(|lease| (source, lease)), now);
        for one in &named {
            assert!(one.name.as_str().len() <= 2 * 255, "{}", one.name.as_str().len());
            let mut line = Vec::new();
            Chain::start().append(&Record::Device(one.clone()).encode(now), &mut line);
            one_line(&line);
            match read_noted(&line) {
                Ok(Some(Noted::Device(back))) => assert_eq!(back, *one),
                other => panic!("{other:?}"),
            }
        }
        let (_, known) = changes(&[], named.clone(), now);
        let (again, _) = changes(&known, named, now);
        assert_eq!(again, []);
    }
}

fn told(observed: &Observed<'_>, length: usize) {
    assert!(!observed.client.is_empty());
    assert!(!observed.host.bytes().any(|byte| byte.is_ascii_uppercase()), "{}", observed.host);
    for text in [observed.host, observed.path, observed.user, observed.user_agent, observed.address, observed.sni] {
        // Latin-1 takes twice the room in UTF-8, and brackets two bytes more.
        assert!(text.len() <= length * 2 + 2, "{}", text.len());
    }
    let mut written = Vec::new();
    write_squid(observed, &mut written);
    one_line(&written);
    if !observed.host.is_empty() {
        let mut reader = Reader::new();
        assert!(matches!(reader.read(&written), Line::Observed(_) | Line::Bad(_)), "{}", written.escape_ascii());
    }
    zeek(observed);
    if let Some(seen) = zeek_flow(observed) {
        let address = |text: &str| text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let (from, to) = (address(observed.client), address(observed.address));
        assert_eq!((seen.key.client, seen.key.address, seen.key.port), (from, to, Some(observed.port)));
        assert!(from.is_some() && to.is_some() && seen.key.state.is_some());
        on_record(seen);
    }
}

/// A table of Zeek has room for any text.
fn zeek(event: &Observed<'_>) {
    let mut written = Vec::new();
    write_zeek_http_header(&mut written);
    let header = written.len();
    write_zeek_http(event, &mut written);
    one_line(&written[header..]);
    let connection =
        Connection { client_port: None, dialled: None, scheme: event.method, state: ConnectionState::Other };
    let mut of_connection = Vec::new();
    write_zeek_conn(event, &connection, &mut of_connection);
    one_line(&of_connection);
    assert_eq!(of_connection.iter().filter(|byte| **byte == b'\t').count(), 11, "{}", of_connection.escape_ascii());
    if event.host.is_empty() || event.host.contains('@') || (event.what == Asked::Request && event.method.is_empty()) {
        return;
    }
    let mut reader = Reader::new();
    let mut lines = written.split_inclusive(|byte| *byte == b'\n');
    let last = lines.next_back().expect("there is a header at least");
    lines.for_each(|line| assert!(matches!(reader.read(line), Line::Passed)));
    let Line::Observed(back) = reader.read(last) else { return };
    assert_eq!((back.time, back.client, back.user_agent), (event.time, event.client, event.user_agent));
    assert_eq!((back.user, back.content_type, back.status), (event.user, event.content_type, event.status));
}

fn one_line(written: &[u8]) {
    assert_eq!(written.iter().position(|byte| *byte == b'\n'), Some(written.len() - 1));
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        fs::read_dir(directory).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    /// Each byte in turn is another: a digit the next, a letter not the same.
    fn and_near_it(seed: &[u8], property: fn(&[u8])) {
        property(seed);
        let mut altered = seed.to_vec();
        for at in 0..seed.len() {
            altered[at] ^= 1;
            property(&altered);
            altered[at] ^= 1;
        }
    }

    /// So that what a fuzzer once found is tried without one.
    #[test]
    fn the_property_holds_for_every_seed_and_what_is_near_it() {
        let seeds = seeds("formats");
        assert!(seeds.len() > 5);
        seeds.iter().for_each(|seed| and_near_it(seed, lines));
    }

    /// Or nothing of attempts to connect would be tried.
    #[test]
    fn there_are_seeds_that_tell_of_attempts_to_connect() {
        let mut count = 0;
        for seed in seeds("formats") {
            let mut reader = Reader::new();
            for line in seed.split_inclusive(|byte| *byte == b'\n') {
                let Line::Observed(observed) = reader.read(line) else { continue };
                count += usize::from(zeek_flow(&observed).is_some());
            }
        }
        assert!(count >= 3, "{count}");
    }

    #[test]
    fn the_property_of_lines_of_firewalls_holds_for_every_seed_and_what_is_near_it() {
        let seeds = seeds("firewall_lines");
        assert!(seeds.len() >= 5);
        seeds.iter().for_each(|seed| and_near_it(seed, firewall_lines));
    }

    #[test]
    fn the_property_of_files_of_devices_holds_for_every_seed() {
        let seeds = seeds("devices");
        assert!(seeds.len() >= 4);
        seeds.iter().for_each(|seed| devices(seed));
    }
}
