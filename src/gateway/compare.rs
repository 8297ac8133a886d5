//! What is in force against what is asked for: each difference by name. Both are listings of one kernel, so that what it
//! writes in its own way it writes so in both.

use serde::Serialize;
use serde_json::Value;

use super::nft::{ISOLATED_4, ISOLATED_6, LOCKDOWN, TABLE};

/// Something of the table that is not as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub kind: Change,
    /// As nftables names it: `chain forward`, `set isolated`.
    pub within: String,
    /// What is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What is in force in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Missing,
    Extra,
    Changed,
    /// It is there, before or behind where it belongs: the first rule that decides ends it.
    Moved,
}

/// Something outside the table that has to do with what passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Beside {
    /// Family, table and chain.
    pub place: String,
    pub what: &'static str,
    /// Whether packets get past the rules by it.
    pub bypasses: bool,
}

/// A chain, set or counter of a listing: its name, and its lines.
struct Block {
    name: String,
    lines: Vec<String>,
}

/// Each difference between two listings of the table (`nft -s list table`); who is cut off, and whether a lockdown
/// holds, counts for none.
pub(super) fn differences(wanted: &str, found: &str) -> Vec<Difference> {
    let (wanted, found) = (blocks(wanted), blocks(found));
    let named = |blocks: &[Block], name: &str| blocks.iter().position(|block| block.name == name);
    let mut differences = Vec::new();
    for block in &wanted {
        match named(&found, &block.name).and_then(|at| found.get(at)) {
            Some(other) => differences.extend(of_lines(&block.name, &block.lines, &other.lines)),
            None => differences.push(Difference::whole(Change::Missing, &block.name)),
        }
    }
    let extra = found.iter().filter(|block| named(&wanted, &block.name).is_none());
    differences.extend(extra.map(|block| Difference::whole(Change::Extra, &block.name)));
    differences
}

impl Difference {
    /// That the whole table is not there.
    pub fn no_table() -> Self {
        Self::whole(Change::Missing, &format!("table inet {TABLE}"))
    }

    fn whole(kind: Change, name: &str) -> Self {
        Self { kind, within: name.to_owned(), wanted: None, found: None }
    }
}

/// The elements of a set of a listing, as they stand between its braces.
pub(super) fn elements(listing: &str, set: &str) -> Option<String> {
    let name = format!("set {set}");
    let block = raw_blocks(listing).into_iter().find(|block| block.name == name)?;
    let line = block.lines.iter().find_map(|line| line.strip_prefix("elements = {"))?;
    Some(line.trim_end_matches('}').trim().to_owned())
}

/// Whether a listing has the set.
pub(super) fn has_set(listing: &str, set: &str) -> bool {
    let name = format!("set {set}");
    raw_blocks(listing).iter().any(|block| block.name == name)
}

/// Whether a set of a listing may have networks in it, and not only addresses.
pub(super) fn has_networks(listing: &str, set: &str) -> bool {
    let name = format!("set {set}");
    let is_so = |line: &String| line.starts_with("flags") && line.contains("interval");
    raw_blocks(listing).iter().any(|block| block.name == name && block.lines.iter().any(is_so))
}

fn blocks(listing: &str) -> Vec<Block> {
    let mut blocks = raw_blocks(listing);
    for block in &mut blocks {
        if [ISOLATED_4, ISOLATED_6, LOCKDOWN].iter().any(|set| block.name == format!("set {set}")) {
            block.lines.retain(|line| !line.starts_with("elements"));
        }
    }
    blocks
}

/// A listing's blocks within its table. A statement over several lines is one.
fn raw_blocks(listing: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    let mut open = String::new();
    for line in listing.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if !open.is_empty() {
            open.push(' ');
        }
        open.push_str(line);
        if !inside {
            if let Some(name) = open.strip_suffix(" {").filter(|name| !name.starts_with("table ")) {
                blocks.push(Block { name: name.to_owned(), lines: Vec::new() });
                inside = true;
            }
            open.clear();
        } else if open == "}" {
            inside = false;
            open.clear();
        } else if depth(&open) <= 0 {
            let statement = std::mem::take(&mut open);
            blocks.last_mut().into_iter().for_each(|block| block.lines.push(statement.clone()));
        }
    }
    blocks
}

/// Braces that are open, those in quotes aside.
fn depth(text: &str) -> i64 {
    let (mut depth, mut quoted) = (0, false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth -= 1,
            _ => {}
        }
    }
    depth
}

/// Comparing takes a table of this many cells at most; of more, what differs is told without pairs.
const CELLS_MAX: usize = 4_000_000;

fn of_lines(within: &str, wanted: &[String], found: &[String]) -> Vec<Difference> {
    let (missing, extra) = unmatched(wanted, found);
    let mut extra: Vec<Option<&String>> = extra.into_iter().map(Some).collect();
    let mut differences = Vec::new();
    for line in missing {
        let take = |extra: &mut Vec<Option<&String>>, is: &dyn Fn(&str) -> bool| {
            extra.iter_mut().find(|other| other.is_some_and(|other| is(other))).and_then(Option::take).cloned()
        };
        let (kind, other) = match take(&mut extra, &|other| other == line) {
            Some(_) => (Change::Moved, None),
            None => match take(&mut extra, &|other| subject(other).is_some() && subject(other) == subject(line)) {
                Some(other) => (Change::Changed, Some(other)),
                None => (Change::Missing, None),
            },
        };
        differences.push(Difference { kind, within: within.to_owned(), wanted: Some(line.clone()), found: other });
    }
    differences.extend(extra.into_iter().flatten().map(|line| Difference {
        kind: Change::Extra,
        within: within.to_owned(),
        wanted: None,
        found: Some(line.clone()),
    }));
    differences
}

/// What a line is about: the name of a rule, or which setting of its block it is.
fn subject(line: &str) -> Option<&str> {
    match line.rsplit_once(" comment \"") {
        Some((_, name)) => Some(name),
        None => line.split(' ').next().filter(|word| matches!(*word, "type" | "flags" | "elements" | "policy")),
    }
}

/// The lines that the longest common order of both leaves out, of each.
fn unmatched<'a>(wanted: &'a [String], found: &'a [String]) -> (Vec<&'a String>, Vec<&'a String>) {
    let same = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
    let (wanted, found) = (wanted.get(same..).unwrap_or_default(), found.get(same..).unwrap_or_default());
    let width = found.len() + 1;
    if wanted.len().saturating_mul(width) > CELLS_MAX {
        return (wanted.iter().collect(), found.iter().collect());
    }
    // The length of the longest common order from each pair of lines on.
    let mut longest = vec![0_u32; (wanted.len() + 1) * width];
    let at = |longest: &[u32], a: usize, b: usize| longest.get(a * width + b).copied().unwrap_or_default();
    for (a, line) in wanted.iter().enumerate().rev() {
        for (b, other) in found.iter().enumerate().rev() {
            let value = match line == other {
                true => at(&longest, a + 1, b + 1) + 1,
                false => at(&longest, a + 1, b).max(at(&longest, a, b + 1)),
            };
            longest.get_mut(a * width + b).into_iter().for_each(|cell| *cell = value);
        }
    }
    let (mut a, mut b, mut missing, mut extra) = (0, 0, Vec::new(), Vec::new());
    loop {
        match (wanted.get(a), found.get(b)) {
            (Some(line), Some(other)) if line == other => (a, b) = (a + 1, b + 1),
            (Some(line), Some(_)) if at(&longest, a + 1, b) >= at(&longest, a, b + 1) => {
                missing.push(line);
                a += 1;
            }
            (_, Some(other)) => {
                extra.push(other);
                b += 1;
            }
            (Some(line), None) => {
                missing.push(line);
                a += 1;
            }
            (None, None) => return (missing, extra),
        }
    }
}

/// What of other tables has to do with what passes, from a listing of all as JSON (`nft -j list ruleset`).
///
/// A packet that another table accepts is judged by this one all the same, and one that this one drops is gone.
pub(super) fn beside(ruleset: &Value) -> Vec<Beside> {
    let all = ruleset["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let others = |kind: &'static str| {
        all.iter()
            .map(move |entry| &entry[kind])
            .filter(|entry| entry.is_object() && !(entry["family"] == "inet" && entry["table"] == TABLE))
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for chain in others("chain").filter(|chain| chain["hook"].is_string()) {
        let rules: Vec<&Value> = others("rule")
            .filter(|rule| {
                rule["family"] == chain["family"] && rule["table"] == chain["table"] && rule["chain"] == chain["name"]
            })
            .collect();
        let does = |word: &str| rules.iter().any(|rule| says(rule, word));
        let first = chain["prio"].as_i64().is_some_and(|priority| priority < 0);
        let (hook, kind) = (text(&chain["hook"]), text(&chain["type"]));
        let before = kind == "filter"
            && (matches!(&*hook, "ingress" | "prerouting") || (first && matches!(&*hook, "input" | "forward")));
        let place = format!("{} {} {}", text(&chain["family"]), text(&chain["table"]), text(&chain["name"]));
        let mut tell = |what, bypasses| found.push(Beside { place: place.clone(), what, bypasses });
        if does("fwd") {
            tell("hands packets on by itself (fwd): they are never judged", true);
        }
        if hook == "prerouting" && ["dnat", "redirect", "tproxy"].iter().any(|word| does(word)) {
            tell("changes where packets go before they are judged: they are judged by where they go then", false);
        }
        if before && (does("drop") || does("reject") || chain["policy"] == "drop") {
            tell("drops packets before they are judged: those are neither counted nor recorded", false);
        }
        if before && does("accept") {
            tell("accepts packets before they are judged: that decides nothing, they are judged all the same", false);
        }
    }
    for rule in others("rule").filter(|rule| says(rule, "flow")) {
        let place = format!("{} {} {}", text(&rule["family"]), text(&rule["table"]), text(&rule["chain"]));
        let what = "moves open connections to a flowtable: their packets are judged no more, nor cut off";
        found.push(Beside { place, what, bypasses: true });
    }
    found
}

fn says(rule: &Value, word: &str) -> bool {
    rule["expr"].as_array().is_some_and(|parts| parts.iter().any(|part| part.get(word).is_some()))
}

#[cfg(test)]
mod tests;
