use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::text::Text;

/// The segments of the inside, so that flows of machines that are there are told apart from those of made-up addresses.
#[derive(Debug, Clone, Default)]
pub struct Inside(Arc<[InsideSegment]>);

/// One of them.
#[derive(Debug, Clone)]
pub struct InsideSegment {
    pub name: Text,
    pub addresses: Vec<IpNet>,
    /// By which its packets come, where it is one alone.
    pub interface: Option<Box<str>>,
}

/// Clients that have room together: a flood of one group takes none of another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Group {
    /// Nothing is known of the inside: all are one.
    All,
    /// The addresses of a segment, by its number.
    Segment(usize),
    /// Addresses of none, or of one that is elsewhere, by the interface by which they came where that is known.
    Strangers(Option<Arc<str>>),
}

impl Inside {
    pub fn new(segments: Vec<InsideSegment>) -> Self {
        Self(segments.into())
    }

    pub(super) fn group(&self, client: Option<IpAddr>, came_by: Option<&Arc<str>>) -> Group {
        if self.0.is_empty() {
            return Group::All;
        }
        let is_here = |segment: &InsideSegment| {
            let interface = segment.interface.as_deref().zip(came_by);
            interface.is_none_or(|(own, by)| own == &**by)
        };
        let holds = |segment: &InsideSegment| {
            client.is_some_and(|client| segment.addresses.iter().any(|net| net.contains(&client)))
        };
        match self.0.iter().position(|segment| holds(segment) && is_here(segment)) {
            Some(number) => Group::Segment(number),
            None => Group::Strangers(came_by.cloned()),
        }
    }

    /// How many groups there are whose clients are there.
    pub(super) fn groups(&self) -> usize {
        self.0.len().max(1)
    }

    /// What a segment is called.
    pub(super) fn name(&self, group: &Group) -> Option<Text> {
        match group {
            Group::Segment(number) => self.0.get(*number).map(|segment| segment.name.clone()),
            Group::All | Group::Strangers(_) => None,
        }
    }
}
