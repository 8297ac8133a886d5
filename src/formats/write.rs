use std::io::Write;
use std::net::SocketAddr;

use crate::evidence::{Asked, Observed, Verdict};
use crate::facts::ExchangeId;

/// How a connection came out, as Zeek's documentation of `conn_state` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// `S0`: an attempt, and no reply.
    Unanswered,
    /// `S1`: it stands, or nobody knows of its end.
    Established,
    /// `SF`: it stood and ended.
    Finished,
    /// `REJ`: the attempt was rejected.
    Rejected,
    /// `RSTO`: it stood, and the side that began it broke it off.
    ResetByOriginator,
    /// `RSTR`: the other side did.
    ResetByResponder,
    /// `OTH`: none was tried.
    Other,
}

impl ConnectionState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unanswered => "S0",
            Self::Established => "S1",
            Self::Finished => "SF",
            Self::Rejected => "REJ",
            Self::ResetByOriginator => "RSTO",
            Self::ResetByResponder => "RSTR",
            Self::Other => "OTH",
        }
    }
}

/// What a conn.log has of an exchange beside what an http.log has.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    pub client_port: Option<u16>,
    pub dialled: Option<SocketAddr>,
    /// `http` or `https` of a request.
    pub scheme: &'a str,
    pub state: ConnectionState,
}

/// Appends a line of Squid's native access.log, with its line end. Times are cut to milliseconds, as there; and what
/// that format has no place for is left out: bytes up, User-Agent, path of a tunnel.
pub fn write_squid(event: &Observed<'_>, into: &mut Vec<u8>) {
    let ended_ms = event.time.0.saturating_add(event.duration_us.unwrap_or_default()) / 1000;
    let elapsed_ms = ended_ms.saturating_sub(event.time.0 / 1000);
    let code = match (event.verdict, event.what) {
        (Verdict::Denied | Verdict::Challenged, _) => "TCP_DENIED",
        (_, Asked::Tunnel) => "TCP_TUNNEL",
        (_, Asked::Request) => "TCP_MISS",
    };
    let way = if event.address.is_empty() { "HIER_NONE" } else { "HIER_DIRECT" };
    put(into, format_args!("{}.{:03} {elapsed_ms:6} ", ended_ms / 1000, ended_ms % 1000));
    or_dash(event.client, into);
    put(into, format_args!(" {code}/{:03} {} ", event.status, event.bytes_down.unwrap_or_default()));
    match event.what {
        Asked::Tunnel => {
            into.extend_from_slice(b"CONNECT ");
            word(event.host, b"", into);
            put(into, format_args!(":{}", event.port));
        }
        Asked::Request => {
            or_dash(event.method, into);
            let scheme = if event.port == 443 { "https" } else { "http" };
            put(into, format_args!(" {scheme}://"));
            word(event.host, b"", into);
            if !matches!(event.port, 80 | 443) {
                put(into, format_args!(":{}", event.port));
            }
            word(event.path, b"", into);
        }
    }
    into.push(b' ');
    or_dash(event.user, into);
    put(into, format_args!(" {way}/"));
    or_dash(event.address, into);
    into.push(b' ');
    or_dash(event.content_type, into);
    into.push(b'\n');
}

/// Appends the header of an http.log that [`write_zeek_http`] continues.
pub fn write_zeek_http_header(into: &mut Vec<u8>) {
    into.extend_from_slice(
        b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\thttp\n\
        #fields\tts\tuid\tid.orig_h\tid.resp_h\tid.resp_p\tmethod\thost\turi\tuser_agent\trequest_body_len\
        \tresponse_body_len\tstatus_code\tusername\tresp_mime_types\n\
        #types\ttime\tstring\taddr\taddr\tport\tstring\tstring\tstring\tstring\tcount\tcount\tcount\tstring\tvector[string]\n",
    );
}

/// Appends the header of a conn.log that [`write_zeek_conn`] continues.
pub fn write_zeek_conn_header(into: &mut Vec<u8>) {
    into.extend_from_slice(
        b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n\
        #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\
        \tconn_state\n\
        #types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\n",
    );
}

/// Appends a line of a conn.log as a table, with its line end: an exchange as one connection from its client to what was
/// dialled for it, by the `uid` that its line of an http.log has. Of that which dialled nothing the address is unset.
pub fn write_zeek_conn(event: &Observed<'_>, connection: &Connection<'_>, into: &mut Vec<u8>) {
    begin_zeek(event, into);
    field(event.client, into);
    number(connection.client_port.map(u64::from), into);
    match connection.dialled {
        Some(dialled) => put(into, format_args!("{}\t{}\t", dialled.ip(), dialled.port())),
        None => put(into, format_args!("-\t{}\t", event.port)),
    }
    let service = match (event.what, connection.scheme, event.carries) {
        (Asked::Request, "https", _) | (Asked::Tunnel, _, "tls") => "ssl",
        (Asked::Request, ..) | (Asked::Tunnel, _, "http") => "http",
        (Asked::Tunnel, _, "ssh") => "ssh",
        (Asked::Tunnel, ..) => "",
    };
    field("tcp", into);
    field(service, into);
    match event.duration_us {
        Some(micros) => put(into, format_args!("{}.{:06}\t", micros / 1_000_000, micros % 1_000_000)),
        None => into.extend_from_slice(b"-\t"),
    }
    number(event.bytes_up, into);
    number(event.bytes_down, into);
    into.extend_from_slice(connection.state.as_str().as_bytes());
    into.push(b'\n');
}

/// When it began, and by what lines of several logs are joined: Zeek's begin with a `C` too.
fn begin_zeek(event: &Observed<'_>, into: &mut Vec<u8>) {
    put(into, format_args!("{}.{:06}\t", event.time.0 / 1_000_000, event.time.0 % 1_000_000));
    match event.id {
        0 => into.extend_from_slice(b"-\t"),
        id => put(into, format_args!("C{}\t", ExchangeId(id))),
    }
}

fn number(number: Option<u64>, into: &mut Vec<u8>) {
    match number {
        Some(number) => put(into, format_args!("{number}\t")),
        None => into.extend_from_slice(b"-\t"),
    }
}

/// Appends a line of an http.log as a table, with its line end. How long it took is left out, as there.
pub fn write_zeek_http(event: &Observed<'_>, into: &mut Vec<u8>) {
    begin_zeek(event, into);
    field(event.client, into);
    // Zeek's addresses have no brackets.
    field(event.address.trim_matches(['[', ']']), into);
    put(into, format_args!("{}\t", event.port));
    match event.what {
        Asked::Tunnel => {
            into.extend_from_slice(b"CONNECT\t");
            field(event.host, into);
            escaped(event.host, into);
            put(into, format_args!(":{}\t", event.port));
        }
        Asked::Request => {
            field(event.method, into);
            field(event.host, into);
            field(event.path, into);
        }
    }
    field(event.user_agent, into);
    put(into, format_args!("{}\t{}\t", event.bytes_up.unwrap_or_default(), event.bytes_down.unwrap_or_default()));
    match event.status {
        0 => into.extend_from_slice(b"-\t"),
        status => put(into, format_args!("{status}\t")),
    }
    field(event.user, into);
    field(event.content_type, into);
    into.pop();
    into.push(b'\n');
}

fn put(into: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Memory takes whatever is written to it.
    let _ = into.write_fmt(text);
}

/// `-` for nothing.
fn or_dash(text: &str, into: &mut Vec<u8>) {
    if text.is_empty() { into.push(b'-') } else { word(text, b"%\\", into) }
}

/// What would end a word or a line, as `%HH`, and what would begin an escape where there are such.
fn word(text: &str, escapes: &[u8], into: &mut Vec<u8>) {
    for byte in text.bytes() {
        if byte > b' ' && byte < 0x7f && !escapes.contains(&byte) {
            into.push(byte);
        } else {
            put(into, format_args!("%{byte:02x}"));
        }
    }
}

/// A value and the tab behind it.
fn field(text: &str, into: &mut Vec<u8>) {
    match text {
        "" => into.push(b'-'),
        // Else they would be read as what they stand for.
        "-" | "(empty)" => {
            put(into, format_args!("\\x{:02x}", text.as_bytes().first().copied().unwrap_or_default()));
            into.extend(text.bytes().skip(1));
        }
        _ => escaped(text, into),
    }
    into.push(b'\t');
}

fn escaped(text: &str, into: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => into.extend_from_slice(b"\\\\"),
            // The comma parts the values of a set.
            b' '..=b'~' if byte != b',' => into.push(byte),
            _ => put(into, format_args!("\\x{byte:02x}")),
        }
    }
}

#[cfg(test)]
mod tests;
