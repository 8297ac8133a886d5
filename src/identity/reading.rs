use std::sync::Arc;

use crate::parse::{Document, Problem, PseudoField, Section};

use super::browsers::{Browser, Browsers, Connect, Plain, Shows, Tls};
use super::inner::Inner;

pub(super) fn read(file: &str, text: &str) -> Result<Browsers, Vec<Problem>> {
    Document::read(file, text, |root| {
        let mut browsers = Vec::new();
        for (name, mut section) in root.named_tables("browser") {
            let browser = read_browser(&name.value, &mut section);
            section.finish();
            browsers.push((name.place, Arc::new(browser)));
        }
        browsers.sort_by(|(a, _), (b, _)| a.cmp(b));
        Some(Browsers { browsers: browsers.into_iter().map(|(_, browser)| browser).collect() })
    })
}

fn read_browser(name: &str, section: &mut Section<'_, '_>) -> Browser {
    section.need_some("tokens", "[\"Chrome/\"]");
    let shows: Vec<_> = texts(section, "shows");
    let known = |word: &str| matches!(word, "reset" | "page");
    if let Some(other) = shows.iter().find(|word| !known(word)) {
        let place = section.place().clone();
        section.problem(&place, format!("`shows` cannot hold \"{other}\""), "write \"reset\", \"page\", or both");
    }
    let has = |word: &str| shows.iter().any(|shown| &**shown == word);
    Browser {
        name: name.into(),
        tokens: texts(section, "tokens"),
        also: text(section, "also"),
        shows: Shows { reset: has("reset"), page: has("page") },
        connect: section.table("connect").map(|mut section| read_connect(&mut section)),
        plain: section.table("plain").map(|mut section| read_plain(&mut section)),
        tls: section.tables("tls").iter_mut().map(read_tls).collect(),
        inner: section.tables("inner").iter_mut().map(read_inner).collect(),
    }
}

fn read_connect(section: &mut Section<'_, '_>) -> Connect {
    let connect = Connect {
        fields: texts(section, "fields"),
        may_follow: texts(section, "may_follow"),
        keep_alive: text(section, "keep_alive").unwrap_or_default(),
    };
    section.finish();
    connect
}

fn read_plain(section: &mut Section<'_, '_>) -> Plain {
    let plain = Plain {
        begins: texts(section, "begins"),
        order: texts(section, "order"),
        without: texts(section, "without"),
        encoding: text(section, "encoding"),
        websocket: texts(section, "websocket"),
    };
    section.finish();
    plain
}

fn read_tls(section: &mut Section<'_, '_>) -> Tls {
    let (from, until) = versions(section);
    let tls = Tls {
        from,
        until,
        keys: texts(section, "keys"),
        return_keys: texts(section, "return_keys"),
        grease: section.boolean("grease"),
        grease_signatures: section.boolean("grease_signatures"),
        ech: section.boolean("ech"),
        mlkem: section.boolean("mlkem"),
        compresses: section.boolean("compresses"),
        alpn: section.lists("alpn").unwrap_or_default().into_iter().map(boxed).collect(),
    };
    section.finish();
    tls
}

fn read_inner(section: &mut Section<'_, '_>) -> Inner {
    let (from, until) = versions(section);
    let inner = Inner {
        from,
        until,
        encodings: texts(section, "encodings"),
        client_hints: section.boolean("client_hints"),
        fetch_metadata: section.boolean("fetch_metadata").unwrap_or_default(),
        own_fetches: section.boolean("own_fetches").unwrap_or_default(),
        own_hosts: texts(section, "own_hosts"),
        settings: each(section, "settings", "a setting is its number and its value: \"4:65535\"", |text| {
            let (number, value) = text.split_once(':')?;
            Some((number.parse().ok()?, value.parse().ok()?))
        }),
        window_update: section.integer("window_update", 1..=0x7fff_ffff).and_then(|number| number.try_into().ok()),
        pseudo_fields: each(section, "pseudo_fields", "a pseudo-header field is such as \":path\"", PseudoField::parse),
    };
    section.finish();
    inner
}

/// The first and the last version that a table is about: all where it does not say.
fn versions(section: &mut Section<'_, '_>) -> (u16, u16) {
    const MAJORS: std::ops::RangeInclusive<u64> = 0..=65_535;
    let mut major = |key| section.integer(key, MAJORS).and_then(|number| u16::try_from(number).ok());
    (major("from").unwrap_or_default(), major("until").unwrap_or(u16::MAX))
}

/// A list of what is written as text.
fn each<T>(section: &mut Section<'_, '_>, key: &'static str, form: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let mut values = Vec::new();
    for text in section.strings(key).unwrap_or_default() {
        match read(&text.value) {
            Some(value) => values.push(value),
            None => section.problem(&text.place, format!("`{key}` cannot hold \"{}\"", text.value), form),
        }
    }
    values
}

fn texts(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Box<str>> {
    section.strings(key).unwrap_or_default().into_iter().map(|text| text.value.into()).collect()
}

fn text(section: &mut Section<'_, '_>, key: &'static str) -> Option<Box<str>> {
    section.string(key).map(|text| text.value.into())
}

fn boxed(texts: Vec<String>) -> Vec<Box<str>> {
    texts.into_iter().map(Into::into).collect()
}
