use crate::evidence::{Admin, Retention, RetentionAction, Segment, line_members};
use crate::store::{CheckpointBreak, Follower, OpenError, Reader, VerifyBy, read_checkpoints, verify};

use super::super::sealed::on_disk;
use super::super::segment::name;
use super::*;

const HOUR: u64 = 3_600_000_000;
const NOW: Timestamp = Timestamp(500_100 * HOUR);

/// A journal of segments with so many records each, as the gate writes them, and its sealer.
struct Site {
    data_dir: tempfile::TempDir,
    sealer: Sealer,
}

fn journal(directory: &Path, segments: u64, records: u64, word: &str) {
    let mut chain = Chain::start();
    for segment in 0..segments {
        let time = Timestamp((500_000 + segment) * HOUR);
        let path = directory.join(name(chain.seq + 1, time));
        let mut text = Vec::new();
        let opening = Record::Segment(Segment { prev: chain.hash_hex() });
        chain.append(&opening.encode(time), &mut text);
        for number in 1..records {
            let detail = format!("{word} {segment} {number}");
            let record = match word.strip_prefix("gone ") {
                Some(records) if (segment, number) == (3, 7) => gone(records),
                _ => Record::Admin(Admin { action: "test", detail: Some(detail.as_str().into()) }),
            };
            chain.append(&record.encode(time), &mut text);
        }
        fs::write(path, text).unwrap();
    }
}

/// That these records have gone, such as `1-50 101-150`.
fn gone(records: &str) -> Record {
    let stretch =
        |text: &str| text.split_once('-').map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap()));
    Record::Retention(Retention {
        action: RetentionAction::Announced,
        keep_days: Some(1),
        keep_gib: None,
        segments: 1,
        bytes: 1,
        held: 0,
        days: Vec::new(),
        records: records.split(' ').map(|text| stretch(text).unwrap()).collect(),
    })
}

impl Site {
    /// Of which the fourth segment says that records have gone; all but the last are sealed.
    fn saying(segments: u64, records: &str) -> Self {
        let site = Self::new(0);
        journal(&site.journal(), segments, 50, &format!("gone {records}"));
        site.seal();
        site
    }

    /// Takes segments away by their places, and leaves their checkpoints.
    fn retire(&self, places: &[usize]) {
        let segments = list(&self.journal()).unwrap();
        let goes: Vec<_> = places.iter().map(|place| segments[*place].clone()).collect();
        crate::store::remove_segments(self.data_dir.path(), &goes).unwrap();
    }

    fn new(segments: u64) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        fs::create_dir(data_dir.path().join("journal")).unwrap();
        journal(&data_dir.path().join("journal"), segments, 50, "first");
        let sealer = Sealer::new(data_dir.path(), "g").unwrap();
        Self { data_dir, sealer }
    }

    /// With all sealed that has ended.
    fn sealed(segments: u64) -> Self {
        let site = Self::new(segments);
        site.seal();
        site
    }

    fn seal(&self) {
        for segment in self.sealer.due().unwrap() {
            assert!(matches!(self.sealer.seal(&segment, NOW, || true).unwrap(), Sealed::Done(_)));
        }
    }

    fn journal(&self) -> PathBuf {
        self.data_dir.path().join("journal")
    }

    fn files(&self, ending: &str) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.journal())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_str().unwrap().ends_with(ending))
            .collect();
        files.sort();
        files
    }

    fn by(&self) -> VerifyBy {
        VerifyBy { key: Some(self.sealer.key().clone()), ..VerifyBy::default() }
    }

    fn verify(&self, by: &VerifyBy) -> Result<crate::store::VerifyReport, OpenError> {
        verify(self.data_dir.path(), by)
    }

    fn broken(&self, by: &VerifyBy) -> String {
        self.verify(by).unwrap_err().to_string()
    }

    fn lines(&self) -> Vec<u8> {
        let mut reader = Reader::open(self.data_dir.path(), None).unwrap();
        let (mut block, mut all) = (Vec::new(), Vec::new());
        while reader.next(&mut block).unwrap() {
            all.extend_from_slice(&block);
        }
        assert_eq!(reader.damaged(), []);
        all
    }
}

/// Whoever holds the machine holds the key.
fn resign(site: &Site, sealer: &Sealer) {
    for checkpoint in site.files(".checkpoint") {
        fs::remove_file(checkpoint).unwrap();
    }
    for segment in list(&site.journal()).unwrap() {
        if !segment.exists() {
            sealer.seal(&segment, NOW, || true).unwrap();
        }
    }
}

#[test]
fn all_that_has_ended_is_sealed_and_reads_as_it_did() {
    let site = Site::new(4);
    let before = site.lines();
    site.seal();
    assert_eq!((site.files(".jsonl").len(), site.files(".zst").len(), site.files(".checkpoint").len()), (1, 3, 3));
    assert!(site.lines() == before);
    let report = site.verify(&site.by()).unwrap();
    assert_eq!((report.segments, report.sealed, report.records, report.vouched_to), (4, 3, 200, 150));
    assert!(site.sealer.due().unwrap().is_empty());
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(&site.data_dir.path().join(KEY_FILE)), 0o600);
    assert_eq!(mode(&site.files(".zst")[0]), 0o600);
    let again = Sealer::new(site.data_dir.path(), "g").unwrap();
    assert_eq!(again.key(), site.sealer.key(), "the key is made once");
    assert_eq!(checkpoint_key(site.data_dir.path()).unwrap().as_ref(), Some(site.sealer.key()));
}

#[test]
fn who_follows_goes_on_in_a_segment_that_is_sealed_meanwhile() {
    let site = Site::new(3);
    let all = site.lines();
    let mut follower = Follower::new(site.data_dir.path(), Timestamp(0));
    let (mut block, mut read) = (Vec::new(), Vec::new());
    assert!(follower.next(&mut block).unwrap());
    read.extend_from_slice(&block);
    let place = follower.place().unwrap();
    site.seal();
    let mut resumed = Follower::resume(site.data_dir.path(), place).unwrap().expect("its place is there");
    while resumed.next(&mut block).unwrap() {
        read.extend_from_slice(&block);
    }
    assert!(read == all);
}

#[test]
fn whatever_a_crash_left_is_done_again() {
    let whole = Site::sealed(2);
    let segment = list(&whole.journal()).unwrap().remove(0);
    let (packed, checkpoint) = (sealed_path(&segment), checkpoint_path(&segment));
    let plain = Site::new(2);
    let original = fs::read(list(&plain.journal()).unwrap().remove(0)).unwrap();
    // Before the packed file had its name; before the checkpoint; before the segment was taken away.
    for (has_packed, has_checkpoint) in [(false, false), (true, false), (true, true)] {
        fs::write(&segment, &original).unwrap();
        fs::write(packed.with_extension("zst.part"), "half of it").unwrap();
        if !has_packed {
            fs::remove_file(&packed).unwrap();
        }
        if !has_checkpoint {
            fs::remove_file(&checkpoint).unwrap();
        }
        assert!(whole.verify(&whole.by()).is_ok(), "{has_packed}");
        whole.seal();
        assert!(packed.exists() && checkpoint.exists() && !segment.exists());
        assert_eq!(whole.verify(&whole.by()).unwrap().vouched_to, 50);
        assert!(whole.files(".part").is_empty());
    }
    // The segment is gone, and its checkpoint was never written.
    fs::remove_file(&checkpoint).unwrap();
    whole.seal();
    assert_eq!(whole.verify(&whole.by()).unwrap().vouched_to, 50);
}

#[test]
fn what_is_put_beside_a_sealed_segment_is_not_signed_and_the_same_one_keeps_its_checkpoint() {
    let site = Site::new(3);
    let segment = list(&site.journal()).unwrap().remove(0);
    let original = fs::read(&segment).unwrap();
    site.seal();
    let signed = fs::read(checkpoint_path(&segment)).unwrap();
    let packed = fs::read(sealed_path(&segment)).unwrap();
    // Left by a crash: a later time signs nothing anew.
    fs::write(&segment, &original).unwrap();
    assert_eq!(site.sealer.due().unwrap(), std::slice::from_ref(&segment));
    assert!(matches!(site.sealer.seal(&segment, Timestamp(NOW.0 + HOUR), || true), Ok(Sealed::Done(_))));
    assert_eq!(fs::read(checkpoint_path(&segment)).unwrap(), signed);
    // Whoever can write there, and has no key: what they wrote verifies by itself.
    let other =
        Site { data_dir: tempfile::tempdir().unwrap(), sealer: Sealer::new(site.data_dir.path(), "g").unwrap() };
    fs::create_dir(other.journal()).unwrap();
    journal(&other.journal(), 3, 50, "other");
    fs::copy(list(&other.journal()).unwrap().remove(0), &segment).unwrap();
    let refused = site.sealer.seal(&segment, NOW, || true).unwrap();
    assert!(matches!(&refused, Sealed::Refused { why, .. } if why.contains("after it was sealed")), "{refused:?}");
    assert!(
        fs::read(checkpoint_path(&segment)).unwrap() == signed && fs::read(sealed_path(&segment)).unwrap() == packed
    );
    assert!(site.files(".part").is_empty() && site.broken(&site.by()).contains("altered after it was sealed"));
}

#[test]
fn one_that_does_not_verify_or_is_broken_off_stays_as_it_is() {
    let site = Site::new(3);
    let segments = list(&site.journal()).unwrap();
    assert!(matches!(site.sealer.seal(&segments[0], NOW, || false), Err(SealError::BrokenOff)));
    let altered = fs::read_to_string(&segments[1]).unwrap().replace("first 1 7", "other 1 7");
    fs::write(&segments[1], altered).unwrap();
    let refused = site.sealer.seal(&segments[1], NOW, || true).unwrap();
    assert!(matches!(&refused, Sealed::Refused { why, .. } if why.contains("altered")), "{refused:?}");
    assert!(segments.iter().all(|segment| segment.exists()) && site.files(".part").is_empty());
    assert!(site.files(".zst").is_empty() && site.files(".checkpoint").is_empty());
}

/// Somebody who knows the form writes a sealed segment, and all behind it, anew: the chain fits.
fn rewritten(site: &Site) {
    let sealed: Vec<_> = list(&site.journal()).unwrap().into_iter().map(|segment| segment.exists()).collect();
    for file in site.files("") {
        if file.extension().is_some_and(|ending| ending == "jsonl" || ending == "zst") {
            fs::remove_file(file).unwrap();
        }
    }
    journal(&site.journal(), sealed.len() as u64, 50, "other");
    for (segment, was_plain) in list(&site.journal()).unwrap().iter().zip(sealed) {
        if was_plain {
            continue;
        }
        let mut packer = Packer::new(Vec::new()).unwrap();
        fs::read(segment).unwrap().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| {
            packer.line(line).unwrap();
        });
        fs::write(sealed_path(segment), packer.finish().unwrap()).unwrap();
        fs::remove_file(segment).unwrap();
    }
}

#[test]
fn history_that_was_hashed_again_does_not_fit_its_checkpoints() {
    let site = Site::sealed(4);
    rewritten(&site);
    let said = site.broken(&site.by());
    assert!(said.contains("altered after it was sealed") && said.contains("00000000000001-"), "{said}");
}

/// The members of each record, by segments.
type History = Vec<Vec<Vec<u8>>>;

/// Somebody who knows the form changes something, numbers and hashes all of it anew, names the files by it, and packs what was
/// packed: as a journal alone, all fits.
fn forge(site: &Site, change: impl FnOnce(&mut History)) {
    let old = list(&site.journal()).unwrap();
    let was_plain: Vec<_> = old.iter().map(|segment| segment.exists()).collect();
    let mut history: History = Vec::new();
    for line in site.lines().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let members = line_members(line).unwrap().to_vec();
        if members.windows(16).any(|part| part == b"\"kind\":\"segment\"") {
            history.push(Vec::new());
        }
        history.last_mut().unwrap().push(members);
    }
    assert_eq!(history.len(), old.len());
    change(&mut history);
    for segment in &old {
        fs::remove_file(on_disk(segment)).unwrap();
    }
    let mut chain = Chain::start();
    for (place, records) in history.iter().enumerate() {
        let time = Timestamp((500_000 + place as u64) * HOUR);
        let segment = site.journal().join(name(chain.seq + 1, time));
        let mut text = Vec::new();
        for (number, members) in records.iter().enumerate() {
            let opening = Record::Segment(Segment { prev: chain.hash_hex() });
            chain.append(if number == 0 { opening.encode(time) } else { members.clone() }.as_slice(), &mut text);
        }
        if was_plain.get(place).copied().unwrap_or(true) {
            fs::write(segment, text).unwrap();
            continue;
        }
        let mut packer = Packer::new(Vec::new()).unwrap();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            packer.line(line).unwrap();
        }
        fs::write(sealed_path(&segment), packer.finish().unwrap()).unwrap();
    }
}

/// What is done to a history, and how that is called.
type Tampering = (&'static str, fn(&mut History));

const TAMPERINGS: [Tampering; 10] = [
    ("a record altered", |history| history[1][20] = history[1][21].clone()),
    ("the first record altered", |history| history[0][1] = history[0][2].clone()),
    ("the last sealed record altered", |history| *history[2].last_mut().unwrap() = history[2][1].clone()),
    ("a record removed", |history| drop(history[1].remove(20))),
    ("the last record of a segment removed", |history| drop(history[1].pop())),
    ("two records swapped", |history| history[1].swap(20, 30)),
    ("a record moved to another segment", |history| {
        let moved = history[0].remove(20);
        history[2].insert(20, moved);
    }),
    ("a record put in", |history| {
        let more = history[1][20].clone();
        history[1].insert(5, more);
    }),
    ("a segment removed", |history| drop(history.remove(1))),
    ("two segments swapped", |history| history.swap(0, 1)),
];

#[test]
fn each_kind_of_tampering_by_who_knows_the_form_and_hashes_again_is_found() {
    for (what, change) in TAMPERINGS {
        let site = Site::sealed(4);
        forge(&site, change);
        // Where nothing is sealed nothing is wrong with it: it is the checkpoints that tell.
        let plain = Site::new(4);
        forge(&plain, change);
        assert!(plain.verify(&VerifyBy::default()).is_ok(), "{what}: {:?}", plain.verify(&VerifyBy::default()));
        assert!(site.verify(&site.by()).is_err(), "{what}");
        assert!(site.verify(&VerifyBy::default()).is_err(), "{what}, also by who has not the key");
        // Whoever holds the machine can sign anew; a checkpoint that was sent off it tells all the same.
        let other = Site::sealed(4);
        let away = tempfile::tempdir().unwrap();
        for checkpoint in other.files(".checkpoint") {
            fs::copy(&checkpoint, away.path().join(checkpoint.file_name().unwrap())).unwrap();
        }
        let by = VerifyBy { elsewhere: read_checkpoints(away.path()).unwrap(), ..other.by() };
        forge(&other, change);
        resign(&other, &other.sealer);
        assert!(other.verify(&other.by()).is_ok(), "{what}: {:?}", other.verify(&other.by()));
        assert!(other.verify(&by).is_err(), "{what}, signed anew");
    }
    let site = Site::sealed(4);
    forge(&site, |_| {});
    assert!(site.verify(&site.by()).is_ok(), "what is as it was fits: {:?}", site.verify(&site.by()));
}

#[test]
fn history_that_was_signed_again_with_another_key_is_found_by_the_key() {
    let site = Site::sealed(4);
    let by = site.by();
    rewritten(&site);
    fs::remove_file(site.data_dir.path().join(KEY_FILE)).unwrap();
    let other = Sealer::new(site.data_dir.path(), "g").unwrap();
    resign(&site, &other);
    assert!(
        site.verify(&VerifyBy { key: checkpoint_key(site.data_dir.path()).unwrap(), ..VerifyBy::default() }).is_ok()
    );
    assert!(site.broken(&by).contains("signed with another key"), "{}", site.broken(&by));
}

#[test]
fn history_that_was_signed_again_with_the_gates_own_key_is_found_by_what_was_sent_away_alone() {
    let site = Site::sealed(4);
    let away = tempfile::tempdir().unwrap();
    for checkpoint in site.files(".checkpoint") {
        fs::copy(&checkpoint, away.path().join(checkpoint.file_name().unwrap())).unwrap();
    }
    let by = VerifyBy { elsewhere: read_checkpoints(away.path()).unwrap(), ..site.by() };
    assert_eq!(site.verify(&by).unwrap().elsewhere, 3);
    rewritten(&site);
    resign(&site, &site.sealer);
    assert!(site.verify(&site.by()).is_ok(), "who holds the machine holds the key");
    let said = site.broken(&by);
    assert!(said.contains("sent off the machine is another"), "{said}");
}

#[test]
fn an_end_that_was_cut_off_is_found_by_what_was_sent_away() {
    let site = Site::sealed(4);
    let by = VerifyBy { elsewhere: checkpoint_lines(site.data_dir.path()).unwrap(), ..site.by() };
    let segments = list(&site.journal()).unwrap();
    fs::remove_file(&segments[3]).unwrap();
    fs::remove_file(sealed_path(&segments[2])).unwrap();
    fs::remove_file(checkpoint_path(&segments[2])).unwrap();
    assert!(site.verify(&site.by()).is_ok());
    assert!(site.broken(&by).contains("records 101 to 150, has no segment here"), "{}", site.broken(&by));
}

#[test]
fn what_is_missing_or_moved_is_named() {
    let said = |change: &dyn Fn(&Site, &[PathBuf])| {
        let site = Site::sealed(5);
        change(&site, &list(&site.journal()).unwrap());
        site.broken(&site.by())
    };
    let gone = |path: PathBuf| fs::remove_file(path).unwrap();
    let segment = said(&|_, segments| gone(sealed_path(&segments[1])));
    assert!(segment.contains("records 51 to 100") && segment.contains("missing"), "{segment}");
    let checkpoint = said(&|_, segments| gone(checkpoint_path(&segments[1])));
    assert!(checkpoint.contains("its checkpoint is missing"), "{checkpoint}");
    let both = said(&|_, segments| {
        gone(sealed_path(&segments[1]));
        gone(checkpoint_path(&segments[1]));
    });
    assert!(both.contains("records 51 to 100 are missing") || both.contains("does not name the one before"), "{both}");
    let swapped = said(&|site, segments| {
        let (first, second) = (sealed_path(&segments[1]), sealed_path(&segments[2]));
        let aside = site.journal().join("aside");
        fs::rename(&first, &aside).unwrap();
        fs::rename(&second, &first).unwrap();
        fs::rename(&aside, &second).unwrap();
    });
    assert!(swapped.contains("records 51 to 100 are missing"), "{swapped}");
    let damaged = said(&|_, segments| {
        let mut content = fs::read(sealed_path(&segments[2])).unwrap();
        content[60] ^= 1;
        fs::write(sealed_path(&segments[2]), content).unwrap();
    });
    assert!(damaged.contains(".zst") && damaged.contains("after record 100"), "{damaged}");
    let torn = said(&|_, segments| {
        let text = fs::read_to_string(checkpoint_path(&segments[0])).unwrap();
        fs::write(checkpoint_path(&segments[0]), text.replace("\"bytes\":", "\"bytes\":1")).unwrap();
    });
    assert!(torn.contains("signature does not fit"), "{torn}");
}

#[test]
fn segments_that_were_moved_away_are_not_missed_from_the_record_behind_them_on() {
    let site = Site::sealed(5);
    let segments = list(&site.journal()).unwrap();
    for segment in &segments[..2] {
        fs::remove_file(sealed_path(segment)).unwrap();
    }
    let by = VerifyBy { from: 101, ..site.by() };
    assert_eq!(site.verify(&by).unwrap().vouched_to, 200, "their checkpoints may have stayed");
    for segment in &segments[..2] {
        fs::remove_file(checkpoint_path(segment)).unwrap();
    }
    assert_eq!(site.verify(&by).unwrap().records, 150);
    assert!(matches!(
        site.verify(&site.by()),
        Err(OpenError::Broken { .. } | OpenError::Checkpoint { source: CheckpointBreak::Order, .. })
    ));
}

#[test]
fn a_reader_passes_over_what_is_damaged_and_names_it() {
    let site = Site::sealed(3);
    let segments = list(&site.journal()).unwrap();
    let mut content = fs::read(sealed_path(&segments[1])).unwrap();
    content[60] ^= 1;
    fs::write(sealed_path(&segments[1]), content).unwrap();
    fs::write(sealed_path(&segments[0]), "no segment").unwrap();
    let mut reader = Reader::open(site.data_dir.path(), None).unwrap();
    let (mut block, mut lines) = (Vec::new(), 0);
    while reader.next(&mut block).unwrap() {
        lines += block.iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(lines, 50, "the newest is whole");
    let damaged: Vec<_> = reader.damaged().iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(damaged, segments[..2]);
}

#[test]
fn a_gate_that_starts_behind_a_sealed_segment_goes_on_from_its_end() {
    let site = Site::sealed(3);
    fs::remove_file(list(&site.journal()).unwrap().pop().unwrap()).unwrap();
    let found = super::super::segment::recover(&site.journal()).unwrap();
    assert_eq!((found.chain.seq, found.torn_bytes), (100, 0));
    let last = sealed_path(&list(&site.journal()).unwrap()[1]);
    fs::write(&last, "no segment").unwrap();
    assert!(super::super::segment::recover(&site.journal()).is_err());
}

#[test]
fn days_that_went_are_not_missed_where_a_record_under_a_checkpoint_says_so() {
    let site = Site::saying(6, "1-50 101-150");
    let whole = site.verify(&site.by()).unwrap();
    let elsewhere = crate::store::checkpoint_lines(site.data_dir.path()).unwrap();
    site.retire(&[0, 2]);
    let by = VerifyBy { elsewhere, ..site.by() };
    let report = site.verify(&by).unwrap();
    assert_eq!((report.records, report.dropped, report.segments, report.elsewhere), (200, 100, 4, 5));
    assert_eq!((report.hash, report.vouched_to), (whole.hash, 250));
    let report = site.verify(&VerifyBy { from: 51, ..site.by() }).unwrap();
    assert_eq!((report.records, report.dropped), (200, 50));
    let kept = crate::store::kept_segments(site.data_dir.path()).unwrap();
    let seen: Vec<_> = kept.iter().map(|(_, kept)| (kept.first_seq, kept.last_seq, kept.is_sealed)).collect();
    assert_eq!(seen, [(51, 100, true), (151, 200, true), (201, 250, true), (251, 251, false)]);
    // A gate that starts goes on behind it, and who reads passes over it.
    assert_eq!(site.lines().split(|byte| *byte == b'\n').count(), 201);
    assert!(site.sealer.due().unwrap().is_empty());
    // And where what is in front of a gap was moved away, from the gap on or from a record within it.
    site.retire(&[0]);
    for (from, dropped) in [(101, 50), (120, 31), (151, 0)] {
        assert_eq!(site.verify(&VerifyBy { from, ..site.by() }).unwrap().dropped, dropped, "{from}");
    }
    assert!(site.broken(&site.by()).contains("records 51 to 100"));
}

#[test]
fn a_gap_that_no_vouched_record_excuses_is_named() {
    let missing = |first: u64, last: u64| format!("vouches for a segment that is missing: records {first} to {last}");
    // It says less than is missing.
    let site = Site::saying(6, "1-49 101-150");
    site.retire(&[0]);
    assert!(site.broken(&site.by()).contains(&missing(1, 50)), "{}", site.broken(&site.by()));
    // It says so where no checkpoint vouches yet: anybody who writes to the file could have.
    let site = Site::saying(4, "1-50");
    site.retire(&[0]);
    assert!(site.broken(&site.by()).contains(&missing(1, 50)));
    // A later record takes its word back.
    let site = Site::saying(6, "1-50 101-150");
    let newest = list(&site.journal()).unwrap().pop().unwrap();
    let mut chain =
        Verifier::new(before_segment(fs::read(&newest).unwrap().split(|byte| *byte == b'\n').next().unwrap()).unwrap());
    let text = fs::read_to_string(&newest).unwrap();
    text.lines().for_each(|line| chain.line(line.as_bytes()).unwrap());
    let (mut chain, mut text) = (chain.chain(), text.into_bytes());
    chain.append(&gone("101-150").encode(NOW), &mut text);
    fs::write(&newest, text).unwrap();
    let mut opening = Vec::new();
    let begins = Record::Segment(Segment { prev: chain.hash_hex() });
    let next = site.journal().join(name(chain.seq + 1, Timestamp(500_006 * HOUR)));
    chain.append(&begins.encode(NOW), &mut opening);
    fs::write(next, opening).unwrap();
    site.seal();
    site.retire(&[0]);
    assert!(site.broken(&site.by()).contains(&missing(1, 50)));
    // A checkpoint that was altered bridges nothing.
    let site = Site::saying(6, "1-50 101-150");
    site.retire(&[2]);
    let checkpoint = &site.files(".checkpoint")[2];
    let text = fs::read_to_string(checkpoint).unwrap().replace("\"last_seq\":150", "\"last_seq\":149");
    fs::write(checkpoint, text).unwrap();
    assert!(site.broken(&site.by()).contains("signature"), "{}", site.broken(&site.by()));
}
