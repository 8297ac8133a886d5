use crate::facts::Host;

/// The registrable domain of a host: the public suffix it is under and one label more. `None` for
/// addresses, for names that are public suffixes, and for single labels.
pub(super) fn registrable(host: &Host) -> Option<&str> {
    match host {
        Host::Name(name) => psl::domain_str(name.as_str()),
        Host::V4(_) | Host::V6(_) => None,
    }
}

/// Places below which large providers let anybody have a name of their own. The list of public suffixes can
/// be asked, and not searched.
const SHARED: [&str; 24] = [
    "s3",
    "blob.core",
    "web.core",
    "file.core",
    "storage",
    "app",
    "apps",
    "cloudapp",
    "compute",
    "compute-1",
    "elb",
    "pages",
    "sites",
    "site",
    "users",
    "user",
    "web",
    "blog",
    "host",
    "hosting",
    "cloud",
    "cdn",
    "map",
    "global.ssl",
];

/// Whether a public suffix is known below this registrable domain, so that names below it belong to others.
pub(super) fn has_suffix_below(domain: &str) -> bool {
    SHARED.iter().any(|label| {
        let below = format!("x.{label}.{domain}");
        psl::domain_str(&below).is_some_and(|registrable| registrable != domain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain_of(host: &str) -> Option<String> {
        registrable(&Host::parse(host.as_bytes()).unwrap()).map(str::to_owned)
    }

    #[test]
    fn the_registrable_domain_is_one_label_below_the_public_suffix() {
        for (host, expected) in [
            ("www.portal.example.co.jp", Some("example.co.jp")),
            ("example.co.jp", Some("example.co.jp")),
            ("a.someone.github.io", Some("someone.github.io")),
            ("xn--85x722f.xn--55qx5d.cn", Some("xn--85x722f.xn--55qx5d.cn")),
            ("a.xn--85x722f.xn--55qx5d.cn", Some("xn--85x722f.xn--55qx5d.cn")),
            ("co.jp", None),
            ("github.io", None),
            ("intranet", None),
            ("10.1.2.3", None),
            ("[2001:db8::1]", None),
        ] {
            assert_eq!(domain_of(host).as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn a_domain_below_which_others_have_names_is_known_as_such_and_a_plain_one_is_not() {
        for (domain, expected) in
            [("amazonaws.com", true), ("windows.net", true), ("example.com", false), ("example.co.jp", false)]
        {
            assert_eq!(has_suffix_below(domain), expected, "{domain}");
        }
    }
}
