//! What is known, as records of exchanges have it.

use std::time::{Duration, Instant};

use crate::evidence::{Exchange, Text, address_text};
use crate::facts::{Client, Hello};
use crate::policy::{Beside, Policy, Reason, Route, RuleRef, VerdictKind};

use super::account::End;
use super::why::Why;

/// The part of a raw target or Host that may be kept: no query, no fragment, no user information.
pub(super) fn without_secrets(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(bytes.len());
    let bytes = bytes.get(..end).unwrap_or_default();
    match bytes.iter().rposition(|b| *b == b'@') {
        Some(at) => bytes.get(at..).unwrap_or_default(),
        None => bytes,
    }
}

pub(super) fn describe_client(record: &mut Exchange, policy: &Policy, client: &Client) {
    let address = client.address.ip().to_canonical();
    record.client = Some(address_text(address));
    record.client_port = Some(client.address.port());
    record.captured = client.captured.map(|address| address.to_string());
    record.user = client.user.as_ref().map(|user| user.name.as_ref().into());
    record.client_group = policy.group_of(client).as_deref().map(Text::from);
}

pub(super) fn describe_reason(record: &mut Exchange, reason: &Reason) {
    record.reason = Some(reason.code.as_str().into());
    describe_who_says(record, reason.rule.as_deref(), reason.beside.as_ref());
}

/// The rule that has the word, and what the policy's other layer says.
pub(super) fn describe_who_says(record: &mut Exchange, rule: Option<&RuleRef>, beside: Option<&Beside>) {
    if let Some(rule) = rule {
        record.rule = Some(rule.name.as_ref().into());
        record.rule_at = Some(format!("{}:{}", rule.file, rule.line).as_str().into());
    }
    record.beside = beside.map(|beside| beside.to_string().as_str().into());
}

/// Which parent it leaves through, if any: where it is to go when it opens, and beside `dialled`.
pub(super) fn describe_route(record: &mut Exchange, route: &Route) {
    if let Route::Parent { parent, resolved_by } = route {
        record.parent = Some(parent.name().into());
        record.resolved_by = Some(resolved_by.as_str());
    }
}

pub(super) fn describe_hello(record: &mut Exchange, hello: &Hello) {
    record.sni = hello.sni.as_deref().map(Text::from);
    record.alpn = hello.alpn.iter().take(8).map(|name| Text::new(name)).collect();
    record.ech = Some(hello.ech);
    describe_program(record, hello);
}

/// The program by its hello, to whomever it was said.
pub(super) fn describe_program(record: &mut Exchange, hello: &Hello) {
    record.ja4 = Some(hello.ja4.as_ref().into());
    record.tls_key = Some(hello.stable_key.as_ref().into());
}

pub(super) fn describe_would(record: &mut Exchange, why: &Why) {
    record.would = Some(VerdictKind::Deny.as_str());
    record.reason = Some(why.code.into());
    record.detail = why.detail.as_deref().map(Text::from);
}

/// What was let out and is denied after all.
pub(super) fn describe_denial(record: &mut Exchange, why: &Why) {
    record.verdict = Some(VerdictKind::Deny.as_str());
    record.reason = Some(why.code.into());
    record.detail = why.detail.as_deref().map(Text::from);
}

pub(super) fn describe_end(record: &mut Exchange, begun: Instant, end: End<'_>) {
    record.closed_by = Some(end.by.as_str());
    record.closed_how = Some(end.how.into());
    record.bytes_up = Some(end.up);
    record.bytes_down = Some(end.down);
    record.total_us = Some(micros(begun.elapsed()));
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
