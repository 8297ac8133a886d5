//! What the Debian package has beside the program is made of what the program itself writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SEKISHO: &str = env!("CARGO_BIN_EXE_sekisho");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("made");
    let made = Command::new("bash").arg(root().join("packaging/build")).arg("files").arg(&to).arg(SEKISHO).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    directory
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_unit_of_the_package_is_that_of_init_with_other_places() {
    let (made, written) = (files(), tempfile::tempdir().unwrap());
    let directory = written.path().canonicalize().unwrap();
    assert!(Command::new(SEKISHO).arg("init").arg(&directory).output().unwrap().status.success());
    let unit = read(directory.join("sekisho.service"));
    let program = fs::canonicalize(SEKISHO).unwrap();
    let unit = unit
        .replace(directory.join("sekisho.service").to_str().unwrap(), "sekisho.service")
        .replace(program.to_str().unwrap(), "/usr/bin/sekisho")
        .replace(directory.to_str().unwrap(), "/etc/sekisho");
    assert_eq!(read(made.path().join("made/sekisho.service")), unit);
    assert!(unit.contains("\nExecStart=/usr/bin/sekisho run --config /etc/sekisho/sekisho.toml\n"), "{unit}");
}

#[test]
fn the_socket_of_the_package_is_what_its_config_listens_on() {
    let made = files();
    let socket = read(made.path().join("made/sekisho.socket"));
    let streams: Vec<_> = socket.lines().filter_map(|line| line.strip_prefix("ListenStream=")).collect();
    let listen =
        sekisho::config::Config::read("c.toml", &read(root().join("src/cli/templates/sekisho.toml"))).unwrap().listen;
    assert_eq!(streams, listen.iter().map(ToString::to_string).collect::<Vec<_>>());
}

#[test]
fn every_file_that_the_package_names_is_there_or_is_made() {
    let made = files();
    let manifest = read(root().join("Cargo.toml"));
    let assets = manifest.split_once("\nassets = [\n").unwrap().1.split_once("\n]\n").unwrap().0;
    let sources: Vec<_> = assets.lines().map(|asset| asset.split('"').nth(1).unwrap()).collect();
    assert!(sources.len() > 10);
    for source in sources.iter().filter(|source| **source != "target/release/sekisho") {
        let path = match source.strip_prefix("target/packaging/") {
            Some(name) => made.path().join("made").join(name),
            None => root().join(source),
        };
        let found = match path.file_name().unwrap().to_str().unwrap().split_once('*') {
            Some((_, ending)) => {
                let entries = fs::read_dir(path.parent().unwrap()).unwrap();
                entries.filter(|entry| entry.as_ref().unwrap().path().to_str().unwrap().ends_with(ending)).count()
            }
            None => usize::from(path.is_file()),
        };
        assert!(found > 0, "{source}");
    }
    assert!(made.path().join("made/man/sekisho-run.1.gz").is_file());
}
