use serde::{Deserialize, Serialize};

use crate::facts::{ExchangeId, Timestamp};

use super::contingency::Contingency;
use super::devices::Assignment;
use super::finding::Finding;
use super::flow::Flow;
use super::observed::Burst;
use super::person::{Hold, Lookup, Triage};
use super::retention::Retention;
use super::text::{SafeFormatter, Text, format_time};

/// The version of the schema in this module's documentation.
pub const SCHEMA: u32 = 1;

/// One record, before the journal gives it its number and hash.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    Segment(Segment),
    Batch(Batch),
    Exchange(Box<Exchange>),
    Progress(Progress),
    Gap(Gap),
    Policy(Policy),
    Admin(Admin),
    Own(Own),
    Health(Health),
    Clients(Clients),
    Challenge(Challenge),
    LogIn(LogIn),
    Finding(Box<Finding>),
    Restraint(Restraint),
    Checkpoint(CheckpointRecord),
    Device(Assignment),
    Lookup(Lookup),
    Triage(Box<Triage>),
    Retention(Retention),
    Hold(Box<Hold>),
    Flow(Box<Flow>),
    Contingency(Box<Contingency>),
}

/// Opens a segment file.
#[derive(Debug, Serialize)]
pub struct Segment {
    /// The whole running hash so far, in hexadecimal.
    pub prev: String,
}

/// Closes a group of records that are synced together.
#[derive(Debug, Serialize)]
pub struct Batch {
    pub records: u64,
    /// The number of the last record that was on the disk when this line was written: what is damaged up to
    /// there was damaged by no loss of power.
    pub synced: u64,
    /// The whole running hash before this line, in hexadecimal.
    pub chain: String,
}

/// Which end of an exchange a record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Accepted before anything is forwarded.
    Open,
    /// A CONNECT was answered 200, and nothing is decided or dialled before its first bytes are seen.
    Waiting,
    /// A tunnel stands: where it goes and, if the gate waited for them, what its first bytes were.
    Established,
    /// What the first bytes of a tunnel were that stood before the gate had seen any.
    FirstBytes,
    /// It ended; only what the records before it could not know, under the same `id`. Where a later policy
    /// judged a standing tunnel again, what that one says of it: cut (`policy_changed`), or `would`; where a finding or
    /// a person imposed something on it meanwhile, `restrained`.
    Close,
    /// It never left: opened and closed in one record.
    Refused,
    /// It was allowed, and the gate answered it: nothing left. Opened and closed in one record.
    Answered,
}

/// One request and its answer, or one tunnel.
#[derive(Debug, Default, Serialize)]
pub struct Exchange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The exchange this one was read inside of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_port: Option<u16>,
    /// Where the client meant to connect, address and port, where it went past the proxy and was captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_group: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Text>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The request-target of a head that could not be understood, without its query and user information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Text>,
    /// Its Host field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_host: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referer_host: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<&'static str>,
    /// Why: a code of the policy, the guard, the parser or the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_at: Option<Text>,
    /// What the policy's other layer says, where it has two: a verdict, and by which rule or reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Text>,
    /// It passed while no record could be written, because a person had broken the glass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breakglass: Option<bool>,
    /// The version of HTTP that the request came in: `1.0`, `1.1` or `2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<Text>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja4: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ech: Option<bool>,
    /// The key of the program, where it claims to be a browser and has shown enough of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// What the program had shown by then, where it claims to be a browser: `uncleared` or `cleared`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<&'static str>,
    /// What does not fit the browser that it claims to be; `captured_elsewhere` where what was captured had not been on its
    /// way to an address, or the port, to which the name that it gave leads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grounds: Vec<&'static str>,
    /// What the first bytes of a tunnel were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carries: Option<&'static str>,
    /// Every address the name resolved to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// Those of them that the guard refused, where others were left to dial.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers_refused: Vec<String>,
    /// The parent proxy that it leaves through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Text>,
    /// Who learnt the address of its host, where there is a parent: `gate` or `parent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<&'static str>,
    /// The address that the guard let through: connected to or, through a parent, asked of it. The
    /// parent's own where that one resolves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialled: Option<String>,
    /// The connection to the origin had carried another exchange before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Text>,
    /// What the first bytes of an answer's body were, whatever its Content-Type says; see
    /// [`BodyType`](crate::parse::BodyType).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_type: Option<&'static str>,
    /// The SHA-256 of the whole body, in hexadecimal, without the framing: of executables, scripts and archives alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
    /// Such a body did not come whole, so that it has no hash: it was cut off, or asked for in part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_cut: Option<bool>,
    /// The name that such a body would be saved under; of others, one that Content-Disposition gives or that deceives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_name: Option<Text>,
    /// Bytes from the client to the origin, heads included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_up: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_down: Option<u64>,
    /// The bursts of a tunnel that no record before told of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bursts: Vec<Burst>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// From the 200 of a tunnel to its whole ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hello_us: Option<u64>,
    /// From the beginning of the exchange to the origin's first byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_us: Option<u64>,
    /// Who ended it, or was at fault where it came to nothing: `client`, `origin`, `parent`, `dns` (no
    /// name server answered, or the name has no address) or `gate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_how: Option<Text>,
}

/// Where the exchange wanted to go. The path is without its query.
#[derive(Debug, Serialize)]
pub struct Target {
    pub scheme: &'static str,
    pub host: Text,
    pub port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_hash: Option<String>,
    /// Only where the config says that queries are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Text>,
}

/// What a tunnel has carried so far.
#[derive(Debug, Serialize)]
pub struct Progress {
    pub id: String,
    pub client: String,
    pub host: Text,
    pub port: u16,
    pub age_s: u64,
    pub bytes_up: u64,
    pub bytes_down: u64,
    /// Those that no record before told of, but for the last, which still grows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bursts: Vec<Burst>,
}

/// Evidence is missing.
#[derive(Debug, Serialize)]
pub struct Gap {
    pub cause: &'static str,
    pub detail: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How many of what is missing, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// A policy came into force, or was refused.
#[derive(Debug, Serialize)]
pub struct Policy {
    /// `in_force`, or `refused`: then what was in force before still is.
    pub action: &'static str,
    pub file: Text,
    /// Of what is in force after it, and so are rules and mode.
    pub hash: Text,
    pub rules: usize,
    pub mode: &'static str,
    /// How many problems a refused one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<usize>,
    /// Where the first of them are and of what kind, without what the file says there; or what changed
    /// beside the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Text>,
}

/// What a person or the gate itself did.
#[derive(Debug, Serialize)]
pub struct Admin {
    pub action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Text>,
}

/// Connections the gate made for itself since the record before this one.
#[derive(Debug, Serialize)]
pub struct Own {
    /// What for, such as `dns`.
    pub purpose: &'static str,
    /// Where to: address and port.
    pub address: String,
    pub connections: u64,
}

/// The gate can do its work less well than before, or better again.
#[derive(Debug, Serialize)]
pub struct Health {
    /// What of it: `alerts`, a receiver of them; `clock`; `disk`; `list`, a host list that is fetched; `browser`, a version of one as it answers challenges;
    /// `devices`, a file that says which client is which device; `checkpoints`, a receiver of them; `streams`, a
    /// file that goes on with the journal; or `flows`, where attempts past the proxy are read from.
    pub subject: &'static str,
    /// How it stands. The disk: `ample`, `low`, `critical` or `full`. A list: `fetched`, there is another content;
    /// `kept`, its source fails, and what was fetched before stays; `missing`, it fails, and there is none.
    /// A browser: `silent`, it does not come back any more when a tunnel is ended; `heard`, it does again.
    /// Checkpoints, alerts and streams: `waiting`, the receiver takes none; `sent`, it does again.
    /// Devices: `unread`, a file of them cannot be read, and what it said before stays; `read`, it can again.
    /// The clock: `set_back` or `set_ahead`, by more than a second.
    /// Flows: `read`, from here on; `unread`, they cannot be.
    pub level: &'static str,
    pub detail: Text,
}

/// What became of clients' connections on which nothing was asked, since the record before this one.
#[derive(Debug, Serialize)]
pub struct Clients {
    /// `silent`: closed by the gate because nothing had come on them.
    pub what: &'static str,
    pub connections: u64,
    /// The client that had most of them: an IPv4 address, or the /64 of an IPv6 one.
    pub client: String,
    /// How many of them it had.
    pub client_connections: u64,
}

/// What a program made of a challenge.
#[derive(Debug, Serialize)]
pub struct Challenge {
    pub client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Text>,
    /// The program's key, as its exchanges have it.
    pub program: String,
    pub user_agent: Text,
    /// The program's stable TLS key, or the shape of its heads.
    pub face: Text,
    /// How it was challenged: `reset`, `page`, `log_in` or `identity`.
    pub means: &'static str,
    /// What came of it. A reset: `returned` or `did_not_return`; a page: `solved` or `not_solved`; `identity`, for a
    /// version that is not reset any more: `cleared`.
    pub outcome: &'static str,
    pub host: Text,
    pub port: u16,
    /// From the challenge to its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_us: Option<u64>,
    /// Challenges that the program has not answered, one after the other, this one included.
    pub failures: u32,
}

/// Something about log-ins that is worth looking at. It is told when it appears, and whenever it has doubled.
#[derive(Debug, Serialize)]
pub struct LogIn {
    pub client: String,
    /// `failed_log_ins`, `unanswered_log_ins` or `user_on_several_clients`.
    pub ground: &'static str,
    pub detail: Text,
}

/// A finding is answered with something, or that has ended.
#[derive(Debug, Serialize)]
pub struct Restraint {
    /// `imposed`, `lifted` by a person, `over`, or `not_imposed`: it is not in force, and `detail` says why.
    pub action: &'static str,
    /// `challenge_afresh`, `deny` or `isolate`.
    #[serde(rename = "do")]
    pub act: &'static str,
    /// Whom it is about; absent for all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<Text>,
    pub until: String,
    /// The finding, and the name of the response.
    pub finding_id: String,
    pub response: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Text>,
}

/// A segment was sealed.
#[derive(Debug, Serialize)]
pub struct CheckpointRecord {
    /// `sealed`, or `not_sealed`: then `detail` says why, and the segment is left as it is.
    pub action: &'static str,
    pub segment: Text,
    pub last_seq: u64,
    /// BLAKE3 of the checkpoint's line, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Text>,
}

#[derive(Serialize)]
struct Stamped<'a> {
    time: String,
    #[serde(flatten)]
    record: &'a Record,
}

impl Record {
    /// The members of the record's JSON object, without the braces and without number and hash.
    pub fn encode(&self, time: Timestamp) -> Vec<u8> {
        let mut out = Vec::with_capacity(640);
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, SafeFormatter);
        let stamped = Stamped { time: format_time(time), record: self };
        stamped.serialize(&mut serializer).expect("writing to memory cannot fail, and no key is not a string");
        out.pop();
        out.remove(0);
        out
    }
}

/// Who keeps a journal; it stands on each of its lines.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    pub gate: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Text>,
}

impl Source {
    /// The members that go in front of a record's own, with the comma behind them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, SafeFormatter);
        self.serialize(&mut serializer).expect("writing to memory cannot fail, and no key is not a string");
        out.pop();
        out.remove(0);
        out.push(b',');
        out
    }
}

impl Exchange {
    /// An event of the exchange `id`.
    pub fn new(event: Event, id: ExchangeId) -> Self {
        Self { event: Some(event), id: Some(id.to_string()), ..Self::default() }
    }
}
