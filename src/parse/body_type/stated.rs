//! What a sender says of a body, its Content-Type and its Content-Encoding, beside what the body is.

use crate::parse::fields::Fields;

use super::BodyType::{self, *};
use super::WORDS;

/// A coding that was put on a body last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Zstd,
    Other,
}

impl BodyType {
    /// Whether it is what this Content-Type says, as far as that can be told. A body of no stated type fits, one of a
    /// type for any bytes (`application/octet-stream`), and one of a type of which nothing is known here.
    ///
    /// All that is text fits all that is text, and images fit images: servers confuse these without any harm.
    pub fn fits(self, content_type: &str) -> bool {
        let stated = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let Some((family, subtype)) = stated.split_once('/') else { return true };
        if self == Encoded || is_for_any_bytes(family, subtype) || self.is_stated_by(family, subtype) {
            return true;
        }
        let is_text = is_textual(family, subtype);
        if is_text || WORDS.iter().any(|(kind, _)| kind.is_stated_by(family, subtype)) {
            return is_text && self.is_textual();
        }
        match family {
            "image" | "audio" | "video" | "font" => self.carrier().is_none() && !self.is_textual(),
            _ => true,
        }
    }

    fn is_textual(self) -> bool {
        matches!(self, Script | Rtf | Html | Xml | Json | Text)
    }

    fn is_image(self) -> bool {
        matches!(self, Png | Jpeg | Gif | Webp | Icon)
    }

    /// Whether bodies of this Content-Type are of this type: those of the IANA registry, and those that servers say.
    fn is_stated_by(self, family: &str, subtype: &str) -> bool {
        const OFFICE: &[&str] = &["msword", "vnd.ms-excel", "vnd.ms-powerpoint"];
        let is = |names: &[&str]| family == "application" && names.contains(&subtype);
        let begins = |names: &[&str]| family == "application" && names.iter().any(|name| subtype.starts_with(name));
        let image = |names: &[&str]| family == "image" && names.contains(&subtype);
        match self {
            Pe => is(&[
                "vnd.microsoft.portable-executable",
                "x-msdownload",
                "x-msdos-program",
                "x-dosexec",
                "x-exe",
                "exe",
                "x-winexe",
                "dos-exe",
                "msdos-windows",
            ]),
            Elf => is(&["x-elf", "x-executable", "x-sharedlib", "x-pie-executable", "x-object"]),
            MachO => is(&["x-mach-binary", "x-mach-o", "x-mach-o-executable"]),
            JavaClass => is(&["java-vm", "java", "x-java-class", "x-java-vm", "java-byte-code"]),
            Lnk => is(&["x-ms-shortcut", "x-ms-lnk"]),
            Script => is(&["x-sh", "x-shellscript", "x-csh", "x-perl", "x-python", "x-httpd-php", "x-bat", "hta"]),
            Zip | Jar => {
                subtype.ends_with("+zip")
                    || begins(&["vnd.openxmlformats-", "vnd.oasis.opendocument."])
                    || is(&["zip", "x-zip", "x-zip-compressed", "x-compressed", "java-archive", "x-java-archive"])
                    || is(&["vnd.android.package-archive", "x-xpinstall", "x-ms-xpi", "x-silverlight-app"])
                    || is(OFFICE)
                    || (begins(&["vnd.ms-"]) && subtype.ends_with(".12"))
            }
            Gzip => {
                subtype.ends_with("+gzip")
                    || is(&["gzip", "x-gzip", "x-gunzip", "x-tgz", "x-gtar", "x-tar", "x-gtar-compressed"])
                    || is(&["x-compressed", "x-compressed-tar", "x-tar-gz"])
            }
            Bzip2 => is(&["x-bzip2", "x-bzip", "bzip2", "x-bz2", "x-tar", "x-compressed-tar"]),
            Xz => is(&["x-xz", "xz", "x-tar", "x-compressed-tar"]),
            Zstd => subtype.ends_with("+zstd") || is(&["zstd", "x-zstd", "x-tar", "x-compressed-tar"]),
            Lz4 => is(&["x-lz4", "lz4"]),
            SevenZip => is(&["x-7z-compressed", "x-compressed"]),
            Rar => is(&["vnd.rar", "x-rar-compressed", "x-rar", "rar", "x-compressed"]),
            Cab => is(&["vnd.ms-cab-compressed", "x-cab", "x-cab-compressed", "cab"]),
            Tar => is(&["x-tar", "tar", "x-gtar", "x-ustar"]),
            Ole => {
                is(OFFICE)
                    || is(&["x-msi", "x-ms-installer", "x-msdownload", "x-ole-storage", "vnd.ms-outlook"])
                    || is(&["vnd.visio", "vnd.ms-project", "vnd.ms-publisher", "x-hwp", "haansofthwp"])
            }
            Deb => is(&["vnd.debian.binary-package", "x-debian-package", "x-deb"]),
            Rpm => is(&["x-rpm", "x-redhat-package-manager"]),
            Crx => is(&["x-chrome-extension"]),
            VirtualDisk => is(&["x-vhd", "x-vhdx", "x-virtualbox-vhd", "x-virtualbox-vhdx"]),
            Pdf => is(&["pdf", "x-pdf"]),
            Rtf => is(&["rtf", "x-rtf", "msword"]),
            Png | Jpeg | Gif | Webp | Icon => {
                const IMAGES: &[&str] =
                    &["png", "jpeg", "jpg", "pjpeg", "gif", "webp", "avif", "heic", "x-icon", "vnd.microsoft.icon"];
                self.is_image() && image(IMAGES)
            }
            Media => {
                matches!(
                    (family, subtype),
                    ("video" | "audio", "mp4" | "webm" | "ogg" | "x-matroska" | "x-m4a" | "flac")
                ) || matches!((family, subtype), ("image", "avif" | "heic" | "heif" | "png" | "jpeg" | "gif" | "webp"))
                    || is(&["mp4", "ogg"])
            }
            Font => matches!((family, subtype), ("font", _)) || begins(&["font-", "x-font-", "vnd.ms-fontobject"]),
            Wasm => is(&["wasm"]),
            // Tables of HTML and lines of values are commonly served as what opens them.
            Html | Xml | Json | Text => is(OFFICE),
            Encoded | Binary => false,
        }
    }
}

impl Coding {
    /// The last one that the Content-Encoding of an answer names, if it is one of the IANA registry ("HTTP Content Coding
    /// Registry"). Others, which servers write there by mistake, are put on by nobody, and undone by nobody.
    pub fn of(answer: &Fields) -> Option<Self> {
        const OTHERS: &[&str] =
            &["br", "deflate", "compress", "x-compress", "dcb", "dcz", "aes128gcm", "exi", "pack200-gzip"];
        let is_identity = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"identity");
        let last = answer.elements("content-encoding").filter(|it| !is_identity(it)).last()?;
        let is = |name: &&str| last.eq_ignore_ascii_case(name.as_bytes());
        if ["gzip", "x-gzip"].iter().any(is) {
            Some(Self::Gzip)
        } else if is(&"zstd") {
            Some(Self::Zstd)
        } else {
            OTHERS.iter().any(is).then_some(Self::Other)
        }
    }
}

/// Types that say nothing of the bytes, and the makeshifts that make browsers save what they get.
fn is_for_any_bytes(family: &str, subtype: &str) -> bool {
    const ANY: &[&str] =
        &["octet-stream", "octetstream", "x-octet-stream", "binary", "x-binary", "unknown", "x-unknown", "*"];
    const SAVED: &[&str] = &["download", "x-download", "force-download", "x-force-download", "save-as"];
    ANY.contains(&subtype) || SAVED.contains(&subtype) || matches!(family, "*" | "unknown" | "multipart")
}

/// Types whose bodies are text.
fn is_textual(family: &str, subtype: &str) -> bool {
    const TEXTS: &[&str] = &[
        "json",
        "xml",
        "javascript",
        "x-javascript",
        "ecmascript",
        "x-ndjson",
        "x-www-form-urlencoded",
        "yaml",
        "x-yaml",
        "toml",
        "sql",
        "graphql",
        "vnd.apple.mpegurl",
        "x-mpegurl",
        "x-sh",
        "x-shellscript",
        "x-perl",
        "x-python",
        "x-httpd-php",
        "x-bat",
        "hta",
        "rtf",
        "x-ns-proxy-autoconfig",
        "x-pem-file",
    ];
    family == "text"
        || subtype.ends_with("+xml")
        || subtype.ends_with("+json")
        || (family == "application" && TEXTS.contains(&subtype))
        || (family == "audio" && matches!(subtype, "mpegurl" | "x-mpegurl" | "x-scpls"))
}
