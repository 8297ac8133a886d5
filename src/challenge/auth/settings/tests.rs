use crate::parse::Document;

use super::*;

fn read(text: &str) -> Result<Settings, Vec<String>> {
    let text = format!("[authentication]\n{text}");
    let read = Document::read("config.toml", &text, |root| {
        let mut section = root.table("authentication")?;
        let settings = Settings::read(&mut section);
        section.finish();
        settings
    });
    read.map_err(|problems| {
        problems.into_iter().map(|p| format!("{}:{}: {} → {}", p.place.line, p.place.column, p.what, p.fix)).collect()
    })
}

#[test]
fn the_section_says_who_may_log_in_and_how() {
    let settings = read(
        "realm = \"Example Ltd\"\nusers = \"u\"\ndigest = \"d\"\ngroups = \"g\"\nschemes = [\"basic\", \"digest\"]\n",
    )
    .unwrap();
    assert_eq!(settings.realm.as_str(), "Example Ltd");
    assert_eq!(settings.schemes, [Scheme::Basic, Scheme::Digest]);
    assert_eq!(
        (settings.users.as_deref(), settings.digest.as_deref(), settings.groups.as_deref()),
        (Some("u"), Some("d"), Some("g"))
    );
    let settings = read("realm = \"x\"\nusers = \"u\"\nschemes = [\"basic\"]\n").unwrap();
    assert_eq!((settings.digest, settings.groups), (None, None));
}

#[test]
fn nothing_is_taken_for_granted_and_every_problem_has_its_fix() {
    let problems = read("").unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].contains("`realm` is missing"), "{problems:#?}");
    assert!(problems[1].contains("`schemes` is missing → write schemes = [\"digest\", \"basic\"]"), "{problems:#?}");
    for (text, expected) in [
        ("realm = \"a\\\"b\"\nusers = \"u\"\nschemes = [\"basic\"]", "2:9: `realm` cannot be \"a\\\"b\""),
        ("realm = \"a:b\"\nusers = \"u\"\nschemes = [\"basic\"]", "2:9: `realm` cannot be \"a:b\""),
        ("realm = \" a\"\nusers = \"u\"\nschemes = [\"basic\"]", "2:9: `realm` cannot be \" a\""),
        ("realm = \"関所\"\nusers = \"u\"\nschemes = [\"basic\"]", "2:9: `realm` cannot be \"関所\""),
        ("realm = 1\nusers = \"u\"\nschemes = [\"basic\"]", "2:9: `realm` is an integer"),
        ("realm = \"x\"\nschemes = []", "3:11: `schemes` is empty"),
        ("realm = \"x\"\nschemes = [\"basic\"]", "1:1: `users` is missing, and \"basic\" needs it"),
        ("realm = \"x\"\nschemes = [\"digest\"]", "1:1: `digest` is missing, and \"digest\" needs it"),
        ("realm = \"x\"\nusers = 1\nschemes = [\"basic\"]", "3:9: `users` is an integer"),
        (
            "realm = \"x\"\nusers = \"u\"\ndigest = \"d\"\nschemes = [\"basic\"]",
            "4:10: `digest` is of no use: `schemes` does not offer \"digest\"",
        ),
        ("realm = \"x\"\nusers = \"u\"\nschemes = [\"basic\", \"basic\"]", "4:21: \"basic\" stands twice"),
        (
            "realm = \"x\"\nusers = \"u\"\nschemes = [\"negotiate\"]",
            "4:12: \"negotiate\" (Kerberos, NTLM) is not supported → offer \"digest\" or \"basic\"",
        ),
        (
            "realm = \"x\"\nusers = \"u\"\nschemes = [\"basik\"]",
            "4:12: `schemes` cannot hold \"basik\" → did you mean `basic`?",
        ),
        ("realm = \"x\"\nusers = \"u\"\nschemes = [\"basic\"]\nuser = \"u\"", "5:1: unknown key `user`"),
    ] {
        let problems = read(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
        assert!(problems[0].starts_with(expected), "{text}: {problems:#?}");
    }
}
