use std::io::Write;

use crate::evidence::{Asked, Observed, Verdict};

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
        #fields\tts\tid.orig_h\tid.resp_h\tid.resp_p\tmethod\thost\turi\tuser_agent\trequest_body_len\
        \tresponse_body_len\tstatus_code\tusername\tresp_mime_types\n\
        #types\ttime\taddr\taddr\tport\tstring\tstring\tstring\tstring\tcount\tcount\tcount\tstring\tvector[string]\n",
    );
}

/// Appends a line of an http.log as a table, with its line end. How long it took is left out, as there.
pub fn write_zeek_http(event: &Observed<'_>, into: &mut Vec<u8>) {
    put(into, format_args!("{}.{:06}\t", event.time.0 / 1_000_000, event.time.0 % 1_000_000));
    field(event.client, into);
    field(event.address, into);
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
