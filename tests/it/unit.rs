//! What systemd itself says of the unit that `init` writes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// 2.0, as `systemd-analyze` takes it.
const EXPOSURE_MAX: &str = "20";

fn unit(directory: &Path) -> PathBuf {
    let made = Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("init").arg(directory).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    directory.join("sekisho.service")
}

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    Command::new("systemd-analyze").args(arguments).arg(unit).env("SYSTEMD_PAGER", "").output().unwrap()
}

#[test]
fn systemd_finds_the_unit_tight_and_one_that_is_not_it_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let unit = unit(directory.path());
    let judge = |unit: &Path| analyze(&["security", "--offline=true", "--threshold", EXPOSURE_MAX], unit);
    let judged = judge(&unit);
    let said = String::from_utf8(judged.stdout).unwrap();
    let overall = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
    assert!(judged.status.success(), "{overall}\n{}", String::from_utf8_lossy(&judged.stderr));
    assert!(overall.contains("sekisho.service: "), "{said}");

    let text = std::fs::read_to_string(&unit).unwrap();
    let loose: Vec<_> = text.lines().filter(|line| !line.starts_with("SystemCallFilter=")).collect();
    let loose_unit = directory.path().join("loose.service");
    std::fs::write(&loose_unit, loose.join("\n")).unwrap();
    assert!(!judge(&loose_unit).status.success(), "a unit that filters no system call is not tight");
}

#[test]
fn systemd_understands_every_line_of_both_units() {
    let directory = tempfile::tempdir().unwrap();
    let unit = unit(directory.path());
    let socket = directory.path().join("sekisho.socket");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/sekisho.socket"), &socket).unwrap();
    for unit in [unit, socket] {
        let verified = analyze(&["verify", "--man=no"], &unit);
        let said = String::from_utf8(verified.stderr).unwrap();
        let of_ours: Vec<_> = said.lines().filter(|line| line.contains("sekisho")).collect();
        assert!(verified.status.success() && of_ours.is_empty(), "{said}");
    }
}

#[test]
fn the_unit_of_which_two_take_turns_in_an_upgrade_is_made_of_the_one_that_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(unit(directory.path())).unwrap();
    // As the README says.
    let turns = text.replace(" run --config", " run --take-over --config");
    assert_eq!(turns.matches(" run --take-over --config ").count(), 1, "{turns}");
    let template = directory.path().join("sekisho@.service");
    std::fs::write(&template, turns).unwrap();
    let verified = analyze(&["verify", "--man=no"], &template);
    let said = String::from_utf8(verified.stderr).unwrap();
    let of_ours: Vec<_> = said.lines().filter(|line| line.contains("sekisho")).collect();
    assert!(verified.status.success() && of_ours.is_empty(), "{said}");
}
