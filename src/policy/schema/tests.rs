use std::collections::BTreeSet;

use crate::parse::Problem;
use crate::policy::Policy;

use super::*;

/// Every table with the headers that open one of it.
fn tables() -> Vec<(&'static Table, String)> {
    fn walk(table: &'static Table, opened: &str, path: &str, into: &mut Vec<(&'static Table, String)>) {
        into.push((table, opened.to_owned()));
        for key in table.keys {
            let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
            match key.kind {
                Kind::Table(inner) => walk(inner, &format!("{opened}[{path}]\n"), &path, into),
                Kind::Named(inner) => walk(inner, &format!("{opened}[{path}.a]\n"), &format!("{path}.a"), into),
                Kind::Tables(inner) => walk(inner, &format!("{opened}[[{path}]]\n"), &path, into),
                _ => {}
            }
        }
    }
    let mut all = Vec::new();
    walk(&ROOT, "", "", &mut all);
    all
}

fn problems(text: &str) -> Vec<Problem> {
    Policy::compile("p", text).err().unwrap_or_default()
}

#[test]
fn each_table_has_the_keys_that_the_reader_reads_and_no_others() {
    let tables = tables();
    assert_eq!(tables.len(), 17, "each table of the file is walked");
    for (table, opened) in tables {
        let found = problems(&format!("{opened}qqqqqqqqqqqqqqqq = 1\n"));
        let unknown = found.iter().find(|problem| problem.what == "unknown key `qqqqqqqqqqqqqqqq`").unwrap();
        let read: BTreeSet<&str> = unknown.fix.strip_prefix("known here: ").unwrap().split(", ").collect();
        let said: BTreeSet<&str> = table.keys.iter().map(|key| key.name).collect();
        assert_eq!(said, read, "{opened}");
        assert_eq!(said.len(), table.keys.len(), "no key twice: {opened}");
    }
}

#[test]
fn the_reader_takes_each_word_and_each_bound_and_nothing_beyond() {
    let mut tried = 0;
    for (table, opened) in tables() {
        for key in table.keys {
            let refused = |value: &str| {
                let found = problems(&format!("{opened}{} = {value}\n", key.name));
                let what = [format!("`{}` cannot be", key.name), format!("`{}` = ", key.name)];
                found.iter().any(|problem| what.iter().any(|what| problem.what.starts_with(what)))
            };
            match key.kind {
                Kind::Words(words) => {
                    words
                        .iter()
                        .for_each(|word| assert!(!refused(&format!("{word:?}")), "{opened}{}: {word}", key.name));
                    assert!(refused("\"qqqqqq\""), "{opened}{}", key.name);
                    // The reader names all its words where none is near.
                    let found = problems(&format!("{opened}{} = \"qqqqqq\"\n", key.name));
                    let fix = found.iter().find_map(|problem| problem.fix.strip_prefix("write one of ")).unwrap();
                    let all: BTreeSet<String> = words.iter().map(|word| format!("{word:?}")).collect();
                    assert_eq!(
                        fix.split(", ").map(str::to_owned).collect::<BTreeSet<_>>(),
                        all,
                        "{opened}{}",
                        key.name
                    );
                }
                Kind::Integer { from, to } => {
                    assert!(!refused(&from.to_string()) && !refused(&to.to_string()), "{opened}{}", key.name);
                    assert!(refused(&(from - 1).to_string()) && refused(&(to + 1).to_string()), "{opened}{}", key.name);
                }
                Kind::Integers { from, to } => {
                    assert!(!refused(&format!("[{from}, {to}]")), "{opened}{}", key.name);
                    assert!(
                        refused(&format!("[{}]", from - 1)) && refused(&format!("[{}]", to + 1)),
                        "{opened}{}",
                        key.name
                    );
                }
                _ => continue,
            }
            tried += 1;
        }
    }
    assert!(tried > 15, "{tried}");
}

/// A value of another type is refused for its type, one of its own is not.
#[test]
fn the_reader_wants_the_types_that_are_said() {
    let values = ["\"a\"", "[\"a\"]", "true", "1", "[1]", "{}", "[{}]"];
    for (table, opened) in tables() {
        for key in table.keys {
            let right: &[&str] = match key.kind {
                Kind::Text | Kind::Words(_) => &["\"a\""],
                Kind::Texts | Kind::SomeTexts => &["[\"a\"]"],
                Kind::TextOrSome => &["\"a\"", "[\"a\"]"],
                Kind::Boolean => &["true"],
                Kind::Integer { .. } => &["1"],
                Kind::Integers { .. } => &["[1]"],
                Kind::Table(_) | Kind::Named(_) => &["{}"],
                Kind::Tables(_) => &["[{}]"],
            };
            for value in values {
                let found = problems(&format!("{opened}{} = {value}\n", key.name));
                let of_type = found.iter().any(|problem| problem.what.starts_with(&format!("`{}` is a", key.name)));
                assert_eq!(of_type, !right.contains(&value), "{opened}{} = {value}: {found:#?}", key.name);
            }
        }
    }
}

#[test]
fn what_is_needed_is_refused_where_it_is_missing_and_nothing_else_is() {
    let value = |key: &str| match key {
        "addresses" => "[\"10.0.0.0/8\"]",
        "address" => "\"10.9.0.1:8080\"",
        "time_zone" => "\"UTC\"",
        "browser" => "\"chromium\"",
        "tls_keys" => "[\"0123456789ab_0123456789ab_0123456789ab\"]",
        "verdict" => "\"deny\"",
        "per" => "\"client\"",
        "requests" | "seconds" => "1",
        "request" => "\"GET http://a.example/\"",
        "expect" => "{ verdict = \"deny\" }",
        "users" | "names" | "ja4" | "tls_key" => "[\"a\"]",
        "name" | "user_agent" | "dropbox" => "\"a\"",
        "microsoft" => "{ tenants = [\"a.example\"], directory = \"00000000-0000-0000-0000-000000000000\" }",
        "tenants" | "google" => "[\"a.example\"]",
        "directory" => "\"00000000-0000-0000-0000-000000000000\"",
        "microsoft_policy" => "\"00000000-0000-0000-0000-000000000000:00000000-0000-0000-0000-000000000000\"",
        "microsoft_private" => "\"deny\"",
        "slack" => "{ requester = \"T0\", workspaces = [\"T0\"] }",
        "requester" => "\"T0\"",
        "workspaces" => "[\"T0\"]",
        other => panic!("{other}"),
    };
    for (table, opened) in tables() {
        let above = opened.trim_end().lines().rev().skip(1).count();
        // Of what a table below another needs, only that below is asked for here.
        let outer = match above {
            0 => "",
            _ if opened.starts_with("[[rule]]") => "name = \"a\"\nverdict = \"allow\"\n",
            _ => "request = \"GET http://a.example/\"\n",
        };
        let opened = opened.replacen("]]\n", &format!("]]\n{outer}"), 1);
        let needed: Vec<&str> = table.keys.iter().filter(|key| key.needed).map(|key| key.name).collect();
        let with =
            |keys: &[&str]| keys.iter().fold(opened.clone(), |text, key| text + &format!("{key} = {}\n", value(key)));
        if table.one_of.is_empty() {
            assert!(problems(&with(&needed)).is_empty(), "{}: {:#?}", with(&needed), problems(&with(&needed)));
        } else {
            assert!(!problems(&with(&needed)).is_empty(), "{opened}");
        }
        for (number, _) in needed.iter().enumerate() {
            let mut fewer = needed.clone();
            fewer.remove(number);
            assert!(!problems(&with(&fewer)).is_empty(), "{}", with(&fewer));
        }
        // Files are beside a policy, and a text alone has none.
        for one in table.one_of.iter().filter(|one| **one != "files") {
            assert!(problems(&with(&[one])).is_empty(), "{}: {:#?}", with(&[one]), problems(&with(&[one])));
        }
    }
}

#[test]
fn the_file_for_editors_is_the_schema() {
    assert_eq!(
        json_schema(),
        include_str!("../../../policy/policy.schema.json"),
        "sekisho policy schema > policy/policy.schema.json"
    );
}

#[test]
fn a_path_leads_to_the_keys_of_its_table() {
    let keys = |path: &[&str]| keys_in_order(path).next();
    assert_eq!(keys(&[]), Some("include"));
    assert_eq!(keys(&["rule"]), Some("name"));
    assert_eq!(keys(&["rule", "tunnel"]), Some("idle_minutes"));
    assert_eq!(keys(&["hosts", "suppliers"]), Some("names"));
    assert_eq!((keys(&["hosts"]), keys(&["rules"]), keys(&["rule", "name"])), (None, None, None));
}

/// What is wrong with a value by the words of JSON Schema that are used here; any other word is a fault of ours.
fn faults(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let wrong = |found: &mut Vec<String>, why: String| found.push(format!("{at}: {why}"));
    let Value::Object(words) = schema else { panic!("{schema}") };
    for (word, said) in words {
        match (word.as_str(), value) {
            ("$schema" | "title" | "description" | "additionalProperties", _) => {}
            ("type", _) => {
                let right = match said.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("{other}"),
                };
                if !right {
                    wrong(found, format!("{value} is no {said}"));
                }
            }
            ("enum", _) if said.as_array().unwrap().contains(value) => {}
            ("enum", _) => wrong(found, format!("{value} is none of {said}")),
            ("minimum", Value::Number(number)) if number.as_f64() >= said.as_f64() => {}
            ("maximum", Value::Number(number)) if number.as_f64() <= said.as_f64() => {}
            ("minItems", Value::Array(items)) if items.len() as u64 >= said.as_u64().unwrap() => {}
            ("minimum" | "maximum" | "minItems", _) => wrong(found, format!("{value} is beyond {word} {said}")),
            ("required", Value::Object(table)) => {
                let missing = said.as_array().unwrap().iter().filter(|key| !table.contains_key(key.as_str().unwrap()));
                missing.for_each(|key| wrong(found, format!("{key} is missing")));
            }
            ("anyOf", _) => {
                let passes = |schema: &Value| {
                    let mut found = Vec::new();
                    faults(schema, value, at, &mut found);
                    found.is_empty()
                };
                if !said.as_array().unwrap().iter().any(passes) {
                    wrong(found, format!("{value} is none of {said}"));
                }
            }
            ("items", Value::Array(items)) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(number, item)| faults(said, item, &format!("{at}[{number}]"), found));
            }
            ("properties", Value::Object(table)) => {
                for (key, value) in table {
                    match (said.get(key), &schema["additionalProperties"]) {
                        (Some(schema), _) => faults(schema, value, &format!("{at}.{key}"), found),
                        (None, Value::Bool(false)) => found.push(format!("{at}: {key} is unknown")),
                        (None, other) => panic!("{other}"),
                    }
                }
            }
            ("items" | "properties" | "required", _) => {}
            (other, _) => panic!("{other}"),
        }
    }
    if let (None, Value::Object(inner), Value::Object(table)) =
        (words.get("properties"), words.get("additionalProperties").unwrap_or(&Value::Null), value)
    {
        table.iter().for_each(|(key, value)| faults(&json!(inner), value, &format!("{at}.{key}"), found));
    }
}

fn as_json(value: &toml::de::DeValue<'_>) -> Value {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => json!(number.as_str().parse::<i64>().unwrap()),
        DeValue::Boolean(truth) => json!(truth),
        DeValue::Array(items) => items.iter().map(|item| as_json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), as_json(value.get_ref()))).collect()
        }
        DeValue::Float(_) | DeValue::Datetime(_) => panic!("no policy has one"),
    }
}

fn faults_of(text: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let table = toml::de::DeTable::parse(text).unwrap();
    let value = as_json(&toml::de::DeValue::Table(table.into_inner()));
    let mut found = Vec::new();
    faults(&schema, &value, "", &mut found);
    found
}

#[test]
fn the_shipped_policies_are_right_by_the_schema_and_name_it() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policy");
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // What browsers do is no policy.
        if path.extension().is_none_or(|extension| extension != "toml") || path.ends_with("browsers.toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(faults_of(&text), Vec::<String>::new(), "{}", path.display());
        // `init` writes the starter into directories that have no schema.
        let names_it = text.starts_with("#:schema policy.schema.json\n");
        assert_eq!(names_it, !path.ends_with("starter.toml"), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 5, "{seen}");
}

#[test]
fn the_schema_finds_what_an_editor_should_show() {
    for (text, fault) in [
        ("[policy]\nmode = \"observed\"", ".policy.mode: \"observed\" is none of"),
        ("[[rule]]\nname = \"a\"", ".rule[0]: \"verdict\" is missing"),
        ("[[rule]]\nname = \"a\"\nverdict = \"deny\"\nhost = [\"a\"]", ".rule[0]: host is unknown"),
        ("[[rule]]\nname = \"a\"\nverdict = \"deny\"\nports = [0]", ".rule[0].ports[0]: 0 is beyond minimum 1"),
        ("[[rule]]\nname = \"a\"\nverdict = \"deny\"\nhosts = []", ".rule[0].hosts: [] is beyond minItems 1"),
        ("[clients.a]\nmode = \"enforce\"", ".clients.a: {\"mode\":\"enforce\"} is none of"),
        ("[hosts]\na = { nams = [\"a\"] }", ".hosts.a: nams is unknown"),
        ("[programs.a]\nuser_agent = 1", ".programs.a.user_agent: 1 is none of"),
    ] {
        let found = faults_of(text);
        assert!(found.iter().any(|found| found.starts_with(fault)), "{text}: {found:?}");
    }
}
