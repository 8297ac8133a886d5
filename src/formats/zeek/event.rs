use crate::evidence::{Asked, Failure, Observed, Verdict};
use crate::formats::squid::{refused_by_proxy, tunnel_failure};
use crate::formats::target::{self, Place};
use crate::formats::text::Scratch;
use crate::formats::{Fault, Told};

use super::column::{Column, Log};
use super::row::Row;

/// What a row tells.
pub(super) fn told<'a>(row: &Row<'a>, log: Log, line: u64, scratch: &mut Scratch<'a>) -> Result<Told<'a>, Fault> {
    let told = match log {
        Log::Connections => connection(row, scratch)?,
        Log::Requests => request(row, scratch)?,
        Log::Tls => tls(row, scratch)?,
        Log::Other => None,
    };
    let Some(told) = told else { return Ok(Told::Nothing) };
    let (time, zone) = row.time()?;
    let client = row.text(Column::Client);
    if client.is_empty() {
        return Err(Fault::Empty(Column::Client.name()));
    }
    Ok(Told::Of(Observed { time, line, client, ..told }, zone))
}

/// `None` for what is neither TCP nor UDP, and has no ports.
fn connection<'a>(row: &Row<'a>, scratch: &mut Scratch<'a>) -> Result<Option<Observed<'a>>, Fault> {
    if !matches!(row.text(Column::Protocol), "" | "tcp" | "udp") {
        return Ok(None);
    }
    let address = row.text(Column::Address);
    let state = row.text(Column::ConnectionState);
    Ok(Some(Observed {
        id: number_of(row.text(Column::Connection)),
        what: Asked::Tunnel,
        protocol: row.text(Column::Protocol),
        host: target::host(address, scratch).ok_or(Fault::Empty(Column::Address.name()))?,
        port: row.small(Column::Port)?,
        address,
        carries: match row.text(Column::Service) {
            "ssl" => "tls",
            service => service,
        },
        reason: state,
        failure: match state {
            "S0" | "SH" => Failure::Unanswered,
            "REJ" => Failure::Refused,
            _ => Failure::None,
        },
        bytes_up: row.count(Column::BytesUp)?,
        bytes_down: row.count(Column::BytesDown)?,
        duration_us: row.span(Column::Duration)?,
        ..Observed::default()
    }))
}

/// `None` for an answer whose request Zeek did not see.
fn request<'a>(row: &Row<'a>, scratch: &mut Scratch<'a>) -> Result<Option<Observed<'a>>, Fault> {
    let (method, uri) = (row.text(Column::Method), row.text(Column::Uri));
    if method.is_empty() {
        return Ok(None);
    }
    let tunnel = method == "CONNECT";
    let (host, peer, port) = (row.text(Column::Host), row.text(Column::Address), row.small(Column::Port)?);
    // To a proxy the whole URL is said, and the connection goes to the proxy.
    let (place, address) = if tunnel {
        (target::host_and_port(if uri.is_empty() { host } else { uri }, 0, scratch)?, "")
    } else if !uri.starts_with('/') && uri.contains("://") {
        (target::url(uri, scratch)?, "")
    } else {
        let place = target::host_and_port(if host.is_empty() { peer } else { host }, port, scratch)?;
        (Place { path: target::without_query(uri), ..place }, peer)
    };
    let status = row.small(Column::Status)?;
    let denied = refused_by_proxy(tunnel, status);
    // What a tunnel carries is not in it.
    let bytes = |column| if tunnel { Ok(None) } else { row.count(column) };
    Ok(Some(Observed {
        inside: number_of(row.text(Column::Connection)),
        what: if tunnel { Asked::Tunnel } else { Asked::Request },
        user: row.text(Column::User),
        host: place.host,
        port: place.port,
        address,
        method,
        path: place.path,
        user_agent: row.text(Column::UserAgent),
        verdict: if denied { Verdict::Denied } else { Verdict::Allowed },
        failure: if denied { Failure::None } else { tunnel_failure(tunnel, status) },
        status,
        content_type: row.text(Column::MediaTypes),
        bytes_up: bytes(Column::BodyUp)?,
        bytes_down: bytes(Column::BodyDown)?,
        ..Observed::default()
    }))
}

fn tls<'a>(row: &Row<'a>, scratch: &mut Scratch<'a>) -> Result<Option<Observed<'a>>, Fault> {
    let (name, address, key) = (row.text(Column::ServerName), row.text(Column::Address), row.text(Column::Ja4));
    let sni = target::host(name, scratch).unwrap_or_default();
    let host = if sni.is_empty() { target::host(address, scratch) } else { Some(sni) };
    Ok(Some(Observed {
        id: number_of(row.text(Column::Connection)),
        what: Asked::Tunnel,
        host: host.ok_or(Fault::Empty(Column::Address.name()))?,
        port: row.small(Column::Port)?,
        address,
        tls_key: if key.is_empty() { row.text(Column::Ja3) } else { key },
        sni,
        carries: "tls",
        reason: row.text(Column::Alert),
        failure: if row.denies(Column::Established) { Failure::Other } else { Failure::None },
        ..Observed::default()
    }))
}

/// A connection's name as a number (FNV-1a); 0 for none.
fn number_of(uid: &str) -> u64 {
    if uid.is_empty() {
        return 0;
    }
    uid.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
