use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use crate::evidence::query_hash;
use crate::store::{QUERY_KEY_FILE, body_hash, query_hash_mark, query_mark, read_query_key, url_mark};

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};
use super::blocked::Tally;
use super::flows::{Course, Flow, course, flows};
use super::host::Hosts;
use super::indicators::{Indicators, Value};

/// In what an indicator fits what is on record, the surest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Fit {
    /// The host of a URL, of which no path that fits was seen: in a tunnel none is.
    HostOfUrl,
    /// On its way there past the proxy.
    PastProxy,
    /// A host was dialled there.
    Dialled,
    Below,
    Host,
    Program,
    Url,
    UrlAndQuery,
    Body,
}

impl Fit {
    fn as_str(self) -> &'static str {
        match self {
            Fit::HostOfUrl => "host of url",
            Fit::PastProxy => "past proxy",
            Fit::Dialled => "dialled",
            Fit::Below => "below",
            Fit::Host => "host",
            Fit::Program => "program",
            Fit::Url => "url",
            Fit::UrlAndQuery => "url and query",
            Fit::Body => "body",
        }
    }
}

/// What fits, by the number of what is found: which indicators, and how.
type Fits = HashMap<i64, Vec<(usize, Fit)>>;

/// Hits by indicator, how, what was found, and client.
type Hits = BTreeMap<(usize, Fit, String, String), (Tally, i64)>;

/// Hosts below one indicator that are looked for, at most.
const BELOW_MAX: usize = 10_000;
/// Addresses that are listed in a statement.
const ADDRESSES_MAX: usize = 20_000;
/// Keys that are looked up one by one on each day.
const LOOKUPS_MAX: usize = 1000;
/// Hits that are told apart.
const HITS_MAX: usize = 1_000_000;

/// Looks for thousands of indicators in all evidence: who, when, how often. Queries of URLs are compared by the keyed hash that
/// is on record, where the gate's key can be read.
///
/// # Errors
/// The index cannot be read.
pub fn sweep(
    evidence: &Evidence<'_>,
    data_dir: &Path,
    list: &str,
    indicators: &Indicators,
    range: Range,
    limit: usize,
) -> Result<Answer, QuestionError> {
    let (hosts, addresses, programs) = fitting(evidence, indicators)?;
    let mut hits = Hits::new();
    count(evidence, range, &hosts, &addresses, &programs, &mut hits)?;
    let mut answer = Answer::to("sweep", Some(list.to_owned()));
    of_exchanges(evidence, data_dir, indicators, range, &mut hits, &mut answer)?;
    past(evidence, indicators, range, &mut hits)?;
    answer.unread = evidence.unread();
    let hit: HashSet<usize> = hits.keys().map(|(indicator, ..)| *indicator).collect();
    let clients: HashSet<&str> = hits.keys().map(|(.., client)| client.as_str()).collect();
    answer.facts = vec![
        ("indicators", Cell::count(indicators.all.len() as i64)),
        ("hit", Cell::count(hit.len() as i64)),
        ("clients", Cell::count(clients.len() as i64)),
        ("not_understood", Cell::count(indicators.not_understood.len() as i64)),
        ("beyond", Cell::Count(indicators.beyond)),
    ];
    answer.tables = vec![table(evidence, indicators, &hits, limit), not_understood(indicators, limit)];
    if hits.keys().any(|(_, fit, ..)| *fit == Fit::HostOfUrl) {
        answer
            .notes
            .push("`host of url`: the host was seen and the path was not; within a tunnel no path is".to_owned());
    }
    let has = |fit: Fit| hits.keys().any(|(_, of, ..)| *of == fit);
    if has(Fit::Url) {
        answer.notes.push("`url`: host and path are the same; the query is another, or none was asked for".to_owned());
    }
    if has(Fit::UrlAndQuery) {
        answer.notes.push("`url and query`: the query is the same too, by its keyed hash on record".to_owned());
    }
    if has(Fit::PastProxy) {
        answer.notes.push(
            "`past proxy`: attempts to get there without it, as firewalls and connection tracking saw them".to_owned(),
        );
    }
    if hits.len() >= HITS_MAX {
        answer.notes.push(format!("only {HITS_MAX} hits are told apart; there are more"));
    }
    answer.next = vec![
        "sekisho review host HOST, sekisho review client CLIENT: all that is on record of one of these".to_owned(),
    ];
    Ok(answer)
}

/// Which hosts, addresses and programs of the index an indicator fits.
fn fitting(evidence: &Evidence<'_>, indicators: &Indicators) -> Result<(Fits, Fits, Fits), QuestionError> {
    let (mut hosts, mut addresses, mut programs) = (Fits::new(), Fits::new(), Fits::new());
    let mut prefixes: Vec<(usize, IpNet)> = Vec::new();
    let mut by_ja4 = evidence.connection().prepare_cached("SELECT id FROM program WHERE ja4 = ?1")?;
    for (number, indicator) in indicators.all.iter().enumerate() {
        let mut exact = |name: &str, fit: Fit| {
            if let Some(host) = evidence.number("host", name)? {
                hosts.entry(host).or_default().push((number, fit));
            }
            Ok::<_, QuestionError>(())
        };
        match &indicator.value {
            Value::Url { host, .. } => exact(host, Fit::HostOfUrl)?,
            Value::Sha256(_) => {}
            Value::Prefix(prefix) => prefixes.push((number, *prefix)),
            Value::Host(name) => {
                exact(name, Fit::Host)?;
                below(evidence, name, number, &mut hosts)?;
            }
            Value::Address(address) => {
                for name in [address.to_string(), format!("[{address}]")] {
                    exact(&name, Fit::Host)?;
                }
                if let Some(found) = evidence.number("address", &address.to_string())? {
                    addresses.entry(found).or_default().push((number, Fit::Dialled));
                }
            }
            Value::Ja4(ja4) => {
                let mut rows = by_ja4.query([ja4])?;
                while let Some(row) = rows.next()? {
                    programs.entry(row.get(0)?).or_default().push((number, Fit::Program));
                }
            }
        }
    }
    if !prefixes.is_empty() {
        within(evidence, &prefixes, "SELECT id, name FROM address", Fit::Dialled, &mut addresses)?;
        let literal = "SELECT id, name FROM host WHERE name GLOB '[0-9]*' OR name LIKE '%:%'";
        within(evidence, &prefixes, literal, Fit::Host, &mut hosts)?;
    }
    Ok((hosts, addresses, programs))
}

fn below(evidence: &Evidence<'_>, name: &str, number: usize, hosts: &mut Fits) -> Result<(), QuestionError> {
    // Below a public suffix anybody has names.
    if psl::domain_str(name).is_none() {
        return Ok(());
    }
    let below = Hosts::below(name);
    let text = format!("SELECT id FROM host WHERE id IN {} LIMIT {BELOW_MAX}", below.numbers());
    let mut statement = evidence.connection().prepare_cached(&text)?;
    let mut rows = statement.query(&below.given()[..])?;
    while let Some(row) = rows.next()? {
        hosts.entry(row.get(0)?).or_default().push((number, Fit::Below));
    }
    Ok(())
}

/// Addresses in prefixes, which are looked up by their lengths.
fn within(
    evidence: &Evidence<'_>,
    prefixes: &[(usize, IpNet)],
    text: &str,
    fit: Fit,
    into: &mut Fits,
) -> Result<(), QuestionError> {
    let by_prefix: HashMap<IpNet, usize> = prefixes.iter().map(|(number, prefix)| (*prefix, *number)).collect();
    let lengths: HashSet<u8> = prefixes.iter().map(|(_, prefix)| prefix.prefix_len()).collect();
    let mut statement = evidence.connection().prepare_cached(text)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() else { continue };
        for length in &lengths {
            let prefix = IpNet::new(address, *length).ok().map(|prefix| prefix.trunc());
            if let Some(number) = prefix.and_then(|prefix| by_prefix.get(&prefix)) {
                into.entry(row.get(0)?).or_default().push((*number, fit));
            }
        }
    }
    Ok(())
}

/// A hit by numbers: indicator, how, what was found (a host or program, and the address it was dialled at), client.
type Numbered = (usize, Fit, (i64, i64), i64);

/// Who had to do with what fits, and when, day by day.
fn count(
    evidence: &Evidence<'_>,
    range: Range,
    hosts: &Fits,
    addresses: &Fits,
    programs: &Fits,
    hits: &mut Hits,
) -> Result<(), QuestionError> {
    let mut found: HashMap<Numbered, (Tally, i64)> = HashMap::new();
    let of_host = "SELECT p.client, p.requests, p.first, p.last, p.denied + p.challenged FROM {p} p \
        WHERE {of p} AND p.host = ?1 AND p.first <= p.last";
    let of_program = "SELECT s.client, s.requests, s.first, s.last, 0 FROM {s} s WHERE {of s} AND s.program = ?1";
    let mut add = |fits: &[(usize, Fit)], what: (i64, i64), client: i64, more: (i64, i64, i64), stopped: i64| {
        for (indicator, fit) in fits {
            let key = (*indicator, *fit, what, client);
            if found.len() >= HITS_MAX && !found.contains_key(&key) {
                continue;
            }
            let (tally, all_stopped) = found.entry(key).or_default();
            tally.add(more.0, more.1, more.2);
            *all_stopped = all_stopped.saturating_add(stopped);
        }
    };
    let sorted = |fits: &Fits| {
        let mut numbers: Vec<i64> = fits.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    };
    let numbers = [sorted(hosts), sorted(programs), sorted(addresses)];
    evidence.each(evidence.parts(range), |part| {
        let [of_hosts, of_programs, of_addresses] = &numbers;
        for (text, numbers, fits) in [(of_host, of_hosts, hosts), (of_program, of_programs, programs)] {
            for number in numbers {
                let fits = fits.get(number).map_or(&[][..], Vec::as_slice);
                evidence.rows(part, text, &[number], |row| {
                    let more = (row.get(1)?, part.moment(row.get(2)?), part.moment(row.get(3)?));
                    add(fits, (*number, 0), row.get(0)?, more, row.get(4)?);
                    Ok(())
                })?;
            }
        }
        let mut dialled = BTreeSet::new();
        if !of_addresses.is_empty() {
            evidence.dialled(part, None, &[], |_, address, _| {
                if addresses.contains_key(&address) {
                    dialled.insert(address);
                }
            })?;
        }
        // To look through the day's exchanges takes less than to ask for each host that was ever dialled there.
        let dialled: Vec<String> = dialled.iter().map(i64::to_string).collect();
        for some in dialled.chunks(ADDRESSES_MAX) {
            let text = format!(
                "SELECT x.dialled, coalesce(x.host, 0), x.client, count(*), min(x.at), max(x.at), sum(x.stopped IS 1) \
                 FROM {{x}} x WHERE {{within}} AND x.dialled IN ({}) GROUP BY x.dialled, coalesce(x.host, 0), x.client",
                some.join(", ")
            );
            evidence.rows(part, &text, &[], |row| {
                let (address, host): (i64, i64) = (row.get(0)?, row.get(1)?);
                let begins = part.begins();
                let more = (row.get(3)?, begins.saturating_add(row.get(4)?), begins.saturating_add(row.get(5)?));
                add(
                    addresses.get(&address).map_or(&[][..], Vec::as_slice),
                    (host, address),
                    row.get(2)?,
                    more,
                    row.get(6)?,
                );
                Ok(())
            })?;
        }
        Ok(())
    })?;
    named(evidence, found, hits)
}

/// The same with names.
fn named(
    evidence: &Evidence<'_>,
    found: HashMap<Numbered, (Tally, i64)>,
    hits: &mut Hits,
) -> Result<(), QuestionError> {
    let mut ja4 = evidence.connection().prepare_cached("SELECT ja4 FROM program WHERE id = ?1")?;
    let mut clients: HashMap<i64, String> = HashMap::new();
    for ((indicator, fit, (number, address), client), tally) in found {
        let what = match fit {
            Fit::Program => ja4.query_row([number], |row| row.get(0))?,
            Fit::Dialled => {
                format!("{} at {}", evidence.name("host", number), evidence.name("address", address))
            }
            Fit::HostOfUrl | Fit::PastProxy | Fit::Below | Fit::Host | Fit::Url | Fit::UrlAndQuery | Fit::Body => {
                evidence.name("host", number)
            }
        };
        let client = clients.entry(client).or_insert_with(|| evidence.name("client", client)).clone();
        let (sum, stopped) = hits.entry((indicator, fit, what, client)).or_default();
        sum.add(tally.0.requests, tally.0.first, tally.0.last);
        *stopped = stopped.saturating_add(tally.1);
    }
    Ok(())
}

/// URLs and bodies, by their marks. A URL whose path was seen is no mere hit of its host any more.
fn of_exchanges(
    evidence: &Evidence<'_>,
    data_dir: &Path,
    indicators: &Indicators,
    range: Range,
    hits: &mut Hits,
    answer: &mut Answer,
) -> Result<(), QuestionError> {
    let seen: HashSet<usize> =
        hits.keys().filter(|(_, fit, ..)| *fit == Fit::HostOfUrl).map(|(indicator, ..)| *indicator).collect();
    let key = read_query_key(data_dir);
    let mut urls: Vec<OfUrl> = Vec::new();
    let mut bodies: Vec<(usize, [u8; 32])> = Vec::new();
    let mut asks = false;
    for (number, indicator) in indicators.all.iter().enumerate() {
        match &indicator.value {
            Value::Url { host, port, path, query } if seen.contains(&number) => {
                asks |= query.is_some();
                let hashed = |query: &String| query_hash_mark(&query_hash(key.as_ref().ok()?, query));
                let marks = query.as_ref().map(|query| [Some(query_mark(query)), hashed(query)]);
                let what = format!("{host}{path}");
                urls.push(OfUrl { number, url: url_mark(host, path), port: port.map(i64::from), marks, what });
            }
            Value::Sha256(hash) => bodies.extend(body_hash(hash).map(|hash| (number, hash))),
            Value::Url { .. } | Value::Host(_) | Value::Address(_) | Value::Prefix(_) | Value::Ja4(_) => {}
        }
    }
    // As they lie in the index.
    urls.sort_unstable_by_key(|url| url.url);
    bodies.sort_unstable_by_key(|(_, hash)| *hash);
    if let Err(why) = &key
        && asks
    {
        answer.notes.push(format!("queries are not compared: {} cannot be read ({why})", QUERY_KEY_FILE));
    }
    let of_url = "SELECT c.name, x.at, x.stopped, coalesce(n.port, 443), u.query FROM u_DAY u JOIN {x} x ON x.seq = u.seq \
        LEFT JOIN client c ON c.id = x.client LEFT JOIN manner n ON n.id = x.manner WHERE u.url = ?1 AND {within}";
    let of_body = "SELECT c.name, x.at, x.stopped, b.name FROM b_DAY b JOIN {x} x ON x.seq = b.seq \
        LEFT JOIN client c ON c.id = x.client WHERE b.sha256 = ?1 AND {within}";
    evidence.each(evidence.parts(range), |part| {
        let mut hit = |row: &rusqlite::Row<'_>, number: usize, fit: Fit, what: String| {
            let key = (number, fit, what, row.get::<_, Option<String>>(0)?.unwrap_or_default());
            if hits.len() < HITS_MAX || hits.contains_key(&key) {
                let time = part.begins().saturating_add(row.get(1)?);
                let (tally, stopped) = hits.entry(key).or_default();
                tally.add(1, time, time);
                *stopped += i64::from(row.get::<_, Option<i64>>(2)? == Some(1));
            }
            Ok(())
        };
        for OfUrl { number, url, port, marks, what } in &urls {
            evidence.rows(part, of_url, &[url], |row| {
                if port.is_some() && *port != row.get(3)? {
                    return Ok(());
                }
                let query: Option<i64> = row.get(4)?;
                let is_same = query.is_some() && marks.is_some_and(|marks| marks.contains(&query));
                hit(row, *number, if is_same { Fit::UrlAndQuery } else { Fit::Url }, what.clone())
            })?;
        }
        for (number, hash) in &bodies {
            evidence.rows(part, of_body, &[hash], |row| hit(row, *number, Fit::Body, row.get(3)?))?;
        }
        Ok(())
    })?;
    let seen: HashSet<(usize, String)> = hits
        .keys()
        .filter(|(_, fit, ..)| matches!(fit, Fit::Url | Fit::UrlAndQuery))
        .map(|(indicator, _, _, client)| (*indicator, client.clone()))
        .collect();
    hits.retain(|(indicator, fit, _, client), _| {
        *fit != Fit::HostOfUrl || !seen.contains(&(*indicator, client.clone()))
    });
    Ok(())
}

/// An indicator of a URL whose host is on record.
struct OfUrl {
    number: usize,
    url: i64,
    port: Option<i64>,
    /// Of its query, as it is and by the gate's key.
    marks: Option<[Option<i64>; 2]>,
    what: String,
}

/// Attempts past the proxy, by where they were to go.
fn past(evidence: &Evidence<'_>, indicators: &Indicators, range: Range, hits: &mut Hits) -> Result<(), QuestionError> {
    let mut addresses = Fits::new();
    let mut courses = Fits::new();
    let mut prefixes: Vec<(usize, IpNet)> = Vec::new();
    let mut names: HashMap<&str, Vec<(usize, bool)>> = HashMap::new();
    for (number, indicator) in indicators.all.iter().enumerate() {
        match &indicator.value {
            Value::Address(address) => {
                if let Some(found) = evidence.number("address", &address.to_string())? {
                    addresses.entry(found).or_default().push((number, Fit::PastProxy));
                }
            }
            Value::Prefix(prefix) => prefixes.push((number, *prefix)),
            Value::Host(name) => names.entry(name).or_default().push((number, true)),
            Value::Url { host, .. } => names.entry(host).or_default().push((number, false)),
            Value::Ja4(_) | Value::Sha256(_) => {}
        }
    }
    if !prefixes.is_empty() {
        within(evidence, &prefixes, "SELECT id, name FROM address", Fit::PastProxy, &mut addresses)?;
    }
    let mut statement = evidence.connection().prepare_cached("SELECT id, host FROM course WHERE host <> ''")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (course, host): (i64, String) = (row.get(0)?, row.get(1)?);
        let ends = host.match_indices('.').filter_map(|(dot, _)| host.get(dot + 1..));
        for (name, is_itself) in [(host.as_str(), true)].into_iter().chain(ends.map(|name| (name, false))) {
            let fits = names.get(name).into_iter().flatten().filter(|(_, below)| is_itself || *below);
            let fits: Vec<_> = fits.map(|(number, _)| (*number, Fit::PastProxy)).collect();
            if !fits.is_empty() {
                courses.entry(course).or_default().extend(fits);
            }
        }
    }
    if addresses.is_empty() && courses.is_empty() {
        return Ok(());
    }
    let mut found: HashMap<(usize, i64, i64, i64), (Tally, i64)> = HashMap::new();
    let stopped: HashSet<i64> = numbers(evidence, "SELECT id FROM course WHERE state IN ('refused', 'dropped')")?;
    evidence.each(evidence.parts(range), |part| {
        let mut take = |flow: &Flow, fits: &[(usize, Fit)]| {
            for (indicator, _) in fits {
                let key = (*indicator, flow.address, flow.course, flow.client);
                if found.len() >= HITS_MAX && !found.contains_key(&key) {
                    continue;
                }
                let (tally, all_stopped) = found.entry(key).or_default();
                tally.add(flow.count, flow.first, flow.last);
                *all_stopped += if stopped.contains(&flow.course) { flow.count } else { 0 };
            }
        };
        // One look through the day's sums takes less than many by their keys.
        if part.is_in_part() || addresses.len() + courses.len() > LOOKUPS_MAX {
            return flows(evidence, part, "TRUE", &[], |flow| {
                for fits in [addresses.get(&flow.address), courses.get(&flow.course)].into_iter().flatten() {
                    take(flow, fits);
                }
            });
        }
        for (address, fits) in &addresses {
            flows(evidence, part, "w.address = ?1", &[address], |flow| take(flow, fits))?;
        }
        for (course, fits) in &courses {
            flows(evidence, part, "w.course = ?1", &[course], |flow| take(flow, fits))?;
        }
        Ok(())
    })?;
    for ((indicator, address, number, client), (tally, all_stopped)) in found {
        let Course { host, .. } = course(evidence, number)?;
        let address = evidence.name("address", address);
        let what = if host.is_empty() { address } else { format!("{host} at {address}") };
        let key = (indicator, Fit::PastProxy, what, evidence.name("address", client));
        if hits.len() < HITS_MAX || hits.contains_key(&key) {
            let (sum, stopped) = hits.entry(key).or_default();
            sum.add(tally.requests, tally.first, tally.last);
            *stopped = stopped.saturating_add(all_stopped);
        }
    }
    Ok(())
}

fn numbers(evidence: &Evidence<'_>, text: &str) -> Result<HashSet<i64>, QuestionError> {
    let mut statement = evidence.connection().prepare_cached(text)?;
    let numbers = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(numbers)
}

fn table(evidence: &Evidence<'_>, indicators: &Indicators, hits: &Hits, limit: usize) -> Table {
    let columns = [
        ("indicator", Shape::Text),
        ("kind", Shape::Text),
        ("fit", Shape::Text),
        ("found", Shape::Text),
        ("client", Shape::Text),
        ("device", Shape::Text),
        ("requests", Shape::Count),
        ("stopped", Shape::Count),
        ("first", Shape::Time),
        ("last", Shape::Time),
        ("line", Shape::Count),
    ];
    let rows: Vec<_> = hits.iter().collect();
    Table::new("hits", &columns).fill(&rows, limit, |((number, fit, what, client), (tally, stopped))| {
        let indicator = indicators.all.get(*number);
        vec![
            Cell::of(indicator, |indicator| Cell::text(indicator.value.in_words())),
            Cell::of(indicator, |indicator| Cell::text(indicator.value.kind())),
            Cell::text(fit.as_str()),
            Cell::text(&**what),
            Cell::text(&**client),
            Cell::text(evidence.who.at(client, tally.last)),
            Cell::count(tally.requests),
            Cell::count(*stopped),
            Cell::time(tally.first),
            Cell::time(tally.last),
            Cell::of(indicator, |indicator| Cell::count(indicator.line as i64)),
        ]
    })
}

fn not_understood(indicators: &Indicators, limit: usize) -> Table {
    let columns = [("line", Shape::Count), ("text", Shape::Text)];
    Table::new("not_understood", &columns)
        .fill(&indicators.not_understood, limit, |line| vec![Cell::count(line.line as i64), Cell::text(&*line.text)])
}
