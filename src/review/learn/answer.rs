use serde::Serialize;

/// What was learnt. [`Learnt::to_policy`] writes it as a policy.
#[derive(Debug, Serialize)]
pub struct Learnt {
    /// Lines of the journal that were read, of all kinds.
    pub records: u64,
    /// Lines that are no records, and were passed over.
    pub unreadable: u64,
    /// Exchanges that were looked at: let out, or denied by a policy.
    pub exchanges: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Exchanges of more groups, domains or reasons than are told apart. Nothing was learnt of them.
    pub beyond: u64,
    /// Clients of the groups for which something is proposed.
    pub clients: Vec<ClientsOfGroup>,
    /// In the order of groups and domains.
    pub proposals: Vec<Proposal>,
    /// What is not proposed, most requests first; at most 10,000.
    pub left_out: Vec<LeftOut>,
    /// Those beyond that.
    pub left_out_beyond: usize,
}

/// The clients that were seen of one group.
#[derive(Debug, Serialize)]
pub struct ClientsOfGroup {
    /// As records name it, safe to show; absent for clients that are in no group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The name in the proposed policy.
    pub name: String,
    /// Exactly the addresses that were seen, as the fewest prefixes.
    pub addresses: Vec<String>,
    /// There were more than could be kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// A rule that is proposed, and why. All text is safe to show.
#[derive(Debug, Serialize)]
pub struct Proposal {
    /// The group of clients, by its name in the proposed policy.
    pub clients: String,
    /// The registrable domain, or the host where it has none.
    pub site: String,
    /// Exact names, or `*.domain` with the domain itself where that was used.
    pub hosts: Vec<String>,
    pub ports: Vec<Access>,
    /// Special-purpose addresses that it leads to, as prefixes; a rule had opened them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private: Vec<String>,
    pub requests: u64,
    pub used_by: usize,
    /// There may be more clients than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub used_by_more: bool,
    /// Days (UTC) on which it was used; 31 stands for more.
    pub days: usize,
    pub first: String,
    pub last: String,
    /// The User-Agent that came most, and how often at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    pub program_requests: u64,
    /// A request that was made, to be held to.
    pub case_client: String,
    pub case_request: String,
    /// The client of the case is in this group alone.
    pub case_is_of_one_group: bool,
}

/// How something was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Access {
    pub scheme: &'static str,
    pub port: u16,
}

/// What was used or asked for and is not proposed, and why. All text is safe to show.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub site: String,
    /// `rare`, `denied`, `refused` (by the gate after all), `unreached`, `doubted`, `parent`, `special_address`
    /// or `too_many` (ports or names).
    pub reason: &'static str,
    pub detail: String,
    pub requests: u64,
    pub first: String,
    pub last: String,
}
