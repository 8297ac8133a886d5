use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::app::{AppError, AskError, NotDone, NoteError, REASON_BYTES_MAX, Reloaded, TakeOverError};
use crate::evidence::Break;
use crate::gateway::{KeepError, KernelError, WardenError};
use crate::lists::ReadError;
use crate::parse::Problem;
use crate::policy::{BadQuestion, BadTarget};
use crate::review::SqlError;
use crate::review::questions::QuestionError;
use crate::store::{AloneError, IndexError, OpenError, SealError};
use crate::tls::AuthorityError;

/// What went wrong, for whom, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("cannot read the {role} file {}: {source}", .path.display())]
    Read { role: Role, path: PathBuf, source: io::Error },
    #[error("{}", list(.0.len(), .0))]
    Problems(Vec<Problem>),
    /// The policy rests on lists that never came.
    #[error("the policy names lists that have not been fetched yet: {}", .0.join(", "))]
    Unfetched(Vec<String>),
    /// The gate tried, and says why nothing came of it.
    #[error("could not be fetched: {}", .0.join(", "))]
    NotFetched(Vec<String>),
    /// Receivers of alerts did not take a test.
    #[error("a test was not taken by: {}", .0.join(", "))]
    NotTaken(Vec<String>),
    /// A policy has no problem, and `--deny-warnings` does not take its warnings.
    #[error("{}, and --deny-warnings takes none", count(*.0, "warning"))]
    Warnings(usize),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("`{request}` is no request: {why}")]
    Question { request: String, why: BadQuestion },
    #[error("the policy has no program `{name}`{}", known_programs(.known))]
    NoProgram { name: String, known: Vec<String> },
    /// There is nothing that could verify.
    #[error("there are no records in {}", .0.display())]
    NoRecords(PathBuf),
    #[error("{}: {source}", .data_dir.display())]
    Ask { data_dir: PathBuf, source: AskError },
    /// The running gate has read its policy again, and does not take it.
    #[error(
        "the gate refuses the policy {}, and version {} stays in force; {}", .0.file, .0.hash, list(.0.count, &.0.problems)
    )]
    Refused(Box<Reloaded>),
    #[error(transparent)]
    Verify(OpenError),
    /// A report was written, of a journal that does not verify.
    #[error("the journal does not verify: {0}")]
    NotWhole(String),
    /// The index cannot be asked or built.
    #[error("{0}")]
    Index(Box<IndexError>),
    /// A statement of SQL.
    #[error("{0}")]
    Sql(Box<SqlError>),
    /// By Ctrl-C.
    #[error("stopped")]
    Stopped,
    /// What vouches for segments cannot be read or made.
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("{} holds no public key: neither 64 hexadecimal digits nor PEM", .0.display())]
    NoPublicKey(PathBuf),
    #[error("there are no checkpoints in {} yet", .0.display())]
    NoCheckpoints(PathBuf),
    /// What a question is about cannot be read.
    #[error(transparent)]
    Journal(OpenError),
    /// What could be read was answered from.
    #[error("{} of the journal could not be read: what is shown is not all", count(*.0 as usize, "line"))]
    Partial(u64),
    /// The same of a question to the index.
    #[error("not all of the evidence could be read: {}", .0.join("; "))]
    PartialAnswer(Vec<String>),
    #[error(transparent)]
    Asked(Box<QuestionError>),
    /// `review --part` names a table that the answer does not have.
    #[error("the answer has no table `{name}`; it has {known}")]
    NoPart { name: String, known: String },
    /// `init` found files it would have had to overwrite; nothing was written.
    #[error("already there: {}; nothing was written", names(.0))]
    Exists(Vec<PathBuf>),
    #[error("cannot write {}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    /// `policy fmt --check` found files that it would lay out in another way.
    #[error("not laid out as `sekisho policy fmt` would: {}", names(.0))]
    NotLaidOut(Vec<PathBuf>),
    #[error("`-`, standard input, stands alone, and other files are named beside it")]
    NotAlone,
    #[error("cannot find out where this program lies, which the unit must say: {0}")]
    Executable(io::Error),
    #[error("{path:?} cannot stand in a systemd unit: it is no plain UTF-8 text")]
    NotForUnit { path: PathBuf },
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// `ca export` was asked for one that a rotation makes.
    #[error("there is no {0} certificate authority")]
    NoSuchAuthority(&'static str),
    /// A log that `hunt` was to look through.
    #[error("cannot read {}: {source}", .path.display())]
    Log { path: PathBuf, source: io::Error },
    /// The page of a hunt.
    #[error("cannot write the page {}: {source}", .path.display())]
    Page { path: PathBuf, source: io::Error },
    #[error("there is no finding `{0}` in these logs")]
    NoFinding(String),
    /// What a person does could not be put on record.
    #[error("{}: {source}", .data_dir.display())]
    Note { data_dir: PathBuf, source: NoteError },
    #[error("`{what}`: {source}")]
    Target { what: String, source: BadTarget },
    #[error("there is no finding `{0}` on record")]
    NotFound(String),
    #[error("nothing that holds is on record of `{0}`")]
    NotMarked(String),
    #[error("there is no rule in {} that was proposed for it", .0.display())]
    NoSuchRule(PathBuf),
    #[error("a reason has 1 to {REASON_BYTES_MAX} bytes, on one line")]
    Why,
    /// `egress` was asked of a config that says nothing of the network.
    #[error("{} has no [network]", .0.display())]
    NoNetwork(PathBuf),
    /// `clients` was asked of a config that does not say where clients reach the gate.
    #[error("{} does not say how clients reach the gate", .0.display())]
    NoGateAddress(PathBuf),
    /// Rules could not be tried, or not be compared.
    #[error(transparent)]
    Gateway(#[from] KeepError),
    /// `egress apply` was not confirmed.
    #[error("not confirmed: what was there before is in force again")]
    TakenBack,
    #[error("{} between what is in force and what is asked for", count(*.0, "difference"))]
    NotAsAsked(usize),
    /// `egress probe` found ways out, or into another segment.
    #[error("{} got through", count(*.0, "way"))]
    GotThrough(usize),
    /// `egress probe` has proven nothing.
    #[error("no way could be tried from here")]
    NothingTried,
    /// `egress respond` would answer nobody.
    #[error("nothing can be listened on: {}", .0.join("; "))]
    NothingBound(Vec<String>),
    #[error("no legal hold of {0:?} stands")]
    NoHold(String),
    #[error("nobody has cut {0:?} off by hand")]
    NotIsolated(String),
    #[error("no lockdown is in force")]
    NoLockdown,
    /// What is wrong with a user of the console.
    #[error("{0}")]
    ConsoleUser(&'static str),
    #[error("{0} is more than a network of clients")]
    TooWide(ipnet::IpNet),
    #[error("no address that the device {name:?} has now is known for certain{}", said(uncertain))]
    NoDeviceNow { name: String, uncertain: Vec<String> },
    #[error(transparent)]
    Ward(#[from] WardenError),
    #[error("{0} is over")]
    Over(String),
    #[error("the finding is about no one target: there is no rule to add")]
    NoRule,
    #[error("there is no time zone `{0}`")]
    NoTimeZone(String),
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Config,
    Policy,
    /// The users of the console.
    Users,
}

impl CliError {
    /// The exit code, as `--help` documents it.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Read { .. }
            | CliError::Problems(_)
            | CliError::Warnings(_)
            | CliError::Question { .. }
            | CliError::NoProgram { .. }
            | CliError::NoRecords(_)
            | CliError::NoPublicKey(_)
            | CliError::NoCheckpoints(_)
            | CliError::NoHold(_)
            | CliError::NotIsolated(_)
            | CliError::NoLockdown
            | CliError::ConsoleUser(_)
            | CliError::TooWide(_)
            | CliError::NoDeviceNow { .. }
            | CliError::Ward(_)
            | CliError::NoNetwork(_)
            | CliError::NoGateAddress(_)
            | CliError::Refused(_)
            | CliError::NotLaidOut(_)
            | CliError::NotAlone
            | CliError::NoFinding(_)
            | CliError::NoTimeZone(_)
            | CliError::Target { .. }
            | CliError::NotFound(_)
            | CliError::NotMarked(_)
            | CliError::NoSuchRule(_)
            | CliError::Why
            | CliError::Over(_)
            | CliError::NoRule
            | CliError::Log { .. }
            | CliError::NoSuchAuthority(_)
            | CliError::Authority(
                AuthorityError::Exposed { .. }
                | AuthorityError::NoCertificate(_)
                | AuthorityError::NoKey(_)
                | AuthorityError::OtherKey(_)
                | AuthorityError::NotPrepared(_),
            )
            | CliError::App(AppError::Parent { .. } | AppError::Outside { .. } | AppError::Passed(_)) => 2,
            CliError::App(_)
            | CliError::Authority(_)
            | CliError::Ask { .. }
            | CliError::Note { .. }
            | CliError::Verify(
                OpenError::Io { .. }
                | OpenError::Locked(_)
                | OpenError::NotOurs { .. }
                | OpenError::WritableByOthers { .. },
            )
            | CliError::Journal(_)
            | CliError::Seal(_)
            | CliError::Index(_)
            | CliError::Unfetched(_)
            | CliError::NotFetched(_)
            | CliError::NotTaken(_)
            | CliError::Gateway(_)
            | CliError::TakenBack
            | CliError::NotAsAsked(_)
            | CliError::GotThrough(_)
            | CliError::NothingTried
            | CliError::NothingBound(_)
            | CliError::Exists(_)
            | CliError::Write { .. }
            | CliError::Page { .. }
            | CliError::Executable(_)
            | CliError::NotForUnit { .. }
            | CliError::Output(_) => 1,
            CliError::Sql(error) => match **error {
                SqlError::Empty | SqlError::Several | SqlError::Refused(_) | SqlError::Wrong { .. } => 2,
                SqlError::Index(_)
                | SqlError::Failed(_)
                | SqlError::Memory
                | SqlError::Disk
                | SqlError::TooLong
                | SqlError::Write(_) => 1,
            },
            CliError::Stopped => 130,
            CliError::Verify(OpenError::Broken { .. } | OpenError::Checkpoint { .. }) | CliError::NotWhole(_) => 3,
            CliError::Partial(_) | CliError::PartialAnswer(_) => 4,
            CliError::NoPart { .. } => 2,
            CliError::Asked(error) => match **error {
                QuestionError::NoDevice(_)
                | QuestionError::BadHost(..)
                | QuestionError::BadValue(..)
                | QuestionError::NoRow(_)
                | QuestionError::NothingToBeLike(_) => 2,
                QuestionError::Index(_) | QuestionError::Sqlite(_) => 1,
            },
        }
    }

    /// What to do about it, where that is not in the message.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CliError::Read { source, .. } => Some(match source.kind() {
                io::ErrorKind::NotFound => "mind the spelling, or write files to start from with `sekisho init DIR`",
                io::ErrorKind::PermissionDenied => "the user who runs this must be able to read the file",
                io::ErrorKind::InvalidData => "save the file as UTF-8 text",
                _ => "name a file of TOML text",
            }),
            CliError::Problems(_) | CliError::Warnings(_) | CliError::Refused(_) => None,
            CliError::Ask { source, .. } => ask_hint(source),
            CliError::Note { source, .. } => note_hint(source),
            CliError::App(error) => app_hint(error),
            CliError::Question { .. } => Some("write a method and a URL, like: GET http://portal.example/orders"),
            CliError::NoProgram { .. } => {
                Some("name one under [programs], or say what the program shows with --user-agent, --ja4 or --tls-key")
            }
            CliError::NoRecords(_) => Some(
                "name the data directory that `sekisho run` prints; if a gate has run there, its records were removed",
            ),
            CliError::Verify(OpenError::Broken { source: Break::Missing { first: 1, .. }, .. }) => Some(
                "if you moved the segments before away yourself, name the record behind them with --from; else leave the \
                 directory as it is, and compare it with copies kept elsewhere",
            ),
            CliError::Verify(OpenError::Broken { .. } | OpenError::Checkpoint { .. }) => {
                Some("leave the directory as it is, and compare it with copies kept elsewhere")
            }
            CliError::Verify(
                OpenError::Io { .. }
                | OpenError::Locked(_)
                | OpenError::NotOurs { .. }
                | OpenError::WritableByOthers { .. },
            )
            | CliError::Journal(_) => {
                Some("run it as the gate's user or as root: a journal is readable to its owner alone")
            }
            CliError::Index(error) => Some(match **error {
                IndexError::None(_) | IndexError::Form(_) => "build it with `sekisho reindex`",
                _ => {
                    "build it anew with `sekisho reindex`; run it as the gate's user or as root, with room on the disk"
                }
            }),
            CliError::Sql(error) => Some(match **error {
                SqlError::Several => "give one statement, without `;` between",
                SqlError::Memory | SqlError::Disk | SqlError::TooLong => {
                    "ask for fewer columns, fewer days, or shorter texts at a time"
                }
                SqlError::Empty
                | SqlError::Refused(_)
                | SqlError::Wrong { .. }
                | SqlError::Failed(_)
                | SqlError::Index(_)
                | SqlError::Write(_) => "`sekisho sql --schema` shows what can be asked",
            }),
            CliError::Stopped => None,
            CliError::NotWhole(_) => Some("leave the directory as it is, and compare it with copies kept elsewhere"),
            CliError::Seal(_) => Some("run it as the gate's user or as root"),
            CliError::NoPublicKey(_) => Some("`sekisho checkpoint key` prints a gate's"),
            CliError::NoCheckpoints(_) => {
                Some("a running gate seals each segment that has ended, which is one an hour")
            }
            CliError::PartialAnswer(_) => {
                Some("`sekisho verify` says where the journal is damaged; `sekisho reindex` builds the index anew")
            }
            CliError::NoPart { .. } => Some("name one of them with --part"),
            CliError::Asked(error) => question_hint(error),
            CliError::Partial(_) => Some("`sekisho verify` says where the journal is damaged"),
            CliError::Unfetched(_) => Some("see [lists] in the config"),
            CliError::NotFetched(_) => Some("what was fetched before stays in use; the gate tries again by itself"),
            CliError::NotTaken(_) => Some("what alerts wait is kept, and sent by itself once they take it"),
            CliError::Exists(_) => Some("give another directory, or move the files away; init overwrites nothing"),
            CliError::Write { .. } => Some("give a directory that you may write to"),
            CliError::Page { .. } => Some("give the name of a new file in a directory that you may write to"),
            CliError::NotLaidOut(_) => Some("run it without --check to lay them out"),
            CliError::NotAlone => Some("give `-` or names of files"),
            CliError::Log { source, .. } => Some(match source.kind() {
                io::ErrorKind::NotFound => "mind the spelling; `-` reads standard input",
                io::ErrorKind::PermissionDenied => "the user who runs this must be able to read the log",
                _ => "name logs, directories of logs, or data directories",
            }),
            CliError::NoFinding(_) => Some("`sekisho hunt` without --explain shows the id of each"),
            CliError::Target { .. } => None,
            CliError::NotMarked(_) => {
                Some("`sekisho triage list` shows what is; of a target that was marked for one client, give --client")
            }
            CliError::NoSuchRule(_) => Some("leave --from out, and take it out by hand where it was changed"),
            CliError::NotFound(_) => {
                Some("`sekisho hunt DATA_DIR` shows the id of each; a target can be named by its host too")
            }
            CliError::NoNetwork(_) => {
                Some("describe the network in [network]; the config that `sekisho init` writes shows how")
            }
            CliError::NoGateAddress(_) => Some("name it with --gate HOST:PORT"),
            CliError::Gateway(error) => gateway_hint(error),
            CliError::TakenBack => None,
            CliError::NotAsAsked(_) => Some("`sekisho egress apply` puts in force what is asked for"),
            CliError::GotThrough(_) => Some(
                "past the gate: see `sekisho egress check` on the gateway; over it: `sekisho explain` names the rule",
            ),
            CliError::NothingTried => Some("give this machine an address and a route, as a PC has them"),
            CliError::NothingBound(_) => Some("run it as root, or name ports that are free with --tcp and --udp"),
            CliError::NoHold(_) => Some("`sekisho hold list` shows those that stand"),
            CliError::NotIsolated(_) => Some(
                "`sekisho status` shows who is cut off; what a finding has imposed ends with `sekisho restraint lift`",
            ),
            CliError::ConsoleUser(_) => Some("`sekisho console user list` shows who there is"),
            CliError::NoLockdown => Some("`sekisho status` shows what holds"),
            CliError::TooWide(_) => Some("`sekisho lockdown` lets nothing pass but what is essential"),
            CliError::NoDeviceNow { .. } => Some("name its address; `sekisho device list` shows who has which"),
            CliError::Ward(_) => None,
            CliError::Why => Some("say it in one sentence"),
            CliError::Over(_) => Some("give a day to come"),
            CliError::NoRule => Some("leave --to out"),
            CliError::NoTimeZone(_) => Some("write it as in `Asia/Tokyo` (IANA)"),
            CliError::NotForUnit { .. } => Some("give a directory with a plain name"),
            CliError::Authority(error) => super::ca::hint(error),
            CliError::NoSuchAuthority(_) => Some("`sekisho ca show` shows those there are; a rotation makes more"),
            CliError::Executable(_) | CliError::Output(_) => None,
        }
    }
}

fn said(uncertain: &[String]) -> String {
    match uncertain {
        [] => String::new(),
        some => format!("; uncertain are {}", some.join(", ")),
    }
}

fn gateway_hint(error: &KeepError) -> Option<&'static str> {
    match error {
        KeepError::Kernel(KernelError::NoProgram(_)) => Some("install nftables: apt-get install nftables"),
        KeepError::Kernel(KernelError::Refused { .. } | KernelError::NoNamespace(_)) | KeepError::NotTaken(_) => {
            Some("run it as root on the gateway; nothing was changed")
        }
        KeepError::Kernel(KernelError::NoTable) => Some("`sekisho egress apply` puts the rules of the config in force"),
        KeepError::NotTakenBack(_) => {
            Some("the rules on trial are in force: `nft delete table inet sekisho` takes them away")
        }
        KeepError::Busy => {
            Some("the terminal in which it runs waits for `yes`; `no` or Ctrl-C there takes its rules back")
        }
        KeepError::Kernel(KernelError::NotJson(_)) | KeepError::Start(_) => None,
        KeepError::Alone(_) => Some("run it as root on the gateway; nothing was changed"),
    }
}

fn question_hint(error: &QuestionError) -> Option<&'static str> {
    match error {
        QuestionError::Index(IndexError::None(_) | IndexError::Form(_)) => Some("build it with `sekisho reindex`"),
        QuestionError::Index(_) | QuestionError::Sqlite(_) => {
            Some("run it as the gate's user or as root; if the index is damaged, build it anew with `sekisho reindex`")
        }
        QuestionError::NoDevice(_) => Some("write an address, or a name that `sekisho device list` shows"),
        QuestionError::BadHost(..) => Some("write a name such as files.example, or *.example.com for all below it"),
        QuestionError::BadValue(..) => Some("`sekisho review like --help` says what --value takes with each --by"),
        QuestionError::NoRow(_) => Some("write an id or a record's number as lists of `sekisho review` show them"),
        QuestionError::NothingToBeLike(_) => Some("choose another --by"),
    }
}

fn ask_hint(error: &AskError) -> Option<&'static str> {
    match error {
        AskError::NoGate(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            Some("ask as the gate's user or as root")
        }
        AskError::NoGate(_) => Some("start one with `sekisho run`, or name the data directory that it prints"),
        AskError::NoAnswer(_) => {
            Some("`sekisho status` shows what is in force; if that does not answer either, see its disk")
        }
        AskError::NotDone(NotDone::NoRecord) => Some(
            "see whether the disk answers at all, and make room on it; reserve_mib in the config holds space for this",
        ),
        AskError::NotDone(_) => Some("`sekisho status` shows how the gate and its disk stand"),
    }
}

fn note_hint(error: &NoteError) -> Option<&'static str> {
    match error {
        NoteError::Ask(error) => ask_hint(error),
        NoteError::NotKept(_) => Some("see whether the disk is full, and ask again"),
        NoteError::Alone(AloneError::NoJournal(_)) => Some("name the data directory that `sekisho run` prints"),
        NoteError::Alone(AloneError::Locked(_)) => Some("a gate starts or ends at this moment; try again"),
        NoteError::Alone(AloneError::Open(OpenError::Broken { .. })) => {
            Some("the journal is damaged: `sekisho verify` says where")
        }
        NoteError::Alone(AloneError::Open(_)) => {
            Some("run it as the gate's user: a journal can be written to by its owner alone")
        }
        NoteError::Alone(AloneError::NotAccepted(_) | AloneError::Unclosed(_)) => Some("see whether the disk is full"),
    }
}

fn app_hint(error: &AppError) -> Option<&'static str> {
    match error {
        AppError::Bind(bind) => Some(match bind.source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program listens there (`ss -ltnp` names it); stop it, or choose another address with --listen"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address (`ip address` shows what it has); choose another with --listen"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE, and `tproxy` of [capture] needs CAP_NET_ADMIN; \
                 choose another with --listen"
            }
            _ => "choose another address with --listen",
        }),
        AppError::Passed(_) => Some(
            "what a .socket unit listens on (ListenStream=) must stand in the config as `listen`, word for word; \
             or stop that unit",
        ),
        AppError::Journal(OpenError::Locked(_)) => {
            Some("stop the other gate, take over from it with --take-over, or give this one its own --data-dir")
        }
        AppError::TakeOver(TakeOverError::OtherVersion) => {
            Some("stop the running gate and start this one without --take-over; what it has open is cut")
        }
        AppError::TakeOver(TakeOverError::OtherUser(_)) => Some("start this one as that user"),
        AppError::TakeOver(TakeOverError::Refused(_) | TakeOverError::Io(_)) => {
            Some("see what the running gate says (its log, `sekisho status`), and try again")
        }
        AppError::Journal(OpenError::NotOurs { .. }) => {
            Some("run the gate as the user to whom the directory belongs, or give it its own --data-dir")
        }
        AppError::Journal(OpenError::WritableByOthers { .. }) => {
            Some("take the right away with `chmod go-w`, or give another directory with --data-dir")
        }
        AppError::Journal(OpenError::Io { .. }) => Some("give a directory that this user may write to with --data-dir"),
        AppError::Journal(OpenError::Broken { .. } | OpenError::Checkpoint { .. }) => Some(
            "leave the directory as it is for whoever looks into it, and start with another --data-dir; `sekisho verify` says more",
        ),
        AppError::Parent { .. } => {
            Some("a parent is another proxy: give it another address under [parents] in the policy")
        }
        AppError::Resolver(_) => Some("name DNS servers in the config: [dns] servers = [\"192.0.2.53:53\"]"),
        AppError::Interfaces(_) => {
            Some("the gate must know its own addresses to refuse them as targets: allow it AF_NETLINK sockets")
        }
        AppError::Capability(_) => Some("start it without CAP_NET_ADMIN, or with CAP_SETPCAP beside it"),
        AppError::ProxyCertificate(_) => {
            Some("see [secure_proxy] in the config: `certificate` and `key` are files in PEM that this user may read")
        }
        AppError::Outside { .. } => Some("name that directory as `writable` of [gate] in the config"),
        AppError::NoProxyCertificate
        | AppError::File { .. }
        | AppError::Runtime(_)
        | AppError::Browsers(_)
        | AppError::Random(_)
        | AppError::WorkerDied => None,
        AppError::Unclosed(_) => Some(
            "see whether the disk is full; its last records may be missing, and the next start cuts off what is unfinished",
        ),
    }
}

impl From<QuestionError> for CliError {
    fn from(error: QuestionError) -> Self {
        CliError::Asked(Box::new(error))
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::File { path, source } => CliError::Read { role: Role::Policy, path, source },
            ReadError::Problems(problems) => CliError::Problems(problems),
            ReadError::Unfetched(names) => CliError::Unfetched(names),
        }
    }
}

/// So many of something.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// So many problems, and those of them that are shown.
fn list<P: fmt::Display>(problems: usize, shown: &[P]) -> String {
    let mut text = count(problems, "problem");
    for problem in shown {
        text.push('\n');
        text.push_str(&problem.to_string());
    }
    if problems > shown.len() {
        text.push_str(&format!("\nand {} more", problems - shown.len()));
    }
    text
}

fn known_programs(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; it has {}", known.join(", ")) }
}

fn names(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Config => "config",
            Role::Policy => "policy",
            Role::Users => "users",
        })
    }
}
