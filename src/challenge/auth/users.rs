//! Who may log in: the files of passwords, digests and groups, read whole or refused whole.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::facts::User;
use crate::parse::{Place, Problem};

use super::basic::NAME_BYTES_MAX;
use super::digest::{Algorithm, Ha1};
use super::hash::PasswordHash;
use super::scheme::Scheme;
use super::settings::{Realm, Settings};

/// Bytes of one file: who reads a file need not read on.
pub const FILE_BYTES_MAX: usize = 64 << 20;
/// Users of one file.
pub const USERS_MAX: usize = 100_000;
/// Bytes of one line without its end.
pub const LINE_BYTES_MAX: usize = 1 << 10;
/// Users in groups, each counted once for each of its groups.
pub const MEMBERS_MAX: usize = 1_000_000;
/// Bytes of the name of a group.
const GROUP_BYTES_MAX: usize = 64;
/// Problems that are kept; nobody reads more.
const PROBLEMS_MAX: usize = 100;

/// The content of the files that [`Settings`] name, each absent where no file is named.
#[derive(Clone, Copy)]
pub struct Texts<'t> {
    pub users: Option<&'t [u8]>,
    pub digest: Option<&'t [u8]>,
    pub groups: Option<&'t [u8]>,
}

/// Everybody who may log in, and by what.
pub struct Users {
    pub(super) realm: Realm,
    pub(super) schemes: Vec<Scheme>,
    passwords: HashMap<Box<str>, Arc<PasswordHash>>,
    /// Any of the passwords' hashes, to be checked for a name that nobody has.
    decoys: Vec<Arc<PasswordHash>>,
    digests: HashMap<Box<str>, Digests>,
    /// The algorithms that every user of the digest file has, the stronger first.
    algorithms: Vec<Algorithm>,
    groups: HashMap<Box<str>, Vec<Box<str>>>,
}

/// What is known while the groups are read.
struct Members {
    count: usize,
    must_be_known: bool,
}

struct Digests {
    md5: Option<Ha1>,
    sha256: Option<Ha1>,
    place: Place,
}

impl Users {
    /// Reads the files.
    ///
    /// | file | lines |
    /// |---|---|
    /// | `users`, as `htpasswd` makes it | `name:hash`; see the errors for the hashes that are taken |
    /// | `digest`, as `htdigest` makes it | `name:realm:HA1`, of MD5 (32 digits) or SHA-256 (64 digits); every user has lines of the same algorithms |
    /// | `groups` | `group: name name …`; a group may have several lines |
    ///
    /// Empty lines and lines that begin with `#` are passed over, as is a byte order mark; lines end with LF or
    /// CRLF. Names are compared byte by byte; those beyond ASCII do not get in by Digest from Firefox.
    ///
    /// # Errors
    /// Every problem, up to a hundred, each with its place: a name twice, another realm, a group's member without
    /// a line, a file without a user, more than [`USERS_MAX`] or [`LINE_BYTES_MAX`], a hash that is not argon2id,
    /// argon2i, bcrypt or SHA-crypt, or one that takes more than about a second or 256 MiB to check. No problem
    /// shows any of a hash.
    pub fn read(settings: &Settings, texts: Texts<'_>) -> Result<Self, Vec<Problem>> {
        let mut users = Self {
            realm: settings.realm.clone(),
            schemes: settings.schemes.clone(),
            passwords: HashMap::new(),
            decoys: Vec::new(),
            digests: HashMap::new(),
            algorithms: Vec::new(),
            groups: HashMap::new(),
        };
        let mut problems = Vec::new();
        if let Some(file) = &settings.users {
            let mut lines: HashMap<Box<str>, u32> = HashMap::new();
            each_line(file, texts.users, &mut problems, |line| users.password_line(&mut lines, line));
            need_users(file, users.passwords.is_empty(), &mut problems);
        }
        if let Some(file) = &settings.digest {
            each_line(file, texts.digest, &mut problems, |line| users.digest_line(line));
            need_users(file, users.digests.is_empty(), &mut problems);
            users.settle_algorithms(&mut problems);
        }
        if let Some(file) = &settings.groups {
            // A user whose own line is at fault is not a second problem here.
            let mut members = Members { count: 0, must_be_known: problems.is_empty() };
            each_line(file, texts.groups, &mut problems, |line| users.group_line(&mut members, line));
        }
        let mut names: Vec<_> = users.passwords.iter().collect();
        names.sort_by_key(|(name, _)| *name);
        users.decoys = names.into_iter().map(|(_, hash)| hash.clone()).collect();
        if problems.is_empty() { Ok(users) } else { Err(problems) }
    }

    /// Whether anybody has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.passwords.contains_key(name) || self.digests.contains_key(name)
    }

    /// How many names there are, with passwords and with digests.
    pub fn counts(&self) -> (usize, usize) {
        (self.passwords.len(), self.digests.len())
    }

    /// The algorithms of Digest that are offered, the stronger first.
    pub(super) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    pub(super) fn offers(&self, scheme: Scheme) -> bool {
        self.schemes.contains(&scheme)
    }

    pub(super) fn password(&self, name: &str) -> Option<&Arc<PasswordHash>> {
        self.passwords.get(name)
    }

    /// What is checked instead where a name has no password: a hash that some name has, the same one whenever the
    /// same number is asked for. `None` where nobody has a password.
    pub(super) fn decoy(&self, number: u64) -> Option<&Arc<PasswordHash>> {
        let count = u64::try_from(self.decoys.len()).ok().filter(|count| *count > 0)?;
        self.decoys.get(usize::try_from(number % count).ok()?)
    }

    pub(super) fn ha1(&self, name: &str, algorithm: Algorithm) -> Option<&Ha1> {
        let digests = self.digests.get(name)?;
        match algorithm {
            Algorithm::Sha256 => digests.sha256.as_ref(),
            Algorithm::Md5 => digests.md5.as_ref(),
        }
    }

    /// The name with its groups.
    pub(super) fn user(&self, name: &str) -> User {
        let groups = self.groups.get(name).map(|groups| groups.clone().into_boxed_slice());
        User { name: name.into(), groups: groups.unwrap_or_default() }
    }

    fn password_line(&mut self, lines: &mut HashMap<Box<str>, u32>, line: &Line<'_>) -> Result<(), Problem> {
        let Some((name, hash)) = line.text.split_once(':') else {
            return Err(line.problem(
                0,
                "there is no colon: a line is `name:hash`",
                "make it with `htpasswd -nB -C 12 NAME`",
            ));
        };
        line.check_name(name)?;
        if let Some(before) = lines.insert(name.into(), line.number) {
            return Err(line.problem(
                0,
                format!("{} has a line already: {before}", shown(name)),
                "leave one of the two",
            ));
        }
        let hash = PasswordHash::parse(hash)
            .map_err(|unfit| line.problem(name.len() + 1, format!("{}: {}", shown(name), unfit.what), unfit.fix))?;
        line.check_count(self.passwords.len())?;
        self.passwords.insert(name.into(), Arc::new(hash));
        Ok(())
    }

    fn digest_line(&mut self, line: &Line<'_>) -> Result<(), Problem> {
        const MAKE: &str = "make it with `htdigest`, or for SHA-256 with `printf %s 'NAME:REALM:PASSWORD' | sha256sum`";
        let mut parts = line.text.splitn(3, ':');
        let (Some(name), Some(realm), Some(digits)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(line.problem(0, "a line is `name:realm:HA1`", MAKE));
        };
        line.check_name(name)?;
        if realm != self.realm.as_str() {
            let what = format!("{} has a line of another realm than {:?}", shown(name), self.realm.as_str());
            return Err(line.problem(
                name.len() + 1,
                what,
                "make the line for the gate's realm: it is part of the hash",
            ));
        }
        let column = name.len() + realm.len() + 2;
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
        let Some(ha1) = bytes.as_deref().and_then(Ha1::from_bytes) else {
            return Err(line.problem(column, format!("{}: HA1 is not 32 or 64 hexadecimal digits", shown(name)), MAKE));
        };
        if !self.digests.contains_key(name) {
            line.check_count(self.digests.len())?;
        }
        let none = || Digests { md5: None, sha256: None, place: line.place(0) };
        let digests = self.digests.entry(name.into()).or_insert_with(none);
        let slot = match ha1.algorithm() {
            Algorithm::Md5 => &mut digests.md5,
            Algorithm::Sha256 => &mut digests.sha256,
        };
        if slot.is_some() {
            let what = format!("{} has a line of {} already", shown(name), ha1.algorithm().as_str());
            return Err(line.problem(0, what, "leave one of the two"));
        }
        *slot = Some(ha1);
        Ok(())
    }

    /// A browser answers the strongest algorithm that it is offered, whether or not its user has a line of it. So
    /// one is offered where every user has it, and users that differ are a problem rather than locked out.
    fn settle_algorithms(&mut self, problems: &mut Vec<Problem>) {
        let mut differ = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
            let has = |digests: &Digests| match algorithm {
                Algorithm::Sha256 => digests.sha256.is_some(),
                Algorithm::Md5 => digests.md5.is_some(),
            };
            let count = self.digests.values().filter(|digests| has(digests)).count();
            if count == self.digests.len() && count > 0 {
                self.algorithms.push(algorithm);
            } else if count > 0 {
                differ.extend(self.digests.iter().filter(|(_, digests)| !has(digests)).map(|(name, digests)| {
                    Problem {
                        place: digests.place.clone(),
                        what: format!("{} has no line of {}, and others have", shown(name), algorithm.as_str()),
                        fix: format!(
                            "add it, or take away every line of {}: browsers cannot know who has which",
                            algorithm.as_str()
                        ),
                    }
                }));
            }
        }
        differ.sort_by(|one, other| one.place.cmp(&other.place));
        differ.truncate(PROBLEMS_MAX.saturating_sub(problems.len()));
        problems.append(&mut differ);
    }

    fn group_line(&mut self, members: &mut Members, line: &Line<'_>) -> Result<(), Problem> {
        let Some((group, names)) = line.text.split_once(':') else {
            return Err(line.problem(
                0,
                "there is no colon: a line is `group: name name …`",
                "write the group's name and a colon",
            ));
        };
        let plain = |c: char| !c.is_whitespace() && !c.is_control();
        if group.is_empty() || group.len() > GROUP_BYTES_MAX || !group.chars().all(plain) {
            let fix = format!("write 1 to {GROUP_BYTES_MAX} bytes without spaces");
            return Err(line.problem(0, format!("a group cannot be named {}", shown(group)), fix));
        }
        for name in names.split_ascii_whitespace() {
            if members.must_be_known && !self.has(name) {
                let column = name.as_ptr().addr() - line.text.as_ptr().addr();
                let what = format!("{} is in no file of users", shown(name));
                return Err(line.problem(column, what, "give the user a line, or take the name out of the group"));
            }
            if members.count == MEMBERS_MAX {
                let fix = "use fewer or smaller groups";
                return Err(line.problem(0, format!("the groups have more than {MEMBERS_MAX} members"), fix));
            }
            let groups = self.groups.entry(name.into()).or_default();
            if !groups.iter().any(|known| **known == *group) {
                groups.push(group.into());
                members.count += 1;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passwords, digests) = self.counts();
        f.debug_struct("Users").field("passwords", &passwords).field("digests", &digests).finish_non_exhaustive()
    }
}

/// A line of a file, without its end.
struct Line<'t> {
    file: &'t Arc<str>,
    number: u32,
    text: &'t str,
}

impl Line<'_> {
    fn place(&self, byte: usize) -> Place {
        let before = self.text.get(..byte).unwrap_or(self.text).chars().count();
        Place { file: self.file.clone(), line: self.number, column: u32::try_from(before + 1).unwrap_or(u32::MAX) }
    }

    fn problem(&self, byte: usize, what: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem { place: self.place(byte), what: what.into(), fix: fix.into() }
    }

    fn check_name(&self, name: &str) -> Result<(), Problem> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.trim() != name || name.chars().any(char::is_control) {
            let fix = format!("write 1 to {NAME_BYTES_MAX} bytes, no spaces at either end and no control characters");
            return Err(self.problem(0, format!("a user cannot be named {}", shown(name)), fix));
        }
        Ok(())
    }

    fn check_count(&self, count: usize) -> Result<(), Problem> {
        if count < USERS_MAX {
            return Ok(());
        }
        Err(self.problem(
            0,
            format!("the file has more than {USERS_MAX} users"),
            "take out who does not need to log in",
        ))
    }
}

/// Hands out every line that says something, until there are too many problems.
fn each_line(
    file: &str,
    bytes: Option<&[u8]>,
    problems: &mut Vec<Problem>,
    mut read: impl FnMut(&Line<'_>) -> Result<(), Problem>,
) {
    let file: Arc<str> = file.into();
    let at = |number, what: &str, fix: &str| {
        let place = Place { file: file.clone(), line: number, column: 1 };
        Problem { place, what: what.to_owned(), fix: fix.to_owned() }
    };
    let Some(bytes) = bytes else {
        problems.push(at(1, "the file was not read", "see that it is there and readable"));
        return;
    };
    if bytes.len() > FILE_BYTES_MAX {
        problems.push(at(1, "the file is larger than 64 MiB", "take out who does not need to log in"));
        return;
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    for (number, line) in (1..).zip(bytes.split(|b| *b == b'\n')) {
        if problems.len() >= PROBLEMS_MAX {
            return;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let outcome = match str::from_utf8(line) {
            _ if line.len() > LINE_BYTES_MAX => {
                Err(at(number, "the line is longer than 1024 bytes", "split or mend it"))
            }
            Err(_) => Err(at(number, "the line is not UTF-8", "save the file as UTF-8")),
            Ok(text) => read(&Line { file: &file, number, text }),
        };
        problems.extend(outcome.err());
    }
}

fn need_users(file: &str, empty: bool, problems: &mut Vec<Problem>) {
    if empty && problems.is_empty() {
        let place = Place { file: file.into(), line: 1, column: 1 };
        let fix = "add a line for whoever may log in".to_owned();
        problems.push(Problem { place, what: "the file has no user: nobody could log in".to_owned(), fix });
    }
}

/// A name for a person: cut, and without anything that moves a cursor.
fn shown(name: &str) -> String {
    format!("`{}`", cut(name).escape_debug())
}

fn cut(text: &str) -> &str {
    const SHOWN_BYTES_MAX: usize = 64;
    let end = (0..=text.len().min(SHOWN_BYTES_MAX)).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests;
