//! `verify` beside a gate that goes on writing and sealing.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use nix::sys::stat::Mode;
use sekisho::store::{OpenError, Sealer, VerifyReport, verify};

use crate::retention::journal_in;

/// A journal whose first segment is sealed while `verify` reads it. A FIFO stands for it meanwhile: it can be opened for
/// writing only once somebody reads, which is after what is there was listed.
fn verified_while_sealed(with_checkpoint: bool) -> Result<VerifyReport, OpenError> {
    let data_dir = tempfile::tempdir().unwrap();
    journal_in(data_dir.path(), &[(2, "10.1.0.2")], 20);
    let sealer = Sealer::new(data_dir.path(), "sekisho").unwrap();
    let segment = sealer.due().unwrap().remove(0);
    let text = fs::read(&segment).unwrap();
    let done = sealer.seal(&segment, sekisho::clock::now(), || true).unwrap();
    assert!(matches!(done, sekisho::store::Sealed::Done(_)), "{done:?}");
    let sealed: Vec<(PathBuf, Vec<u8>)> = [segment.with_extension("jsonl.zst"), segment.with_extension("checkpoint")]
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            (path, bytes)
        })
        .collect();
    nix::unistd::mkfifo(&segment, Mode::S_IRWXU).unwrap();

    let directory = data_dir.path().to_owned();
    let verifying = std::thread::spawn(move || verify(&directory, &Default::default()));
    let mut fifo = fs::File::options().write(true).open(&segment).unwrap();
    fifo.write_all(&text).unwrap();
    for (path, bytes) in sealed.iter().take(if with_checkpoint { 2 } else { 1 }) {
        fs::write(path, bytes).unwrap();
    }
    fs::remove_file(&segment).unwrap();
    drop(fifo);
    verifying.join().unwrap()
}

#[test]
fn a_segment_that_is_sealed_while_it_is_read_lacks_nothing() {
    let report = verified_while_sealed(true).unwrap();
    assert_eq!((report.segments, report.records), (2, 40));
}

#[test]
fn a_sealed_segment_without_a_checkpoint_is_told_of_whenever_it_was_sealed() {
    let error = verified_while_sealed(false).unwrap_err().to_string();
    assert!(error.contains("its checkpoint is missing"), "{error}");
}
