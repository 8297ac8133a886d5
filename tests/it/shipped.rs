//! The shipped policies hold their cases, and the shipped lists keep to their form.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sekisho::facts::Host;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policy")
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

/// Lines between two empty ones.
#[derive(Default)]
struct Block {
    comment: String,
    /// Each with its line.
    patterns: Vec<(usize, String)>,
}

struct List {
    name: String,
    blocks: Vec<Block>,
}

impl List {
    fn read(path: &Path) -> Self {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (mut blocks, mut block) = (Vec::new(), Block::default());
        for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
            match line.strip_prefix('#') {
                Some(comment) => {
                    assert!(
                        block.patterns.is_empty(),
                        "{name}:{}: a comment stands above what it speaks of",
                        number + 1
                    );
                    block.comment.push_str(comment);
                }
                None if line.is_empty() => blocks.push(std::mem::take(&mut block)),
                None => block.patterns.push((number + 1, line.to_owned())),
            }
        }
        blocks.push(block);
        Self { name, blocks }
    }

    fn patterns(&self) -> impl Iterator<Item = (usize, &str)> {
        self.blocks.iter().flat_map(|block| &block.patterns).map(|(line, pattern)| (*line, pattern.as_str()))
    }
}

fn lists() -> Vec<List> {
    let lists: Vec<List> = files(&shipped().join("lists"), "txt").iter().map(|path| List::read(path)).collect();
    assert!(lists.len() >= 9);
    lists
}

/// The name that a pattern speaks of, without its `*.`.
fn bare(pattern: &str) -> &str {
    pattern.strip_prefix("*.").unwrap_or(pattern)
}

/// The names that `name` stands below, the nearest first.
fn above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(dot, _)| &name[dot + 1..])
}

/// The shipped policies; what browsers do lies beside them and is none.
fn policies() -> Vec<PathBuf> {
    let mut policies = files(&shipped(), "toml");
    policies.retain(|path| !path.ends_with("browsers.toml"));
    policies
}

#[test]
fn every_shipped_policy_compiles_and_holds_its_cases() {
    let policies = policies();
    for name in ["default.toml", "factory.toml", "office.toml", "server.toml", "starter.toml", "uninspected.toml"] {
        assert!(policies.contains(&shipped().join(name)), "{name} is shipped");
    }
    let mut wrong = Vec::new();
    for policy in policies {
        let answer = Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("check").arg(&policy).output().unwrap();
        if answer.status.code() != Some(0) {
            wrong.push(format!("{}\n{}", policy.display(), String::from_utf8_lossy(&answer.stderr)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether they compile is another test's to say.
#[test]
fn no_shipped_policy_has_a_warning() {
    for policy in policies() {
        let check = ["check", "--format", "json"];
        let answer = Command::new(env!("CARGO_BIN_EXE_sekisho")).args(check).arg(&policy).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        let warnings = report["warnings"].as_array().map_or(0, Vec::len);
        assert_eq!(warnings, 0, "{}: {report:#}", policy.display());
    }
}

#[test]
fn every_line_of_the_lists_is_a_name_in_lower_case_that_a_request_could_name() {
    for list in lists() {
        for (line, pattern) in list.patterns() {
            let at = format!("{}:{line}: {pattern}", list.name);
            let host = Host::parse(bare(pattern).as_bytes()).unwrap_or_else(|why| panic!("{at}: {why}"));
            assert!(matches!(&host, Host::Name(name) if name.as_str() == bare(pattern)), "{at}");
            assert!(pattern.contains('.'), "{at}: a name without a dot means another host in every network");
        }
    }
}

#[test]
fn no_line_of_a_list_says_what_another_says_already() {
    for list in lists() {
        let mut seen = HashSet::new();
        for (line, pattern) in list.patterns() {
            assert!(seen.insert(pattern.to_owned()), "{}:{line}: {pattern} stands there twice", list.name);
        }
        for (line, pattern) in list.patterns() {
            let wider = above(bare(pattern)).find(|name| seen.contains(&format!("*.{name}")));
            assert_eq!(wider, None, "{}:{line}: {pattern} is below another line", list.name);
        }
    }
}

#[test]
fn no_list_opens_a_whole_public_suffix() {
    for suffix in ["go.jp", "lg.jp", "ne.jp", "aichi.jp"] {
        assert_eq!(psl::domain_str(suffix), None, "the suffixes are known: {suffix}");
    }
    for list in lists() {
        for (line, pattern) in list.patterns() {
            let domain = psl::domain_str(bare(pattern));
            assert!(domain.is_some(), "{}:{line}: {pattern} is open to whoever registers there", list.name);
        }
    }
}

#[test]
fn every_line_of_the_lists_has_a_reason_above_it() {
    for list in lists() {
        for block in &list.blocks {
            let Some((line, first)) = block.patterns.first() else { continue };
            assert!(block.comment.trim().len() >= 8, "{}:{line}: why is {first} there?", list.name);
        }
    }
}

#[test]
fn the_japanese_lists_say_of_every_line_whether_it_may_be_inspected() {
    let sealed = ["japan-banks.txt", "japan-edi.txt", "japan-procedures.txt", "japan-tax.txt"];
    let mut seen = 0;
    for list in lists().iter().filter(|list| list.name.starts_with("japan-")) {
        let said = if sealed.contains(&list.name.as_str()) { "inspection: off" } else { "inspection: possible" };
        seen += usize::from(said == "inspection: off");
        for block in &list.blocks {
            let Some((line, first)) = block.patterns.first() else { continue };
            assert!(block.comment.contains(said), "{}:{line}: {first} is not said to be `{said}`", list.name);
        }
    }
    assert_eq!(seen, sealed.len());
}

/// What no rule may inspect is named by lists of its own, and each policy that uses them says so.
#[test]
fn a_rule_with_a_sealed_list_says_that_it_does_not_inspect() {
    let sealed = ["os-update", "microsoft-365", "japan-sealed", "japan-banks", "pinned-systems"];
    for policy in ["office.toml", "server.toml", "uninspected.toml"] {
        let text = fs::read_to_string(shipped().join(policy)).unwrap();
        let rules = text.split("\n[[rule]]\n").skip(1).map(|rule| rule.split("\n[[").next().unwrap());
        for rule in rules.filter(|rule| rule.contains("verdict = \"allow\"")) {
            let hosts = rule.lines().find(|line| line.starts_with("hosts ")).unwrap();
            if sealed.iter().any(|group| hosts.contains(&format!("\"{group}\""))) {
                assert!(rule.lines().any(|line| line.starts_with("inspect = false")), "{policy}: {rule}");
            }
        }
    }
}

#[test]
fn each_exemption_that_is_shipped_names_the_page_that_asks_for_it() {
    let mut names = 0;
    for list in lists().iter().filter(|list| list.name.starts_with("pinned-")) {
        for block in &list.blocks {
            let Some((line, first)) = block.patterns.first() else { continue };
            let source = block.comment.split("source: ").nth(1).unwrap_or_default();
            assert!(source.contains("https://"), "{}:{line}: who says so of {first}?", list.name);
            names += block.patterns.len();
        }
    }
    assert!(names > 50);
}

/// The shipped exemptions before a rule that inspects everything else.
#[test]
fn what_is_shipped_as_uninspected_is_tunnelled_where_it_is_included_and_what_is_not_is_inspected() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.toml");
    let inside = "[[rule]]\nname = \"inside\"\nports = [443]\ninspect = true\nverdict = \"allow\"\n";
    let explained = |host: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command.args(["explain", "--format", "json", "--client", "10.0.0.1", "--policy"]).arg(&policy);
        let answer = command.args(["GET", &format!("https://{host}/")]).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        (told["rule"]["name"].as_str().unwrap().to_owned(), told["handling"].as_str().map(str::to_owned))
    };
    let hosts = ["fe2.update.microsoft.com", "1-courier.push.apple.com"];
    // Beside the policy it does nothing: a rule has to name it.
    fs::write(&policy, inside).unwrap();
    for host in hosts {
        assert_eq!(explained(host), ("inside".to_owned(), None), "{host}: the request inside is waited for");
    }
    let included = shipped().join("uninspected.toml");
    fs::write(&policy, format!("include = [\"{}\"]\n{inside}", included.display())).unwrap();
    for host in hosts {
        let expected = ("systems that pin certificates".to_owned(), Some("tunnel".to_owned()));
        assert_eq!(explained(host), expected, "{host}");
    }
    for host in ["push.apple.com", "evilupdate.microsoft.com", "www.example.org", "chat.signal.org"] {
        assert_eq!(explained(host), ("inside".to_owned(), None), "{host}");
    }
}

#[test]
fn the_holidays_are_dates_in_order_one_a_line() {
    let text = fs::read_to_string(shipped().join("holidays.txt")).unwrap();
    let dates: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(dates.len() > 30);
    assert!(dates.iter().all(|date| date.parse::<jiff::civil::Date>().is_ok()), "{dates:?}");
    assert!(dates.is_sorted_by(|earlier, later| earlier < later), "{dates:?}");
}
