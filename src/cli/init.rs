use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::output::{print, table};

const CONFIG: &str = include_str!("templates/sekisho.toml");
const POLICY: &str = include_str!("../../policy/starter.toml");
const UNIT: &str = include_str!("templates/sekisho.service");

/// Places that the unit's `ProtectHome` and `PrivateTmp` hide from the gate.
const HIDDEN_FROM_UNIT: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Writes a config, a policy and a systemd unit into `directory`, all or, where one of them exists, none.
pub(super) fn init(directory: &Path) -> Result<(), CliError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CliError::Write { path, source }
    };
    fs::create_dir_all(directory).map_err(failed(directory))?;
    let directory = directory.canonicalize().map_err(failed(directory))?;
    let [config, policy, unit] = ["sekisho.toml", "policy.toml", "sekisho.service"].map(|name| directory.join(name));
    let executable = std::env::current_exe().map_err(CliError::Executable)?;
    let unit_text = unit_text(&executable, &config, &unit)?;

    let files = [(&config, CONFIG), (&policy, POLICY), (&unit, unit_text.as_str())];
    let there: Vec<PathBuf> =
        files.iter().filter(|(path, _)| is_there(path)).map(|(path, _)| (*path).clone()).collect();
    if !there.is_empty() {
        return Err(CliError::Exists(there));
    }
    for (path, text) in files {
        write_new(path, text).map_err(failed(path))?;
    }
    print(&describe(&executable, &config, &policy, &unit))
}

/// True for a dangling link too: somebody has put it there.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn describe(executable: &Path, config: &Path, policy: &Path, unit: &Path) -> String {
    let mut text = table(&vec![
        ("wrote", format!("{}: what may leave; as it stands, nothing", policy.display())),
        ("wrote", format!("{}: the gate's settings, each with its default", config.display())),
        ("wrote", format!("{}: a systemd unit that runs the gate with both", unit.display())),
    ]);
    text.push_str(&format!(
        "\nNext, after you have named in the policy what may leave:\n  \
         sekisho check --config {config}\n  sekisho run --config {config}\n  systemctl enable --now {unit}\n",
        config = shell_word(config),
        unit = shell_word(unit),
    ));
    let hidden: Vec<String> =
        [executable, unit].into_iter().filter(|path| is_hidden(path)).map(|path| path.display().to_string()).collect();
    if !hidden.is_empty() {
        text.push_str(&format!(
            "\nnote: a gate run by the unit cannot see {};\n      \
             for the unit keep the program in /usr/local/bin and these files in /etc/sekisho\n",
            hidden.join(" and ")
        ));
    }
    text
}

fn is_hidden(path: &Path) -> bool {
    HIDDEN_FROM_UNIT.iter().any(|place| path.starts_with(place))
}

/// The unit; the package's is made of the same template, by the same three words.
fn unit_text(executable: &Path, config: &Path, unit: &Path) -> Result<String, CliError> {
    // A variable is replaced in arguments, never in the program's own path.
    let argument = unit_word(config)?.replace('$', "$$");
    Ok(UNIT
        .replace("@unit@", &shell_word(unit))
        .replace("@executable@", &unit_word(executable)?)
        .replace("@config@", &argument))
}

/// A path as one word of a unit's command line (systemd.service(5), "Command lines").
fn unit_word(path: &Path) -> Result<String, CliError> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| CliError::NotForUnit { path: path.into() })?;
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    if text.contains([' ', '"', '\'', '\\', ';']) { Ok(format!("\"{escaped}\"")) } else { Ok(escaped) }
}

/// A path as one word of a shell's command line.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | '@' | ':' | ',');
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests;
