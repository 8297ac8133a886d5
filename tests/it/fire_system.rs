//! What a system does to a gate: a disk that stands still or turns read-only, a clock that is set, memory that a cgroup
//! bounds. The disks are images of the tests' own, mounted for the thread alone.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tempfile::TempDir;

use crate::fire_flood::ASK;
use crate::gate::{Gate, Notices, Start, raise_open_files, records};
use crate::origin::Origin;
use crate::peer::Peer;

/// An ext4 of 64 MiB behind a loop device.
struct Image {
    directory: TempDir,
}

/// What a question is answered with.
fn asked(data_dir: &Path, arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let output = command.args(arguments).args(["--format", "json", "--data-dir"]).arg(data_dir).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

impl Image {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let image = Self { directory };
        File::create(image.file()).unwrap().set_len(64 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", image.file().to_str().unwrap()]);
        fs::create_dir(image.mounted()).unwrap();
        image.mount("loop");
        image
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn mounted(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    fn data_dir(&self) -> PathBuf {
        self.mounted().join("data")
    }

    fn mount(&self, options: &str) {
        run("mount", &["-o", options, self.file().to_str().unwrap(), self.mounted().to_str().unwrap()]);
    }

    fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), self.mounted().to_str().unwrap()]);
    }

    fn unmount(&self) {
        run("umount", &[self.mounted().to_str().unwrap()]);
    }

    /// Lets nothing be written until what comes of it is dropped.
    fn freeze(&self) -> Frozen {
        run("fsfreeze", &["--freeze", self.mounted().to_str().unwrap()]);
        Frozen(self.mounted())
    }
}

struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        run("fsfreeze", &["--unfreeze", self.0.to_str().unwrap()]);
    }
}

fn start(image: &Image, origin: &Origin, config: &str) -> Gate {
    let data_dir = Some(image.data_dir());
    Start { policy: &origin.policy(), config, data_dir, ..Start::default() }.gate()
}

fn get(origin: &Origin, path: &str) -> String {
    format!("GET http://{0}{path} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address)
}

fn ask(client: &mut Peer, request: &str) -> (u16, String) {
    client.send(request);
    let answer = client.answer();
    (answer.status(), answer.text())
}

/// Every request in the origin's log has an opening record, and the chain holds.
fn all_on_record(origin: &Origin, data_dir: &Path) -> Vec<Value> {
    let records = records(data_dir);
    let opened: Vec<_> = records.iter().filter(|record| record["event"] == "open").collect();
    for request in origin.requests() {
        let path = request.line().split(' ').nth(1).unwrap();
        assert!(opened.iter().any(|open| open["path"] == path), "{path} was seen by the origin and has no record");
    }
    sekisho::store::verify(data_dir, &Default::default()).unwrap();
    records
}

#[test]
fn a_disk_that_stands_still_holds_up_what_is_new_and_loses_nothing_when_it_moves_again() {
    let (image, origin) = (Image::new(), Origin::start());
    let mut gate = start(&image, &origin, "[gate]\nworkers = 1\n[evidence]\nindex = false\n");
    let mut other = gate.client();
    assert_eq!(ask(&mut other, &get(&origin, "/before")).0, 200);

    let frozen = image.freeze();
    let mut waiting: Vec<_> = (0..20).map(|_| gate.client()).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.send(get(&origin, &format!("/frozen-{number}")));
    }
    // The one worker has read all of them before it answers this.
    for _ in 0..20 {
        assert_eq!(ask(&mut other, ASK).0, 200, "what leaves no record is answered");
    }
    assert_eq!(origin.requests().len(), 1, "nothing leaves before its record is written");
    drop(frozen);
    for client in &mut waiting {
        let answer = client.answer();
        let is_named = answer.status() == 503 && answer.text().contains("evidence_unavailable");
        assert!(answer.status() == 200 || is_named, "{}", answer.text());
    }
    assert_eq!(ask(&mut other, &get(&origin, "/after")).0, 200);
    drop((waiting, other));
    assert_eq!(gate.end("-TERM"), Some(0));
    all_on_record(&origin, &image.data_dir());
}

#[test]
fn on_a_disk_that_turned_read_only_nothing_new_leaves_and_says_why_and_a_restart_goes_on() {
    let (image, origin) = (Image::new(), Origin::start());
    let config = "[gate]\nworkers = 1\n[evidence]\nindex = false\ndurability = \"strict\"\n";
    let mut gate = start(&image, &origin, config);
    let mut client = gate.client();
    for number in 0..10 {
        assert_eq!(ask(&mut client, &get(&origin, &format!("/before-{number}"))).0, 200);
    }
    // As ext4 does by itself where its disk fails.
    image.remount("abort");
    // A refusal for want of a record is the last answer of its connection.
    let asked = |path: &str| ask(&mut gate.client(), &get(&origin, path));
    let refused = (0..10).map(|number| asked(&format!("/read-only-{number}"))).find(|(status, _)| *status != 200);
    let (status, text) = refused.expect("there is no record any more");
    assert!(status == 503 && text.contains("evidence_unavailable"), "{status} {text}");
    let seen = origin.requests().len();
    assert_eq!((asked("/still").0, origin.requests().len()), (503, seen));
    assert_eq!(ask(&mut gate.client(), ASK).0, 200, "the gate is there, and lets nothing out");
    drop(client);
    gate.end("-KILL");
    image.unmount();
    image.mount("loop");

    let mut gate = start(&image, &origin, config);
    let mut client = gate.client();
    assert_eq!(ask(&mut client, &get(&origin, "/again")).0, 200);
    drop(client);
    assert_eq!(gate.end("-TERM"), Some(0));
    all_on_record(&origin, &image.data_dir());
}

#[test]
fn a_gate_does_not_start_on_a_read_only_data_directory_and_says_so() {
    let (image, origin) = (Image::new(), Origin::start());
    assert_eq!(start(&image, &origin, "").end("-TERM"), Some(0));
    image.unmount();
    image.mount("loop,ro");
    let output = Start { policy: &origin.policy(), data_dir: Some(image.data_dir()), ..Start::default() }.output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{output:?}");
    assert!(said.contains("Read-only file system") && said.contains(image.data_dir().to_str().unwrap()), "{said}");
}

#[test]
fn a_clock_that_is_set_back_and_forth_stops_nothing_and_the_journal_keeps_its_order() {
    let (origin, files) = (Origin::start(), tempfile::tempdir().unwrap());
    let clock = files.path().join("clock");
    let set = |offset: &str| crate::gate::put_over(&clock, offset);
    set("+0");
    // The clock of the wall alone: the one that is never set goes on, as it does on a real machine.
    let notices = Notices::new();
    let before = format!(
        "{}; export LD_PRELOAD=/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1 FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1",
        notices.before(),
        std::env::consts::ARCH,
        clock.display()
    );
    let mut gate = Start { policy: &origin.policy(), before: &before, ..Start::default() }.gate();
    let mut client = gate.client();
    let offsets = [
        ("+0", None),
        ("-2h", Some("back by 7200.")),
        ("+3h", Some("ahead by 18000.")),
        ("-30d", Some("back by 2602800.")),
        ("+1d", Some("ahead by 2678400.")),
        ("+0", Some("back by 86400.")),
    ];
    for (number, (offset, told)) in offsets.iter().enumerate() {
        set(offset);
        if let Some(told) = told {
            notices.until(&format!("the clock was set {told}"));
        }
        for time in 0..5 {
            let (status, text) = ask(&mut client, &get(&origin, &format!("/{number}-{time}")));
            assert_eq!(status, 200, "{offset}: {text}");
        }
    }
    drop(client);
    assert_eq!(gate.end("-TERM"), Some(0));
    let records = all_on_record(&origin, &gate.data_dir());
    let exchanges = crate::gate::exchanges(&records);
    assert_eq!(exchanges.len(), offsets.len() * 5);
    let ids: Vec<_> = exchanges.iter().map(|exchange| exchange["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted() && exchanges.iter().all(|exchange| exchange["closed_how"] == "complete"), "{ids:?}");
    let day = |at: usize| exchanges[at]["time"].as_str().unwrap()[..10].to_owned();
    assert_ne!(day(0), day(16), "the clock was set");
    let steps = records.iter().filter(|record| record["kind"] == "health" && record["subject"] == "clock");
    let steps: Vec<_> = steps.map(|record| record["level"].as_str().unwrap()).collect();
    assert_eq!(steps, ["set_back", "set_ahead", "set_back", "set_ahead", "set_back"]);
    // What is asked is answered in the order of the records, and the report tells of the steps.
    sekisho::store::reindex(&gate.data_dir(), |_, _| {}).unwrap();
    let like = ["review", "like", "--by", "client", "--value", "127.0.0.1"];
    let told = asked(&gate.data_dir(), &like);
    let seqs = |told: &Value| -> Vec<u64> {
        let rows = told["tables"]["exchanges"]["rows"].as_array().unwrap();
        rows.iter().map(|row| row["record"].as_u64().unwrap()).collect()
    };
    let newest_first = seqs(&told);
    assert_eq!(newest_first.len(), offsets.len() * 5, "{told:#}");
    assert!(newest_first.is_sorted_by(|a, b| a > b), "{newest_first:?}");
    let told = asked(&gate.data_dir(), &[&like[..], &["--limit", "7"]].concat());
    assert_eq!(seqs(&told), newest_first[..7]);
    let month = &exchanges[0]["time"].as_str().unwrap()[..7];
    let told = asked(&gate.data_dir(), &["review", "report", "--month", month]);
    // A record that a thread began before a step may follow one behind it, which counts too.
    assert!(told["clock_steps"].as_u64().is_some_and(|steps| steps >= 3), "{told:#}");
}

/// A cgroup of this test's own that bounds memory.
struct Bounded(PathBuf);

impl Bounded {
    fn new(bytes: u64) -> Self {
        let name = format!("sekisho-test-{}", std::process::id());
        // Version 1 has a hierarchy for memory, version 2 one for all.
        let (root, bound) = match Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
            true => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            false => ("/sys/fs/cgroup", "memory.max"),
        };
        let path = Path::new(root).join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join(bound), bytes.to_string()).unwrap();
        Self(path)
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_gate_in_a_cgroup_of_little_memory_outlives_a_flood_of_heads_and_serves_meanwhile() {
    // A debug build has 150 MB of program, whose pages the kernel may take back, and holds 7 MiB at rest.
    let bounded = Bounded::new(96 << 20);
    let before = format!("echo $$ > {}/cgroup.procs", bounded.0.display());
    let config = "[gate]\nworkers = 1\n[limits]\nheads_mib_max = 16\n";
    let origin = Origin::start();
    let mut gate = Start { policy: &origin.policy(), config, before: &before, ..Start::default() }.gate();
    let mut other = gate.client();
    assert_eq!(ask(&mut other, &get(&origin, "/before")).0, 200);
    raise_open_files();
    let large = format!("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX: {}", "a".repeat(63_000));
    let flood: Vec<_> = (0..2500_u16)
        .map(|number| {
            let source = Ipv4Addr::new(127, 0, 0, 2 + number as u8 % 4);
            let mut client = Peer::connect_from(source.into(), gate.address);
            client.stream().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            let _ = client.try_send(&large);
            if number.is_multiple_of(50) {
                assert_eq!(ask(&mut other, &get(&origin, &format!("/meanwhile-{number}"))).0, 200);
            }
            client
        })
        .collect();
    drop(flood);
    assert_eq!(ask(&mut other, &get(&origin, "/after")).0, 200);
    drop(other);
    assert_eq!(gate.end("-TERM"), Some(0), "nobody has killed it");
    all_on_record(&origin, &gate.data_dir());
}
