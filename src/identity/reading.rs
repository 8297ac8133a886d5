use std::sync::Arc;

use crate::parse::{Document, Problem, Section};

use super::browsers::{Browser, Browsers, Connect, Plain, Shows, Tls};

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
    let major = |number: Option<u64>| number.and_then(|number| u16::try_from(number).ok());
    const MAJORS: std::ops::RangeInclusive<u64> = 0..=65_535;
    let tls = Tls {
        from: major(section.integer("from", MAJORS)).unwrap_or_default(),
        until: major(section.integer("until", MAJORS)).unwrap_or(u16::MAX),
        keys: texts(section, "keys"),
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

fn texts(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Box<str>> {
    section.strings(key).unwrap_or_default().into_iter().map(|text| text.value.into()).collect()
}

fn text(section: &mut Section<'_, '_>, key: &'static str) -> Option<Box<str>> {
    section.string(key).map(|text| text.value.into())
}

fn boxed(texts: Vec<String>) -> Vec<Box<str>> {
    texts.into_iter().map(Into::into).collect()
}
