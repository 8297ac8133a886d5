use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Severity, Shown, Verdict};

use super::super::draft::{Draft, Drafts};
use super::super::event::{Event, Facts, Refusal};
use super::super::family::called;
use super::super::grounds::{Grounds, growing};
use super::super::hour::{Hour, SLOTS};
use super::super::names::Name;
use super::super::network::Network;
use super::super::table::Table;

/// Finds programs that fail at log-ins or challenges again and again, and never succeed in between.
///
/// Its benign twins: a password that is mistyped and then right; a program that is asked to log in once at each start,
/// because it cannot; and one that cannot on many clients, which is the operator's to allow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FailedChallenges {
    /// By client. About 230 bytes each.
    programs: Table<(Name, Program), Failing>,
}

/// By what it calls itself, or else by its TLS key: what is told of challenges has the first alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Program {
    Agent(Name),
    Key(Name),
    Unknown,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failing {
    first: u64,
    first_line: u64,
    hour: Hour<Failed>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Failed {
    /// Log-ins that were asked for in vain.
    unanswered: u32,
    wrong: u32,
    challenges: u32,
}

/// Failures within an hour from which on each kind counts.
const UNANSWERED_MIN: u32 = 20;
const WRONG_MIN: u32 = 8;
const CHALLENGES_MIN: u32 = 5;
const SEVERITIES: [(f32, Severity); 2] = [(1.5, Severity::Low), (3.0, Severity::Medium)];
/// Of fewer clients one that differs from the others says nothing.
const CLIENTS_MIN: u32 = 20;

impl FailedChallenges {
    pub(super) fn new(programs_max: usize) -> Self {
        Self { programs: Table::new(programs_max) }
    }

    /// Takes an exchange, or what came of a challenge.
    pub(super) fn take(&mut self, event: &Event, facts: &Facts, network: &mut Network, drafts: &mut Drafts) {
        let challenge_failed = facts.standing == Shown::Failed;
        if matches!(facts.refusal, Refusal::None | Refusal::Other) && !challenge_failed {
            return self.succeed(event, facts);
        }
        let program = Program::of(facts);
        let key = (event.client, program);
        let new = || Failing { first: event.time, first_line: event.line, hour: Hour::new(event.time) };
        let failing = self.programs.entry(key, new);
        let slot = failing.hour.at(event.time);
        let count = match facts.refusal {
            Refusal::LogIn => &mut slot.unanswered,
            Refusal::WrongLogIn => &mut slot.wrong,
            Refusal::None | Refusal::Other => &mut slot.challenges,
        };
        *count = count.saturating_add(1);
        let failed = failing.hour.last(SLOTS).fold(Failed::default(), Failed::with);
        if failed.all() == 1 {
            (failing.first, failing.first_line) = (event.time, event.line);
        }
        if failed.unanswered < UNANSWERED_MIN && failed.wrong < WRONG_MIN && failed.challenges < CHALLENGES_MIN {
            return;
        }
        let grounds = failed.grounds(program.share(network));
        let Some(severity) = grounds.severity(&SEVERITIES) else { return };
        let draft = Draft {
            kind: FindingKind::FailedChallenges,
            severity,
            score: grounds.score(),
            client: event.client,
            target: program.text(network),
            port: 0,
            first: failing.first.min(event.time),
            last: event.time,
            requests: failed.all(),
            denied: failed.unanswered.saturating_add(failed.wrong),
            beat: None,
            grounds: grounds.sorted(),
            rarity: None,
            records: [failing.first_line, event.line],
        };
        drafts.add_if_news(draft, &network.clients);
    }

    /// What succeeds once begins anew: log-ins where a user is known, challenges where it is cleared.
    pub(super) fn succeed(&mut self, event: &Event, facts: &Facts) {
        let logged_in = facts.verdict == Verdict::Allowed && facts.user.is_some();
        let cleared = facts.standing == Shown::Cleared;
        if !logged_in && !cleared {
            return;
        }
        let Some(failing) = self.programs.get_mut((event.client, Program::of(facts))) else { return };
        let left = failing.hour.last(SLOTS).fold(Failed::default(), Failed::with);
        failing.hour = Hour::new(event.time);
        *failing.hour.at(event.time) = Failed {
            unanswered: if logged_in { 0 } else { left.unanswered },
            wrong: if logged_in { 0 } else { left.wrong },
            challenges: if cleared { 0 } else { left.challenges },
        };
    }
}

impl Program {
    fn of(facts: &Facts) -> Self {
        match (facts.agent, facts.program) {
            (Some(agent), _) => Self::Agent(agent),
            (None, Some(key)) => Self::Key(key),
            (None, None) => Self::Unknown,
        }
    }

    fn text(self, network: &Network) -> Option<Arc<str>> {
        match self {
            Self::Agent(agent) => network.agents.text(agent).map(|user_agent| called(&user_agent).into()),
            Self::Key(key) => network.programs.text(key),
            Self::Unknown => None,
        }
    }

    fn share(self, network: &Network) -> Share {
        let known = match self {
            Self::Agent(agent) => network.agents.known(agent),
            Self::Key(key) => network.programs.known(key),
            Self::Unknown => None,
        };
        let Some(known) = known else { return Share::Unknown };
        let (clients, of) = (known.others.count().max(1), network.clients.met());
        if clients >= 3.max(of / 50) {
            Share::Common
        } else if of < CLIENTS_MIN {
            Share::Unknown
        } else {
            Share::Rare { clients, of }
        }
    }
}

/// How many clients have a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Unknown,
    Common,
    Rare { clients: u32, of: u32 },
}

impl Failed {
    fn with(self, other: Self) -> Self {
        Self {
            unanswered: self.unanswered.saturating_add(other.unanswered),
            wrong: self.wrong.saturating_add(other.wrong),
            challenges: self.challenges.saturating_add(other.challenges),
        }
    }

    fn all(self) -> u32 {
        self.unanswered.saturating_add(self.wrong).saturating_add(self.challenges)
    }

    fn grounds(self, share: Share) -> Grounds {
        let Self { unanswered, wrong, challenges } = self;
        let mut grounds = Grounds::default();
        if challenges >= CHALLENGES_MIN {
            grounds.add(
                growing(1.8, challenges, CHALLENGES_MIN, 0.4, 2.6),
                "failed_challenges",
                &[("challenges", f64::from(challenges))],
                format!(
                    "it claims to be a browser and failed at {challenges} challenges within an hour, and passed none"
                ),
                format!("ブラウザを名乗るが、1時間に{challenges}回チャレンジに失敗し、一度も通過していない"),
            );
        }
        if wrong >= WRONG_MIN {
            grounds.add(
                growing(1.5, wrong, WRONG_MIN, 0.3, 2.4),
                "wrong_log_ins",
                &[("wrong", f64::from(wrong))],
                format!("{wrong} log-ins within an hour were wrong, and none was right"),
                format!("1時間に{wrong}回のログインがすべて失敗"),
            );
        }
        // What many clients have, and cannot log in, is not an implant.
        if unanswered >= UNANSWERED_MIN && share != Share::Common {
            grounds.add(
                growing(1.5, unanswered, UNANSWERED_MIN, 0.2, 2.0),
                "unanswered_log_ins",
                &[("unanswered", f64::from(unanswered))],
                format!("asked to log in {unanswered} times within an hour, it never did"),
                format!("1時間に{unanswered}回ログインを求められたが、一度も応じていない"),
            );
        }
        if let Share::Rare { clients, of } = share {
            grounds.add(
                0.8,
                "rare_program",
                &[("program_clients", f64::from(clients)), ("of", f64::from(of))],
                format!("{clients} of {of} clients have the program that asked"),
                format!("要求したプログラムを持つのは{of}台中{clients}台"),
            );
        }
        grounds
    }
}
