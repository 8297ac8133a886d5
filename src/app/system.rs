use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::store::{QUERY_KEY_BYTES, QUERY_KEY_FILE, read_query_key};

use super::AppError;

/// Every address of this machine's interfaces but loopback: none is ever a target.
///
/// # Errors
/// The system does not tell: then the gate would not know itself as a target.
pub(super) fn interface_addresses() -> Result<Vec<IpAddr>, AppError> {
    let interfaces = nix::ifaddrs::getifaddrs().map_err(|error| AppError::Interfaces(error.into()))?;
    let addresses = interfaces
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .filter(|address| !address.is_loopback())
        .collect();
    Ok(addresses)
}

/// The key under which queries are hashed: made once, kept in the data directory, mode 0600.
pub(super) fn query_key(data_dir: &Path) -> Result<[u8; QUERY_KEY_BYTES], AppError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = &data_dir.join(QUERY_KEY_FILE);
    let failed = |source| AppError::File { path: path.clone(), source };
    match read_query_key(data_dir) {
        Ok(key) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = random().map_err(failed)?;
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
            file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)?;
            Ok(key)
        }
        Err(source) => Err(failed(source)),
    }
}

/// What nobody can guess.
pub(super) fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

/// The name that the system has for a user; it may be asked of a directory on the network, and takes as long as that.
pub(super) fn login_name(uid: u32) -> Option<String> {
    nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// Raises the number of open files to what the system allows us, and says what that is.
pub(super) fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}
