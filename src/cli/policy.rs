use crate::policy::json_schema;

use super::arguments::PolicyCommand;
use super::error::CliError;
use super::output::print;

/// Does what concerns the text of policies alone.
pub(super) fn policy(command: &PolicyCommand) -> Result<(), CliError> {
    match command {
        PolicyCommand::Schema => print(&json_schema()),
    }
}
