use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use crate::facts::{Host, Scheme};
use crate::parse::{Placed, Section, parse_authority};

/// A proxy through which the exchanges of a rule leave. Two of the same name are equal only if all
/// else is, so that nothing made for one is taken for a later policy's other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parent {
    name: Box<str>,
    host: Host,
    port: u16,
    credentials: Option<Box<str>>,
}

/// The way out for one exchange. None is taken for want of another: a forgotten one would go around a
/// parent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Route {
    /// The gate connects to the target itself.
    Direct,
    Parent {
        parent: Arc<Parent>,
        resolved_by: ResolvedBy,
    },
}

/// Who learns the addresses of a target that is reached through a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResolvedBy {
    /// The gate: the guard judges every address, and the parent is asked for one that passed.
    Gate,
    /// The parent: the gate never learns them, and the guard judges address literals alone.
    Parent,
}

impl Route {
    /// Whether a request that goes this way carries the credentials of a parent itself. Where the gate
    /// resolves, and in every tunnel, the CONNECT before it carries them, and no answer to that is passed
    /// on.
    pub(super) fn shows_credentials(&self, scheme: Scheme) -> bool {
        match self {
            Route::Parent { parent, resolved_by: ResolvedBy::Parent } => {
                scheme == Scheme::Http && parent.credentials.is_some()
            }
            Route::Parent { resolved_by: ResolvedBy::Gate, .. } | Route::Direct => false,
        }
    }
}

impl Parent {
    /// What the policy calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file of its user and password: a relative path in a policy means a file beside the one that says it,
    /// and this is that one's path. Nothing in this room reads it.
    pub fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// A parent for tests of what is done with one.
    #[cfg(test)]
    pub(crate) fn of(name: &str, authority: &str) -> Arc<Self> {
        let (host, port) = parse_authority(authority.as_bytes()).unwrap();
        Arc::new(Self { name: name.into(), host, port: port.unwrap(), credentials: None })
    }
}

impl ResolvedBy {
    /// The word used in policies and records.
    pub fn as_str(self) -> &'static str {
        match self {
            ResolvedBy::Gate => "gate",
            ResolvedBy::Parent => "parent",
        }
    }
}

/// The parents of a policy, in the order of the file; each with the place of its `credentials`, or of
/// itself where there are none.
pub(super) type Parents = Vec<Placed<Arc<Parent>>>;

pub(super) fn read_parents(root: &mut Section<'_, '_>) -> Parents {
    let mut parents = Vec::new();
    for (name, mut section) in root.named_tables("parents") {
        // What has a problem is entered too, or each rule that names it would seem to name nothing: the
        // policy is refused whole.
        let (host, port) = read_address(&mut section, &name).unwrap_or((Host::V4(Ipv4Addr::UNSPECIFIED), 0));
        let credentials = section.string("credentials");
        section.finish();
        if let Some(file) = credentials.as_ref().filter(|file| file.value.is_empty()) {
            section.problem(&file.place, "`credentials` names no file", "name a file of one line, `user:password`");
        }
        let place = credentials.as_ref().map_or(name.place, |file| file.place.clone());
        let beside = Path::new(&*place.file).parent().unwrap_or(Path::new(""));
        let credentials = credentials.map(|file| beside.join(file.value).to_string_lossy().into());
        parents.push(Placed { value: Arc::new(Parent { name: name.value.into(), host, port, credentials }), place });
    }
    parents.sort_by(|a, b| a.place.cmp(&b.place));
    parents
}

fn read_address(section: &mut Section<'_, '_>, name: &Placed<String>) -> Option<(Host, u16)> {
    let Some(address) = section.string("address") else {
        if !section.has("address") {
            let what = format!("parent `{}` has no address", name.value);
            section.problem(&name.place, what, "add address = \"10.9.0.1:8080\" or \"proxy.example:8080\"");
        }
        return None;
    };
    match parse_authority(address.value.as_bytes()) {
        Ok((host, Some(port))) => Some((host, port)),
        Ok((_, None)) | Err(_) => {
            section.problem(
                &address.place,
                format!("`{}` is no address with a port", address.value),
                "write it like \"10.9.0.1:8080\", \"[2001:db8::1]:8080\" or \"proxy.example:8080\"",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policy;

    /// The problems of a policy, as a person reads them; nothing for a good one.
    fn problems(text: &str) -> String {
        let problems = Policy::compile("p.toml", text).err().unwrap_or_default();
        problems.iter().map(|problem| format!("{problem}\n")).collect()
    }

    const PARENT: &str = "[parents]\nuplink = { address = \"10.9.0.1:8080\", credentials = \"uplink.credentials\" }\n";

    fn rule(keys: &str) -> String {
        format!("{PARENT}[[rule]]\nname = \"r\"\nverdict = \"allow\"\n{keys}\n")
    }

    #[test]
    fn a_parent_is_an_address_or_a_name_with_a_port() {
        for address in ["10.9.0.1:8080", "[2001:db8::1]:3128", "proxy.example:8080"] {
            let policy = Policy::compile("p.toml", &PARENT.replace("10.9.0.1:8080", address)).unwrap();
            let parent = &policy.parents()[0];
            assert_eq!(format!("{}:{}", parent.value.host(), parent.value.port()), address);
            assert_eq!((parent.value.name(), parent.value.credentials()), ("uplink", Some("uplink.credentials")));
            assert_eq!(parent.place.line, 2);
        }
        for address in ["10.9.0.1", "http://10.9.0.1:8080", "u@10.9.0.1:8080", "10.9.0.1:0", "", "0x7f.1:80"] {
            let shown = problems(&PARENT.replace("10.9.0.1:8080", address));
            assert!(shown.starts_with(&format!("p.toml:2:22: `{address}` is no address with a port")), "{shown}");
        }
        let shown = problems("[parents]\nuplink = { resolve = \"gate\" }\n");
        assert!(shown.contains("p.toml:2:1: parent `uplink` has no address"), "{shown}");
        assert!(shown.contains("p.toml:2:12: unknown key `resolve`"), "who resolves is a rule's to say: {shown}");
    }

    #[test]
    fn a_rule_that_names_an_unknown_parent_is_shown_with_its_line_and_the_nearest_name() {
        assert_eq!(problems(&rule("parent = \"uplink\"")), "");
        let shown = problems(&rule("parent = \"uplnk\""));
        assert_eq!(shown, "p.toml:6:10: there is no parent `uplnk`\n    fix: did you mean `uplink`?\n");
        let shown = problems(&rule("parent = \"other\""));
        assert!(shown.contains("p.toml:6:10: there is no parent `other`\n    fix: define [parents.other]"), "{shown}");
        let broken = rule("parent = \"uplink\"").replace("10.9.0.1:8080", "nowhere");
        assert!(!problems(&broken).contains("there is no parent"), "one problem is shown once: {}", problems(&broken));
    }

    #[test]
    fn resolve_is_for_a_rule_with_a_parent_and_a_parent_for_one_that_lets_out() {
        for who in ["gate", "parent"] {
            assert_eq!(problems(&rule(&format!("parent = \"uplink\"\nresolve = \"{who}\""))), "");
            let shown = problems(&rule(&format!("resolve = \"{who}\"")));
            assert!(shown.contains("p.toml:6:11: `resolve` says who") && shown.contains("add `parent`"), "{shown}");
        }
        let denies = rule("parent = \"uplink\"").replace("allow", "deny");
        assert!(problems(&denies).contains("p.toml:6:10: the rule denies"), "{}", problems(&denies));
        assert!(problems(&rule("parent = \"uplink\"\nresolve = \"client\"")).contains("p.toml:7:11: `resolve`"));
    }
}
