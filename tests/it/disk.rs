//! A disk that fills up: a small file system of the test's own, mounted for its thread alone.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tempfile::TempDir;

use sekisho::store::{IndexError, LiveIndex, SealError, Sealed, Sealer};

use crate::gate::{Gate, Notices, Start, event_of, put_over, records, status_of};
use crate::origin::Origin;
use crate::peer::{Message, Peer};
use crate::retention::journal_in;
use crate::sql::asked;
use crate::tunnel_lab::connect;

/// A file system of so many MiB; the namespace of the thread takes it along when it ends.
struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    fn new(mib: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let size = format!("size={mib}m,mode=700");
        mount(Some("tmpfs"), directory.path(), Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).unwrap();
        Self { directory }
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn filler(&self) -> PathBuf {
        self.directory.path().join("filler")
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        let block = [1; 4096];
        while filler.write(&block).is_ok_and(|count| count > 0) {}
    }

    /// Leaves so many bytes free, without ever leaving fewer.
    fn fill_up_to(&self, free: u64) {
        let found = rustix::fs::statvfs(self.directory.path()).unwrap();
        let surplus = (found.f_bavail * found.f_frsize).saturating_sub(free);
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        filler.write_all(&vec![1; usize::try_from(surplus).unwrap()]).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

/// A gate on a small disk, whose rule for the one origin is essential and for the other is not.
struct Site {
    gate: Gate,
    notices: Notices,
    essential: Origin,
    other: Origin,
    disk: SmallDisk,
}

const RESERVE_MIB: u64 = 2;

impl Site {
    fn new(mib: u64, reserve_mib: u64) -> Self {
        let disk = SmallDisk::new(mib);
        let (essential, other, notices) = (Origin::start(), Origin::start(), Notices::new());
        let gate = start(&disk, &notices, &policy(&essential, &other), reserve_mib);
        Self { gate, notices, essential, other, disk }
    }

    fn get(&self, origin: &Origin, path: &str) -> Message {
        let mut client = self.gate.client();
        client.send(format!("GET http://{0}{path} HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n", origin.address));
        client.answer()
    }

    /// Fills the disk, and asks until the gate has noticed. What was put in force is on record before, and the index at rest:
    /// while it is begun it gives room back, in which any number of records would find place.
    fn fill(&self) {
        assert_eq!(self.get(&self.other, "/before").status(), 200);
        let last = self.records().last().unwrap()["seq"].as_u64();
        until(&self.disk.data_dir(), &|status| status["index"]["record"].as_u64() >= last);
        self.disk.fill();
        let noticed = (0..100).any(|n| self.get(&self.other, &format!("/filling-{n}")).status() == 503);
        assert!(noticed, "a page of the disk holds a few records, not a hundred");
    }

    /// Leaves not even room for last records.
    fn fill_to_the_last(&self) {
        self.fill();
        self.disk.fill();
    }

    fn status(&self) -> Value {
        let out = sekisho(&["status", "--format", "json"], &self.disk.data_dir());
        serde_json::from_slice(&out.stdout).unwrap()
    }

    fn empty(&self) {
        self.disk.empty();
        self.notices.until("records are written again");
    }

    fn records(&self) -> Vec<Value> {
        records(&self.disk.data_dir())
    }
}

fn policy(essential: &Origin, other: &Origin) -> String {
    let more = "protocol = \"any\"\nessential = true";
    let rule =
        |origin: &Origin, name: &str, more: &str| origin.rule(more).replace("\"origin\"", &format!("\"{name}\""));
    format!("{}{}", rule(essential, "essential", more), rule(other, "other", "protocol = \"any\""))
}

fn start(disk: &SmallDisk, notices: &Notices, policy: &str, reserve_mib: u64) -> Gate {
    // One worker, so that what is answered later was recorded later.
    let config = format!("[gate]\nworkers = 1\n[evidence]\nreserve_mib = {reserve_mib}\n");
    let before = notices.before();
    let data_dir = Some(disk.data_dir());
    Start { policy, config: &config, data_dir, before: &before, ..Start::default() }.gate()
}

fn sekisho(arguments: &[&str], data_dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).arg(data_dir).output().unwrap()
}

fn breakglass(site: &Site, arguments: &[&str]) -> (Option<i32>, String) {
    let output = sekisho(&[&["breakglass"], arguments].concat(), &site.disk.data_dir());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Asks for the status until it is so.
fn until(data_dir: &Path, is_so: &dyn Fn(&Value) -> bool) {
    while !is_so(&status_of(data_dir)) {
        std::thread::yield_now();
    }
}

/// Every request in the origins' logs has an opening record, and every record its place.
fn all_on_record(site: &Site) {
    let records = site.records();
    let opened: Vec<_> = records
        .iter()
        .filter(|record| record["event"] == "open")
        .filter_map(|record| record["path"].as_str())
        .collect();
    for request in [site.essential.requests(), site.other.requests()].concat() {
        let path = request.line().split([' ', '?']).nth(1).unwrap();
        assert!(opened.contains(&path), "{path} was seen by an origin and has no record");
    }
    sekisho::store::verify(&site.disk.data_dir(), &Default::default()).unwrap();
}

#[test]
fn a_full_disk_stops_what_is_new_records_what_was_let_out_and_ends_by_itself() {
    let mut site = Site::new(16, RESERVE_MIB);
    let echo = Origin::echo();
    let mut tunnels: Vec<Peer> = Vec::new();
    drop(std::mem::replace(&mut site.gate, Gate::start("")));
    let site = {
        let policy = format!("{}{}", policy(&site.essential, &site.other), echo.rule("protocol = \"any\""));
        let notices = Notices::new();
        let gate = start(&site.disk, &notices, &policy, RESERVE_MIB);
        Site { gate, notices, ..site }
    };
    for _ in 0..20 {
        let (mut client, answer) = connect(&site.gate, &echo.address.to_string());
        assert_eq!(answer.status(), 200);
        client.send("ping");
        assert_eq!(client.take(4), b"ping");
        tunnels.push(client);
    }
    site.fill();
    site.notices.until("no record can be written");
    let told = site.status();
    assert_eq!(
        (&told["disk"]["level"], &told["disk"]["reserve"]["whole"]),
        (&"full".into(), &false.into()),
        "{told:#}"
    );
    let seen = site.other.requests().len();
    let refused = site.get(&site.other, "/refused");
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("evidence_unavailable"), "{}", refused.text());
    assert_eq!(site.get(&site.essential, "/refused-too").status(), 503, "essential is nothing by itself");
    assert_eq!(site.other.requests().len(), seen);

    // What was let out before goes on, and its end is on record while the disk is still full.
    for tunnel in &mut tunnels {
        tunnel.send("pong");
        assert_eq!(tunnel.take(4), b"pong");
        tunnel.finish();
        assert!(tunnel.rest().0.is_empty());
    }
    assert_eq!(site.get(&site.other, "/still-refused").status(), 503);
    let records = site.records();
    let ends: Vec<_> = records.iter().filter(|r| r["event"] == "open" && r["method"] == "CONNECT").collect();
    assert_eq!(ends.len(), 20);
    for open in ends {
        let close = event_of(&records, "close", &open["id"]);
        assert_eq!((&close["bytes_up"], &close["closed_how"]), (&8.into(), &"closed".into()));
    }
    let level = |record: &Value| (record["kind"] == "health").then(|| record["level"].as_str().unwrap().to_owned());
    assert_eq!(records.iter().rev().find_map(level).as_deref(), Some("full"));

    site.empty();
    assert_eq!(site.get(&site.other, "/again").status(), 200);
    let records = site.records();
    assert!(records.iter().any(|record| record["cause"] == "records_lost"), "{records:#?}");
    assert!(records.iter().filter_map(level).any(|level| level == "ample"));
    let told = site.status();
    assert_eq!(told["disk"]["reserve"]["whole"], true, "the reserve is whole again: {told:#}");
    all_on_record(&site);
}

#[test]
fn under_a_breakglass_what_is_essential_passes_on_the_reserve_and_all_of_it_comes_on_record() {
    let mut site = Site::new(16, RESERVE_MIB);
    let (code, text) = breakglass(&site, &["--minutes", "5", "--reason", ""]);
    assert!(code == Some(1) && text.contains("a reason has 1 to 500 bytes"), "{text}");
    let (code, text) = breakglass(&site, &["--end"]);
    assert!(code == Some(1) && text.contains("no breakglass is in force"), "{text}");

    site.fill_to_the_last();
    assert_eq!(site.get(&site.essential, "/before").status(), 503);
    let (code, text) = breakglass(&site, &["--minutes", "30", "--reason", "alarms must go out"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("alarms must go out") && text.contains("what 1 essential rule let out passes"), "{text}");
    site.notices.until("a breakglass holds until");
    for n in 0..10 {
        assert_eq!(site.get(&site.essential, &format!("/essential-{n}?key=secret")).status(), 200);
        assert_eq!(site.get(&site.other, &format!("/other-{n}")).status(), 503, "other rules wait");
    }
    let (mut tunnel, answer) = connect(&site.gate, &site.essential.address.to_string());
    assert_eq!(answer.status(), 200, "tunnels too");
    tunnel.finish();
    let told = site.status();
    assert_eq!((&told["exchanges"]["on_reserve"], &told["breakglass"]["essential_rules"]), (&11.into(), &1.into()));
    assert_eq!(told["disk"]["reserve"]["records"], 12, "its own record is there too");
    let reserve = fs::read(site.disk.data_dir().join("reserve")).unwrap();
    assert!(!String::from_utf8_lossy(&reserve).contains("secret"), "queries are not kept there either");

    let (code, _) = breakglass(&site, &["--end"]);
    assert_eq!(code, Some(0));
    assert_eq!(site.get(&site.essential, "/after").status(), 503);
    site.empty();
    assert_eq!(site.get(&site.essential, "/again").status(), 200);
    assert_eq!(site.gate.end("-TERM"), Some(0));
    let records = site.records();
    let gap = records.iter().position(|record| record["cause"] == "reserve").unwrap();
    assert!(records[gap]["detail"].as_str().unwrap().contains("13 short ones"), "{}", records[gap]);
    let actions: Vec<_> = records.iter().filter_map(|record| record["action"].as_str()).collect();
    assert_eq!(actions, ["in_force", "breakglass", "breakglass_ended", "journal_closed"]);
    let short: Vec<_> = records.iter().filter(|record| record["breakglass"] == true).collect();
    assert_eq!(short.len(), 11);
    for record in short {
        assert_eq!(
            (&record["rule"], &record["event"], &record["client"]),
            (&"essential".into(), &"open".into(), &"127.0.0.1".into())
        );
    }
    all_on_record(&site);
}

#[test]
fn a_policy_that_changes_on_a_full_disk_is_in_force_at_once_and_on_record_later() {
    let mut site = Site::new(16, RESERVE_MIB);
    site.fill();
    // What was essential is not, and what was not is.
    put_over(&site.gate.policy(), &policy(&site.other, &site.essential));
    let output = sekisho(&["reload"], &site.disk.data_dir());
    assert!(output.status.success(), "{output:?}");
    let hash = site.status()["policy"]["hash"].clone();
    assert_eq!(breakglass(&site, &["--minutes", "10", "--reason", "the rule was not marked"]).0, Some(0));
    assert_eq!((site.get(&site.other, "/now").status(), site.get(&site.essential, "/no").status()), (200, 503));
    site.empty();
    assert_eq!(site.gate.end("-TERM"), Some(0));
    let records = site.records();
    let passed = records.iter().find(|record| record["breakglass"] == true).unwrap();
    assert_eq!((&passed["path"], &passed["policy"]), (&"/now".into(), &hash));
    assert!(records.iter().any(|record| record["action"] == "in_force" && record["hash"] == hash), "{records:#?}");
    all_on_record(&site);
}

#[test]
fn when_the_reserve_is_full_nothing_passes_under_a_breakglass_either() {
    let site = Site::new(16, 1);
    site.fill_to_the_last();
    breakglass(&site, &["--minutes", "30", "--reason", "test"]);
    let long = "x".repeat(900);
    let passed = (0..2000).take_while(|n| site.get(&site.essential, &format!("/{n}-{long}")).status() == 200).count();
    assert!((300..600).contains(&passed), "{passed} records of about 1.2 KiB in 512 KiB");
    assert_eq!(site.essential.requests().len(), passed, "what was refused did not reach the origin");
    site.empty();
    assert_eq!(site.get(&site.essential, "/again").status(), 200);
    all_on_record(&site);
}

#[test]
fn a_gate_killed_on_a_full_disk_starts_again_and_loses_no_passage() {
    let mut site = Site::new(16, RESERVE_MIB);
    site.fill_to_the_last();
    breakglass(&site, &["--minutes", "30", "--reason", "test"]);
    for n in 0..5 {
        assert_eq!(site.get(&site.essential, &format!("/n{n}")).status(), 200);
    }
    site.gate.end("-KILL");
    site.disk.fill();
    // Room for some records, and too little for the reserve that was given up: nothing new may use it.
    let filler = File::options().write(true).open(site.disk.filler()).unwrap();
    filler.set_len(filler.metadata().unwrap().len() - (512 << 10)).unwrap();
    drop(filler);
    let notices = Notices::new();
    let gate = start(&site.disk, &notices, &policy(&site.essential, &site.other), RESERVE_MIB);
    let site = Site { gate, notices, ..site };
    site.notices.until("no record can be written");
    assert_eq!(site.get(&site.essential, "/refused").status(), 503, "a breakglass ends with the gate");
    let told = site.status();
    assert_eq!(told["disk"]["reserve"]["records"], 6, "{told:#}");
    let verified = String::from_utf8(sekisho(&["verify"], &site.disk.data_dir()).stdout).unwrap();
    assert!(verified.contains("6 short records wait"), "{verified}");
    site.empty();
    assert_eq!(site.get(&site.other, "/again").status(), 200);
    let records = site.records();
    assert_eq!(records.iter().filter(|record| record["breakglass"] == true).count(), 5);
    let in_force = records.iter().filter(|record| record["action"] == "in_force").count();
    assert_eq!(in_force, 2, "what was put in force on the full disk is told once it can be");
    all_on_record(&site);
}

#[test]
fn a_person_is_told_when_a_week_is_left_and_when_two_days_are() {
    let mut site = Site::new(64, RESERVE_MIB);
    // Some minutes of records count for an hour's, as there is no more to go by.
    for n in 0..40 {
        assert_eq!(site.get(&site.other, &format!("/{n}")).status(), 200);
    }
    let pace = site.status()["disk"]["bytes_per_day"].as_u64().unwrap();
    assert!(pace > 24 * 10_000, "{pace}");
    let level = |site: &Site| site.status()["disk"]["level"].as_str().unwrap().to_owned();
    assert_eq!(level(&site), "ample");
    site.disk.fill_up_to(pace * 5);
    assert!(site.notices.until("lasts about").contains(" days ("));
    assert_eq!(level(&site), "low");
    let text = String::from_utf8(sekisho(&["status"], &site.disk.data_dir()).stdout).unwrap();
    assert!(text.contains("WARNING") && text.contains("days are left"), "{text}");
    site.disk.fill_up_to(pace);
    site.notices.until("lasts about");
    assert_eq!(level(&site), "critical");
    assert_eq!(site.get(&site.other, "/still").status(), 200, "a warning stops nothing");
    site.disk.empty();
    site.notices.until("more than before");
    assert_eq!(site.gate.end("-TERM"), Some(0));
    let levels: Vec<_> = site
        .records()
        .iter()
        .filter(|r| r["kind"] == "health")
        .map(|r| r["level"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(levels, ["low", "critical", "ample"]);
}

#[test]
fn with_little_room_nothing_is_sealed_or_indexed_and_both_go_on_when_there_is_more() {
    let disk = SmallDisk::new(40);
    journal_in(&disk.data_dir(), &[(3, "10.1.0.3"), (2, "10.1.0.2")], 2_000);
    // A tenth is kept for the journal: of the rest there is too little.
    disk.fill_up_to(3 << 20);
    let (origin, notices) = (Origin::start(), Notices::new());
    let gate = start(&disk, &notices, &origin.policy(), 0);
    let data_dir = disk.data_dir();
    let lacks = |status: &Value, part: &str| {
        status[part]["error"].as_str().is_some_and(|error| error.contains("bytes are lacking"))
    };
    until(&data_dir, &|status| lacks(status, "sealing") && lacks(status, "index"));
    let mut client = gate.client();
    client.send(format!("GET http://{0}/meanwhile HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n", origin.address));
    assert_eq!(client.answer().status(), 200, "the journal goes on");
    assert!(status_of(&data_dir)["disk"]["level"] != "full");
    let ended = |ending: &str| {
        let paths = fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|found| found == ending)).count()
    };
    assert_eq!((ended("zst"), ended("part")), (0, 0));

    disk.empty();
    let all = records(&data_dir).last().unwrap()["seq"].as_u64();
    until(&data_dir, &|status| status["sealing"]["waiting"] == 0 && status["index"]["record"].as_u64() >= all);
    assert_eq!((ended("zst"), status_of(&data_dir)["sealing"]["error"].clone()), (4, Value::Null));
    assert_eq!(sekisho(&["verify"], &data_dir).status.code(), Some(0));
    assert_eq!(asked(&data_dir, "SELECT count(*) AS n FROM exchanges")[0]["n"], 4 * 1_999 + 1);
}

#[test]
fn a_disk_that_fills_up_in_the_middle_of_sealing_or_indexing_loses_nothing_of_either() {
    let disk = SmallDisk::new(64);
    let data_dir = disk.data_dir();
    journal_in(&data_dir, &[(3, "10.1.0.3"), (2, "10.1.0.2")], 4_000);
    let now = sekisho::facts::Timestamp(1_795_568_400_000_000);
    let sealer = Sealer::new(&data_dir, "gate").unwrap();
    let due = sealer.due().unwrap();
    assert!(!due.is_empty());
    let text = fs::read(&due[0]).unwrap();
    let mut lines = 0;
    let result = sealer.seal(&due[0], now, || {
        lines += 1;
        if lines == 100 {
            disk.fill();
        }
        true
    });
    assert!(lines > 100 && matches!(result, Err(SealError::Io { .. })), "{lines} {result:?}");
    assert_eq!(fs::read(&due[0]).unwrap(), text, "the segment is as it was");
    let left = fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    assert!(left.into_iter().all(|path| path.extension().is_some_and(|ending| ending == "jsonl")));
    disk.empty();
    for segment in &due {
        let sealed = sealer.seal(segment, now, || true);
        assert!(matches!(sealed, Ok(Sealed::Done(_))), "{sealed:?}");
    }
    assert_eq!(sekisho(&["verify"], &data_dir).status.code(), Some(0));

    // What was read and not committed is taken again.
    let mut index = LiveIndex::open(&data_dir, |why| panic!("{why}")).unwrap();
    assert!(index.step().unwrap(), "there is more than one block");
    assert_eq!(index.committed(), 0);
    disk.fill();
    let failed = (0..10_000).find_map(|_| index.step().err()).unwrap();
    assert!(matches!(failed, IndexError::Sqlite(_)), "{failed:?}");
    drop(index);
    disk.empty();
    let mut index = LiveIndex::open(&data_dir, |why| panic!("{why}")).unwrap();
    while index.step().unwrap() {}
    drop(index);
    let answers = || asked(&data_dir, "SELECT * FROM contacts ORDER BY day, client, host");
    let (live, exchanges) = (answers(), asked(&data_dir, "SELECT count(*) AS n FROM exchanges"));
    sekisho::store::reindex(&data_dir, |_, _| {}).unwrap();
    assert!(!live.is_empty() && live == answers());
    assert_eq!(exchanges, asked(&data_dir, "SELECT count(*) AS n FROM exchanges"));
}
