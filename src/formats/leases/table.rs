use ipnet::IpNet;

use crate::evidence::{Text, client_of, read_time, recorded_time};
use crate::facts::Timestamp;
use crate::parse::{Document, Place, Problem, Section};

use super::{DEVICES_MAX, NAME_BYTES_MAX, hardware};

/// A device as an administrator names it, by its address, its hardware address, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    pub client: Option<IpNet>,
    pub name: Text,
    pub hardware: Option<Text>,
    pub since: Timestamp,
    pub until: Option<Timestamp>,
}

/// What an entry says, each with its place.
#[derive(Default)]
struct Said {
    address: Option<(String, Place)>,
    name: Option<(String, Place)>,
    hardware: Option<(String, Place)>,
    from: Option<(String, Place)>,
    until: Option<(String, Place)>,
}

const COLUMNS: [&str; 5] = ["address", "name", "hardware", "from", "until"];

/// Reads a table of devices: TOML with a `[[device]]` each, or, where the name of the file ends with `.csv`, CSV (RFC 4180,
/// without line ends in fields) whose first line names the columns. The keys are `name`, which is needed; `address`, an address or a prefix, or
/// `hardware`, or both; `from` and `until`, a day (UTC) or a time of RFC 3339: `until` is a day that is still within, or a
/// time that is not.
///
/// # Errors
/// Every problem at once, each with its place and its fix.
pub fn read_table(file: &str, text: &str) -> Result<Vec<TableEntry>, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if file.to_ascii_lowercase().ends_with(".csv") { read_csv(file, text) } else { read_toml(file, text) }
}

fn read_toml(file: &str, text: &str) -> Result<Vec<TableEntry>, Vec<Problem>> {
    Document::read(file, text, |root| {
        let mut entries = Vec::new();
        for mut section in root.tables("device") {
            let mut field = |key| section.string(key).map(|text| (text.value, text.place));
            let said = Said {
                address: field("address"),
                name: field("name"),
                hardware: field("hardware"),
                from: field("from"),
                until: field("until"),
            };
            let mut problems = Vec::new();
            entries.extend(said.entry(section.place(), &mut problems));
            tell(&section, problems);
            section.finish();
        }
        if entries.len() > DEVICES_MAX {
            let place = root.place().clone();
            root.problem(&place, format!("there are more than {DEVICES_MAX} devices"), "name fewer");
        }
        Some(entries)
    })
}

fn tell(section: &Section<'_, '_>, problems: Vec<Problem>) {
    for Problem { place, what, fix } in problems {
        section.problem(&place, what, fix);
    }
}

fn read_csv(file: &str, text: &str) -> Result<Vec<TableEntry>, Vec<Problem>> {
    let mut problems = Vec::new();
    let at = |line: usize| Place { file: file.into(), line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 };
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let (head, names) = lines.next().map_or((1, Ok(Vec::new())), |(number, line)| (number, fields(line)));
    let names: Vec<String> = names.unwrap_or_default().iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let unknown: Vec<&String> = names.iter().filter(|name| !COLUMNS.contains(&&***name)).collect();
    if !names.iter().any(|name| name == "name") || !unknown.is_empty() {
        let what = "the first line does not name the columns".to_owned();
        return Err(vec![Problem { place: at(head), what, fix: format!("write some of: {}", COLUMNS.join(",")) }]);
    }
    let mut entries = Vec::new();
    for (number, line) in lines {
        let place = at(number);
        let fields = match fields(line) {
            Ok(fields) if fields.len() <= names.len() => fields,
            Ok(_) => {
                problems.push(problem(
                    &place,
                    "there are more fields than columns",
                    "write a comma within quotes: \"a, b\"",
                ));
                continue;
            }
            Err(what) => {
                problems.push(problem(&place, what, "close each quote, and write one within a field as \"\""));
                continue;
            }
        };
        let mut said = Said::default();
        for (name, field) in names.iter().zip(fields) {
            let field = Some((field.trim().to_owned(), place.clone())).filter(|(field, _)| !field.is_empty());
            match &**name {
                "address" => said.address = field,
                "name" => said.name = field,
                "hardware" => said.hardware = field,
                "from" => said.from = field,
                _ => said.until = field,
            }
        }
        entries.extend(said.entry(&place, &mut problems));
        if entries.len() > DEVICES_MAX || problems.len() > PROBLEMS_MAX {
            problems.push(problem(&place, "there are more devices, or problems, than are read", "name fewer"));
            break;
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

/// Nobody reads more.
const PROBLEMS_MAX: usize = 100;

/// The fields of a line, quotes undone.
fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut fields, mut field, mut quoted, mut was_quoted) = (Vec::new(), String::new(), false, false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.trim().is_empty() && !was_quoted => (quoted, was_quoted, field) = (true, true, String::new()),
            '"' => return Err("a quote stands within a field"),
            ',' if !quoted => {
                fields.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            other => field.push(other),
        }
    }
    fields.push(field);
    if quoted { Err("a quote is not closed") } else { Ok(fields) }
}

fn problem(place: &Place, what: impl Into<String>, fix: &str) -> Problem {
    Problem { place: place.clone(), what: what.into(), fix: fix.to_owned() }
}

impl Said {
    fn entry(self, place: &Place, problems: &mut Vec<Problem>) -> Option<TableEntry> {
        let before = problems.len();
        let name = self.name.filter(|(name, _)| !name.is_empty() && name.len() <= NAME_BYTES_MAX);
        if name.is_none() {
            problems.push(problem(place, "the device has no name of 1 to 255 bytes", "write a name"));
        }
        if self.address.is_none() && self.hardware.is_none() {
            let fix = "write `address`, `hardware`, or both";
            problems.push(problem(place, "which client the device is, is not said", fix));
        }
        let client = self.address.and_then(|(text, place)| {
            let client = client_of(&text);
            if client.is_none() {
                let fix = "write it like 10.20.1.5, 10.20.0.0/16 or 2001:db8::7";
                problems.push(problem(&place, format!("`{text}` is no address or prefix"), fix));
            }
            client
        });
        let mut time = |said: Option<(String, Place)>, is_end: bool| {
            let (text, place) = said?;
            let time = moment(&text, is_end);
            if time.is_none() {
                let fix = "write a day like 2026-11-01, or a time like 2026-11-01T08:00:00+09:00";
                problems.push(problem(&place, format!("`{text}` is no time"), fix));
            }
            time
        };
        let (since, until) = (time(self.from, false).unwrap_or_default(), time(self.until, true));
        if until.is_some_and(|until| until <= since) {
            problems.push(problem(place, "it ends before it begins", "write `until` behind `from`"));
        }
        let (name, _) = name.filter(|_| problems.len() == before)?;
        let hardware = self.hardware.and_then(|(text, _)| hardware(text.as_bytes()));
        Some(TableEntry { client, name: Text::from(&*name), hardware, since, until })
    }
}

/// A day, whose end is that of its last moment, or a time.
fn moment(text: &str, is_end: bool) -> Option<Timestamp> {
    if text.len() != "2026-11-01".len() {
        return read_time(text);
    }
    let begin = read_time(&format!("{text}T00:00:00Z"))?;
    Some(if is_end { recorded_time(Timestamp(begin.0.saturating_add(86_400_000_000))) } else { begin })
}
