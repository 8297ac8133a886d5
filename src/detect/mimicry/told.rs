use std::sync::Arc;

use crate::evidence::{FindingKind, Severity, Span};

use super::super::draft::Draft;
use super::super::event::Event;
use super::super::family::{Who, called};
use super::super::grounds::{Grounds, growing};
use super::super::network::Network;
use super::{CLIENTS_MIN, Face, Key};

/// What is to be said of a program on a client.
pub(super) struct Told<'a> {
    pub event: &'a Event,
    pub who: Who,
    pub key: &'a Key,
    pub face: &'a Face,
    pub network: &'a Network,
}

/// Exchanges with contradictions before a mimic is told of.
const MIMIC_MIN: u32 = 2;
/// Different names in a day from which on they are told of.
const AGENTS_MIN: u8 = 4;
/// Grounds of rarity are of what came when the network had been watched for so long, in seconds.
const WATCHED_MIN: u64 = 7 * 86_400;

impl Told<'_> {
    /// Its benign twins: a version of a browser that the gate does not know yet, and what looks into TLS on the client
    /// itself. Both show the same on many clients.
    pub(super) fn mimic(&self) -> Option<Draft> {
        let Face { contradictory, contradictions, .. } = *self.face;
        if contradictory < MIMIC_MIN || Key::is_common(self.key.contradicts, self.network) {
            return None;
        }
        let mut grounds = Grounds::default();
        let exchanges = f64::from(contradictory);
        if contradictions > 0 {
            grounds.add(
                growing(1.2, u32::from(contradictions), 2, 0.4, 2.0),
                "contradictions",
                &[("contradictions", f64::from(contradictions)), ("exchanges", exchanges)],
                format!("up to {contradictions} things do not fit the browser that it claims to be ({contradictory} exchanges)"),
                format!("名乗るブラウザと合わない点が最大{contradictions}つ（{contradictory}件の通信）"),
            );
        }
        if self.face.is_mimic {
            let english = "the gate refused it because it claims to be a browser that it is not";
            grounds.add(1.0, "mimic", &[], english.to_owned(), "ブラウザを装ったものとして拒否".to_owned());
        }
        if contradictory >= 16 {
            grounds.add(
                0.4,
                "again_and_again",
                &[("exchanges", exchanges)],
                format!("again and again ({contradictory} exchanges)"),
                format!("繰り返し（{contradictory}件）"),
            );
        }
        self.add_rare_program(&mut grounds);
        self.add_rare_host(&mut grounds);
        self.draft(FindingKind::Mimic, grounds, &[(1.0, Severity::Low), (2.8, Severity::Medium)])
    }

    /// Its benign twin: a new version of a browser, which is cleared, or which many clients have within a day.
    pub(super) fn strange_key(&self) -> Option<Draft> {
        let Who::Key(_) = self.who else { return None };
        let is_known = self.key.is_cleared || Key::is_common(self.key.claims, self.network);
        let contradicts = self.face.contradictory > 0;
        if !self.face.claims || is_known || !(contradicts || self.key.has_settled(self.event.time)) {
            return None;
        }
        let watched = self.network.age_seconds(self.event.time);
        let age = Span(watched as f64);
        let mut grounds = Grounds::default();
        grounds.add(
            match watched / 86_400 {
                0 => 0.3,
                1..7 => 0.8,
                7.. => 1.5,
            },
            "strange_key",
            &[("watched_seconds", watched as f64), ("clients", f64::from(self.key.claims.count()))],
            format!("it claims to be a browser, with a TLS key that no browser here ever had (watched for {age})"),
            format!("ブラウザを名乗るが、TLSキーはこの網のどのブラウザのものでもない（監視期間{}）", age.in_japanese()),
        );
        if contradicts {
            let contradictions = self.face.contradictions;
            grounds.add(
                0.9,
                "contradictions",
                &[("contradictions", f64::from(contradictions))],
                "what it shows does not fit the browser that it claims to be".to_owned(),
                "名乗るブラウザと合わない点がある".to_owned(),
            );
        }
        self.add_rare_program(&mut grounds);
        self.add_rare_host(&mut grounds);
        self.draft(FindingKind::StrangeKey, grounds, &[(2.0, Severity::Low), (3.0, Severity::Medium)])
    }

    /// Its benign twins: a TLS library of the system, a browser's engine in many programs, and what looks into TLS on the
    /// client itself. They go by many names on many clients.
    pub(super) fn many_agents(&self) -> Option<Draft> {
        let Who::Key(_) = self.who else { return None };
        let Face { names_count: names, browsers, platforms, .. } = *self.face;
        let is_common = Key::is_common(self.key.many_names, self.network);
        let is_cold = self.network.age_seconds(self.event.time) < WATCHED_MIN;
        if names < AGENTS_MIN || is_common || is_cold || !self.key.has_settled(self.event.time) {
            return None;
        }
        let mut grounds = Grounds::default();
        grounds.add(
            growing(1.0, u32::from(names), u32::from(AGENTS_MIN), 0.4, 1.6),
            "many_agents",
            &[("agents", f64::from(names))],
            format!("with one TLS key it went by {names} names in a day, versions aside"),
            format!("1つのTLSキーで1日に{names}種類のUser-Agentを名乗る（版の違いを除く）"),
        );
        if browsers >= 3 {
            grounds.add(
                0.8,
                "many_browsers",
                &[("browsers", f64::from(browsers))],
                format!("{browsers} of them are browsers'"),
                format!("うち{browsers}種類がブラウザ"),
            );
        }
        let platforms = platforms.count_ones();
        if platforms >= 2 {
            grounds.add(
                1.0,
                "many_platforms",
                &[("platforms", f64::from(platforms))],
                format!("on {platforms} kinds of machines, by what it says"),
                format!("名乗る機種は{platforms}種類"),
            );
        }
        self.add_rare_program(&mut grounds);
        self.draft(FindingKind::ManyAgents, grounds, &[(2.0, Severity::Low), (3.2, Severity::Medium)])
    }

    /// Its benign twin: what is installed everywhere, and has come to others within a day. What claims to be a browser with a
    /// TLS key of its own is told of as that.
    pub(super) fn lone_program(&self) -> Option<Draft> {
        let of = self.network.clients.met();
        let is_strange_key = self.face.claims && matches!(self.who, Who::Key(_));
        let is_lone = of >= CLIENTS_MIN && self.key.clients.count() == 1;
        if !self.face.is_late || !is_lone || is_strange_key || !self.key.has_settled(self.event.time) {
            return None;
        }
        let mut grounds = Grounds::default();
        let agent = self.face.agent.and_then(|agent| self.network.agents.text(agent));
        let name = agent.map_or_else(|| "-".to_owned(), |agent| called(&agent));
        grounds.add(
            1.0,
            "lone_program",
            &[("of", f64::from(of))],
            format!("a program that came to this client alone, of {of} (it calls itself {name})"),
            format!("{of}台中この端末だけに新たに現れたプログラム（名乗り：{name}）"),
        );
        self.add_rare_host(&mut grounds);
        self.draft(FindingKind::LoneProgram, grounds, &[(1.0, Severity::Low)])
    }

    fn add_rare_program(&self, grounds: &mut Grounds) {
        let (clients, of) = (self.key.clients.count(), self.network.clients.met());
        let came = self.network.age_seconds(self.key.first);
        if of < CLIENTS_MIN || clients > 3.max(of / 100) || came < WATCHED_MIN {
            return;
        }
        grounds.add(
            0.7,
            "rare_program",
            &[("program_clients", f64::from(clients)), ("of", f64::from(of))],
            format!("{clients} of {of} clients have this program, which came after the first week"),
            format!("このプログラムを持つのは{of}台中{clients}台（監視開始から1週間後以降に出現）"),
        );
    }

    fn add_rare_host(&self, grounds: &mut Grounds) {
        let Some(host) = self.face.rare_host else { return };
        let (rarity, Some(name)) = (self.network.rarity(host, self.event.time), self.network.hosts.text(host)) else {
            return;
        };
        if !rarity.is_rare() {
            return;
        }
        let (clients, of) = (rarity.clients, rarity.of);
        grounds.add(
            0.8,
            "rare_host",
            &[("host_clients", f64::from(clients)), ("of", f64::from(of))],
            format!("{clients} of {of} clients talk to {name}, to which it did"),
            format!("通信先の{name}を使うのは{of}台中{clients}台"),
        );
    }

    fn draft(&self, kind: FindingKind, grounds: Grounds, least: &[(f32, Severity)]) -> Option<Draft> {
        let target: Option<Arc<str>> = match self.who {
            Who::Key(key) => self.network.programs.text(key),
            Who::Family(_) => {
                self.face.agent.and_then(|agent| self.network.agents.text(agent)).map(|agent| called(&agent).into())
            }
        };
        Some(Draft {
            kind,
            severity: grounds.severity(least)?,
            score: grounds.score(),
            client: self.event.client,
            target,
            port: 0,
            first: self.face.first.min(self.event.time),
            last: self.event.time,
            requests: self.face.exchanges,
            denied: self.face.denied,
            beat: None,
            grounds: grounds.sorted(),
            rarity: None,
            records: [self.face.first_line, self.event.line],
        })
    }
}
