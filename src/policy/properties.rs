//! What must hold for any text at all. Fuzz targets call this and so do tests; the gate does not.

pub(in crate::policy) mod decide;
mod names;
mod reading;

use std::net::IpAddr;

use super::*;
use crate::facts::Client;

pub use decide::policy_decide;
pub use names::{names_bytes, names_text};

/// Problems that are collected, and one that says that there are more.
const PROBLEMS_MAX: usize = 100 + 1;

/// Any bytes as the text of a policy. Panics when one of these does not hold.
///
/// It is compiled or refused, and the next time the same. What is refused has problems, not without
/// number, each with a place in the text and a fix. What is TOML can be laid out: it is a policy afterwards
/// if it was one before, and laid out again it stays as it is.
pub fn policy_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    compiled_twice(&text);
    if let Ok(laid) = lay_out("p.toml", &text) {
        let count = |text: &str| {
            let policy = Policy::compile("p.toml", text).ok();
            policy.map(|policy| (policy.mode(), policy.unknown(), policy.rules(), policy.cases()))
        };
        assert_eq!(count(&text), count(&laid), "{laid}");
        assert_eq!(lay_out("p.toml", &laid).as_ref(), Ok(&laid));
    }
}

fn compiled_twice(text: &str) {
    let lines = text.split('\n').count();
    match (Policy::compile("p.toml", text), Policy::compile("p.toml", text)) {
        (Ok(policy), Ok(again)) => {
            assert_eq!((policy.hash(), policy.rules()), (again.hash(), again.rules()));
            for address in ["10.20.1.5", "::ffff:10.20.1.5", "2001:db8::1"] {
                let address: IpAddr = address.parse().expect("an address");
                let client = Client::at((address, 0).into());
                assert_eq!(policy.group_of(&client), again.group_of(&client));
            }
        }
        (Err(problems), Err(again)) => {
            assert_eq!(problems, again);
            assert!((1..=PROBLEMS_MAX).contains(&problems.len()), "{} problems", problems.len());
            for problem in &problems {
                let line = usize::try_from(problem.place.line).expect("32 bits");
                assert!((1..=lines).contains(&line) && problem.place.column >= 1, "{problem}");
                assert!(!problem.what.is_empty() && !problem.fix.is_empty(), "{problem:?}");
            }
        }
        (one, other) => panic!("{one:?}, and then {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Every seed of the fuzz targets, so that what a fuzzer once found is tried without one.
    #[test]
    fn the_properties_hold_for_every_seed() {
        for (target, property) in [
            ("policy_text", policy_text as fn(&[u8])),
            ("policy_decide", policy_decide),
            ("names_text", names_text),
            ("names_bytes", names_bytes),
        ] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
            let seeds: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!seeds.is_empty(), "{target}");
            for seed in seeds {
                property(&fs::read(seed).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_choices_that_are_decided_as_a_reader_would(bytes in vec(any::<u8>(), 0..2000)) {
            policy_decide(&bytes);
        }

        #[test]
        fn any_text_is_compiled_or_refused(text in any::<String>()) {
            policy_text(text.as_bytes());
        }

        #[test]
        fn any_bytes_are_a_list_or_damage_to_one(bytes in vec(any::<u8>(), 0..400)) {
            names_text(&bytes);
            names_bytes(&bytes);
        }

        #[test]
        fn lists_of_telling_pieces(pieces in vec(select(vec![
            "a.example", "b", ".", "*", "*.", "xn--", "\n", "\n", "\r\n", " ", "\t", "#", "0.0.0.0 ", "127.0.0.1", "::1",
            "[2001:db8::1]", "fe80::1%lo0 ", "localhost", "日本", "\u{feff}", "%", "/", "0x7f", "A.EXAMPLE.", "\0",
        ]), 0..40)) {
            names_text(pieces.concat().as_bytes());
        }

        #[test]
        fn texts_of_telling_pieces(pieces in vec(select(vec![
            "[policy]\n", "[clients]\n", "[hosts]\n", "[programs]\n", "[[rule]]\n", "mode = \"observe\"\n", "unknown = ",
            "name = \"a\"\n", "hosts = [\"*.a.example\", \"b\"]\n", "ports = [443, 0, 65536]\n", "verdict = \"allow\"\n",
            "a = { addresses = [\"10.0.0.0/8\", \"::/0\"] }\n", "private = [\"10.0.0.0/33\"]\n", "\"deny\"\n", "clients = [\"a\"]\n",
            "tunnel = { idle_minutes = 1 }\n", "\u{feff}", "é", "\r\n", "=", "[", "\"\"\"", "#", "-1", "1e9\n",
        ]), 0..14)) {
            policy_text(pieces.concat().as_bytes());
        }
    }
}
