use std::path::{Path, PathBuf};

use crate::app::{
    AlertStatus, AuthorityStatus, BreakglassStatus, Connections, DetectionStatus, DiskStatus, DrainingStatus,
    Exchanges, FeedStatus, GroupMode, IndexingStatus, JournalStatus, Outcome, PolicyStatus, Question, ReceiverStatus,
    RetentionStatus, SandboxStatus, SealingStatus, Status, StreamStatus, ask,
};
use crate::evidence::shown;

use crate::gateway::flows::SourceStatus;

use super::contingency::{isolated_rows, kernel_row, left_rows, lockdown_rows};
use super::error::{CliError, count};
use super::files::default_data_dir;
use super::output::{Format, Rows, report};

/// Asks the running gate how it is doing.
pub(super) fn status(data_dir: Option<PathBuf>, format: Format) -> Result<(), CliError> {
    let data_dir = data_dir.unwrap_or_else(default_data_dir);
    report(format, ask_gate(&data_dir, &Question::Status), rows)
}

/// Asks the running gate, and gives how it stands after that.
pub(super) fn ask_gate(data_dir: &Path, question: &Question) -> Result<Status, CliError> {
    ask(data_dir, question).map_err(|source| CliError::Ask { data_dir: data_dir.into(), source })
}

fn describe_draining(one: &DrainingStatus) -> String {
    let DrainingStatus { pid, since, connections, tunnels, records } = one;
    format!(
        "process {pid}, taken over from at {since}, still has {connections} connections and {tunnels} tunnels; \
         {records} of its records are here"
    )
}

fn rows(status: &Status) -> Rows {
    let Status { policy, connections, exchanges, journal, disk, .. } = status;
    let mut rows = vec![
        ("gate", format!("{}, version {}, process {}", status.gate, status.version, status.pid)),
        ("up", format!("{} since {}", duration(status.up_seconds), status.since)),
        ("proxy", status.listening.join("\n")),
        ("policy", format!("{}, {} rules, version {}, {}", policy.file, policy.rules, policy.hash, policy.mode)),
        ("in force", describe_policy(policy)),
    ];
    if !status.console.is_empty() {
        rows.insert(3, ("console", status.console.join("\n")));
    }
    for (name, listening) in [("captures", &status.listening_captured), ("TLS proxy", &status.listening_tls)] {
        if !listening.is_empty() {
            rows.insert(3, (name, listening.join("\n")));
        }
    }
    rows.extend(status.lists.iter().map(|list| ("list", describe_list(list))));
    rows.extend([("enforced", describe_enforced(policy, exchanges))]);
    rows.extend(policy.base.iter().map(|base| ("base", format!("enforced {}", for_whom(&base.mode, &base.groups)))));
    rows.extend([
        ("clients", format!("{} connected, at most {}", connections.open, connections.most)),
        ("tunnels", format!("{} carried, {} looked into", connections.tunnels, connections.inspected)),
    ]);
    rows.extend(status.draining.iter().map(|one| ("draining", describe_draining(one))));
    rows.extend([
        ("silent", format!("{} connections closed on which nothing came", connections.silent)),
        ("exchanges", format!("{} let out, {} refused", exchanges.allowed, exchanges.refused)),
        ("records", format!("{} in {}", journal.records, journal.directory)),
        ("disk", describe_disk(disk)),
        ("sandbox", describe_sandbox(&status.sandbox)),
        ("detection", describe_detection(&status.detection)),
        ("segments", describe_sealing(&status.sealing)),
        ("sent off", describe_receivers(&status.receivers)),
    ]);
    rows.extend(status.streams.iter().map(|stream| ("streams", describe_stream(stream))));
    rows.extend(status.alerts.iter().map(|receiver| ("alerts", describe_alerts(receiver))));
    rows.extend([("retention", describe_retention(&status.retention)), ("index", describe_index(&status.index))]);
    rows.extend(status.flows.iter().map(|source| ("flows", describe_source(source))));
    let failed = status.flows.iter().filter(|source| !source.reading);
    rows.extend(failed.filter_map(|source| {
        let SourceStatus { source, error, .. } = source;
        let why = error.as_ref()?;
        Some(("WARNING", format!("attempts past the proxy are not on record: {source}: {why}")))
    }));
    let broken = status.breakglass.is_some();
    if let Some(error) = &journal.last_error {
        let passes = if broken { "nothing but what is essential passes" } else { "nothing new passes" };
        rows.push(("WARNING", format!("{passes} while no record can be written: {error}")));
    }
    rows.extend(status.authority.iter().map(|AuthorityStatus { subject, not_after, days_left }| {
        (
            "authority",
            format!(
                "{subject}, until {not_after} ({})",
                count(usize::try_from(*days_left).unwrap_or(usize::MAX), "day")
            ),
        )
    }));
    let ends_soon = |authority: &&AuthorityStatus| authority.days_left < 90 && status.inspection_fault.is_none();
    rows.extend(status.authority.iter().filter(ends_soon).map(|_| {
        let what =
            "the authority ends within 90 days: make the next one (sekisho ca rotate), and bring it to the clients";
        ("WARNING", what.to_owned())
    }));
    rows.extend(
        status
            .inspection_fault
            .iter()
            .map(|why| ("WARNING", format!("rules that inspect deny (inspection_unavailable): {why}"))),
    );
    rows.extend(status.sandbox.faults.iter().map(|fault| ("WARNING", format!("the sandbox: {fault}"))));
    rows.extend(status.contingencies.lockdown.iter().flat_map(lockdown_rows));
    rows.extend(status.contingencies.isolated.iter().flat_map(isolated_rows));
    rows.extend(status.contingencies.left_behind.iter().flat_map(left_rows));
    rows.extend(status.contingencies.kernel_fault.as_deref().map(kernel_row));
    let restraints = status.restraints.len();
    rows.extend((restraints > 0).then(|| {
        (
            "restraints",
            format!("{} in force for what was found: sekisho restraint list", count(restraints, "restraint")),
        )
    }));
    rows.extend(status.silent_browsers.iter().map(|version| {
        let what = "does not come back when a tunnel is ended; see `fallback` in [challenge] of the config";
        ("WARNING", format!("{version} {what}"))
    }));
    rows.extend(status.lists.iter().filter_map(describe_unfetched).map(|warning| ("WARNING", warning)));
    rows.extend(refused_policy(policy).map(|warning| ("WARNING", warning)));
    rows.extend(disk_warnings(disk).into_iter().map(|warning| ("WARNING", warning)));
    if let Some(breakglass) = &status.breakglass {
        rows.push(("WARNING", describe_breakglass(breakglass, exchanges.on_reserve)));
    }
    rows.extend(since_start(connections, journal).into_iter().map(|text| ("since start", text)));
    rows
}

/// Where the gate can write, and that it was tried.
fn describe_sandbox(sandbox: &SandboxStatus) -> String {
    let SandboxStatus { enforced, refused, writable, starts_programs, .. } = sandbox;
    if !enforced {
        return "none: the gate can write wherever its user can".to_owned();
    }
    let programs = if *starts_programs { "starts the programs of [hooks]" } else { "starts no program" };
    let tried = format!(
        "{} tried elsewhere and {} refused",
        counted(*refused as u64, "worker"),
        if *refused == 1 { "was" } else { "were" }
    );
    format!("writes below {} alone ({tried}), {programs}", writable.join(", "))
}

/// How old a list is, and from where.
pub(super) fn describe_list(list: &FeedStatus) -> String {
    let FeedStatus { name, url, every_hours, bytes, changed, age_seconds, next, .. } = list;
    let stands = match (age_seconds, changed) {
        (Some(age), Some(changed)) => {
            format!("{} old, unchanged since {changed}, {} KiB", duration(*age), bytes.div_ceil(1024))
        }
        (_, _) => "not fetched yet".to_owned(),
    };
    let another = if list.of_another_source { ", from another source than the config names now" } else { "" };
    let failed = list.failure.as_ref().map(|failure| format!("\nFAILED {}: {}", failure.last, failure.why));
    format!("{name}: {stands}{another}; every {every_hours} h from {url}, next {next}{}", failed.unwrap_or_default())
}

fn describe_unfetched(list: &FeedStatus) -> Option<String> {
    let failure = list.failure.as_ref()?;
    let stays = match list.age_seconds {
        Some(age) => format!("what is in use is {} old", duration(age)),
        None => "there is none in use".to_owned(),
    };
    let times = counted(failure.count, "time");
    Some(format!("the list `{}` could not be fetched since {} ({times}): {stays}", list.name, failure.since))
}

/// For whom the policy is enforced, and what share of the exchanges that was.
fn describe_enforced(policy: &PolicyStatus, exchanges: &Exchanges) -> String {
    let whom = for_whom(&policy.mode, &policy.groups);
    let Exchanges { decided, observed, .. } = exchanges;
    match decided {
        0 => whom,
        // Rounded down: all means all.
        _ => format!(
            "{whom}; {} % of {decided} exchanges since the start",
            (decided - observed.min(decided)) * 100 / decided
        ),
    }
}

/// Whom a policy of this mode is enforced for, and these groups with one of their own.
fn for_whom(mode: &str, groups: &[GroupMode]) -> String {
    let other = groups.iter().filter(|group| (group.mode == "observe") != (mode == "observe"));
    let exceptions: Vec<_> = other.map(|group| &*group.group).collect();
    let exceptions = exceptions.join(", ");
    match (exceptions.is_empty(), mode) {
        (true, "observe") => "for nobody".to_owned(),
        (true, _) => "for all clients".to_owned(),
        (false, "observe") => format!("for {exceptions} alone"),
        (false, _) => format!("for all clients but {exceptions}"),
    }
}

/// Since when the policy is in force, and what came of reading it again.
fn describe_policy(policy: &PolicyStatus) -> String {
    let last = policy.last_reload.as_ref().map(|last| {
        let outcome = match last.outcome {
            Outcome::InForce => "and put in force",
            Outcome::Unchanged => "and found unchanged",
            Outcome::Refused => "and REFUSED",
        };
        format!("; read again {} ({}) {outcome}", last.at, last.by)
    });
    format!("since {}{}", policy.since, last.unwrap_or_default())
}

fn refused_policy(policy: &PolicyStatus) -> Option<String> {
    let last = policy.last_reload.as_ref().filter(|last| last.outcome == Outcome::Refused)?;
    let first = last.first_problem.as_deref().unwrap_or_default();
    Some(format!(
        "the policy on the disk is wrong, and version {} stays in force; mend it ({}, the first below)\n{first}",
        policy.hash,
        counted(last.count as u64, "problem"),
    ))
}

/// What has been, and need not be any more.
fn since_start(connections: &Connections, journal: &JournalStatus) -> Vec<String> {
    let counted = [
        (connections.overflows, "connections closed because too many were open"),
        (connections.overflows_of_clients, "connections closed because their client had too many open"),
        (connections.accept_failures, "times no client could be accepted: descriptors or memory ran out"),
        (journal.lost, "ends of exchanges, or requests refused meanwhile, have no record; a gap record counts them"),
        (journal.overloads, "times more records waited for the disk than may, and requests were refused"),
        (journal.sync_failures, "times the disk did not keep what had been written to it; see the kernel's log"),
    ];
    counted.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

fn describe_disk(disk: &DiskStatus) -> String {
    let full = disk.level == "full";
    let free = match disk.free_bytes {
        _ if full => "full".to_owned(),
        Some(free) => format!("{} MiB free", free >> 20),
        None => "unknown".to_owned(),
    };
    let pace = disk.bytes_per_day.map_or(String::new(), |bytes| format!(", {} MiB a day", mib(bytes)));
    let left = disk.days_left.map_or(String::new(), |days| format!(", about {days:.1} days left"));
    let reserve = match &disk.reserve {
        Some(reserve) if reserve.whole => ", reserve whole",
        Some(_) if full => ", reserve given up for the last records",
        Some(_) => ", reserve not whole",
        None => ", no reserve",
    };
    format!("{free}{pace}{left}{reserve}")
}

fn describe_sealing(sealing: &SealingStatus) -> String {
    let SealingStatus { key, waiting, refused, last, error } = sealing;
    let mut text = match key {
        Some(key) => format!("sealed by key {key}"),
        None => "not sealed yet".to_owned(),
    };
    if let Some(last) = last {
        text += &format!(", last at {last}");
    }
    if *waiting > 0 {
        text += &format!("; {waiting} that have ended wait");
    }
    if *refused > 0 {
        text += &format!("; {refused} do not verify: see `sekisho verify`");
    }
    if let Some(error) = error {
        text += &format!("; {error}");
    }
    text
}

fn describe_receivers(receivers: &[ReceiverStatus]) -> String {
    if receivers.is_empty() {
        return "nowhere: checkpoints stay on this machine ([checkpoints.NAME] in the config)".to_owned();
    }
    let describe = |receiver: &ReceiverStatus| {
        let ReceiverStatus { name, to, waiting, last, error, since, .. } = receiver;
        let mut text = format!("{} ({})", shown(name), shown(to));
        match last {
            Some(last) => text += &format!(": has {} and all before", shown(last)),
            None => text += ": has none yet",
        }
        if *waiting > 0 {
            text += &format!("; {} wait", count(*waiting, "checkpoint"));
        }
        if let (Some(error), Some(since)) = (error, since) {
            text += &format!("; takes none since {since}: {}", shown(error));
        }
        text
    };
    receivers.iter().map(describe).collect::<Vec<_>>().join("\n")
}

fn describe_stream(stream: &StreamStatus) -> String {
    let StreamStatus { name, file, written_bytes, error } = stream;
    let mut text = format!("{} ({}): {} KiB since the start", shown(name), shown(file), written_bytes.div_ceil(1024));
    if let Some(error) = error {
        text += &format!("; NOT WRITTEN: {}", shown(error));
    }
    text
}

fn describe_alerts(receiver: &AlertStatus) -> String {
    let AlertStatus { name, to, waiting, held, dropped, taken, last, error, since } = receiver;
    let mut text = format!("{} ({}): {taken} taken", shown(name), shown(to));
    if let Some(last) = last {
        text += &format!(", the last at {last}");
    }
    for (number, what) in [
        (*waiting as u64, "wait"),
        (*held, "held back, to be told together"),
        (*dropped, "DROPPED, as too many waited"),
    ] {
        if number > 0 {
            text += &format!("; {number} {what}");
        }
    }
    if let (Some(error), Some(since)) = (error, since) {
        text += &format!("; takes none since {since}: {}", shown(error));
    }
    text
}

fn describe_retention(retention: &RetentionStatus) -> String {
    let RetentionStatus { keep_days, keep_gib, oldest, bytes, holds, held_days, announced, last, error } = retention;
    let mut text = match (keep_days, keep_gib) {
        (None, None) => "everything is kept".to_owned(),
        (Some(days), None) => count(*days as usize, "day"),
        (None, Some(gib)) => format!("{gib} GiB"),
        (Some(days), Some(gib)) => format!("{}, {gib} GiB", count(*days as usize, "day")),
    };
    if let Some(oldest) = oldest {
        text += &format!("; from {oldest} on, {} MiB", mib(*bytes));
    }
    if *holds > 0 {
        text += &format!("; {}, for which {} stay", count(*holds, "legal hold"), count(*held_days as usize, "day"));
    }
    if *announced > 0 {
        text += &format!("; {} will go once a checkpoint vouches for the record of it", count(*announced, "day"));
    }
    if let Some(last) = last {
        text += &format!("; removed last at {last}");
    }
    if let Some(error) = error {
        text += &format!("; {error}");
    }
    text
}

fn describe_source(status: &SourceStatus) -> String {
    let SourceStatus { source, reading, seen, lost, overruns, unread, error } = status;
    let mut text = format!("{source}: {seen} seen, {lost} missed");
    if *overruns > 0 {
        text += &format!(", and {overruns} times an unknown number");
    }
    if *unread > 0 {
        text += &format!(", {unread} that could not be read");
    }
    if !reading {
        text += "; not read now";
    }
    match error {
        Some(error) if *reading => text + "; " + error,
        Some(_) | None => text,
    }
}

fn describe_index(index: &IndexingStatus) -> String {
    if !index.live {
        return "not filled by this gate: index = false".to_owned();
    }
    let mut text = format!("up to record {}", index.record);
    if index.behind_seconds > 0 {
        text += &format!(", {} s behind", index.behind_seconds);
    }
    if index.unreadable > 0 {
        text += &format!("; {} lines are no records", index.unreadable);
    }
    if let Some(error) = &index.error {
        text += &format!("; {error}");
    }
    text
}

fn describe_detection(detection: &DetectionStatus) -> String {
    let DetectionStatus { live, since, behind_seconds, events, pairs, pairs_evicted, findings, .. } = detection;
    if !live {
        return "off".to_owned();
    }
    let since = since.as_ref().map_or(String::new(), |since| format!(" since {since}"));
    let evicted = if *pairs_evicted > 0 { format!(", {pairs_evicted} lost for want of room") } else { String::new() };
    let behind = if *behind_seconds > 0 { format!("; {} behind", duration(*behind_seconds)) } else { String::new() };
    format!(
        "{}{since} between {} of client and host{evicted}; {} told{behind}",
        counted(*events, "event"),
        counted(*pairs, "pair"),
        counted(*findings, "finding")
    )
}

/// How much room a full disk must have before the gate goes on: the reserve is made whole first.
fn describe_full(disk: &DiskStatus) -> String {
    let needed =
        disk.reserve.as_ref().filter(|reserve| !reserve.whole).map_or(1, |reserve| mib(reserve.room_bytes) + 1);
    let free = disk.free_bytes.map_or("an unknown number of".to_owned(), |free| (free >> 20).to_string());
    format!(
        "the disk of the journal is full: with {needed} MiB free the gate goes on by itself ({free} are), \
         or with less after reserve_mib was lowered and the gate restarted"
    )
}

fn disk_warnings(disk: &DiskStatus) -> Vec<String> {
    let mut warnings = Vec::new();
    match disk.level.as_str() {
        "full" => warnings.push(describe_full(disk)),
        level @ ("low" | "critical") => warnings.push(format!(
            "the disk of the journal is {level}: about {:.1} days are left; make room, or move segments older than a week away",
            disk.days_left.unwrap_or_default()
        )),
        _ => {}
    }
    if let Some(error) = &disk.reserve_error {
        warnings.push(format!("not all of the space is held for the time when the disk is full: {error}"));
    }
    if let Some(reserve) = disk.reserve.as_ref().filter(|reserve| reserve.records > 0) {
        warnings.push(format!(
            "{} short records wait in the reserve ({} of {} KiB) for the journal to take them",
            reserve.records,
            reserve.used_bytes.div_ceil(1024),
            reserve.room_bytes / 1024
        ));
    }
    warnings
}

/// So many of something.
fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A breakglass in a sentence.
pub(super) fn describe_breakglass(breakglass: &BreakglassStatus, passed: u64) -> String {
    format!(
        "a breakglass holds {} more minutes, until {} ({}): while no record can be written, what {} let out passes; \
         {} so far",
        breakglass.minutes_left,
        breakglass.until,
        breakglass.reason,
        counted(breakglass.essential_rules as u64, "essential rule"),
        counted(passed, "exchange"),
    )
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mode: &str, groups: &[(&str, &str)], (decided, observed): (u64, u64)) -> String {
        let group = |(group, mode): &(&str, &str)| GroupMode { group: (*group).into(), mode: (*mode).into() };
        let policy = PolicyStatus {
            file: "p.toml".into(),
            hash: "0".into(),
            rules: 1,
            mode: mode.into(),
            groups: groups.iter().map(group).collect(),
            base: None,
            since: String::new(),
            last_reload: None,
        };
        describe_enforced(&policy, &Exchanges { allowed: 0, refused: 0, on_reserve: 0, decided, observed })
    }

    #[test]
    fn who_is_held_to_the_policy_is_said_by_group_and_its_share_is_rounded_down() {
        assert_eq!(told("enforce", &[], (0, 0)), "for all clients");
        assert_eq!(told("observe", &[], (3, 3)), "for nobody; 0 % of 3 exchanges since the start");
        let groups = [("office", "observe"), ("floor", "enforce")];
        assert_eq!(
            told("enforce", &groups, (1000, 1)),
            "for all clients but office; 99 % of 1000 exchanges since the start"
        );
        assert_eq!(told("observe", &groups, (4, 0)), "for floor alone; 100 % of 4 exchanges since the start");
        // The counters are read one after the other.
        assert_eq!(told("observe", &[], (3, 4)), "for nobody; 0 % of 3 exchanges since the start");
    }
}
