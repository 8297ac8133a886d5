//! Hashes of passwords as files keep them: what is taken, what it may cost, and the check itself.
//!
//! A line names its own cost, and whoever asks the gate to check a password makes it pay that. So a cost beyond
//! about a second, or beyond 256 MiB, is refused when the file is read.

use std::fmt;

use data_encoding::{BASE64_NOPAD, BitOrder, Encoding, Specification};

use super::basic::Password;

/// A hash, with all that it takes to make it again.
#[derive(PartialEq, Eq)]
pub struct PasswordHash(Kind);

#[derive(PartialEq, Eq)]
enum Kind {
    Argon2 {
        algorithm: argon2::Algorithm,
        version: argon2::Version,
        params: argon2::Params,
        salt: Box<[u8]>,
        output: Box<[u8]>,
    },
    Bcrypt {
        cost: u32,
        salt: [u8; 16],
        output: [u8; 23],
    },
    ShaCrypt {
        variant: ShaCrypt,
        rounds: u32,
        salt: Box<str>,
        output: Box<str>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShaCrypt {
    Sha256,
    Sha512,
}

/// Why a hash is not taken, and what to do. Nothing of the hash is in here.
#[derive(Debug, PartialEq, Eq)]
pub struct Unfit {
    pub what: String,
    pub fix: &'static str,
}

/// Memory of one argon2 check, KiB.
const ARGON2_KIB_MAX: u32 = 256 << 10;
/// Memory times passes of one argon2 check, KiB: less than a second on a machine of 2025.
const ARGON2_WORK_MAX: u64 = 1 << 20;
/// The same time for bcrypt; each one more doubles it.
const BCRYPT_COST_MAX: u32 = 14;
/// The same time for SHA-crypt and the longest password that is checked.
const ROUNDS_MAX: u32 = 1_000_000;
/// What a SHA-crypt hash has where it names none.
const ROUNDS_USUAL: u32 = 5000;
/// SHA-crypt takes no more of a salt.
const SALT_CHARACTERS_MAX: usize = 16;

const MAKE: &str = "make one with `htpasswd -nB -C 12 NAME`, `mkpasswd -m sha512crypt`, or argon2";

impl PasswordHash {
    /// Reads a hash: argon2id or argon2i as a PHC string, bcrypt (`$2y$`, `$2b$`, `$2a$`), or SHA-crypt (`$5$`,
    /// `$6$`).
    ///
    /// # Errors
    /// It is of another kind, malformed, or costs too much to check.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let kind = match text.strip_prefix('$').and_then(|rest| rest.split_once('$')) {
            Some((name @ ("argon2id" | "argon2i"), rest)) => argon2_kind(name, rest)?,
            Some(("2y" | "2b" | "2a", rest)) => bcrypt_kind(rest)?,
            Some(("5", rest)) => sha_crypt_kind(ShaCrypt::Sha256, rest)?,
            Some(("6", rest)) => sha_crypt_kind(ShaCrypt::Sha512, rest)?,
            Some((name, _)) => return Err(Unfit { what: refused_name(name), fix: MAKE }),
            None if text.starts_with("{SHA}") => {
                return unfit("the hash is SHA-1 without a salt, as good as plain text");
            }
            None if text.is_empty() => return unfit("there is no hash behind the name"),
            None => return unfit("this is plain text or a hash of the old crypt, not a hash that can be taken"),
        };
        Ok(Self(kind))
    }

    /// Makes the argon2id hash of a password as a PHC string, by the least costs that OWASP recommends (Password Storage Cheat
    /// Sheet): 19 MiB in 2 passes, as a gate has better use for its memory.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn argon2id(password: &Password, salt: [u8; 16]) -> Result<String, Unfit> {
        const COSTS: (u32, u32, u32) = (19 << 10, 2, 1);
        const OUTPUT_BYTES: usize = 32;
        let (kib, passes, lanes) = COSTS;
        let failed = || Unfit { what: "the hash cannot be made".to_owned(), fix: "see that 19 MiB are free" };
        let params = argon2::Params::new(kib, passes, lanes, Some(OUTPUT_BYTES)).map_err(|_| failed())?;
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut output = [0; OUTPUT_BYTES];
        argon2.hash_password_into(password.as_bytes(), &salt, &mut output).map_err(|_| failed())?;
        let (salt, output) = (BASE64_NOPAD.encode(&salt), BASE64_NOPAD.encode(&output));
        Ok(format!("$argon2id$v=19$m={kib},t={passes},p={lanes}${salt}${output}"))
    }

    /// Whether it is the hash of this password. Takes as long as the line's cost says, whatever the answer.
    ///
    /// As bcrypt is defined, it looks at the first 72 bytes of a password.
    pub fn is_of(&self, password: &Password) -> bool {
        let password = password.as_bytes();
        match &self.0 {
            Kind::Argon2 { algorithm, version, params, salt, output } => {
                let mut made = vec![0; output.len()];
                let argon2 = argon2::Argon2::new(*algorithm, *version, params.clone());
                argon2.hash_password_into(password, salt, &mut made).is_ok() && same(&made, output)
            }
            Kind::Bcrypt { cost, salt, output } => {
                const TAKEN: usize = 72;
                let mut key = zeroize::Zeroizing::new([0; TAKEN]);
                let taken = password.len().min(TAKEN);
                key[..taken].copy_from_slice(&password[..taken]);
                let with_nul = (taken + 1).min(TAKEN);
                same(&bcrypt::bcrypt(*cost, *salt, &key[..with_nul])[..output.len()], output)
            }
            Kind::ShaCrypt { variant, rounds, salt, output } => {
                let Ok(params) = sha_crypt::Params::new(*rounds) else { return false };
                let made = match variant {
                    ShaCrypt::Sha256 => {
                        crypt_text(&sha_crypt::sha256_crypt(password, salt.as_bytes(), params), |[a, b, c]| [c, a, b])
                    }
                    ShaCrypt::Sha512 => {
                        crypt_text(&sha_crypt::sha512_crypt(password, salt.as_bytes(), params), |[a, b, c]| [b, c, a])
                    }
                };
                same(made.as_bytes(), output.as_bytes())
            }
        }
    }
}

/// A hash is a secret of the operator's.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

/// Whether two byte strings are equal, in a time that does not tell where they differ.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    // Hashes of this type are compared in constant time.
    blake3::hash(one) == blake3::hash(other)
}

fn unfit<T>(what: &str) -> Result<T, Unfit> {
    Err(Unfit { what: what.to_owned(), fix: MAKE })
}

fn costly<T>(what: String) -> Result<T, Unfit> {
    Err(Unfit {
        what,
        fix: "make one that takes less than a second: bcrypt of cost 12, or argon2id of 64 MiB in 3 passes",
    })
}

fn refused_name(name: &str) -> String {
    match name {
        "apr1" | "1" => "the hash is MD5, which is too quick to guess".to_owned(),
        "argon2d" => "argon2d tells of the password by its time; argon2id does not".to_owned(),
        "2x" => "`$2x$` is bcrypt with a fault".to_owned(),
        "y" | "gy" | "7" => "yescrypt and scrypt are not known here".to_owned(),
        _ => "this kind of hash is not known here".to_owned(),
    }
}

/// Reads `v=19$m=65536,t=3,p=4$salt$hash`; a version that is not there is 16.
fn argon2_kind(name: &str, rest: &str) -> Result<Kind, Unfit> {
    const MALFORMED: &str = "this is no argon2 hash in PHC form ($argon2id$v=19$m=…,t=…,p=…$salt$hash)";
    let malformed = || Unfit { what: MALFORMED.to_owned(), fix: MAKE };
    let (version, rest) = match rest.strip_prefix("v=").and_then(|rest| rest.split_once('$')) {
        None => (argon2::Version::V0x10, rest),
        Some(("16", rest)) => (argon2::Version::V0x10, rest),
        Some(("19", rest)) => (argon2::Version::V0x13, rest),
        Some(_) => return Err(malformed()),
    };
    let mut parts = rest.split('$');
    let (Some(costs), Some(salt), Some(output), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(malformed());
    };
    let mut costs = costs.split(',');
    let mut cost = |key: &str| costs.next().and_then(|part| part.strip_prefix(key)).and_then(number);
    let (Some(kib), Some(passes), Some(lanes), None) = (cost("m="), cost("t="), cost("p="), costs.next()) else {
        return Err(malformed());
    };
    if kib > ARGON2_KIB_MAX {
        return costly(format!("the hash takes {} MiB to check; at most 256 are given", kib >> 10));
    }
    if u64::from(kib) * u64::from(passes) > ARGON2_WORK_MAX {
        return costly(format!("the hash takes {passes} passes over {} MiB to check, more than a second", kib >> 10));
    }
    let decode = |text: &str| BASE64_NOPAD.decode(text.as_bytes()).map_err(|_| malformed());
    let (salt, output) = (decode(salt)?, decode(output)?);
    if salt.len() < argon2::MIN_SALT_LEN || output.len() < 16 {
        return Err(malformed());
    }
    let params = argon2::Params::new(kib, passes, lanes, Some(output.len())).map_err(|_| malformed())?;
    let algorithm = if name == "argon2i" { argon2::Algorithm::Argon2i } else { argon2::Algorithm::Argon2id };
    Ok(Kind::Argon2 { algorithm, version, params, salt: salt.into(), output: output.into() })
}

/// Reads `12$` and 53 characters: 22 of salt, 31 of hash.
fn bcrypt_kind(rest: &str) -> Result<Kind, Unfit> {
    const MALFORMED: &str = "this is no bcrypt hash ($2y$12$ and 53 characters)";
    let malformed = || Unfit { what: MALFORMED.to_owned(), fix: MAKE };
    let (cost, text) = rest.split_once('$').ok_or_else(malformed)?;
    let cost = Some(cost).filter(|digits| digits.len() == 2).and_then(two_digits).ok_or_else(malformed)?;
    if cost > BCRYPT_COST_MAX {
        return costly(format!("bcrypt of cost {cost} takes more than a second to check"));
    }
    let (salt, output) = text.split_at_checked(22).ok_or_else(malformed)?;
    let encoding = bcrypt_encoding();
    let decode = |text: &str| encoding.decode(text.as_bytes()).map_err(|_| malformed());
    let (salt, output) = (decode(salt)?.try_into(), decode(output)?.try_into());
    match (salt, output) {
        (Ok(salt), Ok(output)) if cost >= 4 => Ok(Kind::Bcrypt { cost, salt, output }),
        _ => Err(malformed()),
    }
}

/// Base64 of bcrypt: another alphabet, no padding, and bits left over that some tools do not clear.
fn bcrypt_encoding() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    specification.bit_order = BitOrder::MostSignificantFirst;
    specification.check_trailing_bits = false;
    specification.encoding().expect("64 different symbols are an encoding")
}

/// Reads `[rounds=5000$]salt$hash`.
fn sha_crypt_kind(variant: ShaCrypt, rest: &str) -> Result<Kind, Unfit> {
    let what = "this is no SHA-crypt hash ($6$salt$hash, or $6$rounds=…$salt$hash)";
    let malformed = || Unfit { what: what.to_owned(), fix: MAKE };
    let (rounds, rest) = match rest.strip_prefix("rounds=").and_then(|rest| rest.split_once('$')) {
        None => (ROUNDS_USUAL, rest),
        Some((digits, rest)) => (number(digits).ok_or_else(malformed)?, rest),
    };
    if rounds > ROUNDS_MAX {
        return costly(format!("SHA-crypt of {rounds} rounds takes more than a second to check"));
    }
    let (salt, output) = rest.split_once('$').ok_or_else(malformed)?;
    let digits = match variant {
        ShaCrypt::Sha256 => 43,
        ShaCrypt::Sha512 => 86,
    };
    let salt_fits = (1..=SALT_CHARACTERS_MAX).contains(&salt.len()) && salt.bytes().all(|b| b.is_ascii_graphic());
    let output_fits = output.len() == digits && output.bytes().all(|b| CRYPT_ALPHABET.contains(&b));
    if rounds < sha_crypt::Params::ROUNDS_MIN || !salt_fits || !output_fits {
        return Err(malformed());
    }
    Ok(Kind::ShaCrypt { variant, rounds, salt: salt.into(), output: output.into() })
}

const CRYPT_ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The digits of a SHA-crypt hash: four for three bytes, the last byte first, and the bytes taken in an order
/// that `turn` goes on with, each number one higher than the one that it turns to.
fn crypt_text(bytes: &[u8], turn: impl Fn([usize; 3]) -> [usize; 3]) -> String {
    let third = bytes.len() / 3;
    let mut text = String::with_capacity(86);
    let mut push = |value: u32, digits: u32| {
        for digit in 0..digits {
            text.push(char::from(CRYPT_ALPHABET[(value >> (6 * digit) & 63) as usize]));
        }
    };
    let mut at = [0, third, 2 * third];
    for _ in 0..third {
        let [a, b, c] = at.map(|index| u32::from(bytes[index]));
        push(a << 16 | b << 8 | c, 4);
        at = turn(at).map(|index| index + 1);
    }
    match &bytes[3 * third..] {
        [last] => push(u32::from(*last), 2),
        [low, high] => push(u32::from(*high) << 8 | u32::from(*low), 3),
        _ => {}
    }
    text
}

/// A number without a sign and without leading zeros.
fn number(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

fn two_digits(digits: &str) -> Option<u32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
