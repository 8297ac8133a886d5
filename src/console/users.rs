use std::fmt;
use std::sync::Arc;

use crate::challenge::auth::{Password, PasswordHash};
use crate::parse::{Place, Problem};

use super::access::Role;

/// Bytes of the file: who reads it need not read on.
pub const USERS_BYTES_MAX: u64 = 1 << 20;
/// Users of the console.
const USERS_MAX: usize = 1000;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 64;

/// Who may log in to the console. `sekisho console user` keeps the file: a line `name:role:hash` each.
#[derive(Clone, Default)]
pub struct Users(Vec<Arc<User>>);

/// One of them.
pub struct User {
    pub name: Box<str>,
    pub role: Role,
    hash: PasswordHash,
    /// A hash of the line: another password or role is another user.
    mark: [u8; 32],
}

impl User {
    /// Takes as long as the line's hash says, whatever the answer.
    pub fn has(&self, password: &Password) -> bool {
        self.hash.is_of(password)
    }

    /// Which line it is of.
    pub fn mark(&self) -> [u8; 32] {
        self.mark
    }
}

/// Whether a user of the console can be named so: 1 to 64 letters, digits, `.`, `_`, `-` or `@` of ASCII.
pub fn is_user_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
}

impl Users {
    /// Reads the file. Empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// Every problem with its place: a line that is none, a name twice, an unknown role, a hash that is not taken. No problem
    /// shows any of a hash.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let (mut users, mut problems): (Vec<Arc<User>>, _) = (Vec::new(), Vec::new());
        let file: Arc<str> = file.into();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let read = read_line(line).and_then(|user| match users.iter().any(|known| known.name == user.name) {
                true => Err((format!("`{}` has a line already", user.name), "leave one of the two")),
                false => Ok(user),
            });
            match read {
                Ok(user) if users.len() < USERS_MAX => users.push(Arc::new(user)),
                Ok(_) => {
                    let place = Place { file: file.clone(), line: number, column: 1 };
                    let what = format!("there are more than {USERS_MAX} users");
                    problems.push(Problem { place, what, fix: "take out who does not log in".to_owned() });
                    break;
                }
                Err((what, fix)) => {
                    let place = Place { file: file.clone(), line: number, column: 1 };
                    problems.push(Problem { place, what, fix: fix.to_owned() });
                }
            }
        }
        if problems.is_empty() { Ok(Self(users)) } else { Err(problems) }
    }

    pub fn find(&self, name: &str) -> Option<&Arc<User>> {
        self.0.iter().find(|user| *user.name == *name)
    }

    /// One whose password is tried where nobody has a name, so that this takes as long; the same one whenever the number is the
    /// same. `None` where there are no users.
    pub fn decoy(&self, number: u64) -> Option<&Arc<User>> {
        let count = u64::try_from(self.0.len()).ok().filter(|count| *count > 0)?;
        self.0.get(usize::try_from(number % count).ok()?)
    }

    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.0.iter().map(|user| &**user)
    }
}

const MAKE: &str = "make it with `sekisho console user add NAME --role viewer|analyst|admin`";

fn read_line(line: &str) -> Result<User, (String, &'static str)> {
    let mut parts = line.splitn(3, ':');
    let (Some(name), Some(role), Some(hash)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(("a line is `name:role:hash`".to_owned(), MAKE));
    };
    if !is_user_name(name) {
        return Err(("the name is not 1 to 64 letters, digits, `.`, `_`, `-` or `@`".to_owned(), MAKE));
    }
    let role = Role::named(role).ok_or_else(|| (format!("the role of `{name}` is none"), MAKE))?;
    let hash = PasswordHash::parse(hash).map_err(|unfit| (format!("`{name}`: {}", unfit.what), unfit.fix))?;
    Ok(User { name: name.into(), role, hash, mark: *blake3::hash(line.as_bytes()).as_bytes() })
}

/// The text of a file of users with this line in place of that of the same name, or behind all.
pub fn with_user(text: &str, name: &str, role: Role, hash: &str) -> String {
    let mut text = without_user(text, name).0;
    text.push_str(&format!("{name}:{}:{hash}\n", role.as_str()));
    text
}

/// The text without the line of this name, and whether there was one.
pub fn without_user(text: &str, name: &str) -> (String, bool) {
    let is_of = |line: &&str| line.split_once(':').is_some_and(|(named, _)| named == name);
    let had = text.lines().any(|line| is_of(&line));
    let kept = text.lines().filter(|line| !is_of(line)).flat_map(|line| [line, "\n"]).collect();
    (kept, had)
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|user| &user.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(password: &str) -> String {
        PasswordHash::argon2id(&Password::new(password), [7; 16]).unwrap()
    }

    #[test]
    fn a_user_has_the_password_that_was_set_and_no_other() {
        let text = with_user("# people\n", "sato", Role::Analyst, &hash("right"));
        let users = Users::read("users", &text).unwrap();
        let sato = users.find("sato").unwrap();
        assert!(sato.has(&Password::new("right")) && !sato.has(&Password::new("wrong")));
        assert_eq!((sato.role, users.find("Sato").is_none()), (Role::Analyst, true));
        assert!(text.starts_with("# people\nsato:analyst:$argon2id$v=19$"), "{text}");
        let mark = sato.mark();
        let text = with_user(&text, "sato", Role::Admin, &hash("other"));
        let users = Users::read("users", &text).unwrap();
        assert_eq!(users.iter().count(), 1);
        assert_ne!(users.find("sato").unwrap().mark(), mark, "who was logged in by the line before is not any more");
        assert_eq!(without_user(&text, "sato"), ("# people\n".to_owned(), true));
        assert_eq!(without_user(&text, "sat"), (text.clone(), false));
    }

    #[test]
    fn each_line_that_is_at_fault_is_told_and_none_of_a_hash() {
        let good = hash("right");
        let text = format!("a:viewer:{good}\na:admin:{good}\nb c:viewer:{good}\nd:root:{good}\ne:admin:secret\nf\n");
        let problems = Users::read("users", &text).unwrap_err();
        let lines: Vec<_> = problems.iter().map(|problem| problem.place.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6]);
        let told = format!("{problems:?}");
        assert!(!told.contains("secret") && !told.contains("argon2id$"), "{told}");
    }

    #[test]
    fn the_decoy_of_a_number_is_always_the_same_and_there_is_none_among_nobody() {
        let text = format!("a:viewer:{0}\nb:viewer:{0}\n", hash("x"));
        let users = Users::read("users", &text).unwrap();
        assert_eq!(users.decoy(5).unwrap().name, users.decoy(7).unwrap().name);
        assert!(Users::default().decoy(5).is_none());
    }
}
