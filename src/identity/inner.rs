use crate::facts::Host;
use crate::parse::{Fields, Http2Opening, PseudoField, RequestHead};

use super::browsers::{find, number};
use super::ground::{Ground, Grounds};

/// What was seen of a request that was read inside TLS, beside its head.
#[derive(Debug, Clone, Copy)]
pub struct InnerSeen<'a> {
    /// Where it goes.
    pub host: &'a Host,
    /// How the HTTP/2 connection opened on which it came; absent for HTTP/1.1, and where that was not seen.
    pub opening: Option<&'a Http2Opening>,
}

/// A browser's requests inside TLS, for a range of versions. What is absent or empty is not looked at.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) from: u16,
    pub(super) until: u16,
    pub(super) encodings: Vec<Box<str>>,
    pub(super) client_hints: Option<bool>,
    pub(super) fetch_metadata: bool,
    pub(super) own_fetches: bool,
    pub(super) own_hosts: Vec<Box<str>>,
    pub(super) settings: Vec<(u16, u32)>,
    pub(super) window_update: Option<u32>,
    pub(super) pseudo_fields: Vec<PseudoField>,
}

/// The brand of sec-ch-ua that all browsers on Chromium name with its version, and what stands up to the number.
const BRAND: &str = "\"Chromium\";v=\"";
/// Reports that Chromium sends for a site, below all that adds client hints and Sec-Fetch fields.
const REPORTS: &[u8] = b"application/reports+json";

pub(super) fn check_inner(
    expected: &Inner,
    major: u16,
    head: &RequestHead,
    seen: &InnerSeen<'_>,
    grounds: &mut Grounds,
) {
    let fields = &head.fields;
    grounds.add_if(Ground::InnerEncoding, !expected.has_encoding_of(fields));
    grounds.add_if(Ground::InnerClientHints, expected.contradicts_hints(major, fields));
    let lacks_metadata = expected.needs_metadata(fields, seen.host) && fields.get("sec-fetch-mode").is_none();
    grounds.add_if(Ground::InnerFetchMetadata, lacks_metadata);
    let Some(opening) = seen.opening else { return };
    let other_settings = !expected.settings.is_empty() && *opening.settings != *expected.settings;
    grounds.add_if(Ground::InnerSettings, other_settings);
    let other_window = expected.window_update.is_some() && opening.window_update != expected.window_update;
    grounds.add_if(Ground::InnerWindow, other_window);
    // A WebSocket's is wherever it is.
    let order = opening.pseudo_fields.iter().filter(|field| **field != PseudoField::Protocol);
    let other_order = !expected.pseudo_fields.is_empty() && !order.eq(&expected.pseudo_fields);
    grounds.add_if(Ground::InnerPseudoFields, other_order);
}

impl Inner {
    fn has_encoding_of(&self, fields: &Fields) -> bool {
        let mut found = fields.get_all("accept-encoding");
        let is_expected = |value: &[u8]| self.encodings.iter().any(|expected| expected.as_bytes() == value);
        match (found.next(), found.next()) {
            _ if self.encodings.is_empty() => true,
            // A range of a file is asked for as it is.
            _ if fields.get("range").is_some() => true,
            (Some(value), None) => is_expected(value),
            (None, _) | (Some(_), Some(_)) => false,
        }
    }

    fn contradicts_hints(&self, major: u16, fields: &Fields) -> bool {
        match (self.client_hints, fields.get("sec-ch-ua")) {
            (Some(true), Some(hints)) => find(hints, BRAND).map(number) != Some(major),
            // What Chromium asks for by itself has none, and names no language either.
            (Some(true), None) => {
                let is_script_of_worker = fields.get("service-worker").is_some();
                let is_of_page = fields.get("accept-language").is_some() && !is_script_of_worker;
                is_of_page && !is_bare(fields)
            }
            (Some(false), hints) => hints.is_some(),
            (None, _) => false,
        }
    }

    fn needs_metadata(&self, fields: &Fields, host: &Host) -> bool {
        let of_page = ["referer", "origin", "upgrade-insecure-requests"].iter().any(|name| fields.get(name).is_some());
        let is_own = self.own_fetches && !of_page && fields.get("accept-language").is_some();
        self.fetch_metadata && !is_bare(fields) && !is_own && !self.is_own_host(host)
    }

    /// Whether it is one of the browser's own services, or a name below one.
    fn is_own_host(&self, host: &Host) -> bool {
        let Host::Name(name) = host else { return false };
        self.own_hosts.iter().any(|own| match name.as_str().strip_suffix(&**own) {
            Some(below) => below.is_empty() || below.ends_with('.'),
            None => false,
        })
    }
}

/// Whether a browser adds neither client hints nor Sec-Fetch fields to some such requests: preflights, WebSockets,
/// reports.
fn is_bare(fields: &Fields) -> bool {
    let is_websocket = fields.get("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    let is_preflight = fields.get("access-control-request-method").is_some();
    is_websocket || is_preflight || fields.get("content-type").is_some_and(|value| value.starts_with(REPORTS))
}
