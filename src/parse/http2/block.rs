//! The names at the beginning of the first field block of a connection, and no more of HPACK (RFC 7541) than they need.
//!
//! Pseudo-header fields stand before all others (RFC 9113 section 8.3) and each once, so that none of them can come
//! from the dynamic table, which is empty before the first of them.

/// A pseudo-header field of a request (RFC 9113 section 8.3.1, RFC 8441 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PseudoField {
    Authority,
    Method,
    Path,
    Scheme,
    Protocol,
}

/// Indexes of the static table (RFC 7541, appendix A).
mod index {
    pub(super) const AUTHORITY: u32 = 1;
    pub(super) const METHODS: std::ops::RangeInclusive<u32> = 2..=3;
    pub(super) const PATHS: std::ops::RangeInclusive<u32> = 4..=5;
    pub(super) const SCHEMES: std::ops::RangeInclusive<u32> = 6..=7;
    /// The first that is no pseudo-header field, and the last.
    pub(super) const OTHERS: std::ops::RangeInclusive<u32> = 15..=61;
}

/// A table may be given a smaller size and then another one (RFC 7541 section 4.2).
const SIZE_UPDATES_MAX: usize = 2;
/// Bytes of a number behind its prefix; with more of them no length fits into a frame.
const NUMBER_BYTES_MAX: usize = 4;
/// The first byte of all names with `:` in Huffman code: its seven bits, and the first of a letter.
const HUFFMAN_COLON: std::ops::RangeInclusive<u8> = 0xb8..=0xb9;

impl PseudoField {
    const ALL: [Self; 5] = [Self::Authority, Self::Method, Self::Path, Self::Scheme, Self::Protocol];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authority => ":authority",
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Scheme => ":scheme",
            Self::Protocol => ":protocol",
        }
    }

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }

    /// Its name in Huffman code (RFC 7541, appendix B), of which each text has exactly one form.
    fn huffman(self) -> &'static [u8] {
        match self {
            Self::Authority => b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f",
            Self::Method => b"\xb9\x49\x53\x39\xe4",
            Self::Path => b"\xb9\x58\xd3\x3f",
            Self::Scheme => b"\xb8\x82\x4e\x5a\x4b",
            Self::Protocol => b"\xb9\x5d\x87\x49\xc8\x7a\x3f",
        }
    }
}

/// What a field block begins with.
pub(super) enum BlockRead {
    Pseudo(Box<[PseudoField]>),
    /// It goes on in bytes that are not there.
    More,
    /// No request begins so.
    Bad,
}

/// Reads as far as the pseudo-header fields go; `is_whole` where no bytes follow.
pub(super) fn read_block(block: &[u8], is_whole: bool) -> BlockRead {
    let mut fields = Vec::with_capacity(PseudoField::ALL.len());
    match read_fields(block, is_whole, &mut fields) {
        Ok(()) if fields.is_empty() => BlockRead::Bad,
        Ok(()) => BlockRead::Pseudo(fields.into()),
        Err(Stop::End) if !is_whole => BlockRead::More,
        Err(Stop::End | Stop::Fault) => BlockRead::Bad,
    }
}

enum Stop {
    End,
    Fault,
}

fn read_fields(mut block: &[u8], is_whole: bool, fields: &mut Vec<PseudoField>) -> Result<(), Stop> {
    let mut size_updates = 0;
    loop {
        let Some(first) = block.first().copied() else {
            return if is_whole { Ok(()) } else { Err(Stop::End) };
        };
        if first & 0b1110_0000 == 0b0010_0000 {
            size_updates += 1;
            if size_updates > SIZE_UPDATES_MAX || !fields.is_empty() {
                return Err(Stop::Fault);
            }
            take_number(&mut block, 5)?;
            continue;
        }
        let is_indexed = first & 0b1000_0000 != 0;
        let prefix = match first {
            _ if is_indexed => 7,
            _ if first & 0b0100_0000 != 0 => 6,
            _ => 4,
        };
        let name = match take_number(&mut block, prefix)? {
            0 if is_indexed => return Err(Stop::Fault),
            0 => name_of_literal(&mut block)?,
            index => name_of_index(index)?,
        };
        let Some(name) = name else { return Ok(()) };
        if fields.contains(&name) {
            return Err(Stop::Fault);
        }
        if !is_indexed {
            take_string(&mut block)?;
        }
        fields.push(name);
    }
}

/// The pseudo-header field of an index; `None` for any other field.
fn name_of_index(index: u32) -> Result<Option<PseudoField>, Stop> {
    match index {
        index::AUTHORITY => Ok(Some(PseudoField::Authority)),
        index if index::METHODS.contains(&index) => Ok(Some(PseudoField::Method)),
        index if index::PATHS.contains(&index) => Ok(Some(PseudoField::Path)),
        index if index::SCHEMES.contains(&index) => Ok(Some(PseudoField::Scheme)),
        index if index::OTHERS.contains(&index) => Ok(None),
        // Of a response, or of the dynamic table, where nothing but a field of this block can stand.
        _ => Err(Stop::Fault),
    }
}

fn name_of_literal(block: &mut &[u8]) -> Result<Option<PseudoField>, Stop> {
    let (is_huffman, text) = take_string(block)?;
    let is_name = |field: &PseudoField| text == if is_huffman { field.huffman() } else { field.as_str().as_bytes() };
    match (PseudoField::ALL.into_iter().find(is_name), text.first()) {
        (Some(field), _) => Ok(Some(field)),
        (None, None) => Err(Stop::Fault),
        (None, Some(b':')) if !is_huffman => Err(Stop::Fault),
        (None, Some(first)) if is_huffman && HUFFMAN_COLON.contains(first) => Err(Stop::Fault),
        (None, Some(_)) => Ok(None),
    }
}

/// A string as it is written, and whether that is in Huffman code (RFC 7541 section 5.2).
fn take_string<'b>(block: &mut &'b [u8]) -> Result<(bool, &'b [u8]), Stop> {
    let first = *block.first().ok_or(Stop::End)?;
    let length = take_number(block, 7)?;
    let (text, rest) = block.split_at_checked(length as usize).ok_or(Stop::End)?;
    *block = rest;
    Ok((first & 0b1000_0000 != 0, text))
}

/// A number with so many bits in its first byte (RFC 7541 section 5.1).
fn take_number(block: &mut &[u8], prefix_bits: u32) -> Result<u32, Stop> {
    let (first, mut rest) = block.split_first().ok_or(Stop::End)?;
    let most = (1_u32 << prefix_bits) - 1;
    let mut number = u32::from(*first) & most;
    if number == most {
        for place in 0.. {
            if place == NUMBER_BYTES_MAX {
                return Err(Stop::Fault);
            }
            let (byte, after) = rest.split_first().ok_or(Stop::End)?;
            rest = after;
            number += (u32::from(*byte) & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Ok(number)
}
