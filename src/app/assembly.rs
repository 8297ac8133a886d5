//! What all sessions share, as the config has it.

use std::sync::atomic::AtomicBool;

use crate::config::Config;
use crate::evidence;
use crate::identity::Browsers;
use crate::lists::ReadPolicy;
use crate::parse::{HeadLimits, HelloLimits};
use crate::session::{
    Clients, Counters, Gate, Glass, HeadRoom, InForce, Limits, LogIns, Pages, Reaches, Refusals, Restraints,
    SecureProxy, Standings, Versions, Wording,
};
use crate::store::Journal;
use crate::tls::Minter;

use super::listeners::proxy_setting;
use super::reloaded::Outcome;

/// Builds it.
pub(super) fn gate(
    config: &Config,
    policy: InForce,
    journal: &Journal,
    query_key: [u8; 32],
    connections_max: u64,
    known: Known,
) -> Gate {
    let Known { browsers, pages, log_ins, minter, secure_proxy } = known;
    let bytes_max = usize::try_from(config.head_bytes_max).unwrap_or(usize::MAX);
    Gate {
        policy,
        journal: journal.handle(),
        limits: Limits {
            head: HeadLimits { bytes_max, ..HeadLimits::default() },
            hello: HelloLimits::default(),
            head_timeout: config.head_timeout,
            first_request_timeout: config.first_request_timeout,
            keep_alive_timeout: config.keep_alive_timeout,
            body_timeout: config.body_timeout,
            hello_timeout: config.hello_timeout,
            tunnel_idle: config.tunnel_idle,
            tunnel_lifetime: config.tunnel_lifetime,
            connections_max,
            client_connections_max: config.client_connections_max,
        },
        wording: Wording {
            query_key,
            keep_query: config.keep_query,
            contact: config.contact.clone(),
            via: config.via.then(|| config.name.clone()),
            pac: config.pac.clone(),
            proxy: proxy_setting(config),
        },
        counters: Counters::default(),
        glass: Glass::default(),
        clients: Clients::default(),
        browsers,
        versions: Versions::default(),
        minter,
        secure_proxy,
        reach: Reaches::default(),
        standings: Standings::new(config.challenge.spans, config.challenge.fallback),
        pages,
        log_ins,
        head_room: HeadRoom::new(config.heads_bytes_max),
        restraints: Restraints::default(),
        refusals: Refusals::default(),
        draining: AtomicBool::new(false),
    }
}

/// What the gate knows of programs and people at its start.
pub(super) struct Known {
    pub(super) browsers: Browsers,
    pub(super) pages: Pages,
    pub(super) log_ins: Option<LogIns>,
    pub(super) minter: Option<Minter>,
    pub(super) secure_proxy: Option<SecureProxy>,
}

/// The record of the policy with which the gate starts.
pub(super) fn in_force(read: &ReadPolicy) -> evidence::Policy {
    evidence::Policy {
        action: Outcome::InForce.as_str(),
        file: read.file.as_str().into(),
        hash: read.policy.hash().into(),
        rules: read.policy.rules(),
        mode: read.policy.mode().as_str(),
        problems: None,
        detail: None,
    }
}
