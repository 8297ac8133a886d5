//! `tenant`: the fields by which services are told whose accounts alone may log in to them from here. A preset
//! knows their names and the hosts that read them; what each service asks for stands beside its hosts.

use std::sync::Arc;

use crate::facts::Host;
use crate::parse::{Placed, Section};

use super::pattern::HostSet;
use super::set_fields::{SetField, VALUE_BYTES_MAX};

/// A field that is set in requests to some of the hosts of a rule.
#[derive(Debug)]
pub(super) struct TenantField {
    hosts: HostSet,
    field: SetField,
}

impl TenantField {
    /// The field, where this host reads it.
    pub(super) fn at(&self, host: &Host) -> Option<&SetField> {
        self.hosts.contains(host).then_some(&self.field)
    }
}

/// Where Microsoft reads which tenants may be logged in to, and whose network asks
/// (<https://learn.microsoft.com/entra/identity/enterprise-apps/tenant-restrictions>).
const MICROSOFT: &[&str] = &["login.microsoftonline.com", "login.microsoft.com", "login.windows.net"];
/// Where it reads that private accounts may not be (the same page).
const MICROSOFT_PRIVATE: &[&str] = &["login.live.com"];
/// Where it reads which policy of a tenant holds
/// (<https://learn.microsoft.com/entra/external-id/tenant-restrictions-v2>).
const MICROSOFT_POLICY: &[&str] =
    &["login.live.com", "login.microsoft.com", "login.microsoftonline.com", "login.windows.net"];
/// <https://support.google.com/a/answer/1668854>
const GOOGLE: &[&str] = &["google.com", "*.google.com"];
/// <https://slack.com/help/articles/360024821873>
const SLACK: &[&str] = &["slack.com", "*.slack.com"];
/// <https://help.dropbox.com/security/network-control>
const DROPBOX: &[&str] = &["dropbox.com", "*.dropbox.com"];

const MICROSOFT_ACCESS: &str = "sec-Restrict-Tenant-Access-Policy";
/// The word of Google for accounts that belong to no company.
const CONSUMERS: &str = "consumer_accounts";
const ID_BYTES_MAX: usize = 128;

/// The presets of one rule while they are read.
struct Presets<'r> {
    fields: Vec<TenantField>,
    /// What the rule's `hosts` names, where it names any.
    named: Option<&'r HostSet>,
    /// What its `set_headers` sets.
    set: &'r [SetField],
}

/// Reads `tenant` of a rule that has these hosts and sets these fields besides.
pub(super) fn read_tenant(
    section: &mut Section<'_, '_>,
    named: Option<&HostSet>,
    set: &[SetField],
) -> Arc<[TenantField]> {
    let Some(mut table) = section.table("tenant") else { return Arc::default() };
    let mut presets = Presets { fields: Vec::new(), named, set };
    presets.read_microsoft(&mut table);
    if table.has("google") {
        table.need_some("google", "[\"example.co.jp\"]");
    }
    let google = ids(&mut table, "google", is_google_domain, "write a domain of your Google Workspace, in A-labels");
    presets.set(&table, "google", GOOGLE, "X-GoogApps-Allowed-Domains", google);
    presets.read_slack(&mut table);
    let dropbox = id(&mut table, "dropbox", is_opaque_id, "write the team id that the admin console of Dropbox shows");
    presets.set(&table, "dropbox", DROPBOX, "X-Dropbox-allowed-Team-Ids", dropbox);
    let services = ["microsoft", "microsoft_policy", "microsoft_private", "google", "slack", "dropbox"];
    if !services.iter().any(|key| table.has(key)) {
        let fix = "write tenant = { google = [\"example.co.jp\"] }, or take `tenant` away";
        table.problem(table.place(), "`tenant` names no service", fix);
    }
    table.finish();
    presets.fields.into()
}

impl Presets<'_> {
    fn read_microsoft(&mut self, table: &mut Section<'_, '_>) {
        if let Some(mut microsoft) = table.table("microsoft") {
            microsoft.need_some("tenants", "[\"contoso.onmicrosoft.com\"]");
            microsoft.need_some("directory", "\"the id of your own directory\"");
            let fix = "write a domain that the tenant has registered, or the id of its directory";
            let tenants = ids(&mut microsoft, "tenants", |text| is_domain(text) || is_uuid(text), fix);
            let directory = id(&mut microsoft, "directory", is_uuid, "write the id that Microsoft Entra shows");
            microsoft.finish();
            self.set(table, "microsoft", MICROSOFT, "Restrict-Access-To-Tenants", tenants);
            self.set(table, "microsoft", MICROSOFT, "Restrict-Access-Context", directory);
        }
        let is_policy = |text: &str| text.split_once(':').is_some_and(|(own, policy)| is_uuid(own) && is_uuid(policy));
        let fix = "write the id of your directory, a colon, and the id of its policy";
        let policy = id(table, "microsoft_policy", is_policy, fix);
        let has_policy = policy.is_some();
        self.set(table, "microsoft_policy", MICROSOFT_POLICY, MICROSOFT_ACCESS, policy);
        let denied = table.word("microsoft_private", &[("allow", false), ("deny", true)]).unwrap_or(false);
        if let Some(place) = table.place_of_key("microsoft_private").filter(|_| denied && has_policy) {
            let what = "`microsoft_policy` and `microsoft_private` set the same field at login.live.com";
            table.problem(&place, what, "take `microsoft_private` away: the policy says what private accounts may");
        } else if denied {
            let value = Some("restrict-msa".to_owned());
            self.set(table, "microsoft_private", MICROSOFT_PRIVATE, MICROSOFT_ACCESS, value);
        }
    }

    fn read_slack(&mut self, table: &mut Section<'_, '_>) {
        let Some(mut slack) = table.table("slack") else { return };
        slack.need_some("requester", "\"T0123ABCD\"");
        slack.need_some("workspaces", "[\"T0123ABCD\"]");
        let fix = "write the id of a workspace (T…) or of an organisation (E…)";
        let requester = id(&mut slack, "requester", is_slack_id, fix);
        let workspaces = ids(&mut slack, "workspaces", is_slack_id, fix);
        slack.finish();
        self.set(table, "slack", SLACK, "X-Slack-Allowed-Workspaces-Requester", requester);
        self.set(table, "slack", SLACK, "X-Slack-Allowed-Workspaces", workspaces);
    }

    /// Sets a field at a service's hosts, unless the rule cannot mean that.
    fn set(
        &mut self,
        table: &Section<'_, '_>,
        key: &'static str,
        at: &[&str],
        name: &'static str,
        value: Option<String>,
    ) {
        let (Some(place), Some(value)) = (table.place_of_key(key), value) else { return };
        let mut hosts = HostSet::default();
        for pattern in at {
            hosts.add(pattern).expect("the presets name hosts");
        }
        if self.set.iter().any(|field| field.name.eq_ignore_ascii_case(name)) {
            let what = format!("`tenant` sets `{name}` for `{key}`, and so does `set_headers`");
            table.problem(&place, what, "take it away from `set_headers`, or the preset");
        }
        let is_new = self.fields.iter().all(|other| *other.field.name != *name);
        if is_new && self.named.is_some_and(|named| !named.meets(&hosts)) {
            let what = format!("no host of the rule reads what `{key}` sets");
            table.problem(&place, what, format!("add \"{}\" to `hosts`, or take `{key}` away", at.join("\", \"")));
        }
        self.fields.push(TenantField { hosts, field: SetField { name: name.into(), value: value.into() } });
    }
}

/// One id. What is none is reported.
fn id(table: &mut Section<'_, '_>, key: &'static str, is_one: impl Fn(&str) -> bool, fix: &str) -> Option<String> {
    let text = table.string(key)?;
    report(table, key, &text, &is_one, fix);
    Some(text.value)
}

/// A list of ids as a field has them. What is none is reported.
fn ids(table: &mut Section<'_, '_>, key: &'static str, is_one: impl Fn(&str) -> bool, fix: &str) -> Option<String> {
    let texts = table.strings(key)?;
    texts.iter().for_each(|text| report(table, key, text, &is_one, fix));
    let value = texts.iter().map(|text| text.value.as_str()).collect::<Vec<_>>().join(",");
    if let Some(place) = table.place_of_key(key).filter(|_| value.len() > VALUE_BYTES_MAX) {
        let what = format!("`{key}` comes to more than the {VALUE_BYTES_MAX} bytes that a field may have");
        table.problem(&place, what, "name fewer");
    }
    Some(value)
}

fn report(table: &Section<'_, '_>, key: &str, text: &Placed<String>, is_one: &impl Fn(&str) -> bool, fix: &str) {
    if !is_one(&text.value) {
        table.problem(&text.place, format!("`{}` cannot stand in `{key}`", text.value.escape_debug()), fix);
    }
}

/// A name of two labels or more; one that is no host name could not be registered.
fn is_domain(text: &str) -> bool {
    text.contains('.') && !text.ends_with('.') && matches!(Host::parse(text.as_bytes()), Ok(Host::Name(_)))
}

fn is_google_domain(text: &str) -> bool {
    is_domain(text) || text == CONSUMERS
}

/// In the form of RFC 9562 section 4.
fn is_uuid(text: &str) -> bool {
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn is_slack_id(text: &str) -> bool {
    text.starts_with(['T', 'E']) && text.len() > 1 && text.len() <= ID_BYTES_MAX && {
        text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    }
}

/// What a service made up; nothing in it could end the value or begin another.
fn is_opaque_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:.=+/".contains(&byte))
}
