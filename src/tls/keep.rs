use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::facts::Timestamp;

use super::authority::{Authority, AuthorityCertificate, AuthorityError, NotAPair, Terms};
use super::signer::FileKey;

/// Where the authority of a gate is kept: `ca/` in its data directory, with a directory each for the one in
/// use, the next one and the one before. Each is written whole under another name and renamed, so that a crash
/// leaves what was or what is to be.
#[derive(Debug, Clone)]
pub struct AuthorityFiles(PathBuf);

/// What is kept there.
pub struct Authorities {
    /// The one that vouches.
    pub current: Authority,
    /// The one that clients are to trust too, and that will vouch after it.
    pub next: Option<Authority>,
    /// The one that vouched before it: clients may let it go. Its key is no more.
    pub previous: Option<AuthorityCertificate>,
}

const CURRENT: &str = "current";
const NEXT: &str = "next";
const PREVIOUS: &str = "previous";
/// What is being written. Left behind by a crash, it is nothing.
const NEW: &str = "new";
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
/// Of a file that is longer nothing is read.
const FILE_BYTES_MAX: u64 = 64 << 10;

impl AuthorityFiles {
    /// Those of the gate with this data directory.
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.join("ca"))
    }

    /// The certificate of the one in use.
    pub fn certificate_path(&self) -> PathBuf {
        self.0.join(CURRENT).join(CERTIFICATE)
    }

    /// The one in use, by its certificate alone: the key is left where it is.
    ///
    /// # Errors
    /// None was made, or its certificate cannot be read or is none.
    pub fn certificate(&self) -> Result<AuthorityCertificate, AuthorityError> {
        read_certificate(&self.place()?)
    }

    /// Makes the first authority. It is in use from the next start of the gate on.
    ///
    /// # Errors
    /// There is one already, or it cannot be made or written.
    pub fn init(&self, terms: &Terms, now: Timestamp) -> Result<Authority, AuthorityError> {
        if self.holds_any()? {
            return Err(AuthorityError::Exists(self.0.clone()));
        }
        self.write(CURRENT, terms, now)
    }

    /// Makes the next authority beside the one in use, which goes on vouching.
    ///
    /// # Errors
    /// There is none in use or a next one already, or it cannot be made or written.
    pub fn prepare(&self, terms: &Terms, now: Timestamp) -> Result<Authority, AuthorityError> {
        self.complete()?;
        if !is_there(&self.0.join(CURRENT))? {
            return Err(AuthorityError::Missing(self.0.clone()));
        }
        if is_there(&self.0.join(NEXT))? {
            return Err(AuthorityError::Exists(self.0.join(NEXT)));
        }
        self.write(NEXT, terms, now)
    }

    /// Takes the next authority into use. The certificate of the one before is kept, its key is removed.
    ///
    /// # Errors
    /// None is prepared, or its files are not what they must be: then nothing is changed.
    pub fn finish(&self, now: Timestamp) -> Result<Authority, AuthorityError> {
        self.complete()?;
        let (current, next, previous) = (self.0.join(CURRENT), self.0.join(NEXT), self.0.join(PREVIOUS));
        if !is_there(&next)? {
            return Err(AuthorityError::NotPrepared(self.0.clone()));
        }
        read(&next)?.certificate().check_time(now)?;
        remove(&previous)?;
        rename(&current, &previous)?;
        // From here on a crash leaves the next one as the one in use: see `place`.
        rename(&next, &current)?;
        sync(&self.0)?;
        remove_key(&previous)?;
        read(&current)
    }

    /// Reads what is kept. That its time is over is no error here: see [`Authority::check`].
    ///
    /// # Errors
    /// None was made, or a file cannot be read or is not what it must be. A key file that others than its owner
    /// may use is not taken.
    pub fn load(&self) -> Result<Authorities, AuthorityError> {
        let current = self.place()?;
        let next = self.0.join(NEXT);
        let next = if current != next && is_there(&next)? { Some(read(&next)?) } else { None };
        let previous = self.0.join(PREVIOUS);
        let previous = if is_there(&previous)? { Some(read_certificate(&previous)?) } else { None };
        Ok(Authorities { current: read(&current)?, next, previous })
    }

    /// Where the one in use is. A `finish` that was cut off between its renames counts as done.
    fn place(&self) -> Result<PathBuf, AuthorityError> {
        let (current, next) = (self.0.join(CURRENT), self.0.join(NEXT));
        if is_there(&current)? {
            return Ok(current);
        }
        if is_there(&next)? && is_there(&self.0.join(PREVIOUS))? {
            return Ok(next);
        }
        Err(AuthorityError::Missing(self.0.clone()))
    }

    /// Does the rest of a `finish` that was cut off.
    fn complete(&self) -> Result<(), AuthorityError> {
        let next = self.0.join(NEXT);
        if self.place()? == next {
            rename(&next, &self.0.join(CURRENT))?;
        }
        remove_key(&self.0.join(PREVIOUS))
    }

    fn holds_any(&self) -> Result<bool, AuthorityError> {
        for name in [CURRENT, NEXT, PREVIOUS] {
            if is_there(&self.0.join(name))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Made by root for a gate that runs as another user, it is that user's, as the data directory is.
    fn give_to_gate(&self, made: &Path) -> Result<(), AuthorityError> {
        let data_dir = self.0.parent().unwrap_or(&self.0);
        let owner = fs::metadata(data_dir).map_err(io_error(data_dir))?;
        if rustix::process::geteuid().is_root() && owner.uid() != 0 {
            chown(made, Some(owner.uid()), Some(owner.gid())).map_err(io_error(made))?;
        }
        Ok(())
    }

    fn write(&self, name: &str, terms: &Terms, now: Timestamp) -> Result<Authority, AuthorityError> {
        let (authority, key) = Authority::make(terms, now)?;
        let (new, place) = (self.0.join(NEW), self.0.join(name));
        // The data directory too, as the journal makes it, where no gate has run yet.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(io_error(&self.0))?;
        remove(&new)?;
        fs::DirBuilder::new().mode(0o755).create(&new).map_err(io_error(&new))?;
        let pem = pem_of(authority.certificate());
        write(&new.join(CERTIFICATE), pem.as_bytes(), 0o644)?;
        write(&new.join(KEY), key.as_bytes(), 0o600)?;
        sync(&new)?;
        for made in [&self.0, &new, &new.join(CERTIFICATE), &new.join(KEY)] {
            self.give_to_gate(made)?;
        }
        // A directory that holds something is not replaced by a rename (rename(2), ENOTEMPTY).
        rename(&new, &place)?;
        sync(&self.0)?;
        Ok(authority)
    }
}

/// A certificate as PEM (RFC 7468 §5).
pub fn pem_of(certificate: &AuthorityCertificate) -> String {
    let text = data_encoding::BASE64.encode(certificate.der());
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect::<String>();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

fn read(directory: &Path) -> Result<Authority, AuthorityError> {
    let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
    let der = certificate_in(&certificate)?;
    let signer = read_key(&key)?;
    Authority::new(der, Box::new(signer)).map_err(|why| match why {
        NotAPair::NoCertificate => AuthorityError::NoCertificate(certificate),
        NotAPair::OtherKey => AuthorityError::OtherKey(key),
    })
}

fn read_certificate(directory: &Path) -> Result<AuthorityCertificate, AuthorityError> {
    let path = directory.join(CERTIFICATE);
    AuthorityCertificate::read(certificate_in(&path)?).ok_or(AuthorityError::NoCertificate(path))
}

fn certificate_in(path: &Path) -> Result<CertificateDer<'static>, AuthorityError> {
    let file = File::open(path).map_err(io_error(path))?;
    let text = contents(path, file)?;
    CertificateDer::from_pem_slice(&text).map_err(|_| AuthorityError::NoCertificate(path.into()))
}

fn read_key(path: &Path) -> Result<FileKey, AuthorityError> {
    let file = File::open(path).map_err(io_error(path))?;
    // Of the file that was opened, not of whatever has its name by now.
    let mode = file.metadata().map_err(io_error(path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(AuthorityError::Exposed { path: path.into(), mode });
    }
    let text = contents(path, file)?;
    let no_key = || AuthorityError::NoKey(path.into());
    let mut pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| no_key())?;
    let key = FileKey::read(&pkcs8);
    zeroize::Zeroize::zeroize(&mut pkcs8);
    key.ok_or_else(no_key)
}

fn contents(path: &Path, file: File) -> Result<Zeroizing<Vec<u8>>, AuthorityError> {
    // With room for all of it from the start, no part is left behind in a buffer that grew.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(io_error(path))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io_error(path)(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 64 KiB")));
    }
    Ok(text)
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), AuthorityError> {
    let create = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    create().map_err(io_error(path))
}

fn sync(directory: &Path) -> Result<(), AuthorityError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(io_error(directory))
}

fn rename(from: &Path, to: &Path) -> Result<(), AuthorityError> {
    fs::rename(from, to).map_err(io_error(from))
}

fn remove(directory: &Path) -> Result<(), AuthorityError> {
    absent_is_fine(fs::remove_dir_all(directory)).map_err(io_error(directory))
}

fn remove_key(directory: &Path) -> Result<(), AuthorityError> {
    let key = directory.join(KEY);
    absent_is_fine(fs::remove_file(&key)).map_err(io_error(&key))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn is_there(path: &Path) -> Result<bool, AuthorityError> {
    path.try_exists().map_err(io_error(path))
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> AuthorityError + '_ {
    |source| AuthorityError::Io { path: path.into(), source }
}

#[cfg(test)]
mod tests;
