use super::*;

/// What a body came to: its data, its trailers, and what of the input was left over.
type Outcome = Result<(Vec<u8>, Vec<(String, Vec<u8>)>, Vec<u8>), Fault>;

fn read_in(pieces: &[&[u8]]) -> Outcome {
    let mut reader = ChunkedReader::new();
    let mut body = Vec::new();
    for (nth, piece) in pieces.iter().enumerate() {
        let mut input = *piece;
        loop {
            match reader.step(input) {
                Ok(Step::Data { data, consumed }) => {
                    assert!(!data.is_empty());
                    body.extend_from_slice(data);
                    input = &input[consumed..];
                }
                Ok(Step::NeedMore { consumed }) => {
                    assert_eq!(consumed, input.len());
                    break;
                }
                Ok(Step::End { consumed, trailers }) => {
                    assert_eq!(reader.finish(), Ok(()));
                    let trailers = trailers.iter().map(|(n, v)| (n.to_owned(), v.to_vec()));
                    let rest = [&input[consumed..], &pieces[nth + 1..].concat()].concat();
                    return Ok((body, trailers.collect(), rest));
                }
                Err(fault) => {
                    assert_eq!(reader.step(b"0\r\n\r\n").err(), Some(fault));
                    assert_eq!(reader.finish(), Err(fault));
                    return Err(fault);
                }
            }
        }
    }
    reader.finish().map(|()| unreachable!("no end was reported"))
}

fn read(input: &[u8]) -> Outcome {
    read_in(&[input])
}

#[track_caller]
fn refused(input: &[u8], fault: Fault) {
    assert_eq!(read(input), Err(fault), "{}", input.escape_ascii());
}

#[track_caller]
fn accepted(input: &[u8], body: &[u8]) {
    assert_eq!(read(input).map(|read| read.0), Ok(body.to_vec()), "{}", input.escape_ascii());
}

#[test]
fn a_body_is_read_to_its_end_and_no_further() {
    let (body, trailers, rest) = read(b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1 \r\nx-b:\r\n\r\nGET /").unwrap();
    assert_eq!(body, b"abc0123456789");
    assert_eq!(trailers, [("X-Sum".into(), b"1".to_vec()), ("x-b".into(), vec![])]);
    assert_eq!(rest, b"GET /");
    accepted(b"0\r\n\r\n", b"");
}

#[test]
fn a_size_is_hexadecimal_digits_only() {
    accepted(b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789");
    accepted(b"000A\r\n0123456789\r\n000\r\n\r\n", b"0123456789");
    for input in [
        &b"\r\n"[..],
        b" 1\r\n",
        b"\t1\r\n",
        b"+1\r\n",
        b"-1\r\n",
        b"-0x0\r\n",
        b"0x1\r\n",
        b"0_2e\r\n",
        b"1 \r\n",
        b"1\t\r\n",
        b"g\r\n",
        b"Z\r\n",
        b"1\0\r\n",
        b"\xef\xbc\x91\r\n",
        b";a\r\n",
        b"1.0\r\n",
        b"INVALID!!!\r\n",
    ] {
        refused(input, Fault::BadChunkSize);
    }
}

#[test]
fn a_size_stays_below_two_to_the_63_and_has_at_most_16_digits() {
    refused(b"7fffffffffffffff\r\n", Fault::BodyTooShort);
    refused(b"8000000000000000\r\n", Fault::BadChunkSize);
    refused(b"ffffffffffffffff\r\n", Fault::BadChunkSize);
    accepted(b"0000000000000001\r\na\r\n0000000000000000\r\n\r\n", b"a");
    refused(b"00000000000000001\r\na\r\n0\r\n\r\n", Fault::ChunkTooLong);
    refused(b"00000000000000000\r\n\r\n", Fault::ChunkTooLong);
}

#[test]
fn every_extension_is_refused() {
    for input in [&b"1;a=b\r\n"[..], b"1;\r\n", b"0;a\r\n", b"5;\nx"] {
        refused(input, Fault::BadChunkExtension);
    }
    refused(b"1 ;a\r\n", Fault::BadChunkSize);
}

#[test]
fn lines_and_data_end_with_cr_lf_and_nothing_else() {
    refused(b"1\na\r\n", Fault::BareLf);
    refused(b"\n", Fault::BareLf);
    refused(b"1\ra\r\n", Fault::BareCr);
    refused(b"5\r\r;ABCD\r\n", Fault::BareCr);
    refused(b"1\r0\n", Fault::BareCr);
    for input in [&b"1\r\na\n0\r\n\r\n"[..], b"1\r\nab\r\n", b"1\r\na\r0", b"1\r\na0\r\n\r\n", b"1\r\na\r\r\n"] {
        refused(input, Fault::BadChunkEnd);
    }
    accepted(b"1\r\na\r\n0\r\n\r\n", b"a");
}

#[test]
fn a_malformed_trailer_section_is_refused() {
    for input in [
        &b"0\r\nX\r\n\r\n"[..],
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nX: y\r\n z\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: y\0\r\n\r\n",
        b"0\r\n\n",
        b"0\r\n\rX",
        b"0\r\n: y\r\n\r\n",
        b"0\r\nX:POST / HTTP/1.1\r\n\r\r\n",
    ] {
        refused(input, Fault::BadTrailer);
    }
    accepted(b"0\r\nX:y\r\n\r\n", b"");
}

#[test]
fn a_trailer_section_is_bounded() {
    let fields = |count| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
    accepted(fields(TRAILER_FIELDS_MAX).as_bytes(), b"");
    refused(fields(TRAILER_FIELDS_MAX + 1).as_bytes(), Fault::BadTrailer);
    let bytes = |len: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(len - 7));
    accepted(bytes(TRAILER_BYTES_MAX).as_bytes(), b"");
    refused(bytes(TRAILER_BYTES_MAX + 1).as_bytes(), Fault::BadTrailer);
    refused(&[b"0\r\nA: ", &[b'b'; TRAILER_BYTES_MAX][..]].concat(), Fault::BadTrailer);
}

#[test]
fn a_trailer_that_changes_how_the_message_is_read_is_refused() {
    for name in FORBIDDEN_TRAILERS {
        for name in [name.to_string(), name.to_lowercase(), name.to_uppercase()] {
            refused(format!("0\r\n{name}: x\r\n\r\n").as_bytes(), Fault::ForbiddenTrailer);
        }
        accepted(format!("0\r\n{name}x: x\r\n\r\n").as_bytes(), b"");
    }
    for name in ["ETag", "Server-Timing", "grpc-status", "Content-Digest"] {
        accepted(format!("0\r\n{name}: x\r\n\r\n").as_bytes(), b"");
    }
}

#[test]
fn arrival_in_any_three_pieces_or_byte_by_byte_gives_the_same_result() {
    let samples: &[&[u8]] = &[
        b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: 1\r\nY:\r\n\r\nGET /",
        b"0\r\n\r\n0\r\n\r\n",
        b"1\r\na\r\n0\r\nHost: x\r\n\r\n",
        b"1\r\na\n",
        b"1\r\na\r\n0\r\n\n",
        b"1;x\r\na",
        b"5\r\r;AB",
        b"0\r\nX: y\r\n z\r\n\r\n",
    ];
    for sample in samples {
        let whole = read(sample);
        let bytes: Vec<&[u8]> = sample.chunks(1).collect();
        assert_eq!(read_in(&bytes), whole);
        for one in 0..=sample.len() {
            for two in one..=sample.len() {
                let pieces = [&sample[..one], &sample[one..two], &sample[two..]];
                assert_eq!(read_in(&pieces), whole, "{} {one} {two}", sample.escape_ascii());
            }
        }
    }
}

#[test]
fn a_body_cut_short_is_too_short() {
    let whole = b"3\r\nabc\r\n0\r\nX: 1\r\n\r\n";
    for len in 0..whole.len() {
        assert_eq!(read(&whole[..len]), Err(Fault::BodyTooShort), "{len}");
    }
}

#[test]
fn behind_the_end_nothing_more_is_consumed() {
    let mut reader = ChunkedReader::new();
    assert!(matches!(reader.step(b"0\r\n\r\nGET"), Ok(Step::End { consumed: 5, .. })));
    assert!(matches!(reader.step(b"GET"), Ok(Step::End { consumed: 0, .. })));
}

#[test]
fn data_is_handed_over_without_a_copy() {
    let input = b"5\r\nhello\r\n";
    let mut reader = ChunkedReader::new();
    let Ok(Step::Data { data, consumed: 8 }) = reader.step(input) else {
        panic!("no data");
    };
    assert!(std::ptr::eq(data, &input[3..8]));
}

#[test]
fn chunk_heads_are_written_in_plain_hexadecimal() {
    for len in [1, 9, 10, 15, 16, 255, 256, 0xabcdef, usize::MAX] {
        let mut out = BytesMut::new();
        encode_chunk_head(&mut out, NonZeroUsize::new(len).unwrap());
        assert_eq!(out, format!("{len:x}\r\n").as_bytes());
    }
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read_back(chunks in proptest::collection::vec("[a-z\r\n0;]{1,40}", 0..6), at in 0..200usize) {
        let mut out = BytesMut::new();
        for chunk in &chunks {
            encode_chunk_head(&mut out, NonZeroUsize::new(chunk.len()).unwrap());
            out.extend_from_slice(chunk.as_bytes());
            out.extend_from_slice(CHUNK_DATA_END);
        }
        let trailers = Fields::read(Bytes::from_static(b"X-A: b c\r\nY:\r\n\r\n"), 0, 8).unwrap();
        encode_last_chunk(&mut out, &trailers);
        out.extend_from_slice(b"rest");
        let (front, back) = out.split_at(at.min(out.len()));
        let (body, read_trailers, rest) = read_in(&[front, back]).unwrap();
        proptest::prop_assert_eq!(body, chunks.concat().into_bytes());
        proptest::prop_assert_eq!(read_trailers, [("X-A".to_owned(), b"b c".to_vec()), ("Y".to_owned(), vec![])]);
        proptest::prop_assert_eq!(rest, b"rest");
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "0", "1", "5", "f", ";", "\r\n", "\r\n", "\r\n", "\r", "\n", "X: y", ":", " ", "ffffffff",
        ]), 0..30),
        at in 0..80usize,
    ) {
        let bytes = pieces.concat().into_bytes();
        let (front, back) = bytes.split_at(at.min(bytes.len()));
        proptest::prop_assert_eq!(read_in(&[front, back]), read(&bytes));
    }
}
