//! The tables of a policy and their keys, each table's in the order in which `policy fmt` writes them.

use super::{Key, Kind, Table};

const MODES: &[&str] = &["enforce", "observe"];
const VERDICTS: &[&str] = &["allow", "challenge", "deny"];

const fn key(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, needed: false, about }
}

const fn needed(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, needed: true, about }
}

const fn table(about: &'static str, keys: &'static [Key]) -> Table {
    Table { about, keys, one_of: &[] }
}

pub(super) static ROOT: Table = table(
    "A policy of Sekisho: what may leave a network.",
    &[
        key("include", Kind::Texts, "Policy files beside this one, whose rules stand before this one's own."),
        key("policy", Kind::Table(&POLICY), "What the policy says of itself."),
        key("calendar", Kind::Table(&CALENDAR), "The clocks of `hours` and `until`."),
        key("clients", Kind::Named(&CLIENTS), "Groups of clients, by name."),
        key("hosts", Kind::Named(&HOSTS), "Groups of hosts, by name."),
        key("programs", Kind::Named(&PROGRAMS), "Programs, by name."),
        key("identity", Kind::Table(&IDENTITY), "What browsers look like in this network."),
        key("parents", Kind::Named(&PARENTS), "Other proxies that rules may lead through, by name."),
        key("rule", Kind::Tables(&RULE), "The rules in order; the first that matches decides."),
        key("case", Kind::Tables(&CASE), "What the policy is held to; one with a failing case is refused."),
    ],
);

static POLICY: Table = table(
    "What the policy says of itself.",
    &[
        key(
            "mode",
            Kind::Words(MODES),
            "Enforced, or observed: all but the guard passes, and records say what would have been.",
        ),
        key(
            "unknown",
            Kind::Words(VERDICTS),
            "What becomes of a target that no rule names; without a word it is denied.",
        ),
        key(
            "mimic",
            Kind::Words(&["deny", "challenge", "record"]),
            "What becomes of a challenged program that shows to be another browser than it claims; absent: denied.",
        ),
        key(
            "office_hours",
            Kind::TextOrSome,
            "When people work, like \"Mon-Fri 07:00-20:00\": log-ins at other hours are on record; absent: none are.",
        ),
        key("base", Kind::Text, "The file of a layer below this one; the stricter verdict of the two wins."),
        key(
            "reload",
            Kind::Words(&["keep", "strict"]),
            "After a change, open tunnels go on, or are judged again and cut.",
        ),
    ],
);

static IDENTITY: Table = table(
    "What browsers look like in this network.",
    &[key("profiles", Kind::Named(&PROFILE), "Further faces of browsers, such as those that an antivirus gives them.")],
);

static PROFILE: Table = table(
    "One more face of a browser.",
    &[
        needed("browser", Kind::Text, "Which browser: \"chromium\", \"firefox\" or \"safari\"."),
        needed("tls_keys", Kind::Texts, "The stable keys of its TLS, as records show them (`tls_key`)."),
    ],
);

static CALENDAR: Table = table(
    "The clocks of `hours` and `until`.",
    &[
        needed("time_zone", Kind::Text, "An IANA name, like \"Asia/Tokyo\"."),
        key("holidays", Kind::Text, "A file with one date a line; these days are `holidays`, and no weekday."),
    ],
);

static CLIENTS: Table = Table {
    about: "A group of clients.",
    keys: &[
        key("addresses", Kind::SomeTexts, "Addresses and prefixes; absent: any."),
        key("users", Kind::SomeTexts, "Names of users, or \"group:NAME\", by log-in; with `addresses` both must hold."),
        key("mode", Kind::Words(MODES), "The mode for the clients of this group; absent: the policy's."),
        key(
            "shared",
            Kind::Boolean,
            "Whether several people are behind one address; then only a known user is cleared.",
        ),
    ],
    one_of: &["addresses", "users"],
};

static HOSTS: Table = Table {
    about: "A group of hosts.",
    keys: &[
        key("names", Kind::Texts, "Host patterns: a name, `*.` and a name for all below it, an address, or `*`."),
        key(
            "files",
            Kind::Texts,
            "Files of host names beside this one, or \"list:NAME\" for one that the config fetches.",
        ),
        key(
            "on_bad_line",
            Kind::Words(&["refuse", "skip"]),
            "A line of a file that is no name makes the policy bad, or is left out.",
        ),
    ],
    one_of: &["names", "files"],
};

static PROGRAMS: Table = Table {
    about: "A program, by what it says and shows.",
    keys: &[
        key("user_agent", Kind::TextOrSome, "What it says of itself, `*` for anything; easily faked."),
        key("ja4", Kind::SomeTexts, "JA4 fingerprints of its ClientHello; the rule waits for that."),
        key("tls_key", Kind::SomeTexts, "Stable keys of its ClientHello; the rule waits for that."),
    ],
    one_of: &["user_agent", "ja4", "tls_key"],
};

static PARENTS: Table = table(
    "Another proxy.",
    &[
        needed("address", Kind::Text, "Host and port, like \"10.9.0.1:8080\"."),
        key("credentials", Kind::Text, "A file of one line, `user:password`, mode 0600, shown to this parent alone."),
    ],
);

static RULE: Table = table(
    "A rule: it matches when all it names matches, and what it does not name matches all.",
    &[
        needed("name", Kind::Text, "Stands in every reason and record."),
        key("comment", Kind::Text, "For people."),
        key("clients", Kind::SomeTexts, "Groups of clients, one of them; absent: all."),
        key("hosts", Kind::SomeTexts, "Groups of hosts and host patterns, one of them; absent: all."),
        key(
            "ports",
            Kind::Integers { from: 1, to: 65_535 },
            "These ports and no others; absent: 80 for http and 443 for https, for a `deny` all.",
        ),
        key("methods", Kind::SomeTexts, "Methods in capital letters; absent: all."),
        key("paths", Kind::SomeTexts, "Paths, `*` for one segment and `**` for any; on https this implies inspection."),
        key("programs", Kind::SomeTexts, "Groups of programs, one of them; absent: all."),
        key("captured", Kind::Boolean, "Whether it lets out what was captured on its way past the proxy, too."),
        key("hours", Kind::TextOrSome, "When it holds, like \"Mon-Fri 07:00-20:00\"; absent: always."),
        key("until", Kind::Text, "The last day on which it holds, like \"2027-03-31\"; absent: for ever."),
        key("requested_by", Kind::Text, "Who asked for it, for people."),
        key("ticket", Kind::Text, "Where it was asked for, for people."),
        key("private", Kind::Texts, "Special ranges that it opens: prefixes, or \"internal\" for those of the config."),
        key("protocol", Kind::Words(&["tls", "any"]), "What a tunnel carries; absent: TLS."),
        key(
            "sni",
            Kind::Words(&["match", "any"]),
            "Whether a tunnel's server name must be the CONNECT's host; absent: it must.",
        ),
        key("ech", Kind::Words(&["allow", "deny"]), "Whether a tunnel's server name may be encrypted; absent: it may."),
        key("inspect", Kind::Boolean, "Whether a tunnel is read; never for certificates of clients, banks, taxes."),
        key("fresh", Kind::Boolean, "Whether the challenge must be met anew."),
        key("confirm", Kind::Boolean, "Whether a person must confirm."),
        key("no_script", Kind::Boolean, "Whether a browser without scripts may wait some seconds instead."),
        key("set_headers", Kind::SomeTexts, "Fields set in each request: \"Name: value\"; https needs inspect."),
        key("tenant", Kind::Table(&TENANT), "Whose accounts alone may log in to services; needs inspect."),
        key("essential", Kind::Boolean, "Whether it passes under a breakglass when no record can be written."),
        key("parent", Kind::Text, "The parent by which it leaves; absent: directly."),
        key("resolve", Kind::Words(&["gate", "parent"]), "Who looks the name up behind a parent; absent: the gate."),
        needed("verdict", Kind::Words(VERDICTS), "What it says."),
        key("rate", Kind::Table(&RATE), "The most that may be asked for."),
        key("tunnel", Kind::Table(&TUNNEL), "Limits of a tunnel; absent: the gate's."),
    ],
);

static TENANT: Table = Table {
    about: "Whose accounts alone may log in to services: the fields that they ask for, at their hosts.",
    keys: &[
        key("microsoft", Kind::Table(&MICROSOFT), "Tenants of Microsoft Entra."),
        key(
            "microsoft_policy",
            Kind::Text,
            "\"DIRECTORY:POLICY\": tenant restrictions v2, by the ids of your directory and of its policy.",
        ),
        key("microsoft_private", Kind::Words(&["allow", "deny"]), "Whether private Microsoft accounts may log in."),
        key("google", Kind::SomeTexts, "Domains of Google Workspace; \"consumer_accounts\" for private ones."),
        key("slack", Kind::Table(&SLACK), "Workspaces of Slack."),
        key("dropbox", Kind::Text, "The id of the Dropbox team."),
    ],
    one_of: &["microsoft", "microsoft_policy", "microsoft_private", "google", "slack", "dropbox"],
};

static MICROSOFT: Table = table(
    "Tenants of Microsoft Entra.",
    &[
        needed("tenants", Kind::SomeTexts, "Domains or directory ids of the tenants that may be logged in to."),
        needed("directory", Kind::Text, "The id of your own directory, in which refusals are logged."),
    ],
);

static SLACK: Table = table(
    "Workspaces of Slack.",
    &[
        needed("requester", Kind::Text, "The id of your own workspace or organisation."),
        needed("workspaces", Kind::SomeTexts, "The ids of those that may be logged in to."),
    ],
);

static RATE: Table = table(
    "The most that may be asked for.",
    &[
        needed("requests", Kind::Integer { from: 1, to: 1_000_000 }, "So many requests."),
        needed("seconds", Kind::Integer { from: 1, to: 86_400 }, "In so many seconds."),
        needed("per", Kind::Words(&["client", "client_host"]), "Counted by client, or by client and host."),
    ],
);

static TUNNEL: Table = table(
    "Limits of a tunnel.",
    &[
        key("idle_minutes", Kind::Integer { from: 1, to: 10_080 }, "It ends after so many minutes without a byte."),
        key("max_minutes", Kind::Integer { from: 1, to: 10_080 }, "It ends after so many minutes."),
        key("max_upload_mib", Kind::Integer { from: 1, to: 1 << 30 }, "It ends when the client has sent more MiB."),
        key("max_download_mib", Kind::Integer { from: 1, to: 1 << 30 }, "It ends when the client was sent more MiB."),
    ],
);

static CASE: Table = table(
    "A question, and what is expected; in observe mode it speaks of what would happen.",
    &[
        key("comment", Kind::Text, "For people."),
        key("client", Kind::Text, "The address of the client; absent: one in no group."),
        key("user", Kind::Text, "Who is logged in."),
        key("groups", Kind::Texts, "The user's groups."),
        key("user_agent", Kind::Text, "What the program says of itself."),
        key("ja4", Kind::Text, "The JA4 fingerprint of its ClientHello."),
        key("tls_key", Kind::Text, "The stable key of its ClientHello."),
        key(
            "standing",
            Kind::Words(&["uncleared", "cleared", "no_browser"]),
            "What the program has shown of being a browser.",
        ),
        key("captured", Kind::Boolean, "Whether it goes past the proxy, and is captured."),
        key("at", Kind::Text, "When, like \"2026-11-25T10:00:00+09:00\"; needed wherever `hours` or `until` play."),
        needed("request", Kind::Text, "A method and a URL, or CONNECT with host and port."),
        needed("expect", Kind::Table(&EXPECT), "What is expected."),
    ],
);

static EXPECT: Table = table(
    "What is expected.",
    &[
        needed("verdict", Kind::Words(VERDICTS), "The verdict."),
        key("rule", Kind::Text, "The name of the rule that decides."),
        key("reason", Kind::Text, "The reason's word, like \"no_rule\"."),
    ],
);
