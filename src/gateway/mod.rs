//! The kernel's side of the gate: the rules that leave it as the only way out, and what they stopped.
//!
//! Rules, in: `[network]` of the config, as [`Network`]. Out: the rules that it asks for on a day, as one model ([`Ruleset`])
//! with a printer for each firewall ([`nft`], [`iptables`]); what switches must do where no gateway can see ([`advice`]);
//! rules on trial in the kernel, taken back unless somebody confirms them ([`Trial`]); and each difference between what is in
//! force and what is asked for ([`compare`]). The model and its printers are functions of the config and a date: the same
//! config gives the same text. The kernel's rules are asked and changed by the program `nft` alone.
//!
//! Flows ([`flows`]): what the firewall of this machine has stopped and which connections it has tracked come in as records
//! of kind `flow`.
//!
//! A process of its own ([`Warden`]) holds CAP_NET_ADMIN while the gate runs, which gives it up: it cuts clients off in the
//! kernel, and opens the sockets that flows are read from.
//!
//! This room never decides who may pass the gate: that is the policy's.

pub mod flows;

mod advice;
mod capability;
mod compare;
mod iptables;
mod keeper;
mod kernel;
mod model;
mod network;
mod nft;
mod plan;
mod warden;

pub use advice::advice;
pub use capability::{drop_net_admin, keep_capabilities_of_files_alone, may_have_net_admin};
pub use compare::{Beside, Change, Difference};
pub use iptables::{Family, iptables};
pub use keeper::{Alone, Ending, KeepError, Trial, keep};
pub use kernel::{KernelError, put_in_force, table_in_force, try_rules};
pub use model::{
    BEYOND, Base, CAPTURE_MARK, CAPTURE_ROUTES, Chain, EXCEPTED_MARK, Lockdown, Ports, Rule, Ruleset, Service, State,
    Verdict, When, Who,
};
pub use network::{CaptureBy, Captured, Exception, Network, Place, Protocol, Refusal, Role, Segment};
pub use nft::{ISOLATED_4, ISOLATED_6, LOCKDOWN, TABLE, nft};
pub use plan::{Plan, plan};
pub use warden::{ISOLATED_MAX, Warden, WardenError, ward};

/// What is in force in this kernel against the rules that are asked for: each difference, and what of other tables has to do
/// with what passes.
///
/// # Errors
/// The kernel's rules cannot be read, or there is no way to see what it would make of those that are asked for.
pub fn compare(rules: &Ruleset) -> Result<(Vec<Difference>, Vec<Beside>), KernelError> {
    let beside = compare::beside(&kernel::whole_ruleset()?);
    let Some(found) = kernel::stateless_table()? else { return Ok((vec![Difference::no_table()], beside)) };
    let wanted = kernel::as_listed(&nft(rules))?;
    Ok((compare::differences(&wanted, &found), beside))
}
