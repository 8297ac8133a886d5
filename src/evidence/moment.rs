//! Times on record as fields: RFC 3339 in UTC.

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

use crate::facts::Timestamp;

use super::text::{format_time, read_time};

pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_time(*time))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    read_time(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("it is no time"))
}

/// The same where there may be none.
pub(super) mod perhaps {
    use super::{Deserialize, Deserializer, Error, Serializer, Timestamp, format_time, read_time};

    pub(in super::super) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_str(&format_time(*time)),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        read_time(&text).map(Some).ok_or_else(|| D::Error::custom("it is no time"))
    }
}
