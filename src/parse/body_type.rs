//! What a body is, told by its first bytes. Whatever its sender says of it, the bytes are what a program gets.

mod stated;

use serde::{Deserialize, Serialize};

pub use stated::Coding;

/// What a body begins as: a family of formats that share their first bytes. It is a description and no verdict: what
/// begins so need not be whole, nor harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BodyType {
    /// A program or library of Windows.
    Pe,
    Elf,
    MachO,
    JavaClass,
    /// A shortcut of Windows, which may run any command.
    Lnk,
    /// A script that says what runs it: `#!`, `<?php`, `@echo off`, an encoded script or an HTML application of Windows.
    /// PowerShell, VBScript and JavaScript begin with nothing of their own: they are `text`.
    Script,
    /// Also what is built on it: documents of offices, EPUB.
    Zip,
    /// A ZIP that begins as archives of Java do.
    Jar,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
    Lz4,
    SevenZip,
    Rar,
    Cab,
    Tar,
    /// A compound file: an installer (MSI), or a document of offices before 2007.
    Ole,
    Deb,
    Rpm,
    /// An extension of Chromium.
    Crx,
    /// A virtual disk, which Windows opens like a folder.
    VirtualDisk,
    Pdf,
    Rtf,
    Png,
    Jpeg,
    Gif,
    Webp,
    Icon,
    /// Sound or film in one of the usual containers, and images in that of MP4 (AVIF, HEIC).
    Media,
    Font,
    Wasm,
    Html,
    Xml,
    Json,
    /// Any other text, in any encoding.
    Text,
    /// Under a Content-Encoding, which the gate does not undo.
    Encoded,
    /// Bytes that are no text and begin as nothing that is known here.
    Binary,
}

/// What a body may bring in that is more than something to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Executable,
    Script,
    Archive,
}

use BodyType::*;

/// As many first bytes of a body as tell its type; no more are looked at.
pub const BODY_TYPE_BYTES: usize = 512;

/// Bytes that stand at this place and nowhere else, with where that is said. The first that fits has the word.
const MAGIC: &[(usize, &[u8], BodyType)] = &[
    // System V gABI, chapter 4, "ELF Identification".
    (0, b"\x7fELF", Elf),
    // Apple, `mach-o/loader.h`: 32 and 64 bits, in both byte orders; `mach-o/fat.h`: 64-bit offsets.
    (0, b"\xfe\xed\xfa\xce", MachO),
    (0, b"\xfe\xed\xfa\xcf", MachO),
    (0, b"\xce\xfa\xed\xfe", MachO),
    (0, b"\xcf\xfa\xed\xfe", MachO),
    (0, b"\xca\xfe\xba\xbf", MachO),
    // [MS-SHLLINK] 2.1: HeaderSize and LinkCLSID.
    (0, b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46", Lnk),
    // PKWARE APPNOTE 4.3.7, 4.3.16, 8.5.3: a local file, the end of an empty archive, a split one.
    (0, b"PK\x03\x04", Zip),
    (0, b"PK\x05\x06", Zip),
    (0, b"PK\x07\x08", Zip),
    // RFC 1952 section 2.3.1; 8 is its only method.
    (0, b"\x1f\x8b\x08", Gzip),
    // The xz file format 1.2.1, section 2.1.1.1.
    (0, b"\xfd7zXZ\0", Xz),
    // RFC 8878 section 3.1.1.
    (0, b"\x28\xb5\x2f\xfd", Zstd),
    // LZ4 frame format 1.6.4, "Magic Number".
    (0, b"\x04\x22\x4d\x18", Lz4),
    // 7-Zip, `7zFormat.txt`, "SignatureHeader".
    (0, b"7z\xbc\xaf\x27\x1c", SevenZip),
    // RAR 5.0 technical note, "RAR 5.0 signature", and that of the versions before it.
    (0, b"Rar!\x1a\x07", Rar),
    // [MS-CAB] 2.1: signature and reserved1.
    (0, b"MSCF\0\0\0\0", Cab),
    // [MS-CFB] 2.2.
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Ole),
    // deb(5): an ar(5) archive whose first member is this one.
    (0, b"!<arch>\ndebian-binary", Deb),
    // rpm, "RPM V3 Package format", the lead.
    (0, b"\xed\xab\xee\xdb", Rpm),
    // Chromium, `components/crx_file/crx3.proto`.
    (0, b"Cr24\x02\0\0\0", Crx),
    (0, b"Cr24\x03\0\0\0", Crx),
    // [MS-VHDX] 2.2.1, and the footer of the VHD format, of which dynamic disks have a copy in front.
    (0, b"vhdxfile", VirtualDisk),
    (0, b"conectix", VirtualDisk),
    // ISO 32000-1 section 7.5.2. Readers look further, other types than this one come first then.
    (0, b"%PDF-", Pdf),
    // Rich Text Format 1.9.1, "File Header".
    (0, b"{\\rtf", Rtf),
    // PNG (third edition) section 5.2.
    (0, b"\x89PNG\r\n\x1a\n", Png),
    // ITU-T T.81 annex B: SOI, and the first byte of the marker behind it.
    (0, b"\xff\xd8\xff", Jpeg),
    // GIF89a specification section 17.
    (0, b"GIF87a", Gif),
    (0, b"GIF89a", Gif),
    // WHATWG MIME Sniffing section 6.1.
    (0, b"\0\0\x01\0", Icon),
    // RFC 8794 section 11.2.1 (Matroska, WebM); RFC 3533 section 6 (Ogg); RFC 9639 section 6 (FLAC); ID3v2 section 3.1.
    (0, b"\x1a\x45\xdf\xa3", Media),
    (0, b"OggS\0", Media),
    (0, b"fLaC", Media),
    (0, b"ID3\x02", Media),
    (0, b"ID3\x03", Media),
    (0, b"ID3\x04", Media),
    // WOFF 1.0 section 4, WOFF 2.0 section 4.1, OpenType 1.9 "Table Directory".
    (0, b"wOFF", Font),
    (0, b"wOF2", Font),
    (0, b"OTTO\0", Font),
    (0, b"ttcf\0", Font),
    (0, b"\0\x01\0\0\0", Font),
    // WebAssembly core specification section 5.5.16.
    (0, b"\0asm\x01\0\0\0", Wasm),
    // POSIX.1-2024, pax, "ustar Interchange Format".
    (257, b"ustar", Tar),
];

/// Beginnings of HTML in any letter case, a space or `>` behind them (WHATWG MIME Sniffing section 7.1).
const HTML: &[&str] = &[
    "<!doctype html",
    "<html",
    "<head",
    "<script",
    "<iframe",
    "<h1",
    "<div",
    "<font",
    "<table",
    "<a",
    "<style",
    "<title",
    "<b",
    "<body",
    "<br",
    "<p",
];

/// Each type with the word for it in records.
const WORDS: &[(BodyType, &str)] = &[
    (Pe, "pe"),
    (Elf, "elf"),
    (MachO, "macho"),
    (JavaClass, "class"),
    (Lnk, "lnk"),
    (Script, "script"),
    (Zip, "zip"),
    (Jar, "jar"),
    (Gzip, "gzip"),
    (Bzip2, "bzip2"),
    (Xz, "xz"),
    (Zstd, "zstd"),
    (Lz4, "lz4"),
    (SevenZip, "7z"),
    (Rar, "rar"),
    (Cab, "cab"),
    (Tar, "tar"),
    (Ole, "ole"),
    (Deb, "deb"),
    (Rpm, "rpm"),
    (Crx, "crx"),
    (VirtualDisk, "virtual_disk"),
    (Pdf, "pdf"),
    (Rtf, "rtf"),
    (Png, "png"),
    (Jpeg, "jpeg"),
    (Gif, "gif"),
    (Webp, "webp"),
    (Icon, "icon"),
    (Media, "media"),
    (Font, "font"),
    (Wasm, "wasm"),
    (Html, "html"),
    (Xml, "xml"),
    (Json, "json"),
    (Text, "text"),
    (Encoded, "encoded"),
    (Binary, "binary"),
];

impl BodyType {
    /// What a body with these first bytes is: of a body of 512 bytes or more the first 512, of a shorter one all of it;
    /// what stands behind them is not looked at. `None` of no bytes.
    ///
    /// Images of optical discs have nothing in front that tells them: they are `Binary`.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..BODY_TYPE_BYTES).unwrap_or(bytes);
        if bytes.is_empty() {
            return None;
        }
        let stands =
            |(at, magic, _): &&(usize, &[u8], BodyType)| bytes.get(*at..).is_some_and(|b| b.starts_with(magic));
        let by_bytes = || MAGIC.iter().find(stands).map(|(_, _, kind)| *kind);
        // A PE may hold anything between its two headers, the mark of a tape archive as well.
        let kind = by_more_than_bytes(bytes).or_else(by_bytes).unwrap_or_else(|| text_or_binary(bytes));
        Some(kind)
    }

    /// The same of a body that is said to be under this coding. What does not begin as the coding does is what it is,
    /// whatever was said; else it is `Encoded`.
    pub fn of_coded(bytes: &[u8], coding: Coding) -> Option<Self> {
        let seen = Self::of(bytes)?;
        let is_coded = match coding {
            Coding::Gzip => seen == Gzip,
            Coding::Zstd => seen == Zstd,
            // These begin as they like, by chance hardly ever as a carrier does.
            Coding::Other => seen.carrier().is_none(),
        };
        Some(if is_coded { Encoded } else { seen })
    }

    /// The word for it in records.
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(kind, _)| *kind == self).map_or("binary", |(_, word)| word)
    }

    /// The type with this word; `None` for any other.
    pub fn named(word: &str) -> Option<Self> {
        WORDS.iter().find(|(_, name)| *name == word).map(|(kind, _)| *kind)
    }

    /// What it may bring in, if anything.
    pub fn carrier(self) -> Option<Carrier> {
        match self {
            Pe | Elf | MachO | JavaClass | Lnk => Some(Carrier::Executable),
            Script => Some(Carrier::Script),
            Zip | Jar | Gzip | Bzip2 | Xz | Zstd | Lz4 | SevenZip | Rar | Cab | Tar | Ole | Deb | Rpm | Crx
            | VirtualDisk => Some(Carrier::Archive),
            Pdf | Rtf | Png | Jpeg | Gif | Webp | Icon | Media | Font | Wasm | Html | Xml | Json | Text | Encoded
            | Binary => None,
        }
    }
}

/// Types that take more than fixed bytes to tell.
fn by_more_than_bytes(bytes: &[u8]) -> Option<BodyType> {
    let word = |at: usize| bytes.get(at..)?.first_chunk::<4>().copied();
    match bytes {
        [b'M', b'Z', ..] => is_pe(bytes, u32::from_le_bytes(word(0x3c)?)).then_some(Pe),
        // A universal binary counts its parts here, few of them; a class has its version, 45 at least (JVMS section 4.1).
        [0xca, 0xfe, 0xba, 0xbe, ..] => Some(if u32::from_be_bytes(word(4)?) < 45 { MachO } else { JavaClass }),
        // The name of the first entry (APPNOTE 4.3.7); JAR file specification, "The META-INF directory".
        [b'P', b'K', 3, 4, ..] => bytes.get(30..)?.starts_with(b"META-INF/").then_some(Jar),
        // A level, and the first block's magic (bzip2(1)).
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] => rest.starts_with(b"\x31\x41\x59\x26\x53\x59").then_some(Bzip2),
        // RFC 9649 section 2.4; the other two are of the RIFF family as well (Microsoft, "Multimedia Programming Interface").
        [b'R', b'I', b'F', b'F', _, _, _, _, rest @ ..] => match rest.first_chunk::<4>()? {
            b"WEBP" => Some(Webp),
            b"WAVE" | b"AVI " => Some(Media),
            _ => None,
        },
        // ISO/IEC 14496-12 section 4.3: the box of the file's type, behind its length.
        [0, 0, _, _, b'f', b't', b'y', b'p', ..] => Some(Media),
        _ => None,
    }
}

/// Microsoft, "PE Format": behind the MS-DOS header, at the offset in its last field, stands `PE\0\0`. Where that lies
/// beyond what is seen here it is believed if it is near: by chance one in millions begins so.
fn is_pe(bytes: &[u8], header_at: u32) -> bool {
    const NEAR_BYTES: usize = 16 << 20;
    let at = usize::try_from(header_at).unwrap_or(usize::MAX);
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        Some(mark) => mark == b"PE\0\0",
        None => bytes.len() == BODY_TYPE_BYTES && at < NEAR_BYTES,
    }
}

fn text_or_binary(bytes: &[u8]) -> BodyType {
    if bytes.starts_with(b"\xfe\xff") || bytes.starts_with(b"\xff\xfe") {
        return Text;
    }
    // The binary data bytes of WHATWG MIME Sniffing, section 3.
    let is_binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    // All of them, many at a time: looking for the first takes several times as long.
    if bytes.iter().fold(false, |found, byte| found | is_binary(byte)) {
        return Binary;
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins = |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()));
    let ends_tag = |name: &&&str| matches!(text.get(name.len()), Some(b' ' | b'>' | b'\t' | b'\r' | b'\n'));
    if is_script(bytes, text) {
        Script
    } else if HTML.iter().filter(ends_tag).any(|name| begins(name)) || begins("<!--") {
        Html
    } else if begins("<?xml") || begins("<svg") {
        Xml
    } else if is_json(text) {
        Json
    } else {
        Text
    }
}

/// `text` is what stands behind a byte order mark and white space.
fn is_script(bytes: &[u8], text: &[u8]) -> bool {
    const HTML_APPLICATION: &[u8] = b"<hta:application";
    // execve(2): the kernel takes it at the first byte alone, and white space before the path.
    let interpreted = bytes.strip_prefix(b"#!").is_some_and(|line| line.trim_ascii_start().starts_with(b"/"));
    // PHP manual, "PHP tags"; the `echo` command of Windows; the mark of Windows Script Encoder.
    let begins = |start: &[u8]| text.get(..start.len()).is_some_and(|begun| begun.eq_ignore_ascii_case(start));
    interpreted
        || begins(b"<?php")
        || begins(b"@echo off")
        || begins(b"#@~^")
        // Microsoft, "HTA:APPLICATION": what says so of itself is run with the rights of a program.
        || (text.starts_with(b"<")
            && text.windows(HTML_APPLICATION.len()).any(|part| part.eq_ignore_ascii_case(HTML_APPLICATION)))
}

/// An object or an array by its first two tokens (RFC 8259 section 2). A lone string or number is text like any other.
fn is_json(text: &[u8]) -> bool {
    match text.split_first() {
        Some((b'{', rest)) => matches!(rest.trim_ascii_start().first(), Some(b'"' | b'}')),
        Some((b'[', rest)) => {
            matches!(rest.trim_ascii_start().first(), Some(b'{' | b'[' | b'"' | b']' | b'-' | b'0'..=b'9'))
        }
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests;
