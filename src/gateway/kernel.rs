use std::io::{self, Write};
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::thread;

use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use super::compare::{elements, has_networks, has_set};
use super::nft::{ISOLATED_4, ISOLATED_6, LOCKDOWN, TABLE};

/// Why the kernel's rules cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("cannot run nft: {0}")]
    NoProgram(io::Error),
    /// What it said, first line first.
    #[error("nft {what}: {said}")]
    Refused { what: String, said: String },
    #[error("the table `inet {TABLE}` is not in force in this kernel: `sekisho egress apply`")]
    NoTable,
    #[error("nft said what is no JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("cannot make a network namespace to compare in: {0}")]
    NoNamespace(nix::Error),
}

/// What of nft's complaint is kept.
const SAID_BYTES_MAX: usize = 2000;

/// The table as it is in force, counters and who is cut off included; `None` where there is none.
///
/// # Errors
/// The rules cannot be read.
pub fn table_in_force() -> Result<Option<String>, KernelError> {
    list_table(&["list", "table", "inet", TABLE])
}

/// The same without what counters count.
pub(super) fn stateless_table() -> Result<Option<String>, KernelError> {
    list_table(&["-s", "list", "table", "inet", TABLE])
}

/// All tables, as JSON.
pub(super) fn whole_ruleset() -> Result<Value, KernelError> {
    serde_json::from_str(&nft(&["-j", "list", "ruleset"], None)?).map_err(KernelError::NotJson)
}

/// What the kernel makes of rules: loaded and listed in a network namespace that nobody else has.
pub(super) fn as_listed(rules: &str) -> Result<String, KernelError> {
    // A namespace belongs to the thread, which has no other use.
    let listed = thread::scope(|scope| {
        let listing = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(KernelError::NoNamespace)?;
            nft(&["-f", "-"], Some(rules))?;
            stateless_table()
        });
        listing.join()
    });
    match listed {
        Ok(listed) => Ok(listed?.unwrap_or_default()),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Whether the kernel would take the rules.
///
/// # Errors
/// It would not, or cannot be asked.
pub fn try_rules(rules: &str) -> Result<(), KernelError> {
    nft(&["-c", "-f", "-"], Some(rules)).map(drop)
}

/// Puts rules in force in place of `before`, in one transaction. Who is cut off stays so, and so does a lockdown.
///
/// # Errors
/// The kernel does not take them; then nothing has changed.
pub fn put_in_force(rules: &str, before: Option<&str>) -> Result<(), KernelError> {
    nft(&["-f", "-"], Some(&format!("{rules}{}", still_cut_off(before.unwrap_or_default(), rules)))).map(drop)
}

/// Puts in force again what was there before, or nothing where nothing was. Who was cut off meanwhile stays so where the
/// rules of before can say it, and a lockdown is what it is now.
///
/// # Errors
/// The kernel does not take them.
pub(super) fn take_back(before: Option<&str>) -> Result<(), KernelError> {
    let now = table_in_force()?.unwrap_or_default();
    let mut text = format!("table inet {TABLE}\ndelete table inet {TABLE}\n");
    if let Some(before) = before {
        text.push_str(before);
        if has_set(before, LOCKDOWN) {
            text.push_str(&format!("flush set inet {TABLE} {LOCKDOWN}\n"));
        }
        text.push_str(&still_cut_off(&now, before));
    }
    nft(&["-f", "-"], Some(&text)).map(drop)
}

/// Statements that cut off in the table `next` whom, and what, the listing `now` has cut off.
fn still_cut_off(now: &str, next: &str) -> String {
    let sets = [ISOLATED_4, ISOLATED_6].into_iter().filter(|set| has_set(next, set));
    let statement = |set| {
        let all = elements(now, set)?;
        // Older rules have sets of addresses alone.
        let takes = |element: &&str| has_networks(next, set) || element.parse::<IpAddr>().is_ok();
        let fitting: Vec<_> = all.split(',').map(str::trim).filter(takes).collect();
        (!fitting.is_empty()).then(|| format!("add element inet {TABLE} {set} {{ {} }}\n", fitting.join(", ")))
    };
    let locked = elements(now, LOCKDOWN).filter(|all| !all.is_empty() && has_set(next, LOCKDOWN));
    let locked = locked.map(|all| format!("add element inet {TABLE} {LOCKDOWN} {{ {all} }}\n"));
    sets.filter_map(statement).chain(locked).collect()
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Whole,
    /// The rules in force are older, and know of no lockdown; who is isolated is cut off.
    NoLockdown,
}

/// Cuts off these and nobody else, and in a lockdown all that only exceptions let through which are not essential; in one
/// transaction. Open connections too, as the rules come before those that let open ones go on.
///
/// # Errors
/// No rules of ours are in force, or the kernel does not take it.
pub(super) fn cut_off(all: &[IpNet], lockdown: bool) -> Result<Cut, KernelError> {
    let isolated = isolated_text(all);
    let mut text = format!("{isolated}flush set inet {TABLE} {LOCKDOWN}\n");
    if lockdown {
        text.push_str(&format!("add element inet {TABLE} {LOCKDOWN} {{ ipv4, ipv6 }}\n"));
    }
    let Err(error) = nft(&["-f", "-"], Some(&text)) else { return Ok(Cut::Whole) };
    match table_in_force()? {
        None => Err(KernelError::NoTable),
        Some(listing) if has_set(&listing, LOCKDOWN) => Err(error),
        Some(_) => nft(&["-f", "-"], Some(&isolated)).map(|_| if lockdown { Cut::NoLockdown } else { Cut::Whole }),
    }
}

fn isolated_text(all: &[IpNet]) -> String {
    let mut text = String::new();
    // No element of a set may lie within another.
    let is_within = |net: &IpNet| all.iter().any(|other| other != net && other.contains(net));
    for (set, is_v4) in [(ISOLATED_4, true), (ISOLATED_6, false)] {
        let its = all.iter().filter(|net| matches!(net, IpNet::V4(_)) == is_v4 && !is_within(net));
        let its: Vec<_> = its.map(ToString::to_string).collect();
        text.push_str(&format!("flush set inet {TABLE} {set}\n"));
        if !its.is_empty() {
            text.push_str(&format!("add element inet {TABLE} {set} {{ {} }}\n", its.join(", ")));
        }
    }
    text
}

fn list_table(arguments: &[&str]) -> Result<Option<String>, KernelError> {
    let tables: Value = serde_json::from_str(&nft(&["-j", "list", "tables"], None)?).map_err(KernelError::NotJson)?;
    let is_ours = |entry: &Value| entry["table"]["family"] == "inet" && entry["table"]["name"] == TABLE;
    match tables["nftables"].as_array().is_some_and(|all| all.iter().any(is_ours)) {
        true => nft(arguments, None).map(Some),
        false => Ok(None),
    }
}

fn nft(arguments: &[&str], input: Option<&str>) -> Result<String, KernelError> {
    // On Debian it is where a person's own PATH does not look.
    let path = std::env::var("PATH").unwrap_or_default();
    let mut child = Command::new("nft")
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(KernelError::NoProgram)?;
    let feeding = child.stdin.take();
    let output = thread::scope(|scope| {
        if let (Some(mut pipe), Some(text)) = (feeding, input) {
            // An nft that does not read to the end says why by itself.
            scope.spawn(move || drop(pipe.write_all(text.as_bytes())));
        }
        child.wait_with_output()
    });
    let output = output.map_err(KernelError::NoProgram)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(SAID_BYTES_MAX).collect();
    Err(KernelError::Refused { what: arguments.join(" "), said })
}
