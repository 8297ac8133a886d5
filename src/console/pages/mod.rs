//! The pages, each a function of data: what a person sees of an answer.

mod answers;
mod client;
mod exchanges;
mod finding;
mod frame;
mod host;
mod live;
mod login;
mod overview;
mod policy;
mod report;
mod sql;
mod sweep;

pub(super) use answers::answer_page;
pub(super) use client::{ClientPage, client_page};
pub(super) use exchanges::{LIKENESSES, OfOne, around_page, like_page};
pub(super) use finding::{FindingPage, finding_page};
pub(super) use frame::{Asked, View, fault_page};
pub(super) use host::host_page;
pub(super) use live::live_page;
pub(super) use login::login_page;
pub(super) use overview::{Overview, Told, overview_page};
pub(super) use policy::{Hits, PolicyPage, policy_page};
pub(super) use report::report_form_page;
pub(super) use sql::{SqlTable, sql_page};
pub(super) use sweep::sweep_page;
