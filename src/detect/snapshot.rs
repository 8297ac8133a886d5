use serde::{Deserialize, Serialize};

use super::detector::{Limits, State};

/// What a detector goes by, to be written down in whatever form serde knows; read again it is a [`Kept`].
#[derive(Debug, Serialize)]
pub struct Snapshot<'a> {
    pub(super) limits: Limits,
    pub(super) state: &'a State,
}

/// A [`Snapshot`] that was read again, for [`Detector::resume`](super::Detector::resume). It holds for the build that wrote
/// it: there is no telling what another one counts.
#[derive(Debug, Deserialize)]
pub struct Kept {
    pub(super) limits: Limits,
    pub(super) state: State,
}
