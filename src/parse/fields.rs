//! Field sections: finding where one ends, reading it, asking it, and knowing which of its fields
//! belong to one connection only (RFC 9110 section 7.6.1).

use bytes::Bytes;

use super::fault::Fault;

/// No field section is read beyond this many fields, whatever the limit asked for.
pub(super) const FIELDS_CEILING: usize = 256;
/// More connection options than this in one message are refused.
const CONNECTION_OPTIONS_MAX: usize = 32;
/// Room tried first; few messages carry more fields, and clearing the full room costs more.
const FIELDS_USUAL: usize = 32;

/// The fields of one message in the order and letter case in which they came.
///
/// Names are tokens. Values have no white space around them and hold only HTAB, 0x20 to 0x7e and
/// 0x80 to 0xff. Cloning shares the bytes.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    bytes: Bytes,
    places: Vec<FieldPlace>,
}

#[derive(Debug, Clone, Copy)]
struct FieldPlace {
    name: Place,
    value: Place,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    at: u32,
    len: u32,
}

impl Fields {
    /// Reads the whole section `bytes[at..]`, which [`find_end`] has found complete: field lines
    /// and the empty line behind them.
    pub(super) fn read(bytes: Bytes, at: usize, fields_max: usize) -> Result<Self, Fault> {
        let section = &bytes[at..];
        let fields_max = fields_max.min(FIELDS_CEILING);
        let usual = fields_max.min(FIELDS_USUAL);
        let mut slots = [httparse::EMPTY_HEADER; FIELDS_USUAL];
        let places = match places(&bytes, section, &mut slots[..usual]) {
            Err(Fault::TooManyFields) if usual < fields_max => {
                let mut slots = [httparse::EMPTY_HEADER; FIELDS_CEILING];
                places(&bytes, section, &mut slots[..fields_max])?
            }
            outcome => outcome?,
        };
        Ok(Self { bytes, places })
    }

    /// Each field's name as sent and its value, in the order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.places.iter().map(|field| (self.name(field), self.part(field.value)))
    }

    /// The value of the first field of this name, in any letter case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The values of all fields of this name, in any letter case.
    pub fn get_all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f [u8]> {
        self.places
            .iter()
            .filter(move |field| self.part(field.name).eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| self.part(field.value))
    }

    /// The comma-separated elements of all fields of this name, trimmed, the empty ones left out
    /// (RFC 9110 section 5.6.1). Not for fields whose elements may hold quoted strings.
    pub fn elements<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f [u8]> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(trim)
            .filter(|element| !element.is_empty())
    }

    /// How many fields have this name, in any letter case.
    pub fn count(&self, name: &str) -> usize {
        self.get_all(name).count()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn name(&self, field: &FieldPlace) -> &str {
        // A token is ASCII, so the default is never taken.
        str::from_utf8(self.part(field.name)).unwrap_or_default()
    }

    fn part(&self, place: Place) -> &[u8] {
        let at = place.at as usize;
        &self.bytes[at..at + place.len as usize]
    }
}

/// Which fields of one message belong to its connection and must not be forwarded.
#[derive(Debug)]
pub struct HopByHop<'f> {
    /// Options of Connection that the fixed list does not already cover.
    named: Vec<&'f [u8]>,
}

impl HopByHop<'_> {
    /// Whether a field of this name, in any letter case, stays behind.
    pub fn drops(&self, name: &str) -> bool {
        is_hop_by_hop(name.as_bytes()) || self.named.iter().any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Reads the Connection fields (RFC 9110 section 7.6.1), at most 32 options in all.
///
/// An option that names a field on which framing, routing or authentication rests is refused: a
/// sender could otherwise have us strip, say, `Authorization` from a request that was judged with it.
pub fn hop_by_hop(fields: &Fields) -> Result<HopByHop<'_>, Fault> {
    let mut named = Vec::new();
    for (seen, option) in fields.elements("connection").enumerate() {
        if seen == CONNECTION_OPTIONS_MAX || !is_token(option) || is_end_to_end(option) {
            return Err(Fault::BadConnectionOption);
        }
        if !is_hop_by_hop(option) && !option.eq_ignore_ascii_case(b"close") {
            named.push(option);
        }
    }
    Ok(HopByHop { named })
}

/// Whether an answer asks for NTLM or Negotiate, wherever in its list: they vouch for the connection and all that follows
/// on it (RFC 4559 section 6).
pub fn asks_to_vouch_for_connection(fields: &Fields) -> bool {
    fields.elements("www-authenticate").any(|element| {
        let scheme = element.split(|&byte| byte == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}

fn is_hop_by_hop(name: &[u8]) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        2 => is("te"),
        7 => is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        14 => is("http2-settings"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        18 => is("proxy-authenticate"),
        19 => is("proxy-authorization"),
        25 => is("proxy-authentication-info"),
        _ => false,
    }
}

fn is_end_to_end(option: &[u8]) -> bool {
    ["host", "content-length", "transfer-encoding", "content-type", "authorization", "cookie"]
        .iter()
        .any(|known| option.eq_ignore_ascii_case(known.as_bytes()))
}

/// What kind of section is looked through, hence what its first line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Request,
    Response,
    Trailer,
}

/// Finds the end of a section: the index behind its empty line, or `None` while more is needed.
///
/// The section begins at `start`. `scanned` is where the last look stopped; all else that a later
/// look needs is in the bytes themselves. Faults come in the order of their bytes, whichever way
/// these were split on arrival. `first_line` judges the start line as soon as it is complete.
pub(super) fn find_end(
    section: Section,
    bytes: &[u8],
    start: usize,
    scanned: &mut usize,
    first_line: impl Fn(&[u8]) -> Result<(), Fault>,
) -> Result<Option<usize>, Fault> {
    let resumed = (*scanned).clamp(start, bytes.len().max(start));
    let mut line_known = (resumed == start).then_some(start);
    let mut at = resumed;
    while let Some(found) = next_control(bytes, at) {
        let line_start = line_known.unwrap_or_else(|| line_start(bytes, start, found));
        let is_first = line_start == start && section != Section::Trailer;
        match (bytes[found], bytes.get(found + 1)) {
            (b'\r', Some(b'\n')) => {}
            (b'\r', None) => {
                *scanned = found;
                return Ok(None);
            }
            (b'\r', Some(_)) => return Err(Fault::BareCr),
            (b'\n', _) => return Err(Fault::BareLf),
            (0, _) => return Err(Fault::Nul),
            _ if is_first => return Err(first_line_fault(section)),
            _ if bytes[line_start..found].contains(&b':') => return Err(Fault::BadFieldValue),
            _ => return Err(Fault::BadFieldName),
        }
        if is_first {
            first_line(&bytes[line_start..found])?;
        } else if line_start == found {
            return Ok(Some(found + 2));
        }
        // Whether the line is folded shows in the byte behind it.
        match bytes.get(found + 2) {
            Some(b' ' | b'\t') => return Err(Fault::ObsFold),
            Some(_) => {}
            None => {
                *scanned = found;
                return Ok(None);
            }
        }
        at = found + 2;
        line_known = Some(at);
    }
    *scanned = bytes.len();
    Ok(None)
}

fn first_line_fault(section: Section) -> Fault {
    match section {
        Section::Request => Fault::BadRequestLine,
        Section::Response => Fault::BadStatusLine,
        Section::Trailer => Fault::BadTrailer,
    }
}

fn line_start(bytes: &[u8], start: usize, before: usize) -> usize {
    let earlier = &bytes[start..before];
    earlier.iter().rposition(|&byte| byte == b'\n').map_or(start, |newline| start + newline + 1)
}

/// The next byte that is a control other than HTAB. Whole blocks first, which compiles to vector
/// instructions.
fn next_control(bytes: &[u8], from: usize) -> Option<usize> {
    const BLOCK: usize = 16;
    let is_control = |byte: u8| (byte < 0x20 && byte != b'\t') || byte == 0x7f;
    let mut at = from;
    let mut rest = bytes.get(from..)?;
    while let Some(block) = rest.first_chunk::<BLOCK>() {
        if block.iter().fold(false, |any, &byte| any | is_control(byte)) {
            break;
        }
        at += BLOCK;
        rest = &rest[BLOCK..];
    }
    rest.iter().position(|&byte| is_control(byte)).map(|found| at + found)
}

fn places<'b>(whole: &[u8], section: &'b [u8], slots: &mut [httparse::Header<'b>]) -> Result<Vec<FieldPlace>, Fault> {
    match httparse::parse_headers(section, slots) {
        // The two readers must agree on where the section ends.
        Ok(httparse::Status::Complete((end, headers))) if end == section.len() => {
            let mut places = Vec::with_capacity(headers.len());
            for header in headers {
                let name = place(whole, header.name.as_bytes())?;
                places.push(FieldPlace { name, value: place(whole, header.value)? });
            }
            Ok(places)
        }
        Ok(_) => Err(Fault::BadFieldName),
        Err(httparse::Error::TooManyHeaders) => Err(Fault::TooManyFields),
        Err(_) => Err(name_fault(section)),
    }
}

fn place(whole: &[u8], part: &[u8]) -> Result<Place, Fault> {
    if part.is_empty() {
        return Ok(Place { at: 0, len: 0 });
    }
    let at = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    let narrow = |number: usize| u32::try_from(number).map_err(|_| Fault::HeadTooLong);
    Ok(Place { at: narrow(at)?, len: narrow(part.len())? })
}

/// What is wrong with the first bad field name of a section that the field parser refused. Values
/// cannot be at fault: [`find_end`] has let no control byte through.
fn name_fault(section: &[u8]) -> Fault {
    for line in section.split(|&byte| byte == b'\n') {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if is_token(name) {
            if name.len() < line.len() {
                continue;
            }
            return Fault::BadFieldName;
        }
        let without_space = name.trim_ascii_end();
        if name.len() < line.len() && without_space.len() < name.len() && is_token(without_space) {
            return Fault::SpaceBeforeColon;
        }
        return Fault::BadFieldName;
    }
    Fault::BadFieldName
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// A byte of a token, as methods and field names are.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests;
