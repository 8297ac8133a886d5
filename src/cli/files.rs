use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::policy::Policy;
use crate::upstream::KeyRing;

use super::credentials::read_credentials;
use super::error::{CliError, Role};

/// The policy compiled in: it allows nothing.
const BUILT_IN: &str = include_str!("../../policy/default.toml");
/// The file that problems and reasons show for it.
const BUILT_IN_NAME: &str = "policy/default.toml";

/// A policy, the name of its file, and what its parents are shown.
pub(super) struct NamedPolicy {
    pub(super) policy: Policy,
    pub(super) credentials: KeyRing,
    pub(super) file: String,
    pub(super) built_in: bool,
}

/// Reads a config. Relative paths in it mean files beside it, whatever directory the gate is started in.
pub(super) fn read_config(path: &Path) -> Result<Config, CliError> {
    let mut config =
        Config::read(&path.display().to_string(), &read(Role::Config, path)?).map_err(CliError::Problems)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    for named in [&mut config.policy, &mut config.data_dir].into_iter().flatten() {
        *named = directory.join(&named);
    }
    Ok(config)
}

/// Reads and compiles a policy, and reads the credentials it names; without a path, the built-in one.
pub(super) fn read_policy(path: Option<&Path>) -> Result<NamedPolicy, CliError> {
    let (file, text) = match path {
        Some(path) => (path.display().to_string(), read(Role::Policy, path)?),
        None => (BUILT_IN_NAME.to_owned(), BUILT_IN.to_owned()),
    };
    let policy = Policy::compile(&file, &text).map_err(CliError::Problems)?;
    let directory = path.and_then(Path::parent).unwrap_or(Path::new(""));
    let credentials = read_credentials(&policy, directory).map_err(CliError::Problems)?;
    Ok(NamedPolicy { policy, credentials, file, built_in: path.is_none() })
}

/// Tells the policy what the config says is internal.
pub(super) fn give_internal(policy: Policy, config: &Config) -> Result<Policy, CliError> {
    let internal = config.internal.as_ref().map(|internal| &*internal.places);
    policy.with_internal(internal).map_err(CliError::Problems)
}

fn read(role: Role, path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|source| CliError::Read { role, path: path.into(), source })
}

/// Where evidence is kept when neither config nor command line says: systemd's state directory, else
/// `/var/lib/sekisho` for root, else below the user's state home.
pub(super) fn default_data_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(directory) = variable("STATE_DIRECTORY") {
        return directory;
    }
    if rustix::process::geteuid().is_root() {
        return "/var/lib/sekisho".into();
    }
    variable("XDG_STATE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join("sekisho")
}
