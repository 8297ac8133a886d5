use super::Timestamp;

/// A person has broken the glass: until then, exchanges of essential rules may pass though no full record
/// of them can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakglass {
    pub until: Timestamp,
    /// In the words of the person.
    pub reason: Box<str>,
}

impl Breakglass {
    /// Whether it holds at this moment.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }
}
