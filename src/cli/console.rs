use std::fs;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::Serialize;

use crate::app::{CONSOLE_USERS_FILE, Note, NoteError, UserChange, note, this_person};
use crate::challenge::auth::{PASSWORD_BYTES_MAX, Password, PasswordHash};
use crate::console::{Role, USERS_BYTES_MAX, Users, is_user_name, with_user, without_user};
use crate::evidence::Text;
use crate::store::AloneError;

use super::arguments::notes;
use super::error::{CliError, Role as FileRole};
use super::files::{default_data_dir, read_config};
use super::output::{Format, Rows, report};

#[derive(Debug, Subcommand)]
pub(super) enum ConsoleCommand {
    /// Say who may log in to the web console, and as what
    #[command(after_help = notes!(
        "sekisho console user add tanaka --role analyst",
        "sekisho console user remove tanaka",
        "sekisho console user list --format json | jq .users"
    ))]
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user, or give one another role and password; who is logged in as them is logged out
    ///
    /// The password is asked for, or read as one line where standard input is no terminal: it never stands on a command line.
    #[command(after_help = notes!(
        "sekisho console user add tanaka --role analyst --config /etc/sekisho/sekisho.toml",
        "pass show sekisho/tanaka | sekisho console user add tanaka --role admin"
    ))]
    Add {
        /// 1 to 64 letters, digits, `.`, `_`, `-` or `@`
        #[arg(value_name = "NAME")]
        name: String,
        /// What they are trusted with
        #[arg(long, value_enum)]
        role: RoleWord,
        #[command(flatten)]
        file: UsersOf,
    },
    /// Take a user out; who is logged in as them is logged out
    #[command(after_help = notes!("sekisho console user remove tanaka"))]
    Remove {
        /// The name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        file: UsersOf,
    },
    /// Show who may log in
    #[command(after_help = notes!("sekisho console user list", "sekisho console user list --format json | jq .users"))]
    List(UsersOf),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleWord {
    /// Sees what is of no one client alone: counts, hosts, findings, programs, the policy
    Viewer,
    /// Looks up clients, watches live, asks by SQL, marks findings, and cuts clients off
    Analyst,
    /// All of it, and the lockdown
    Admin,
}

/// Which file of users.
#[derive(Debug, Args)]
pub(super) struct UsersOf {
    /// The config of the gate, which says where the file is
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The data directory, where the file is unless the config says otherwise [default: where `run` keeps it when nothing else
    /// is said]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// How the outcome is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Listed {
    file: String,
    users: Vec<ListedUser>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

#[derive(Serialize)]
struct ListedUser {
    name: String,
    role: &'static str,
}

/// A password that anybody could guess in a day is none.
const PASSWORD_CHARACTERS_MIN: usize = 12;

impl RoleWord {
    fn meant(self) -> Role {
        match self {
            RoleWord::Viewer => Role::Viewer,
            RoleWord::Analyst => Role::Analyst,
            RoleWord::Admin => Role::Admin,
        }
    }
}

impl UsersOf {
    /// The file, and the data directory of its gate.
    fn paths(&self) -> Result<(PathBuf, PathBuf), CliError> {
        let config = self.config.as_deref().map(read_config).transpose()?;
        let named =
            config.as_ref().and_then(|config| config.console.as_ref()).and_then(|console| console.users.clone());
        let data_dir = self.data_dir.clone().or(config.and_then(|config| config.data_dir));
        let data_dir = data_dir.unwrap_or_else(default_data_dir);
        Ok((named.unwrap_or_else(|| data_dir.join(CONSOLE_USERS_FILE)), data_dir))
    }
}

/// Keeps the file of the console's users.
pub(super) fn console(command: ConsoleCommand) -> Result<(), CliError> {
    let ConsoleCommand::User { command } = command;
    match command {
        UserCommand::Add { name, role, file } => report(file.format, add(&name, role.meant(), &file), rows),
        UserCommand::Remove { name, file } => report(file.format, remove(&name, &file), rows),
        UserCommand::List(file) => report(file.format, list(&file), rows),
    }
}

fn add(name: &str, role: Role, file: &UsersOf) -> Result<Listed, CliError> {
    if !is_user_name(name) {
        return Err(CliError::ConsoleUser("a name is 1 to 64 letters, digits, `.`, `_`, `-` or `@`"));
    }
    let (path, data_dir) = file.paths()?;
    let before = read(&path)?;
    Users::read(&path.display().to_string(), &before).map_err(CliError::Problems)?;
    let password = password()?;
    let mut salt = [0; 16];
    let random = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut salt));
    random.map_err(CliError::Output)?;
    let hash = PasswordHash::argon2id(&password, salt);
    let hash = hash.map_err(|_| CliError::ConsoleUser("there is no memory to hash the password"))?;
    let note = on_record(data_dir, name, Some(role))?;
    let listed = kept(&path, &with_user(&before, name, role, &hash))?;
    Ok(Listed { note, ..listed })
}

fn remove(name: &str, file: &UsersOf) -> Result<Listed, CliError> {
    let (path, data_dir) = file.paths()?;
    match without_user(&read(&path)?, name) {
        (text, true) => {
            let note = on_record(data_dir, name, None)?;
            let listed = kept(&path, &text)?;
            Ok(Listed { note, ..listed })
        }
        (_, false) => Err(CliError::ConsoleUser("nobody has that name")),
    }
}

/// Puts it on record before it is done; says so where there is no journal yet.
fn on_record(data_dir: PathBuf, name: &str, role: Option<Role>) -> Result<Option<&'static str>, CliError> {
    let role = role.map(|role| Text::from(role.as_str()));
    let change = UserChange { who: this_person(), user: name.into(), role };
    match note(&data_dir, Note::User(Box::new(change))) {
        Ok(()) => Ok(None),
        Err(NoteError::Alone(AloneError::NoJournal(_))) => Ok(Some(NO_JOURNAL)),
        Err(source) => Err(CliError::Note { data_dir, source }),
    }
}

/// Before the first start of a gate.
const NO_JOURNAL: &str = "it is not on record, as no gate has written a journal there yet";

fn list(file: &UsersOf) -> Result<Listed, CliError> {
    let (path, _) = file.paths()?;
    listed(&path, &read(&path)?)
}

fn listed(path: &Path, text: &str) -> Result<Listed, CliError> {
    let file = path.display().to_string();
    let users = Users::read(&file, text).map_err(CliError::Problems)?;
    let user = |user: &crate::console::User| ListedUser { name: user.name.to_string(), role: user.role.as_str() };
    Ok(Listed { users: users.iter().map(user).collect(), file, note: None })
}

fn read(path: &Path) -> Result<String, CliError> {
    let failed = |source| CliError::Read { role: FileRole::Users, path: path.into(), source };
    match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        file => {
            let mut text = String::new();
            file.map_err(failed)?.take(USERS_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
            Ok(text)
        }
    }
}

/// Puts another file in its place in one step, for its owner's eyes; owned by whom the one before was.
fn kept(path: &Path, text: &str) -> Result<Listed, CliError> {
    let failed = |source| CliError::Write { path: path.to_owned(), source };
    let listed = listed(path, text)?;
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        // The gate may run as another user than root: the file stays its.
        let owner = fs::metadata(path).or_else(|_| fs::metadata(path.parent().unwrap_or(Path::new("."))))?;
        let _ = std::os::unix::fs::fchown(
            &file,
            Some(std::os::unix::fs::MetadataExt::uid(&owner)),
            Some(std::os::unix::fs::MetadataExt::gid(&owner)),
        );
        file.sync_all()?;
        fs::rename(&new, path)
    });
    if let Err(source) = written {
        let _ = fs::remove_file(&new);
        return Err(failed(source));
    }
    Ok(listed)
}

/// Asks for a password twice at a terminal, unseen; else reads one line.
fn password() -> Result<Password, CliError> {
    let input = io::stdin();
    let text = if input.is_terminal() {
        let first = unseen("Password: ")?;
        let second = unseen("Again: ")?;
        if *first != *second {
            return Err(CliError::ConsoleUser("the two passwords differ"));
        }
        first
    } else {
        line()?
    };
    if text.chars().count() < PASSWORD_CHARACTERS_MIN || text.len() > PASSWORD_BYTES_MAX {
        return Err(CliError::ConsoleUser("a password has 12 characters or more, and at most 256 bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(CliError::ConsoleUser("a password has no control characters"));
    }
    Ok(Password::new(&text))
}

fn line() -> Result<zeroize::Zeroizing<String>, CliError> {
    let mut text = zeroize::Zeroizing::new(String::new());
    io::stdin().lock().take(4096).read_line(&mut text).map_err(CliError::Output)?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

/// A line that the terminal does not show as it is typed.
fn unseen(prompt: &str) -> Result<zeroize::Zeroizing<String>, CliError> {
    let input = io::stdin();
    let failed = |error: rustix::io::Errno| CliError::Output(error.into());
    let before = tcgetattr(&input).map_err(failed)?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    eprint!("{prompt}");
    tcsetattr(&input, OptionalActions::Flush, &quiet).map_err(failed)?;
    let read = line();
    let _ = tcsetattr(&input, OptionalActions::Now, &before);
    eprintln!();
    read
}

fn rows(listed: &Listed) -> Rows {
    let mut rows = vec![("file", listed.file.clone())];
    rows.extend(listed.users.iter().map(|user| ("user", format!("{}, {}", user.name, user.role))));
    rows.extend(listed.note.map(|note| ("note", note.to_owned())));
    if listed.users.is_empty() {
        rows.push(("note", "nobody can log in: sekisho console user add NAME --role ROLE".to_owned()));
    }
    rows
}
