//! What rules of this machine's firewall counted and did not log, as there was more of it in a second than they log
//! (`linux/netfilter/nf_tables.h`).

use crate::evidence::{BACKGROUND_RULES, FlowKey, FlowSource, FlowState};

use super::super::model::BEYOND;
use super::super::nft::TABLE;
use super::netlink::{Attributes, Message, Request, be32, be64, kind};

const SUBSYSTEM: u16 = 10;
const NEW: u16 = kind(SUBSYSTEM, 18);
const GET: u16 = kind(SUBSYSTEM, 19);
/// The family of the table: IPv4 and IPv6 together.
const INET: u8 = 1;
/// The type of an object that counts.
const COUNTER: u32 = 1;

/// Attributes of an object.
mod object {
    pub(super) const TABLE: u16 = 1;
    pub(super) const NAME: u16 = 2;
    pub(super) const TYPE: u16 = 3;
    pub(super) const DATA: u16 = 4;
}

/// The attribute of a counter's data.
const PACKETS: u16 = 2;

/// Asks for the counters of the table.
pub(super) fn request(number: u32) -> Vec<u8> {
    Request::dump(GET, number)
        .of_family(INET)
        .attribute(object::TABLE, format!("{TABLE}\0").as_bytes())
        .attribute(object::TYPE, &COUNTER.to_be_bytes())
        .bytes()
}

/// What each of them counted when it was last asked for; `None` before it was.
#[derive(Debug, Default)]
pub(super) struct Beyond([Option<u64>; BACKGROUND_RULES.len()]);

impl Beyond {
    /// How many more one of them has counted since it was last asked for. What it counted before that is no news.
    pub(super) fn take(&mut self, message: &Message<'_>) -> Option<(FlowKey, u64)> {
        let (name, packets) = counter(message)?;
        let rule = name.strip_suffix(BEYOND.as_bytes())?;
        let place = BACKGROUND_RULES.iter().position(|known| known.as_bytes() == rule)?;
        let before = self.0.get_mut(place)?.replace(packets);
        // Rules that are loaded anew count from 0.
        let more = before.map_or(0, |before| if packets >= before { packets - before } else { packets });
        let rule = BACKGROUND_RULES.get(place).map(|rule| (*rule).into());
        let key = FlowKey { state: Some(FlowState::Dropped), rule, ..FlowKey::of(FlowSource::Nflog) };
        (more > 0).then_some((key, more))
    }

    /// All were told that there are: one that comes later counts from 0.
    pub(super) fn all_told(&mut self) {
        for known in &mut self.0 {
            known.get_or_insert(0);
        }
    }
}

/// The name of a counter, and how many packets it has counted.
fn counter<'a>(message: &Message<'a>) -> Option<(&'a [u8], u64)> {
    if message.kind != NEW {
        return None;
    }
    let (mut name, mut packets, mut is_counter) = (None, None, false);
    for (kind, value) in message.attributes() {
        match kind {
            object::NAME => name = value.split(|byte| *byte == 0).next(),
            object::TYPE => is_counter = be32(value) == Some(COUNTER),
            object::DATA => {
                let counted = Attributes::of(value).find(|(kind, _)| *kind == PACKETS);
                packets = counted.and_then(|(_, value)| be64(value));
            }
            _ => {}
        }
    }
    Some((name?, packets.filter(|_| is_counter)?))
}

#[cfg(test)]
mod tests {
    use super::super::netlink::Messages;
    use super::*;

    /// What is told of a counter, by its rule.
    fn taken(beyond: &mut Beyond, name: &str, packets: u64) -> Option<(String, u64)> {
        let mut data = vec![12, 0, 2, 0];
        data.extend(packets.to_be_bytes());
        let message = Request::new(NEW, 3, 0)
            .attribute(object::NAME, format!("{name}\0").as_bytes())
            .attribute(object::TYPE, &COUNTER.to_be_bytes())
            .attribute(object::DATA, &data)
            .bytes();
        let message = Messages::of(&message).next().unwrap();
        let (key, count) = beyond.take(&message)?;
        assert_eq!((key.client, key.state), (None, Some(FlowState::Dropped)));
        Some((key.rule?.as_str().to_owned(), count))
    }

    #[test]
    fn what_was_counted_before_is_no_news_and_what_comes_then_is_told_once() {
        let mut beyond = Beyond::default();
        let of = |count| Some(("from-outside".to_owned(), count));
        assert_eq!(taken(&mut beyond, "from-outside-beyond", 700), None);
        beyond.all_told();
        assert_eq!(taken(&mut beyond, "from-outside-beyond", 700), None);
        assert_eq!(taken(&mut beyond, "from-outside-beyond", 703), of(3));
        assert_eq!(taken(&mut beyond, "from-outside-beyond", 703), None);
        assert_eq!(taken(&mut beyond, "from-outside-beyond", 5), of(5), "the rules were loaded anew");
    }

    #[test]
    fn rules_that_were_not_there_at_first_are_told_from_their_beginning() {
        let mut beyond = Beyond::default();
        beyond.all_told();
        assert_eq!(taken(&mut beyond, "discovery-beyond", 4), Some(("discovery".to_owned(), 4)));
    }

    #[test]
    fn other_counters_and_other_objects_are_let_be() {
        let mut beyond = Beyond::default();
        beyond.all_told();
        for name in ["from-outside", "out-tcp-beyond", "-beyond", "", "beyond"] {
            assert_eq!(taken(&mut beyond, name, 9), None, "{name}");
        }
        let quota = Request::new(NEW, 3, 0).attribute(object::NAME, b"discovery-beyond\0").bytes();
        assert!(beyond.take(&Messages::of(&quota).next().unwrap()).is_none());
    }
}
