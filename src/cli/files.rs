use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::lists::{self, FeedFiles, Kept, ReadPolicy, Watched};
use crate::notify::AlertReceiver;
use crate::policy::{FETCHED_LIST, Policy};
use crate::sinks::{Hook, Way};
use crate::tls::Roots;

use super::error::{CliError, Role};

/// Reads a config. Relative paths in it mean files beside it, whatever directory the gate is started in.
pub(super) fn read_config(path: &Path) -> Result<Config, CliError> {
    let mut config = Config::read(&path.display().to_string(), &read(path)?).map_err(CliError::Problems)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    for named in [&mut config.policy, &mut config.data_dir].into_iter().flatten().chain(&mut config.writable) {
        *named = directory.join(&named);
    }
    if let Some(settings) = &mut config.authentication {
        for named in [&mut settings.users, &mut settings.digest, &mut settings.groups].into_iter().flatten() {
            *named = directory.join(&**named).to_string_lossy().into();
        }
    }
    if let Some((certificate, key)) = config.secure_proxy.as_mut().and_then(|proxy| proxy.files.as_mut()) {
        for named in [certificate, key] {
            *named = directory.join(&named);
        }
    }
    if let Some(console) = &mut config.console {
        let files = console.files.as_mut().map(|(certificate, key)| [certificate, key]);
        for named in console.users.iter_mut().chain(files.into_iter().flatten()) {
            *named = directory.join(&named);
        }
    }
    for named in config.devices.paths_mut() {
        *named = directory.join(&named);
    }
    for stream in &mut config.streams {
        stream.file = directory.join(&stream.file);
    }
    for named in config.alerts.iter_mut().flat_map(AlertReceiver::paths_mut) {
        *named = directory.join(&named);
    }
    let told = config.hooks.iter_mut().filter_map(Hook::receiver_mut);
    for receiver in config.checkpoint_receivers.iter_mut().chain(told) {
        if let Way::Directory(path) = &mut receiver.way {
            *path = directory.join(&path);
        }
    }
    let roots = config.lists.iter_mut().map(|feed| &mut feed.roots).chain(&mut config.inspection.roots);
    let told = config.hooks.iter_mut().filter_map(Hook::receiver_mut);
    let receivers = config.checkpoint_receivers.iter_mut().chain(told);
    let roots = roots.chain(receivers.map(|receiver| &mut receiver.roots));
    let files = roots.filter_map(|roots| match roots {
        Roots::System => None,
        Roots::File(path) => Some(path),
    });
    for path in files.chain(&mut config.inspection.revocation_lists) {
        *path = directory.join(&path);
    }
    Ok(config)
}

/// Reads and compiles a policy once, for a gate of this config if there is one; nobody watches its files.
/// Lists that such a gate has fetched are looked for in `data_dir`, else where its config says.
pub(super) fn read_policy(
    path: Option<&Path>,
    config: Option<&Config>,
    data_dir: Option<&Path>,
) -> Result<ReadPolicy, CliError> {
    let feeds = config.map_or_else(FeedFiles::default, |config| feed_files(config, &data_dir_of(config, data_dir)));
    Ok(lists::read_policy(path, &feeds, &mut Watched::default())?)
}

/// Where the lists are that a gate of this config fetches.
pub(super) fn feed_files(config: &Config, data_dir: &Path) -> FeedFiles {
    FeedFiles::of(&config.lists, Kept::new(data_dir))
}

/// The data directory of a gate with this config; the command line's goes before.
pub(super) fn data_dir_of(config: &Config, named: Option<&Path>) -> PathBuf {
    named.map(Path::to_path_buf).or_else(|| config.data_dir.clone()).unwrap_or_else(default_data_dir)
}

/// Says which lists of a policy an answer does without.
pub(super) fn warn_of_unfetched(names: &[String]) {
    for name in names {
        eprintln!("sekisho: warning: {}", unfetched(name));
    }
}

/// That a list is not here.
pub(super) fn unfetched(name: &str) -> String {
    format!("`{FETCHED_LIST}{name}` has not been fetched here: it is taken as empty")
}

/// Tells the policy what the config says is internal.
pub(super) fn give_internal(policy: Policy, config: &Config) -> Result<Policy, CliError> {
    let internal = config.internal.as_ref().map(|internal| &*internal.places);
    policy.with_internal(internal).map_err(CliError::Problems)
}

/// A file that the config is, or names.
pub(super) fn read(path: &Path) -> Result<String, CliError> {
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
