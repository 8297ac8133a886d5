use crate::evidence::{FindingId, Triage, Triaged, Triages};
use crate::facts::Timestamp;

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};
use super::host::Hosts;

/// Which findings are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingsOf {
    All,
    /// What calls home like clockwork.
    Beacons,
    Tunnels,
}

impl FindingsOf {
    fn question(self) -> &'static str {
        match self {
            FindingsOf::All => "findings",
            FindingsOf::Beacons => "beacons",
            FindingsOf::Tunnels => "tunnels",
        }
    }

    fn has(self, kind: &str) -> bool {
        match self {
            FindingsOf::All => true,
            FindingsOf::Beacons => kind.ends_with("beacon") || kind == "always_on",
            FindingsOf::Tunnels => kind.ends_with("_tunnel"),
        }
    }
}

/// Of whom and of what.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) clients: Option<Vec<String>>,
    pub(super) hosts: Option<Hosts>,
}

/// What detectors found that was at work in the range, the most pressing first, with what people hold it to be.
///
/// # Errors
/// The index cannot be asked.
pub fn findings(evidence: &Evidence<'_>, of: FindingsOf, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let mut answer = Answer::to(of.question(), None);
    let rows = read(evidence, of, &Wanted::default(), range)?;
    let high = rows.iter().filter(|row| row.severity == "high").count();
    answer.facts = vec![("findings", Cell::count(rows.len() as i64)), ("high", Cell::count(high as i64))];
    answer.tables = vec![table(evidence, &rows, limit)?];
    answer.unread = evidence.unread();
    answer.next = vec![
        "sekisho review client CLIENT, sekisho review host HOST: what else it is about".to_owned(),
        "sekisho triage known-good|malicious|watching ID --why TEXT: what you hold it to be".to_owned(),
    ];
    Ok(answer)
}

/// Findings beside another answer.
pub(super) fn found(
    evidence: &Evidence<'_>,
    wanted: &Wanted,
    range: Range,
    limit: usize,
) -> Result<Table, QuestionError> {
    table(evidence, &read(evidence, FindingsOf::All, wanted, range)?, limit)
}

struct FindingRow {
    id: String,
    seq: i64,
    kind: String,
    severity: String,
    /// In thousandths, so that rows have an order.
    weight: i64,
    client: String,
    target: String,
    /// 0 where it has none.
    port: u16,
    first: i64,
    last: i64,
    english: String,
    japanese: String,
}

fn read(
    evidence: &Evidence<'_>,
    of: FindingsOf,
    wanted: &Wanted,
    range: Range,
) -> Result<Vec<FindingRow>, QuestionError> {
    let micros = |time: Timestamp| i64::try_from(time.0).unwrap_or(i64::MAX);
    let (since, until) = (range.since.map_or(i64::MIN, micros), range.until.map_or(i64::MAX, micros));
    let text = "SELECT id, seq, kind, severity, CAST(weight * 1000 AS INTEGER), client, target, first, last, english, \
        japanese, CASE WHEN json_valid(line) THEN coalesce(json_extract(line, '$.port'), 0) ELSE 0 END \
        FROM finding WHERE last >= ?1 AND first < ?2";
    let mut statement = evidence.connection().prepare_cached(text)?;
    let mut rows = Vec::new();
    let mut found = statement.query([since, until])?;
    while let Some(row) = found.next()? {
        let finding = FindingRow {
            id: row.get(0)?,
            seq: row.get(1)?,
            kind: row.get(2)?,
            severity: row.get(3)?,
            weight: row.get(4)?,
            client: row.get(5)?,
            target: row.get(6)?,
            first: row.get(7)?,
            last: row.get(8)?,
            english: row.get(9)?,
            japanese: row.get(10)?,
            port: row.get(11)?,
        };
        let is_of_client = wanted.clients.as_ref().is_none_or(|clients| clients.contains(&finding.client));
        let is_of_host = wanted.hosts.as_ref().is_none_or(|hosts| hosts.has(&finding.target));
        let is_asked_for = evidence.is_asked_for(&finding.client, finding.first, finding.last);
        if of.has(&finding.kind) && is_of_client && is_of_host && is_asked_for {
            rows.push(finding);
        }
    }
    let rank = |severity: &str| ["high", "medium", "low"].iter().position(|known| *known == severity);
    rows.sort_by(|a, b| {
        let key = |row: &FindingRow| (rank(&row.severity).unwrap_or(3), -row.weight);
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    });
    Ok(rows)
}

fn table(evidence: &Evidence<'_>, rows: &[FindingRow], limit: usize) -> Result<Table, QuestionError> {
    let columns = [
        ("severity", Shape::Text),
        ("finding", Shape::Text),
        ("kind", Shape::Text),
        ("client", Shape::Text),
        ("device", Shape::Text),
        ("target", Shape::Text),
        ("first", Shape::Time),
        ("last", Shape::Time),
        ("mark", Shape::Text),
        ("record", Shape::Count),
        ("english", Shape::Sentence),
        ("japanese", Shape::Sentence),
    ];
    let marks = Marks::read(evidence)?;
    Ok(Table::new("findings", &columns).fill(rows, limit, |row| {
        vec![
            Cell::text(&*row.severity),
            Cell::text(&*row.id),
            Cell::text(&*row.kind),
            Cell::text(&*row.client),
            Cell::text(evidence.who.at(&row.client, row.last)),
            Cell::text(&*row.target),
            Cell::time(row.first),
            Cell::time(row.last),
            Cell::text(marks.of_finding(row)),
            Cell::count(row.seq),
            Cell::text(&*row.english),
            Cell::text(&*row.japanese),
        ]
    }))
}

/// What people hold findings and targets to be: of each the newest record of kind `triage` that holds by the time of the
/// newest record.
#[derive(Debug, Default)]
pub(super) struct Marks {
    triages: Triages,
    now: Timestamp,
}

impl Marks {
    pub(super) fn read(evidence: &Evidence<'_>) -> Result<Self, QuestionError> {
        let text = "SELECT line, time, seq FROM event WHERE kind = 'triage' ORDER BY seq";
        let mut statement = evidence.connection().prepare_cached(text)?;
        let mut rows = statement.query([])?;
        let mut triages = Triages::default();
        while let Some(row) = rows.next()? {
            if let Ok(triage) = serde_json::from_str::<Triage>(&row.get::<_, String>(0)?) {
                let number = |at: usize| row.get::<_, i64>(at).map(|number| number.max(0).unsigned_abs());
                triages.note(Triaged { time: Timestamp(number(1)?), seq: number(2)?, triage });
            }
        }
        Ok(Self { triages, now: evidence.indexed().time })
    }

    /// Empty where nobody has said anything.
    pub(super) fn of_target(&self, target: &str, port: i64, client: &str) -> String {
        let port = u16::try_from(port).unwrap_or_default();
        in_words(self.triages.of_target(target, port, client, self.now))
    }

    /// By its own triage, else by that of its target.
    fn of_finding(&self, row: &FindingRow) -> String {
        match FindingId::parse(&row.id) {
            Some(id) => self.of(id, (&row.target, row.port), &row.client),
            None => self.of_target(&row.target, row.port.into(), &row.client),
        }
    }

    pub(super) fn of(&self, id: FindingId, (target, port): (&str, u16), client: &str) -> String {
        let own = self.triages.of_finding(id, self.now);
        in_words(own.or_else(|| self.triages.of_target(target, port, client, self.now)))
    }
}

fn in_words(triaged: Option<&Triaged>) -> String {
    let Some(Triaged { triage, .. }) = triaged else { return String::new() };
    let until = triage.until.as_ref().map_or(String::new(), |until| format!(" until {}", until.as_str()));
    format!("{}{until}", triage.mark.in_words().0)
}
