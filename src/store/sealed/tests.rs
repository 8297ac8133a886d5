use super::*;

fn lines(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("{number} {}", "x".repeat(number * 31 % 700)).into_bytes()).collect()
}

fn packed(lines: &[Vec<u8>]) -> Vec<u8> {
    let mut packer = Packer::new(Vec::new()).unwrap();
    for line in lines {
        packer.line(line).unwrap();
    }
    packer.finish().unwrap()
}

fn opened(content: &[u8]) -> (tempfile::TempDir, io::Result<SegmentFile>) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.jsonl.zst"), content).unwrap();
    let file = SegmentFile::open(&directory.path().join("a.jsonl"));
    (directory, file)
}

fn plain(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
}

#[test]
fn what_was_packed_is_read_back_from_any_byte_on() {
    let lines = lines(30_000);
    let plain = plain(&lines);
    assert!(plain.len() > 4 * FRAME_BYTES, "it has several frames");
    let (_directory, file) = opened(&packed(&lines));
    let mut file = file.unwrap();
    assert_eq!(file.plain_bytes().unwrap(), plain.len() as u64);
    for begin in
        [0, 1, 700, FRAME_BYTES, FRAME_BYTES + 500, 3 * FRAME_BYTES - 1, plain.len() - 1, plain.len(), plain.len() + 9]
    {
        file.go_to(begin as u64).unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == plain[begin.min(plain.len())..], "from {begin}");
    }
}

#[test]
fn any_program_that_unpacks_zstandard_reads_it() {
    let lines = lines(3_000);
    assert!(zstd::decode_all(&packed(&lines)[..]).unwrap() == plain(&lines));
}

#[test]
fn a_damaged_frame_is_said_once_and_what_is_behind_it_is_read() {
    let lines = lines(30_000);
    let mut content = packed(&lines);
    content[40] ^= 0x55;
    let (_directory, file) = opened(&content);
    let mut file = file.unwrap();
    let mut read = Vec::new();
    assert_eq!(file.read_to_end(&mut read).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(read.is_empty());
    file.read_to_end(&mut read).unwrap();
    let plain = plain(&lines);
    assert!(read.len() < plain.len() && plain.ends_with(&read) && read.len() > 2 * FRAME_BYTES);
}

#[test]
fn what_has_no_whole_table_is_refused() {
    let whole = packed(&lines(2_000));
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut content = whole.clone();
        change(&mut content);
        opened(&content).1.map(drop).map_err(|error| error.kind())
    };
    assert_eq!(with(&|_| ()), Ok(()));
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let changes: [Change<'_>; 6] = [
        &|content| content.truncate(content.len() - 1),
        &|content| content.clear(),
        // More frames than there is table for.
        &|content| {
            let at = content.len() - 7;
            content[at] = 0xff;
        },
        // A frame that is longer than any is.
        &|content| {
            let at = content.len() - 9 - 1;
            content[at] = 0x7f;
        },
        // Frames that are longer together than the file.
        &|content| {
            content.drain(..100);
        },
        &|content| {
            let at = content.len() - 5;
            content[at] = 1;
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_eq!(with(change), Err(io::ErrorKind::InvalidData), "{number}");
    }
}
