use std::fmt;
use std::time::Duration;

use super::{Client, Hello, Program, Stage, Target};

/// Microseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

/// Microseconds on a clock that is never set: for spans within a process, and for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// The span between two moments; none where the second is not before the first.
impl std::ops::Sub for Moment {
    type Output = Duration;

    fn sub(self, before: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(before.0))
    }
}

/// The name of one exchange: the microsecond it began, made unique within a gate. It sorts by
/// time, so it tells a reader of the journal where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// Crockford's base 32: no I, L, O or U, so that it survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for digit in (0..11).rev() {
            let index = (self.0 >> (digit * 5)) & 31;
            fmt::Write::write_char(f, char::from(ALPHABET[index as usize]))?;
        }
        Ok(())
    }
}

/// Not eleven digits of an exchange's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an exchange: eleven characters of 0-9 and A-Z without I, L, O and U")]
pub struct NoExchangeId;

impl std::str::FromStr for ExchangeId {
    type Err = NoExchangeId;

    fn from_str(text: &str) -> Result<Self, NoExchangeId> {
        if text.len() != 11 {
            return Err(NoExchangeId);
        }
        let digit = |byte| ALPHABET.iter().position(|known| *known == byte).map(|index| index as u64);
        let read = text.bytes().try_fold(0_u64, |read, byte| Some(read << 5 | digit(byte)?));
        read.map(Self).ok_or(NoExchangeId)
    }
}

/// Who ended an exchange, or was at fault where it came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    Client,
    Origin,
    /// The proxy that it was to leave through.
    Parent,
    /// No name server answered, or the name has no address.
    Dns,
    Gate,
}

impl Party {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Party::Client => "client",
            Party::Origin => "origin",
            Party::Parent => "parent",
            Party::Dns => "dns",
            Party::Gate => "gate",
        }
    }
}

/// What the gate has concluded of this program before, taken as a fact by the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It claims to be a browser, and has not shown it yet.
    Uncleared,
    /// It has shown to be a browser.
    Cleared {
        /// It did so for this very target, and with a person before it.
        afresh: bool,
        /// A person has said on a page that this target is meant.
        confirmed: bool,
    },
    /// It does not claim to be a browser, so there is nothing that it could show.
    NoBrowser,
}

/// Where what a program shows contradicts what it claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradictions {
    /// Its CONNECT.
    pub connect: bool,
    /// Its plain requests.
    pub plain: bool,
    /// Its TLS.
    pub tls: bool,
    /// What was seen inside its TLS.
    pub inner: bool,
}

impl Contradictions {
    pub const NONE: Self = Self { connect: false, plain: false, tls: false, inner: false };

    /// In how many of these.
    pub fn count(self) -> u32 {
        [self.connect, self.plain, self.tls, self.inner].into_iter().map(u32::from).sum()
    }
}

/// What a person or a detector has imposed on this exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restraint {
    /// The client is cut off: nothing passes, in observe mode neither.
    pub isolated: bool,
    /// Nothing but what essential rules let out passes, in observe mode neither.
    pub lockdown: bool,
    /// What a finding about it answers with.
    pub finding: Option<Response>,
}

/// What a finding makes of an exchange that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// The program must show afresh that it is a browser, whatever it is allowed.
    ChallengeAfresh,
    Deny,
}

impl Restraint {
    /// Nothing is imposed.
    pub const NONE: Self = Self { isolated: false, lockdown: false, finding: None };
    /// The client is cut off.
    pub const ISOLATED: Self = Self { isolated: true, ..Self::NONE };
}

/// All that is known of an exchange when it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub now: Timestamp,
    pub client: &'a Client,
    pub method: &'a str,
    pub target: &'a Target,
    pub program: Program<'a>,
    pub hello: Stage<&'a Hello>,
    /// The request read inside a tunnel to port 80.
    pub inner: Stage<&'a Target>,
    pub standing: Standing,
    /// Where the program contradicts what it claims to be, by all that is known now.
    pub contradictions: Contradictions,
    pub restraint: Restraint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_was_written_is_read_back() {
        for id in [0, 1, 31, 32, 1_795_510_800_123_456, (1 << 55) - 1].map(ExchangeId) {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!("0000000007Z".parse(), Ok(ExchangeId(7 * 32 + 31)));
    }

    #[test]
    fn what_is_no_id_is_none_and_no_letter_is_taken_for_another() {
        for text in [
            "",
            "0000000000",
            "000000000000",
            "0000000000z",
            "0000000000I",
            "0000000000L",
            "0000000000O",
            "0000000000U",
            "+0000000001",
            " 0000000001",
            "000000000é",
            "関所関00",
        ] {
            assert_eq!(text.parse::<ExchangeId>(), Err(NoExchangeId), "{text:?}");
        }
    }

    #[test]
    fn ids_sort_as_text_as_they_do_as_numbers() {
        let texts: Vec<_> = [0, 9, 10, 31, 32, 1 << 54].map(ExchangeId).iter().map(ToString::to_string).collect();
        assert!(texts.is_sorted(), "{texts:?}");
    }
}
