//! The questions about what is on record: one function each.
//!
//! In: the journal of a data directory, read in order, and what is asked. Out: an answer as data, whose text
//! from records is safe to show. [`replay`] says what another policy would have changed, [`learn`] proposes a
//! policy from what was used, and [`hunt`] finds in any logs what calls home; [`read_notes`] gathers who clients are and
//! what people hold of findings. [`questions`] are asked of the index. Nothing is judged otherwise than by `policy`, nothing
//! is written, and state is
//! bounded: what is beyond a bound is counted, and the answer says so.

mod exchange;
#[cfg(test)]
mod lines;

mod export;
mod hunt;
mod learn;
mod list_mark;
mod notes;
mod page;
pub mod questions;
mod replay;
mod report;
mod scan;
mod since;
mod sql;

pub use export::{ExportError, Exported, Filter, Form, Stream, StreamSettings, export};
pub use hunt::{BadSaid, Hunted, LogRead, hunt, hunt_stream};
pub use learn::{Access, ClientsOfGroup, LearnOptions, Learnt, LeftOut, Proposal, learn};
pub use list_mark::list_mark;
pub use notes::{Notes, read_notes, take_up_marks};
pub use page::{PAGE_BEGINS, hunt_page, report_page};
pub use replay::{Change, ChangesOfClient, NotJudged, PolicySaid, Replayed, Turn, Undecided, replay};
pub use report::{
    BadMonth, Events, Found, Month, MonthReport, Named, ReportDay, ReportEvent, Stopped, Verification, month_report,
};
pub use scan::{Progress, Scanned};
pub use since::{BadSince, Since};
pub use sql::{SQL_BYTES_MAX, SqlError, SqlRows, SqlValue, sql, sql_while};
