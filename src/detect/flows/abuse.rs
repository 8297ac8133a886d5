use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Severity};

use crate::detect::grounds::{Grounds, growing};
use crate::detect::hour::{Hour, SLOTS};
use crate::detect::inside::Whereabouts;
use crate::detect::names::Estimate;
use crate::detect::table::Table;

use super::event::{FlowEvent, hash};
use super::telling::{Around, Told};
use super::usual::Most;

/// Finds what does harm to others: mail to many servers outside, and attempts without end.
///
/// Mail: fifteen different servers within an hour, whatever came of it. A program that sends mail has one server, or
/// a few; only a mail server speaks to many, and it did so in earlier weeks: it is told when it is more than twice
/// the most of these.
///
/// Floods: 12,000 attempts within a minute that came to nothing. What tries again without a pause comes to some
/// hundred; a name server with its many questions is answered, and so does not count.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Abuse {
    /// About 270 bytes each.
    mail: Table<IpAddr, Mail>,
    /// `None` where there were too many clients to tell apart.
    floods: Table<Option<IpAddr>, Minute>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Mail {
    first: u64,
    first_line: u64,
    hour: Hour<Estimate>,
    attempts: u32,
    /// Servers in an hour, by weeks.
    most: Most,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Minute {
    number: u64,
    count: u64,
    keys: u64,
    first: u64,
    first_line: u64,
    /// From how many on it is told again.
    next: u64,
}

const CLIENTS_MAX: usize = 4_096;
/// Mail between servers, and its submission.
const MAIL: [u16; 3] = [25, 465, 587];
const SERVERS_MIN: u32 = 15;
const FLOOD_MIN: u64 = 12_000;
/// In microseconds.
const MINUTE: u64 = 60_000_000;
const WEEK: u64 = 7 * 24 * 3_600_000_000;
const SEVERITIES: [(f32, Severity); 3] = [(1.5, Severity::Low), (3.0, Severity::Medium), (4.5, Severity::High)];

impl Abuse {
    pub(super) fn new(clients_max: usize) -> Self {
        Self { mail: Table::new(CLIENTS_MAX.min(clients_max)), floods: Table::new(CLIENTS_MAX.min(clients_max)) }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.mail.evicted + self.floods.evicted
    }

    pub(super) fn mail(&mut self, event: &FlowEvent, client: IpAddr, to: IpAddr, around: &mut Around<'_>) {
        if !MAIL.contains(&event.port) || around.inside.whereabouts(to) != Whereabouts::Outside {
            return;
        }
        let new = || Mail {
            first: event.time,
            first_line: event.line,
            hour: Hour::new(event.time),
            attempts: 0,
            most: Most::default(),
        };
        let mail = self.mail.entry(client, new);
        mail.attempts = mail.attempts.saturating_add(event.count32());
        if !mail.hour.at(event.time).add(hash(to, 0)) {
            return;
        }
        let servers = mail.hour.last(SLOTS).fold(Estimate::default(), Estimate::with).count();
        if servers <= 1 {
            (mail.first, mail.first_line, mail.attempts) = (event.time, event.line, event.count32());
        }
        mail.most.add(event.time / WEEK, servers);
        let usual = mail.most.before();
        if servers < SERVERS_MIN || usual.is_some_and(|usual| servers <= usual.saturating_mul(2)) {
            return;
        }
        let mut grounds = Grounds::default();
        grounds.add(
            growing(2.5, servers, SERVERS_MIN, 0.7, 4.5),
            "mail_servers",
            &[("servers", f64::from(servers))],
            format!("about {servers} different mail servers outside within an hour"),
            format!("1時間に外部の約{servers}台のメールサーバへ接続"),
        );
        if let Some(usual) = usual {
            grounds.add(
                0.5,
                "more_than_usual",
                &[("usual", f64::from(usual))],
                format!("at most {usual} were usual within an hour of earlier weeks"),
                format!("これまでの週は1時間に最大{usual}台"),
            );
        }
        let told = Told {
            kind: FindingKind::MailBurst,
            client: Some(client),
            target: String::new(),
            port: event.port,
            first: mail.first.min(event.time),
            last: event.last,
            attempts: mail.attempts,
            refused: 0,
            records: [mail.first_line, event.line],
            beat: None,
            rarity: None,
            grounds,
        };
        around.tell(told, &SEVERITIES);
    }

    pub(super) fn flood(&mut self, event: &FlowEvent, client: Option<IpAddr>, around: &mut Around<'_>) {
        if !event.failed() || client.is_some_and(|client| around.inside.is_scanner(client)) {
            return;
        }
        let minute = self.floods.entry(client, Minute::default);
        let number = event.time / MINUTE;
        if number != minute.number {
            *minute =
                Minute { number, first: event.time, first_line: event.line, next: FLOOD_MIN, ..Minute::default() };
        }
        minute.count = minute.count.saturating_add(event.count);
        minute.keys = minute.keys.saturating_add(event.keys.max(1));
        if minute.count < minute.next {
            return;
        }
        minute.next = minute.count.saturating_mul(2);
        let (count, keys) = (minute.count, minute.keys);
        let mut grounds = Grounds::default();
        grounds.add(
            growing(2.5, u32::try_from(count).unwrap_or(u32::MAX), FLOOD_MIN as u32, 0.5, 4.5),
            "attempts_a_minute",
            &[("attempts", count as f64), ("keys", keys as f64)],
            format!("{count} attempts within a minute came to nothing, of at least {keys} kinds"),
            format!("1分間に{count}件の接続試行が失敗（少なくとも{keys}種類）"),
        );
        if client.is_none() {
            grounds.add(
                0.5,
                "many_clients",
                &[],
                "by more clients than could be told apart".to_owned(),
                "区別できないほど多数の送信元による".to_owned(),
            );
        }
        let told = Told {
            kind: FindingKind::Flood,
            client,
            target: String::new(),
            port: 0,
            first: minute.first,
            last: event.last,
            attempts: u32::try_from(count).unwrap_or(u32::MAX),
            refused: u32::try_from(count).unwrap_or(u32::MAX),
            records: [minute.first_line, event.line],
            beat: None,
            rarity: None,
            grounds,
        };
        around.tell(told, &SEVERITIES);
    }
}
