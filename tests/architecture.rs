//! The house rules that the compiler does not check: import order, purity of the judging rooms, and
//! the size of files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms that are functions of data and `now`.
const PURE: &[&str] = &["facts", "parse", "identity", "policy", "challenge", "evidence", "formats", "detect", "alert"];
/// What a pure room must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "tracing",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "TcpStream",
    "UdpSocket",
    "SystemTime",
    "Instant",
    "std::env",
    "std::process",
    "std::thread",
    "println!",
    "eprintln!",
];
const LINES_MAX: usize = 600;

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Every source file with its room and its text without the tests at its end.
fn rooms() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let mut files = Vec::new();
    for path in paths {
        let inside = path.strip_prefix(&root).unwrap().to_path_buf();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap().to_owned();
        let room = first.trim_end_matches(".rs").to_owned();
        if matches!(room.as_str(), "lib" | "main") || inside.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("\n#[cfg(test)]").next().unwrap().to_owned();
        files.push((room, inside, text));
    }
    files
}

fn order() -> Vec<String> {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"))
}

#[test]
fn a_room_imports_only_rooms_listed_above_it() {
    let order = order();
    assert!(order.len() > 5, "lib.rs lists its rooms");
    let mut wrong = Vec::new();
    for (room, path, text) in rooms() {
        let own = order.iter().position(|name| *name == room).unwrap_or_else(|| panic!("{room} is not in lib.rs"));
        for (other, name) in order.iter().enumerate() {
            let names_it = code_lines(&text).any(|line| line.contains(&format!("crate::{name}")));
            if other > own && names_it {
                wrong.push(format!("{} imports {name}, which stands below it", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn judging_rooms_touch_no_socket_file_or_clock() {
    let mut wrong = Vec::new();
    for (room, path, text) in rooms() {
        if !PURE.contains(&room.as_str()) {
            continue;
        }
        for line in code_lines(&text) {
            for word in IMPURE {
                if line.contains(word) {
                    wrong.push(format!("{}: {line}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_longer_than_one_can_hold_in_the_head() {
    for (_, path, text) in rooms() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines without its tests", path.display());
    }
}

/// What opens a connection or a socket for one.
const OPENS: &[&str] = &["TcpStream::connect", "TcpSocket", "UdpSocket::bind", "Socket::new", "TcpListener::bind"];
/// Where that may be: dials, which take a permit, and listeners.
const OPENERS: &[&str] = &["upstream", "listen"];
/// What a PC runs, and a machine outside: it opens what it tries by itself, and the gate has nothing to do with it.
const NOT_OF_THE_GATE: &str = "probe";

#[test]
fn sockets_are_opened_in_two_rooms_alone() {
    let mut wrong = Vec::new();
    let mut right = 0;
    for (room, path, text) in rooms() {
        if room == NOT_OF_THE_GATE {
            continue;
        }
        for line in code_lines(&text).filter(|line| OPENS.iter().any(|word| line.contains(word))) {
            if OPENERS.contains(&room.as_str()) {
                right += 1;
            } else {
                wrong.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(right > 2, "the words are still those of the code");
}

#[test]
fn what_opens_sockets_without_a_permit_is_reached_from_the_command_line_alone() {
    let name = format!("crate::{NOT_OF_THE_GATE}");
    let users: Vec<PathBuf> = rooms()
        .into_iter()
        .filter(|(room, _, text)| room != NOT_OF_THE_GATE && code_lines(text).any(|line| line.contains(&name)))
        .map(|(_, path, _)| path)
        .collect();
    assert_eq!(users, [Path::new("cli/probe.rs")]);
}

#[test]
fn sockets_by_bare_system_calls_lead_to_the_kernel_alone() {
    let mut opened = 0;
    for (room, path, text) in rooms() {
        for line in code_lines(&text).filter(|line| line.contains("socket_with(") || line.contains("net::socket(")) {
            assert_eq!(room, "gateway", "{}: {line}", path.display());
            assert!(line.contains("AddressFamily::NETLINK"), "{}: {line}", path.display());
            opened += 1;
        }
    }
    assert_eq!(opened, 1);
}

/// Types of the policy that let something out, or say that it may be.
const GRANTS: &[&str] = &[
    "Permit",
    "PermitTerms",
    "Decision",
    "Verdict",
    "VerdictKind",
    "Outcome",
    "Policy",
    "Mode",
    "Rule",
    "Route",
    "CheckedAddress",
];

#[test]
fn nothing_that_grants_has_a_default() {
    let mut wrong = Vec::new();
    let mut found = 0;
    for (room, path, text) in rooms() {
        if room != "policy" {
            continue;
        }
        let mut derives = "";
        for line in code_lines(&text) {
            let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            let named = words.iter().skip_while(|word| !matches!(**word, "struct" | "enum")).nth(1);
            let grants = named.is_some_and(|name| GRANTS.contains(name));
            found += usize::from(grants);
            let implemented = words.windows(3).any(|w| w[0] == "Default" && w[1] == "for" && GRANTS.contains(&w[2]));
            if (grants && derives.contains("Default")) || implemented {
                wrong.push(format!("{}: {line}", path.display()));
            }
            derives = if line.starts_with("#[derive") { line } else { "" };
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(found, GRANTS.len(), "each of them is found in the code");
}
