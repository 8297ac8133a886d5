use jiff::tz::TimeZone;

/// What the operator says of this network.
#[derive(Debug, Clone)]
pub struct Settings {
    /// By which nights, weekends and hours of the week are told.
    pub zone: TimeZone,
}

impl Default for Settings {
    fn default() -> Self {
        Self { zone: TimeZone::UTC }
    }
}
