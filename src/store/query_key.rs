use std::io;
use std::path::Path;

/// The file in the data directory with the key under which queries are hashed in records, mode 0600.
pub const QUERY_KEY_FILE: &str = "query.key";
/// How long it is.
pub const QUERY_KEY_BYTES: usize = 32;

/// The key of a gate that has run on this data directory.
///
/// # Errors
/// There is none, or it cannot be read, as by who may not read the evidence as the gate does.
pub fn read_query_key(data_dir: &Path) -> io::Result<[u8; QUERY_KEY_BYTES]> {
    let bytes = std::fs::read(data_dir.join(QUERY_KEY_FILE))?;
    bytes.try_into().map_err(|_| io::Error::other("a key has 32 bytes; remove the file to make a new one"))
}
