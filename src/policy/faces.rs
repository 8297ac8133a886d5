use std::collections::HashMap;

use crate::identity::Browsers;
use crate::parse::{Section, did_you_mean};

/// Further stable TLS keys by which browsers are known in this network, by the name of the browser: an antivirus that
/// ends TLS and begins it anew gives every browser its own.
#[derive(Debug, Default)]
pub(super) struct Faces(HashMap<Box<str>, Vec<Box<str>>>);

/// Of all files of a policy.
const FACES_MAX: usize = 256;

impl Faces {
    pub(super) fn of(&self, browser: &str) -> &[Box<str>] {
        self.0.get(browser).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn extend(&mut self, others: Self) {
        for (browser, keys) in others.0 {
            self.0.entry(browser).or_default().extend(keys);
        }
    }

    /// Reads `[identity.profiles]`; what is wrong is reported.
    pub(super) fn read(&mut self, root: &mut Section<'_, '_>) {
        let Some(mut identity) = root.table("identity") else { return };
        for (name, mut section) in identity.named_tables("profiles") {
            let browser = section.string("browser");
            section.need_some("browser", "\"chromium\"");
            section.need_some("tls_keys", "[\"8daaf6152771_59c40603786c_16388a73bc20\"]");
            let keys = section.strings("tls_keys").unwrap_or_default();
            for key in keys.iter().filter(|key| !is_key(&key.value)) {
                let fix = "write the `tls_key` of a record: three times twelve hexadecimal digits, joined by `_`";
                section.problem(&key.place, format!("`{}` is no key of TLS", key.value), fix);
            }
            section.finish();
            let Some(browser) = browser else { continue };
            let known = Browsers::built_in().map(|browsers| browsers.names()).unwrap_or_default();
            if !known.contains(&browser.value) {
                let fix = did_you_mean(&browser.value, known.iter().map(String::as_str))
                    .unwrap_or_else(|| format!("write one of {}", known.join(", ")));
                section.problem(&browser.place, format!("no browser is called `{}`", browser.value), fix);
            }
            let all: usize = self.0.values().map(Vec::len).sum();
            if all + keys.len() > FACES_MAX {
                let what = format!("the profiles have more than {FACES_MAX} keys");
                section.problem(&name.place, what, "name those alone that were seen here");
                continue;
            }
            let keys = keys.into_iter().map(|key| key.value.into());
            self.0.entry(browser.value.into()).or_default().extend(keys);
        }
        identity.finish();
    }
}

fn is_key(text: &str) -> bool {
    let is_part = |part: &str| part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    text.split('_').count() == 3 && text.split('_').all(is_part)
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;

    const KEY: &str = "8daaf6152771_59c40603786c_16388a73bc20";

    #[test]
    fn a_profile_gives_a_browser_one_more_face() {
        let text = format!("[identity.profiles]\nantivirus = {{ browser = \"chromium\", tls_keys = [\"{KEY}\"] }}\n");
        let policy = Policy::compile("p.toml", &text).unwrap();
        assert_eq!((policy.faces("chromium").len(), policy.faces("firefox").len()), (1, 0));
        assert_eq!(&*policy.faces("chromium")[0], KEY);
    }

    #[test]
    fn what_is_no_browser_or_no_key_is_told_of() {
        let wrong = |profile: &str| {
            let problems =
                Policy::compile("p.toml", &format!("[identity.profiles]\na = {{ {profile} }}\n")).unwrap_err();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert!(
            wrong(&format!("browser = \"chrome\", tls_keys = [\"{KEY}\"]")).contains("no browser is called `chrome`")
        );
        for key in ["abc", &KEY[1..], &KEY.to_uppercase(), &format!("{KEY}_"), "t13d1516h2_8daaf6152771_02713d6af862"] {
            let told = wrong(&format!("browser = \"chromium\", tls_keys = [\"{key}\"]"));
            assert!(told.contains("is no key of TLS"), "{key}: {told}");
        }
        assert!(wrong("browser = \"chromium\"").contains("tls_keys"));
        assert!(wrong(&format!("tls_keys = [\"{KEY}\"]")).contains("browser"));
    }
}
