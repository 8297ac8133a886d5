//! Every kind of record, the line it becomes, and the hash chain over the lines.
//!
//! # The journal, schema version 1
//!
//! JSON Lines. A line is an object that begins with `v` (schema version), `seq` (from 1, without
//! gaps, over all segments), `gate` and `site` (who keeps the journal), `time` (UTC, microseconds,
//! RFC 3339) and `kind`, and ends with `h`: the
//! first 64 bits of the running hash. The running hash of a line is
//! `BLAKE3(running hash of the line before ‖ the line's bytes up to, not including, ,"h":)`;
//! before the first line it is 32 zero bytes. Fields not known are absent, never guessed.
//!
//! * `segment` opens a file: `prev` is the whole running hash so far.
//! * `batch` stands behind records that were synced together or within a second: `chain` is the whole running hash before it, `synced` the
//!   number of the last record that was on the disk by then.
//! * `exchange` with `event` `open`, `close`, or `refused` (open and close at once), for tunnels
//!   `waiting`, `established` and `first_bytes`, and `answered` where the gate was the last recipient;
//!   see [`Exchange`].
//!   What went past the proxy and was captured has `captured`, the address and port to which its client had connected, and
//!   tells under `host` what it named: for TLS its SNI, and where there was none, as for what is neither HTTP nor TLS, that
//!   address. Captured TLS has no `method`.
//!   The `close` of a request has `body_type`, what the first 512 bytes of the answer's body were, where there was a body;
//!   of executables, scripts and archives also `body_sha256`, the hash of the whole body, or `body_cut`, and `file_name`.
//!   See [`Carried`] for what that does not see.
//! * `progress` tells what a long tunnel has carried so far, each minute.
//!   It and a tunnel's `close` have `bursts`, the tunnel's rhythm: an array of `[after, up, down]`, see [`Burst`], one for
//!   each write of the client after 500 ms in which it wrote nothing, at most one a second, oldest first. A burst is in
//!   one record alone, the first after the next one has begun, or the last of all. `after` counts from the burst before,
//!   in whichever record that is, so the gaps add up to times since the tunnel stood. At most [`Bursts::PER_RECORD_MAX`]
//!   are in a record; what would be one more is counted into the last. Tunnels that the gate looks into have none, but
//!   WebSockets within them have.
//! * `gap` says that evidence is missing, and why; `admin` what a person or the gate itself did;
//!   `policy` that a policy came into force, at the start or later, or was refused; `own` what the gate connected to for
//!   itself, counted; `clients` what became of clients' connections that asked for nothing, counted;
//!   `health` that the gate can do its work less well than before, or better again.
//! * `finding` says what a detector found in the records, see [`Finding`]; a later one with the same `finding_id` takes its
//!   place.
//! * `contingency` says that a person has cut a client off (`isolated`) or has released it, or that nothing but what is
//!   essential passes (`lockdown`, `lockdown_ended`), and whether that is so at a `place` beside the gate, the kernel or a hook
//!   (`done`, `not_done`), see [`Contingency`].
//! * `restraint` says what a finding is answered with, and when that has ended, see [`Restraint`].
//! * `checkpoint` that a segment was sealed with a [`Checkpoint`]: its name, last record, hash and key.
//! * `retention` that whole days of the journal are about to be removed (`announced`), have been (`dropped`), or stay after all
//!   (`withdrawn`), with all days
//!   and records that have gone so far, see [`Retention`]. `hold` that a client's days are kept by a legal hold, or no longer,
//!   see [`Hold`].
//! * `device` says which device a client was from when to when, see [`Assignment`]; a later one of the same client, name,
//!   hardware, source and beginning takes its place.
//! * `lookup` says that a person has looked at the records of a person, see [`Lookup`]: it is on record before they are
//!   shown. `triage` says what a person holds a finding or a target to be, see [`Triage`]; the newest of each counts. Both
//!   have who it was: `uid` and `login` as the system says it, `claims` as they say it; or `console`, the name by which they
//!   logged in to the gate's console.
//! * `flow` tells of attempts to connect that did not come through the proxy, as the kernel, another firewall or a sensor
//!   saw them, see [`Flow`]: those of the same `client`, `address`, `port`, `protocol`, `state` and `rule` (and of the same
//!   firewall, `told_by`, or log of a sensor, `sensor`) within a second are one record with their `count`. Where there are too many to tell apart, `rolled_up` says how many were at least.
//!   What was seen and could not be recorded is in `gap` records, with its `count` where that is known: `flows_lost` before
//!   it was read, `flows_unrecorded` after that.
//!
//! In an upgrade the gate before goes on with what it has, and its records are carried to the one that writes: they stand where they
//! came in, with the time at which they were made. See [`handed_record`] for which may be.
//!
//! While no record can be written, exchanges of rules marked `essential` may pass under a breakglass. Each
//! has a short `open` record with `"breakglass":true`, kept in the reserve file until the journal takes
//! records again: then it follows a `gap` record that counts them, with the time at which it passed.
//!
//! Text from clients and origins is bounded and escaped: control characters, U+2028, U+2029 and
//! the characters that reorder text are written as `\u…`, so a line is always one line and safe to
//! look at. Pure: no file is touched here.

mod bursts;
mod capacity;
mod carried;
mod chain;
mod checkpoint;
mod contingency;
mod devices;
mod finding;
mod flow;
mod flow_inside;
mod flow_seen;
mod flow_sums;
mod handed;
mod kind_words;
mod moment;
mod noted;
mod observed;
mod person;
mod reading;
mod record;
mod retention;
mod text;
mod triages;
#[doc(hidden)]
pub mod properties;

pub use bursts::Bursts;
pub use capacity::{Capacity, Outlook, Usage};
pub use carried::Carried;
pub use chain::{Break, Chain, HASH_ZERO, Verifier, line_members};
pub use checkpoint::{CHECKPOINT_BYTES_MAX, Checkpoint, CheckpointKey, NO_CHECKPOINT, NoCheckpoint, SealedSegment};
pub use contingency::{Contingency, ContingencyAction};
pub use devices::{Assignment, Certainty, DeviceSource, DeviceSpan, Devices, Identified, client_of, client_text};
pub use finding::{Beat, Bytes, Finding, FindingId, FindingKind, Ground, Rarity, SCORE_MAX, Severity, Span, Stage};
pub use flow::{
    BACKGROUND_RULES, CRITICAL_RULES, DISCOVERY_RULE, Flow, FlowKey, FlowSource, FlowState, OUTSIDE_RULE, Protocol,
    TRIPWIRE_RULE,
};
pub use flow_inside::{Inside, InsideSegment};
pub use flow_seen::FlowSeen;
pub use flow_sums::{FLOW_CLIENTS_MAX, FLOW_KEYS_MAX, FlowSums, PRESSING_KEYS_MAX, Seen};
pub use handed::{HANDED_BYTES_MAX, NotHanded, handed_record};
pub use noted::{Found, Noted, read_noted};
pub use observed::{Asked, Burst, Failure, Observed, Part, Shown, Verdict};
pub use person::{Hold, HoldAction, Lookup, Mark, Person, Triage};
pub use reading::{Kind, NotARecord, RecordLine, Said, lines_of, read_record};
pub use record::{
    Admin, Batch, Challenge, CheckpointRecord, Clients, Event, Exchange, Gap, Health, LogIn, Own, Policy, Progress,
    Record, Restraint, SCHEMA, Segment, Source, Target,
};
pub use retention::{
    Judged, Keep, KeptSegment, Plan, Retention, RetentionAction, STRETCHES_MAX, day_text, first_outside, joined, judge,
    outside, read_day, read_retention,
};
pub use text::{
    Text, address_and_port, address_text, compact_time, format_time, json_text, query_hash, read_compact_time,
    read_time, recorded_time, shown,
};
pub use triages::{Triaged, Triages};
