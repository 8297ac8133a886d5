use std::fmt::Write as _;

use crate::evidence::shown;
use crate::facts::Host;

use super::answer::{ClientsOfGroup, Learnt, Proposal};
use super::propose::counted;

/// Left-out destinations that the comments of a policy list; JSON has them all.
const LISTED_MAX: usize = 200;
/// Names that stand in the rule itself; more of them get a group.
const INLINE_MAX: usize = 3;

impl Learnt {
    /// The proposal as the text of a policy that only observes, with comments that say what each rule rests
    /// on and what was left out. It compiles by itself.
    pub fn to_policy(&self) -> String {
        let mut text = String::new();
        self.write_head(&mut text);
        for clients in &self.clients {
            write_clients(&mut text, clients);
        }
        for proposal in &self.proposals {
            write_proposal(&mut text, proposal);
        }
        self.write_left_out(&mut text);
        text
    }

    fn write_head(&self, text: &mut String) {
        let span = match (&self.first, &self.last) {
            (Some(first), Some(last)) => format!(", from {first} to {last}"),
            _ => String::new(),
        };
        let _ = writeln!(text, "# Learnt from {}{span}.", counted(self.exchanges, "exchange"));
        text.push_str(
            "# Read each rule before you keep it: what was used is not always what is meant. Then see with\n\
             # `sekisho replay` what it would have refused, and set the mode to \"enforce\".\n",
        );
        if self.unreadable > 0 {
            let _ =
                writeln!(text, "# {} could not be read; `sekisho verify` says more.", counted(self.unreadable, "line"));
        }
        if self.beyond > 0 {
            let _ = writeln!(
                text,
                "# Nothing was learnt of {}: of more groups or domains than are told apart.",
                counted(self.beyond, "exchange")
            );
        }
        text.push_str("\n[policy]\nmode    = \"observe\"\nunknown = \"deny\"\n");
    }

    fn write_left_out(&self, text: &mut String) {
        if self.left_out.is_empty() {
            return;
        }
        text.push_str("\n# Left out, most requests first:\n");
        for left in self.left_out.iter().take(LISTED_MAX) {
            let group = left.group.as_ref().map_or(String::new(), |group| format!(", {group}"));
            let _ = writeln!(
                text,
                "#   {}{}{group}: {} ({}); {}, {} to {}",
                left.site,
                in_unicode(&left.site).map_or(String::new(), |name| format!(" ({name})")),
                left.reason,
                left.detail,
                counted(left.requests, "request"),
                day(&left.first),
                day(&left.last)
            );
        }
        let more = self.left_out.len().saturating_sub(LISTED_MAX) + self.left_out_beyond;
        if more > 0 {
            let _ = writeln!(text, "#   and {more} more; `--format json` lists them");
        }
    }
}

/// A host or a pattern in Unicode, where that is another form.
fn in_unicode(host: &str) -> Option<String> {
    let (wild, name) = host.strip_prefix("*.").map_or(("", host), |name| ("*.", name));
    let unicode = Host::parse(name.as_bytes()).ok()?.to_unicode()?;
    Some(format!("{wild}{}", shown(&unicode)))
}

fn write_clients(text: &mut String, clients: &ClientsOfGroup) {
    text.push_str("\n# The addresses that were seen. Put in the prefixes that are meant.\n");
    if clients.more {
        text.push_str("# There were more than could be kept: these are not all.\n");
    }
    let _ = writeln!(text, "[clients.{}]", key(&clients.name));
    write_list(text, "addresses", &clients.addresses);
}

fn write_proposal(text: &mut String, proposal: &Proposal) {
    let name = format!("{}: {}", proposal.clients, proposal.site);
    let more = if proposal.used_by_more { " or more" } else { "" };
    let _ = write!(
        text,
        "\n# {} by {}{more} on {}, {} to {}",
        counted(proposal.requests, "request"),
        counted(proposal.used_by as u64, "client"),
        counted(proposal.days as u64, "day"),
        day(&proposal.first),
        day(&proposal.last)
    );
    if let Some(program) = &proposal.program {
        let _ = write!(text, "\n# mainly by {program} (at least {})", counted(proposal.program_requests, "request"));
    }
    text.push('\n');
    for (host, name) in proposal.hosts.iter().filter_map(|host| Some((host, in_unicode(host)?))) {
        let _ = writeln!(text, "# {host} is {name} in Unicode");
    }
    // A name without a dot would be taken for that of a group.
    let inline = proposal.hosts.len() <= INLINE_MAX && proposal.hosts.iter().all(|host| host.contains(['.', ':']));
    if !inline {
        let _ = writeln!(text, "[hosts.{}]", quoted(&name));
        write_list(text, "names", &proposal.hosts);
        text.push('\n');
    }
    text.push_str("[[rule]]\n");
    let _ = writeln!(text, "name    = {}", quoted(&name));
    let _ = writeln!(text, "clients = [{}]", quoted(&proposal.clients));
    match inline {
        true => write_list(text, "hosts  ", &proposal.hosts),
        false => write_list(text, "hosts  ", std::slice::from_ref(&name)),
    }
    let mut ports: Vec<u16> = proposal.ports.iter().map(|access| access.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let _ = writeln!(text, "ports   = {ports:?}");
    if !proposal.private.is_empty() {
        write_list(text, "private", &proposal.private);
    }
    text.push_str("verdict = \"allow\"\n\n[[case]]\n");
    let _ = writeln!(text, "client  = {}", quoted(&proposal.case_client));
    let _ = writeln!(text, "request = {}", quoted(&proposal.case_request));
    let rule = if proposal.case_is_of_one_group { format!(", rule = {}", quoted(&name)) } else { String::new() };
    let _ = writeln!(text, "expect  = {{ verdict = \"allow\"{rule} }}");
}

/// As `policy fmt` keeps a list on one line.
const COLUMNS_MAX: usize = 100;

/// On one line where it fits, else one item a line.
fn write_list(text: &mut String, key: &str, items: &[String]) {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    let line = format!("{key} = [{}]", items.join(", "));
    if line.chars().count() <= COLUMNS_MAX {
        let _ = writeln!(text, "{line}");
        return;
    }
    let _ = writeln!(text, "{key} = [");
    for item in items {
        let _ = writeln!(text, "    {item},");
    }
    text.push_str("]\n");
}

/// A basic string of TOML. What comes here is safe to show already; quotes and backslashes are left.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A key of TOML, bare where it can be.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { name.to_owned() } else { quoted(name) }
}

fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}
