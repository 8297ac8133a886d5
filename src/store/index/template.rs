/// A path with what varies taken out: segments that are numbers, hashes, UUIDs or long tokens are `*`, and of many segments
/// the first eight are kept. So `/orders/1042/items/7f3a9c0be1` is `/orders/*/items/*`.
pub(super) fn template(path: &str) -> String {
    let mut out = String::new();
    for (number, segment) in path.split('/').skip(1).enumerate() {
        if number == SEGMENTS_MAX {
            out.push_str("/**");
            break;
        }
        out.push('/');
        let (name, ending) = segment.rsplit_once('.').filter(|(_, ending)| ending.len() <= 5).unwrap_or((segment, ""));
        out.push_str(if varies(name) { "*" } else { name });
        if !ending.is_empty() {
            out.push('.');
            out.push_str(ending);
        }
    }
    out
}

const SEGMENTS_MAX: usize = 8;
/// A longer segment is a token.
const SEGMENT_BYTES_MAX: usize = 40;

fn varies(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let is_hex = segment.len() >= 8 && segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    segment.len() > SEGMENT_BYTES_MAX || (is_hex && digits > 0) || (digits > 0 && 2 * digits >= segment.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_is_taken_out_and_words_stay() {
        for (path, expected) in [
            ("/orders/1042/items/7f3a9c0be1", "/orders/*/items/*"),
            ("/", "/"),
            ("/v2/users", "/*/users"),
            ("/index2.html", "/index2.html"),
            ("/img/00042.png", "/img/*.png"),
            ("/a/6ba7b810-9dad-11d1-80b4-00c04fd430c8/b", "/a/*/b"),
            ("/deadbeef", "/deadbeef"),
            ("*", ""),
            ("/1/2/3/4/5/6/7/8/9/10", "/*/*/*/*/*/*/*/*/**"),
        ] {
            assert_eq!(template(path), expected, "{path}");
        }
        assert_eq!(template(&format!("/t/{}", "x".repeat(41))), "/t/*");
    }
}
