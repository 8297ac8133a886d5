use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::lists::{self, ReadPolicy, Watched};
use crate::policy::Policy;

use super::error::{CliError, Role};

/// Reads a config. Relative paths in it mean files beside it, whatever directory the gate is started in.
pub(super) fn read_config(path: &Path) -> Result<Config, CliError> {
    let mut config = Config::read(&path.display().to_string(), &read(path)?).map_err(CliError::Problems)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    for named in [&mut config.policy, &mut config.data_dir].into_iter().flatten() {
        *named = directory.join(&named);
    }
    Ok(config)
}

/// Reads and compiles a policy once; nobody watches its files.
pub(super) fn read_policy(path: Option<&Path>) -> Result<ReadPolicy, CliError> {
    Ok(lists::read_policy(path, &mut Watched::default())?)
}

/// Tells the policy what the config says is internal.
pub(super) fn give_internal(policy: Policy, config: &Config) -> Result<Policy, CliError> {
    let internal = config.internal.as_ref().map(|internal| &*internal.places);
    policy.with_internal(internal).map_err(CliError::Problems)
}

fn read(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|source| CliError::Read { role: Role::Config, path: path.into(), source })
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
