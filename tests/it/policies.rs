//! Sample policies: one that is right is read without a problem, and one that is wrong is told of as the golden
//! file beside it says. After a change that is meant, `UPDATE_EXPECTED=1 cargo test --test it policies` writes the
//! golden files anew.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sekisho::lists::{FeedFiles, ReadError, Watched, read_policy};
use sekisho::policy::Policy;
use serde_json::Value;
use tempfile::TempDir;
use toml::de::{DeTable, DeValue};

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/policies")
}

/// The names of the files right in a directory that end so, without that end.
fn named(directory: &Path, end: &str) -> BTreeSet<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect()
}

/// The samples, copied to where their files can be given modes that git does not keep.
fn copied() -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            if from.is_dir() {
                copy(&from, &to);
                continue;
            }
            fs::copy(&from, &to).unwrap();
            let mode = if from.extension().is_some_and(|end| end == "credentials") { 0o600 } else { 0o644 };
            fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    let directory = tempfile::tempdir().unwrap();
    copy(&kept(), directory.path());
    directory
}

/// All problems of a policy as a person is shown them, with its files as seen from beside it.
fn problems(directory: &Path, name: &str) -> String {
    let problems = match read_policy(
        Some(&directory.join(format!("{name}.toml"))),
        &FeedFiles::default(),
        &mut Watched::default(),
    ) {
        Ok(_) => Vec::new(),
        Err(ReadError::Problems(problems)) => problems,
        Err(error @ (ReadError::File { .. } | ReadError::Unfetched(_))) => panic!("{error}"),
    };
    let told: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    told.replace(&format!("{}/", directory.display()), "")
}

#[test]
fn each_valid_policy_is_read_without_a_problem() {
    let samples = copied();
    let directory = samples.path().join("valid");
    for name in named(&directory, ".toml") {
        assert_eq!(problems(&directory, &name), "", "{name}");
    }
}

#[test]
fn each_invalid_policy_is_told_of_as_its_golden_file_says() {
    let samples = copied();
    let directory = samples.path().join("invalid");
    let updates = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = String::new();
    for name in named(&directory, ".toml") {
        let told = problems(&directory, &name);
        assert_ne!(told, "", "{name} has no problem");
        let golden = kept().join("invalid").join(format!("{name}.expected"));
        if updates {
            fs::write(&golden, &told).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if told != expected {
            wrong += &format!("--- {name}: expected\n{expected}--- {name}: told\n{told}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_policy_has_64_files_and_no_more_and_none_where_it_is_read_alone() {
    let directory = tempfile::tempdir().unwrap();
    let write = |includes: usize| {
        let names: Vec<String> = (0..includes).map(|number| format!("{number}.toml")).collect();
        for name in &names {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let text = format!("include = {names:?}\n");
        fs::write(directory.path().join("all.toml"), &text).unwrap();
        text
    };
    write(63);
    assert_eq!(problems(directory.path(), "all"), "");
    let text = write(64);
    let told = problems(directory.path(), "all");
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains("`63.toml` cannot be included: a policy has at most 64 files"), "{told}");
    let alone = Policy::compile("all.toml", &text).unwrap_err();
    assert_eq!(alone.len(), 64);
    assert!(alone.iter().all(|problem| problem.what.contains("this policy was read alone")), "{alone:?}");
}

#[test]
fn each_invalid_policy_has_a_golden_file_and_each_golden_file_a_policy() {
    let directory = kept().join("invalid");
    assert_eq!(named(&directory, ".toml"), named(&directory, ".expected"));
}

/// Every key of the schema by its path, like `rule.rate.per`, and every word that one may be, like
/// `rule.rate.per = client`.
fn of_the_schema(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for words in schema["enum"].as_array().into_iter().flatten() {
        found.insert(format!("{path} = {}", words.as_str().unwrap()));
    }
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        found.insert(path.clone());
        of_the_schema(inner, &path, found);
        // Tables by names that a person gives, and arrays of tables.
        of_the_schema(&inner["additionalProperties"], &path, found);
        of_the_schema(&inner["items"], &path, found);
    }
}

/// The same of a policy: its keys, and each text as if it were a word.
fn of_a_policy(table: &DeTable<'_>, path: &str, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
        found.insert(path.clone());
        let values: Vec<&DeValue<'_>> = match value.get_ref() {
            DeValue::Array(array) => array.iter().map(|value| value.get_ref()).collect(),
            // Tables by names that a person gives.
            DeValue::Table(named)
                if matches!(&*path, "clients" | "hosts" | "programs" | "parents" | "identity.profiles") =>
            {
                named.values().map(|value| value.get_ref()).collect()
            }
            value => vec![value],
        };
        for value in values {
            if let Some(inner) = value.as_table() {
                of_a_policy(inner, &path, found);
            } else if let Some(text) = value.as_str() {
                found.insert(format!("{path} = {text}"));
            }
        }
    }
}

#[test]
fn the_valid_policies_together_say_every_key_and_every_word_of_the_language() {
    let mut language = BTreeSet::new();
    let schema: Value = serde_json::from_str(&sekisho::policy::json_schema()).unwrap();
    of_the_schema(&schema, "", &mut language);
    assert!(language.contains("rule.rate.per = client_host") && language.contains("parents.address"), "{language:?}");

    let directory = kept().join("valid");
    let mut said = BTreeSet::new();
    for name in named(&directory, ".toml") {
        let text = fs::read_to_string(directory.join(format!("{name}.toml"))).unwrap();
        of_a_policy(DeTable::parse(&text).unwrap().get_ref(), "", &mut said);
    }
    let unsaid: Vec<&String> = language.difference(&said).collect();
    assert!(unsaid.is_empty(), "{unsaid:?}");
}
