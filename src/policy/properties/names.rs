use std::net::{Ipv4Addr, Ipv6Addr};

use crate::facts::Host;

use super::*;

/// Any bytes as the text of a list. Panics when one of these does not hold.
///
/// It is compiled, and the next time to the same bytes; these are taken back as what they were. Of the bad
/// lines no more are kept than may be, in their order, each a line of the text. A line that is a name or an
/// address by itself is contained, and a list of nothing contains nothing.
pub fn names_text(bytes: &[u8]) {
    let compiled = NameSet::compile(bytes);
    assert_eq!(compiled.set.as_bytes(), NameSet::compile(bytes).set.as_bytes());
    let again = NameSet::from_bytes(compiled.set.as_bytes().to_vec()).expect("bytes of a set");
    assert_eq!((again.counts, &again.bad_lines, again.source), (compiled.counts, &compiled.bad_lines, compiled.source));
    let NameCounts { names, below, addresses, .. } = compiled.counts;
    assert_eq!(compiled.set.len(), names + below + addresses);
    assert_eq!(compiled.set.len(), again.set.len());

    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let BadLines { count, first } = &compiled.bad_lines;
    assert_eq!(first.len() as u64, (*count).min(BAD_LINES_KEPT_MAX as u64));
    assert!(first.is_sorted_by(|one, other| one.line < other.line));
    assert!(first.iter().all(|bad| (1..=lines.len() as u64).contains(&bad.line) && !bad.why.is_empty()), "{first:?}");

    let hosts = lines.iter().filter_map(|line| Host::parse(line).ok());
    for host in hosts {
        assert!(compiled.set.contains(&host), "{host} is a line");
        let Host::Name(name) = &host else { continue };
        let name = name.as_str();
        for near in [format!("x.{name}"), format!("x{name}")] {
            let Ok(near) = Host::parse(near.as_bytes()) else { continue };
            assert_eq!(compiled.set.contains(&near), again.set.contains(&near), "{near}");
        }
    }
    if count == &0 && compiled.set.is_empty() {
        for host in [Host::V4(Ipv4Addr::LOCALHOST), Host::V6(Ipv6Addr::LOCALHOST)] {
            assert!(!compiled.set.contains(&host));
        }
    }
}

/// Any bytes as what a set was kept as, and as damage to one. Panics when one of these does not hold.
///
/// What is not exactly the bytes of a set is refused, whatever part of it is altered, missing or added; what
/// is taken answers each question.
pub fn names_bytes(bytes: &[u8]) {
    if let Ok(compiled) = NameSet::from_bytes(bytes.to_vec()) {
        assert_eq!(compiled.set.as_bytes(), bytes);
        compiled.set.contains(&Host::V4(Ipv4Addr::LOCALHOST));
    }
    let kept = NameSet::compile(b".a.example\nb.example\n192.0.2.1\n2001:db8::1\na b\n").set.as_bytes().to_vec();
    assert!(NameSet::from_bytes([kept.as_slice(), bytes].concat()).is_err() || bytes.is_empty());
    let Some((at, over)) = bytes.split_first_chunk::<2>() else { return };
    let at = usize::from(u16::from_le_bytes(*at)) % kept.len();
    assert!(NameSet::from_bytes(kept[..at].to_vec()).is_err(), "cut at {at}");
    let mut damaged = kept.clone();
    damaged.iter_mut().skip(at).zip(over).for_each(|(byte, over)| *byte = *over);
    assert_eq!(NameSet::from_bytes(damaged.clone()).is_ok(), damaged == kept, "written over at {at}");
}
