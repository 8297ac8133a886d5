//! What must hold for any bytes at all. Fuzz targets call this and so do tests; nothing else does.

use std::net::SocketAddr;

use super::form::{self, ASKED_BYTES_MAX, Read};
use super::ping;
use super::question::{Key, Question};

/// Any bytes as what a stranger sends to a responder, and as what comes back to a probe. Panics when one of these does
/// not hold.
///
/// A datagram is never answered by more than it. What is answered proves itself to who asked and to nobody else. What
/// is a whole question on a stream stays one whatever comes behind it.
pub fn question(bytes: &[u8]) {
    let (key, other) = (Key::of(""), Key::of("other"));
    let from = SocketAddr::from(([192, 0, 2, 9], 4711));
    if let Some(heard) = form::read_datagram(bytes, from, &key) {
        assert!(heard.answer.len() <= bytes.len());
        assert_eq!(form::proved(&heard.question, &heard.answer, &key), Some(from));
        assert_eq!(form::proved(&heard.question, &heard.answer, &other), None);
        assert_eq!(form::proved(&heard.question, bytes, &key), None, "an echo");
    }
    if let Read::Heard(heard) = form::read_stream(bytes, from, &key) {
        assert!(heard.answer.len() <= ASKED_BYTES_MAX);
        assert_eq!(form::proved(&heard.question, &heard.answer, &key), Some(from));
        let behind = [bytes, b"more"].concat();
        assert!(matches!(form::read_stream(&behind, from, &key), Read::Heard(again) if again == heard));
    }
    for at in ping::ANY {
        for is_answer in [false, true] {
            let echo = ping::read(bytes, at, is_answer);
            assert!(echo.is_none_or(|echo| echo.content.len() + 8 <= bytes.len()));
        }
    }
    assert_eq!(form::proved(&Question::new([0x5e; 8], 1, [0x15; 6]), bytes, &other), None, "nobody was asked");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::form::Form;
    use super::*;

    const FORMS: [Form; 5] = [Form::Own, Form::Http, Form::Dns, Form::Doh, Form::Quic];

    fn asked(form: Form, is_datagram: bool) -> Vec<u8> {
        let (question, key) = (Question::new([1; 8], 2, [3; 6]), Key::of(""));
        if is_datagram { form.as_datagram(&question, &key) } else { form.on_stream(&question, &key, "192.0.2.7:80") }
    }

    /// So that what a fuzzer once found is tried without one.
    #[test]
    fn the_property_holds_for_every_seed_and_what_is_near_it() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/probe_question");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::create_dir_all(&directory).unwrap();
            for form in FORMS {
                for (kind, is_datagram) in [("datagram", true), ("stream", false)] {
                    fs::write(directory.join(format!("{}_{kind}", form.as_str())), asked(form, is_datagram)).unwrap();
                }
            }
        }
        let seeds: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
        assert!(seeds.len() >= 10);
        for seed in seeds {
            question(&seed);
            // What is behind the question, and padding, is as good as the rest.
            for at in 0..seed.len().min(400) {
                question(&seed[..at]);
                let mut altered = seed.clone();
                altered[at] ^= 0xff;
                question(&altered);
            }
        }
    }

    proptest! {
        #[test]
        fn the_property_holds_for_questions_that_are_cut_altered_or_go_on(
            form in prop::sample::select(FORMS.to_vec()),
            is_datagram in any::<bool>(),
            cut in 0_usize..300,
            at in 0_usize..300,
            put in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = asked(form, is_datagram);
            bytes.truncate(bytes.len().saturating_sub(cut));
            let at = at.min(bytes.len());
            bytes.splice(at..at, put);
            question(&bytes);
        }
    }
}
