use super::*;

fn from() -> SocketAddr {
    "192.0.2.9:4711".parse().unwrap()
}

fn question() -> Question {
    Question::new([0x11; 8], 3, [0x22; 6])
}

const DATAGRAMS: [Form; 3] = [Form::Own, Form::Dns, Form::Quic];
const STREAMS: [Form; 4] = [Form::Own, Form::Http, Form::Dns, Form::Doh];

#[test]
fn a_datagram_is_answered_in_its_own_dress_and_never_by_more_than_was_asked() {
    let key = Key::of("word");
    for form in DATAGRAMS {
        let asked = form.as_datagram(&question(), &key);
        let heard = read_datagram(&asked, from(), &key).unwrap_or_else(|| panic!("{form:?}"));
        assert_eq!((heard.form, heard.question), (form, question()));
        assert!(heard.answer.len() <= asked.len(), "{form:?}: {} of {}", heard.answer.len(), asked.len());
        assert_eq!(proved(&question(), &heard.answer, &key), Some(from()), "{form:?}");
        assert_eq!(proved(&question(), &asked, &key), None, "{form:?}: its echo");
        assert_eq!(read_datagram(&asked, from(), &Key::of("")), None, "{form:?}: of who does not know the word");
        for end in 0..asked.len() {
            let cut = read_datagram(&asked[..end], from(), &key);
            assert!(cut.is_none_or(|heard| heard.answer.len() <= end), "{form:?} cut at {end}");
        }
        assert_eq!(read_datagram(&heard.answer, from(), &key), None, "{form:?}: no answer is a question");
    }
    assert_eq!(read_datagram(b"", from(), &key), None);
    assert_eq!(read_datagram(&[0xff; 1500], from(), &key), None);
}

#[test]
fn a_question_on_a_stream_is_read_however_it_is_split_and_answered_in_its_own_dress() {
    let key = Key::of("");
    for form in STREAMS {
        let asked = form.on_stream(&question(), &key, "192.0.2.7:443");
        assert!(asked.len() <= ASKED_BYTES_MAX);
        for end in 0..asked.len() {
            assert_eq!(read_stream(&asked[..end], from(), &key), Read::Part, "{form:?} at {end}");
        }
        let Read::Heard(heard) = read_stream(&asked, from(), &key) else { panic!("{form:?}") };
        assert_eq!((heard.form, heard.question), (form, question()));
        assert_eq!(proved(&question(), &heard.answer, &key), Some(from()), "{form:?}");
        assert_eq!(read_stream(&asked, from(), &Key::of("other")), Read::Stranger, "{form:?}");
    }
    for stranger in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x00\x00", b"\xff\xff", b"POST", &[b's'; 40], b"GET x\r\n\r\n"] {
        assert_eq!(read_stream(stranger, from(), &key), Read::Stranger, "{stranger:?}");
    }
}

#[test]
fn a_name_server_on_the_way_may_change_the_case_of_letters_and_what_follows_the_question() {
    let key = Key::of("");
    let mut asked = Form::Dns.as_datagram(&question(), &key);
    let name = DNS_HEADER_BYTES..DNS_HEADER_BYTES + 2 * (1 + QUESTION_BYTES);
    asked[name].make_ascii_uppercase();
    let heard = read_datagram(&asked, from(), &key).unwrap();
    assert_eq!(heard.question, question());
    // The name is asked back as it was written, and the answer is one record.
    assert_eq!(heard.answer[DNS_HEADER_BYTES..60], asked[DNS_HEADER_BYTES..60]);
    assert_eq!(heard.answer[..2], asked[..2]);
    assert_eq!(heard.answer[2..12], [0x85, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn the_first_packet_of_quic_is_long_enough_and_names_a_version_that_asks_for_negotiation() {
    let asked = Form::Quic.as_datagram(&question(), &Key::of(""));
    assert_eq!(asked.len(), 1200);
    assert!(asked[1..5].iter().all(|byte| byte & 0x0f == 0x0a), "RFC 9000 §15");
    let answer = read_datagram(&asked, from(), &Key::of("")).unwrap().answer;
    assert_eq!(answer[1..5], [0; 4], "a version negotiation");
    assert_eq!((&answer[5..26], &answer[26..47]), (&asked[26..47], &asked[5..26]), "its identifiers change places");
    assert_eq!((answer.len() - 47) % 4, 0);
}
