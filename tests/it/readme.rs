//! The README keeps to what is there: its policies compile, its tests exist, its commands are real.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sekisho::policy::Policy;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// What stands below a heading, to the next one.
fn chapter(title: &str) -> String {
    let text = readme();
    let (_, rest) = text.split_once(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("no chapter {title}"));
    rest.split("\n## ").next().unwrap().to_owned()
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_policy_in_the_readme_compiles() {
    let text = readme();
    let policies: Vec<&str> = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(policies.len() >= 2);
    for policy in policies {
        let compiled = Policy::compile("README.md", policy).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert!(compiled.rules() > 0 && !compiled.observes());
        assert_eq!(compiled.unknown().as_str(), "deny");
    }
}

#[test]
fn every_claim_names_a_test_that_exists() {
    let chapter = chapter("What it promises, and the test that holds it");
    let claims: Vec<&str> = chapter.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(claims.len() > 10);
    for claim in claims {
        let tests: Vec<(&str, &str)> = in_backticks(claim).filter_map(|word| word.split_once(".rs::")).collect();
        assert!(!tests.is_empty(), "no test: {claim}");
        for (file, name) in tests {
            let path = root().join(file).with_extension("rs");
            let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}.rs: {error}"));
            assert!(is_test(&source, name), "{file}.rs has no test {name}");
        }
    }
}

#[test]
fn every_attack_in_the_security_page_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let attacks: Vec<&str> = text.lines().filter(|line| line.starts_with("| It ") || line.starts_with("| A")).collect();
    assert!(attacks.len() > 30);
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what it tries"));
    assert_eq!(rows.count(), attacks.len(), "each row is an attack");
    for attack in attacks {
        let tests: Vec<(&str, &str)> = in_backticks(attack).filter_map(|word| word.split_once(".rs::")).collect();
        assert!(!tests.is_empty(), "no test: {attack}");
        for (file, name) in tests {
            let path = root().join(file).with_extension("rs");
            let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}.rs: {error}"));
            assert!(is_test(&source, name), "{file}.rs has no test {name}");
        }
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1).collect();
    let promises = text.lines().filter(|line| {
        line.starts_with("//! ") && line.contains(". ") && {
            line.trim_start_matches("//! ").split('.').next().is_some_and(|number| number.parse::<u32>().is_ok())
        }
    });
    assert_eq!(rows.len(), promises.count());
    for row in rows {
        let tests: Vec<&str> = in_backticks(row).filter(|word| word.contains(".rs::")).collect();
        assert!(!tests.is_empty() || row.contains("there are no detectors yet"), "{row}");
        for test in tests {
            let (file, name) = test.split_once("::").unwrap();
            let source = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(is_test(&source, name), "{file} has no test {name}");
        }
    }
}

/// A function of this name right below a `#[test]`, or one of proptest's.
fn is_test(source: &str, name: &str) -> bool {
    let mut lines = source.lines().map(str::trim);
    let mut below_test = false;
    lines.any(|line| {
        let found = below_test && line.starts_with(&format!("fn {name}("));
        below_test = line == "#[test]" || (below_test && line.starts_with("#["));
        found
    })
}

#[test]
fn every_file_the_readme_names_exists() {
    let text = readme();
    let places = ["src/", "tests/", "policy/", "certs/", "examples/", ".ci/"];
    let named = in_backticks(&text).filter(|word| !word.contains("::") && places.iter().any(|at| word.starts_with(at)));
    let mut count = 0;
    for name in named {
        assert!(root().join(name).exists(), "{name} is not there");
        count += 1;
    }
    assert!(count > 3);
}

#[test]
fn the_commands_and_exit_codes_are_those_of_the_program() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("--help").current_dir(Path::new("/")).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let real: Vec<&str> =
        list.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    let chapter = chapter("Commands");
    let written: Vec<&str> =
        chapter.lines().filter_map(|line| line.strip_prefix("| `sekisho ")?.split(['`', ' ']).next()).collect();
    assert_eq!(written, real);

    let chapter = chapter.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in help.split_once("Exit codes:\n").unwrap().1.lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        let meaning = meaning.split(';').next().unwrap();
        assert!(chapter.contains(&format!("**{code}** {meaning}")), "{code} {meaning}");
    }
}
