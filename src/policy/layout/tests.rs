use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use toml::de::{DeTable, DeValue};

use super::*;

fn laid_out(text: &str) -> String {
    lay_out("p", text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

/// What a text says, without its places.
fn meaning_of(text: &str) -> String {
    meaning(&DeValue::Table(DeTable::parse(text).unwrap().into_inner()))
}

fn meaning(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Array(items) => format!("{:?}", items.iter().map(|item| meaning(item.get_ref())).collect::<Vec<_>>()),
        DeValue::Table(table) => {
            let entries: BTreeMap<_, _> =
                table.iter().map(|(key, value)| (key.get_ref().to_string(), meaning(value.get_ref()))).collect();
            format!("{entries:?}")
        }
        plain => format!("{plain:?}"),
    }
}

/// The comments of a text, sorted. None of the texts here has a `#` in a value.
fn comments(text: &str) -> Vec<String> {
    let mut comments: Vec<String> =
        text.lines().filter_map(|line| Some(line.split_once('#')?.1.trim_end().to_owned())).collect();
    comments.sort();
    comments
}

fn headers(text: &str) -> Vec<String> {
    let lines = text.trim_start_matches('\u{feff}').lines().filter(|line| line.starts_with('['));
    let lines = lines.map(|line| line.split('#').next().unwrap().trim().replace(' ', ""));
    // Lists of numbers go on over lines here, and no header is one.
    lines.filter(|line| line.contains(char::is_alphabetic)).collect()
}

/// The layout keeps meaning, comments and the order of tables, and laid out again it stays as it is.
fn holds(text: &str) -> String {
    let once = laid_out(text);
    assert_eq!(meaning_of(text), meaning_of(&once), "{text}\n---\n{once}");
    assert_eq!(comments(text), comments(&once), "{text}\n---\n{once}");
    assert_eq!(headers(text), headers(&once), "{text}\n---\n{once}");
    assert_eq!(laid_out(&once), once, "{text}");
    once
}

fn shipped() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_policy = |path: &PathBuf| {
        // What browsers do is no policy.
        path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("browsers.toml")
    };
    files.filter(is_policy).collect()
}

#[test]
fn the_shipped_policies_are_laid_out() {
    assert!(shipped().len() >= 5);
    for path in shipped() {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(laid_out(&text), text, "sekisho policy fmt {}", path.display());
    }
}

/// However they are disturbed, and whatever their values are.
#[test]
fn a_shipped_policy_that_was_disturbed_comes_back_as_it_was() {
    for path in shipped() {
        let text = fs::read_to_string(&path).unwrap();
        let without_alignment = |line: &str| match line.split_once('=') {
            Some((key, value)) if !key.contains('#') => format!("  {} ={value}  ", key.trim_end()),
            _ => format!("{line} "),
        };
        let disturbed: Vec<String> = text.lines().map(without_alignment).collect();
        let disturbed = disturbed.join("\r\n").replace("\r\n \r\n", "\r\n\r\n\r\n \r\n");
        assert_ne!(disturbed, text);
        // Comments behind a value are at another column than before, and nothing else differs.
        let squeezed = |text: &str| text.replace(' ', "");
        assert_eq!(squeezed(&holds(&disturbed)), squeezed(&text), "{}", path.display());
    }
}

#[test]
fn keys_stand_in_one_order_and_take_their_comments_with_them() {
    let text = "\
# What this is.

# of include
include=['a.toml']   # one
[[ rule ]] # the first
# why this verdict
#   in two lines
verdict='deny'
tunnel={max_minutes=5,idle_minutes=1}
'hosts'  =  [ 'a' ,'b',]# behind
zeal = 1
name=\"a\"
# below the rule

# of the next
[[rule]]
verdict = 'deny'
# of the last
[rule.tunnel]
max_minutes = 5
idle_minutes = 1
# at the end
";
    let expected = "\
# What this is.

# of include
include = ['a.toml'] # one

[[rule]]   # the first
name    = \"a\"
'hosts' = ['a', 'b']    # behind
# why this verdict
#   in two lines
verdict = 'deny'
tunnel  = { idle_minutes = 1, max_minutes = 5 }
zeal    = 1
# below the rule

# of the next
[[rule]]
verdict = 'deny'

# of the last
[rule.tunnel]
idle_minutes = 1
max_minutes  = 5
# at the end
";
    let found = holds(text);
    assert_eq!(found, expected);
}

#[test]
fn a_comment_behind_a_value_keeps_its_column_where_it_can() {
    let found = holds(
        "[policy]\nmode = \"observe\"        # a\nreload = \"keep\"         # b\nunknown    =    \"deny\"  # c\n",
    );
    let expected = "\
[policy]
mode    = \"observe\"     # a
unknown = \"deny\"        # c
reload  = \"keep\"        # b
";
    assert_eq!(found, expected);
    assert_eq!(holds("[policy]\nmode=\"observe\"#a\n"), "[policy]\nmode = \"observe\" #a\n");
}

#[test]
fn a_list_is_on_one_line_up_to_100_columns_and_else_has_a_line_for_each_element() {
    let list = |count: usize, tail: &str| {
        let elements: Vec<String> = (0..count).map(|number| format!("\"{number:04}\"")).collect();
        format!("[[rule]]\nhosts = [{}{tail}]\n", elements.join(", "))
    };
    let (fits, beyond) = (list(11, ""), list(11, ", 1"));
    let columns = |text: &str| text.lines().nth(1).unwrap().len();
    assert_eq!((columns(&fits), columns(&beyond)), (96, 99));
    let (fits, beyond) = (list(11, ", 12"), list(11, ", 123"));
    assert_eq!((columns(&fits), columns(&beyond)), (100, 101));
    assert_eq!(holds(&fits), fits);
    let spread = holds(&beyond);
    assert!(
        spread.starts_with("[[rule]]\nhosts = [\n    \"0000\",\n    \"0001\",\n") && spread.ends_with("    123,\n]\n")
    );
    assert_eq!(holds("[[rule]]\nhosts = [\n  'a',\n\n  'b'\n]\n"), "[[rule]]\nhosts = ['a', 'b']\n");
}

#[test]
fn comments_in_a_list_stay_with_their_elements() {
    let text = "\
[hosts]
a = { files = [], names = [ # all
  'a', # of a
  # of b
  'b' # behind b
  , 'c'
  # the end
] } # behind
";
    let expected = "\
[hosts]
a = { names = [
    # all
    'a', # of a
    # of b
    'b', # behind b
    'c',
    # the end
], files = [] } # behind
";
    assert_eq!(holds(text), expected);
}

#[test]
fn a_text_of_several_lines_is_left_as_it_is() {
    let text = "[[rule]]\nname = \"a\"\ncomment = \"\"\"\n  one   \n\n\n[policy]\n\"\"\"\n";
    let laid = holds(text);
    assert_eq!(laid, "[[rule]]\nname    = \"a\"\ncomment = \"\"\"\n  one   \n\n\n[policy]\n\"\"\"\n");
    assert_eq!(holds("\u{feff}[policy]\r\nmode = \"observe\"\r\n"), "[policy]\nmode = \"observe\"\n");
    assert_eq!((holds(""), holds("\n\n \n"), holds("\n# a\n\n\n")), (String::new(), String::new(), "# a\n".to_owned()));
}

#[test]
fn what_is_no_toml_is_refused_with_its_place() {
    for (text, line) in [("[policy]\nmode = \n", 2), ("a = 1\na = 2\n", 2), ("]\n", 1), ("[policy\n", 1)] {
        let problems = lay_out("p.toml", text).unwrap_err();
        assert_eq!((&*problems[0].place.file, problems[0].place.line), ("p.toml", line), "{problems:?}");
        assert!(problems[0].what.starts_with("not TOML"), "{problems:?}");
    }
}

/// A key with a value of its own, as it might be written.
fn written(key: &'static str) -> impl Strategy<Value = (&'static str, String)> {
    let value = select(vec![
        "'x'",
        "\"a\\\"b\"",
        "[ 'a','b' ]",
        "[\n 'a',\n\n# in the list\n'b', # behind b\n]",
        "{per='client',requests=1}",
        "[[1,2],[ ],\n[3]]",
        "1",
        "-1.5",
        "2026-11-25 10:00:00",
        "\"\"\"\n two \n lines\"\"\"",
        "'''x'''",
        "true",
        "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\", \"cccccccccccccccccccccccccccccc\"]",
        "{ a = [\n1, # one\n] , 'b c'.d=2 }",
        "{}",
        "[]",
        "[{name='a'}, # first\n{verdict='deny',name='b'}]",
        "\"日本\"",
    ]);
    let above = select(vec!["", "", "# above KEY\n", "\n# above KEY\n# and\n", "# apart\n\n# above KEY\n", "\n\n"]);
    let behind =
        select(vec!["", "", "# behind KEY", "   \t# behind KEY  ", "                                # behind KEY"]);
    let space = select(vec!["", " ", "   ", "\t"]);
    (above, space, value, behind).prop_map(move |(above, space, value, behind)| {
        (key, format!("{above}{space}{key}{space}={space}{value}{behind}\n").replace("KEY", key))
    })
}

/// Some of the keys of a rule and a few that are none, in any order.
fn keys() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let known = vec![
        "name",
        "verdict",
        "hosts",
        "clients",
        "rate",
        "tunnel",
        "ports",
        "zeal",
        "\"quoted key\"",
        "until",
        "a.b",
        "case.c",
    ];
    let some = subsequence(known.clone(), 0..known.len()).prop_shuffle();
    some.prop_flat_map(|keys| keys.into_iter().map(written).collect::<Vec<_>>())
}

fn table() -> impl Strategy<Value = (String, Vec<(&'static str, String)>)> {
    let header = select(vec![
        "[[rule]]",
        "[[ rule ]]  # behind the header",
        "\n\n# above\n[[rule]]",
        "# apart\n\n[[case]]",
        "\n# apart\n\n\n# above\n[[rule]]",
    ]);
    (header.prop_map(str::to_owned), keys())
}

fn texts() -> impl Strategy<Value = String> {
    let start = select(vec![
        "",
        "# start\n",
        "#:schema x\n\n",
        "\n\n# one\n\n\n# two\n\ninclude=[]\n",
        "# one\n# two\ninclude=[] # here\n",
    ]);
    let end = select(vec!["", "# end", "\n# end\n\n", "# end\n\n# very end"]);
    (start, vec(table(), 0..4), end).prop_map(|(start, tables, end)| {
        let tables =
            tables.iter().map(|(header, keys)| keys.iter().fold(format!("{header}\n"), |text, (_, key)| text + key));
        format!("{start}{}{end}", tables.collect::<String>())
    })
}

proptest! {
    #[test]
    fn meaning_and_comments_are_kept_and_nothing_is_left_to_do(text in texts()) {
        let laid = holds(&text);
        prop_assert!(!laid.contains("\n\n\n") && !laid.starts_with('\n'), "{}", laid);
        prop_assert!(laid.is_empty() || (laid.ends_with('\n') && !laid.ends_with("\n\n")), "{}", laid);
    }

    #[test]
    fn comments_stand_with_their_key((header, keys) in table()) {
        let text = keys.iter().fold(format!("{header}\n"), |text, (_, key)| text + key);
        let laid = laid_out(&text);
        for (key, _) in keys {
            let (above, behind) = (format!("# above {key}"), format!("# behind {key}"));
            let next = laid.lines().skip_while(|line| *line != above).find(|line| !line.starts_with('#'));
            prop_assert!(next.is_none_or(|line| line.starts_with(key)), "{}\n{}\n---\n{}", key, text, laid);
            if text.contains(&behind) {
                let before = laid.split(&behind).next().unwrap();
                let begins = before.lines().rev().find(|line| !line.starts_with([' ', '#', ']', '2', '\t']) && line.contains(" = ") && !line.starts_with(" "));
                prop_assert!(begins.is_some_and(|line| line.starts_with(key)), "{}\n{}\n---\n{}", key, text, laid);
            }
        }
    }
}
