use super::super::*;
use crate::facts::{Host, Path, Target};

/// Any bytes as a host, an authority, a path and a request target.
///
/// What is accepted is one value: written out it is read as itself, it holds no byte that another
/// reader takes for something else, and no host passes as a name that a resolver takes for an
/// address.
pub fn target(bytes: &[u8]) {
    if let Ok(host) = Host::parse(bytes) {
        self::host(bytes, &host);
    }
    if let Ok((host, port)) = parse_authority(bytes) {
        let text = port.map_or(host.to_string(), |port| format!("{host}:{port}"));
        assert_eq!(parse_authority(text.as_bytes()), Ok((host, port)));
    }
    if let Ok(target) = parse_connect(bytes) {
        assert!(target.port != 0 && target.path.is_none());
        assert_eq!(parse_connect(target.to_string().as_bytes()), Ok(target));
    }
    if let Ok(target) = parse_absolute(bytes) {
        self::host(target.host.to_string().as_bytes(), &target.host);
        assert!(target.port != 0);
        let path = target.path.as_ref().expect("an absolute target has a path");
        self::path(path);
        // What a record shows is the target without its query.
        assert_eq!(target.to_string(), absolute(&target).split('?').next().unwrap_or_default());
        assert_eq!(parse_absolute(absolute(&target).as_bytes()), Ok(target));
    }
    if let Some(path) = Path::parse(bytes) {
        self::path(&path);
    }
}

/// The absolute-form of a target, its query included.
pub(super) fn absolute(target: &Target) -> String {
    let path = target.path.as_ref().map_or("", Path::as_str);
    match target.port {
        80 => format!("http://{}{path}", target.host),
        port => format!("http://{}:{port}{path}", target.host),
    }
}

fn path(path: &Path) {
    assert_eq!(Path::parse(path.as_str().as_bytes()).as_ref(), Some(path));
    assert!(path.as_str().starts_with('/'));
    assert!(path.as_str().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
    let query = path.query().map_or(String::new(), |query| format!("?{query}"));
    assert_eq!(format!("{}{query}", path.path()), path.as_str());
}

fn host(bytes: &[u8], host: &Host) {
    let shown = host.to_string();
    assert_eq!(Host::parse(shown.as_bytes()).as_ref(), Ok(host));
    assert_eq!(Host::parse(&bytes.to_ascii_uppercase()).as_ref(), Ok(host), "case does not matter");
    match host {
        Host::V4(address) => assert_eq!(shown.parse(), Ok(*address)),
        Host::V6(address) => assert_eq!(shown.trim_matches(['[', ']']).parse(), Ok(*address)),
        Host::Name(name) => {
            let name = name.as_str();
            assert_eq!(name, shown);
            assert!(name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len())));
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
            assert!(name.bytes().all(plain), "{name:?}");
            assert_eq!(Host::parse(format!("{name}.").as_bytes()).as_ref(), Ok(host), "the root's dot");
            assert!(!is_address_to_some_resolver(name), "{name:?}");
            let (unicode, read) = idna::domain_to_unicode(name);
            assert!(read.is_ok() || !name.contains("xn--"));
            assert!(read.is_err() || idna::domain_to_ascii(&unicode).is_ok_and(|again| again == name), "{name:?}");
        }
    }
}

/// Whether `inet_aton` reads it: one to four numbers, each decimal, octal or hexadecimal.
fn is_address_to_some_resolver(name: &str) -> bool {
    let number = |part: &str| match part.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => part.bytes().all(|byte| byte.is_ascii_digit()),
    };
    name.split('.').count() <= 4 && name.split('.').all(number)
}
