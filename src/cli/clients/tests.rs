use std::process::{Command, Stdio};

use super::*;

const CONFIG: &str = "[gate]\ncontact = \"IT's desk\"\n[pac]\ngates = [\"PROXY gate.office.example:3128\"]\n\
                      direct = [\"*.office.example\", \"portal.example\", \"10.0.0.0/8\", \"172.16.0.0/12\", \"192.0.2.7\"]\n";

fn config(text: &str) -> Config {
    Config::read("c.toml", text).unwrap()
}

fn gate_of(text: &str) -> Option<String> {
    Gate::of(&config(text)).map(|gate| format!("{}:{}", gate.host(), gate.port))
}

fn values_of(text: &str) -> Values {
    let config = config(text);
    values(&Gate::of(&config).unwrap(), &config, None)
}

#[test]
fn where_clients_reach_the_gate_is_what_the_config_says_of_it_and_never_a_guess() {
    let network = "[network]\ngate = [\"fd00:20::1\", \"10.20.0.1\"]\ngate_ports = [8080]\noutside = [\"wan0\"]\n\
                   [network.segments.a]\nrole = \"clients\"\naddresses = [\"10.20.0.0/16\"]\n";
    assert_eq!(gate_of(CONFIG).as_deref(), Some("gate.office.example:3128"));
    assert_eq!(gate_of(network).as_deref(), Some("[fd00:20::1]:8080"));
    assert_eq!(gate_of("[gate]\nlisten = [\"127.0.0.1:3128\", \"10.0.0.1:3129\"]\n").as_deref(), Some("10.0.0.1:3129"));
    // A gate within TLS is for PAC files alone: who has none is sent to where it listens.
    let secure = "[gate]\nlisten = [\"10.0.0.1:3129\"]\n[pac]\ngates = [\"HTTPS gate.office.example:3130\"]\n";
    assert_eq!(gate_of(secure).as_deref(), Some("10.0.0.1:3129"));
    for nowhere in ["", "[gate]\nlisten = [\"0.0.0.0:3128\", \"[::1]:3128\"]\n"] {
        assert_eq!(gate_of(nowhere), None);
    }
    assert!(Gate::read("gate.office.example").is_err() && Gate::read("a b:1").is_err());
}

#[test]
fn what_is_reached_directly_is_written_as_each_system_knows_it() {
    let values = values_of(CONFIG);
    let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    assert_eq!(value("pac"), Some("http://gate.office.example:3128/proxy.pac"));
    let no_proxy = "localhost,127.0.0.1,::1,portal.example,.office.example,10.0.0.0/8,172.16.0.0/12,192.0.2.7/32";
    assert_eq!(value("no_proxy"), Some(no_proxy));
    let bypass = value("bypass").unwrap();
    assert!(bypass.starts_with("<local>;portal.example;*.office.example;10.*;172.16.*;172.17.*;"), "{bypass}");
    assert!(bypass.ends_with(";172.31.*;192.0.2.7"), "{bypass}");
    assert_eq!(value("bypass_names"), Some("<local>;portal.example;*.office.example"));
    assert_eq!(patterns("10.1.2.0/23".parse().unwrap()), ["10.1.2.*", "10.1.3.*"]);
    assert_eq!(patterns("0.0.0.0/1".parse().unwrap()).len(), 128);
}

#[test]
fn no_template_names_what_there_is_not_and_none_is_left_half_filled() {
    for text in [CONFIG, "[gate]\nlisten = [\"10.0.0.1:3128\"]\n"] {
        let mut values = values_of(text);
        for with_authority in [false, true] {
            if with_authority {
                values.extend(["ca_subject", "ca_sha1", "ca_sha256", "ca_line"].map(|name| (name, "AUTH".to_owned())));
            }
            for system in [System::Windows, System::Macos, System::Linux] {
                let (script, face) = system.script();
                for (template, face) in [(system.text(), Face::Text), (script, face)] {
                    let filled = filled(template, &values, face);
                    let left: Vec<&str> = filled
                        .split('@')
                        .skip(1)
                        .step_by(2)
                        .filter(|word| {
                            !word.is_empty()
                                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                        })
                        .collect();
                    assert!(left.is_empty(), "{system:?} {face:?}: {left:?}");
                    assert!(!filled.contains("@if") && !filled.contains("@end@"), "{system:?} {face:?}");
                    assert_eq!(filled.contains("AUTH"), with_authority, "{system:?} {face:?}");
                    assert!(
                        filled.contains("wpad")
                            && filled.contains(if text == CONFIG { "proxy.pac" } else { "10.0.0.1:3128" })
                    );
                    assert!(filled.lines().all(|line| line.len() <= 140 || face == Face::Text), "{system:?}");
                }
            }
        }
    }
}

#[test]
fn conditions_hold_by_line_and_a_value_is_never_looked_through() {
    let values: Values = vec![("a", "@b@".to_owned()), ("b", "2".to_owned())];
    let template = "x @a@ @b@ @c@ @ y@\n@if a@\nyes\n@else@\nno\n@end@\n@if c@\nyes\n@else@\nno\n@end@\nend\n";
    assert_eq!(filled(template, &values, Face::Text), "x @b@ 2 @c@ @ y@\nyes\nno\nend\n");
}

/// Whatever somebody writes into a config, as each shell would read it.
const ODD: &[&str] = &[
    "IT's desk",
    "'; rm -rf /; '",
    "$(touch /tmp/x) `id` \"quoted\" \\",
    "情報システム部 内線4711",
    "\u{2018}\u{2019}\u{201a}\u{201b}'; exit 0 #",
    "one\ntwo\r\u{1b}[2J",
    "😀 @gate@",
    "",
];

#[test]
fn a_word_of_a_shell_is_what_was_meant_whatever_it_holds() {
    for odd in ODD {
        let script = format!("printf %s {}", written(odd, Face::Shell));
        let output = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), shown(odd), "{script}");
        assert_eq!(script.lines().count(), 1);
    }
}

#[test]
fn an_expression_of_powershell_is_ascii_and_gives_what_was_meant_whatever_it_holds() {
    for odd in ODD {
        let expression = written(odd, Face::PowerShell);
        assert!(expression.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{expression}");
        assert_eq!(evaluated(&expression), shown(odd), "{expression}");
    }
    assert_eq!(written("a'b", Face::PowerShell), "'a''b'");
    assert_eq!(written("あ", Face::PowerShell), "('' + [char]0x3042 + '')");
}

/// What PowerShell makes of such an expression (about_Quoting_Rules): whole strings in single quotes, and characters,
/// added.
fn evaluated(expression: &str) -> String {
    let inner = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(expression);
    let (mut units, mut rest): (Vec<u16>, &str) = (Vec::new(), inner);
    loop {
        if let Some(number) = rest.strip_prefix("[char]0x") {
            units.push(u16::from_str_radix(&number[..4], 16).unwrap());
            rest = &number[4..];
        } else {
            rest = rest.strip_prefix('\'').unwrap();
            loop {
                let end = rest.find('\'').unwrap();
                units.extend(rest[..end].encode_utf16());
                rest = &rest[end + 1..];
                match rest.strip_prefix('\'') {
                    Some(behind) => {
                        units.push(u16::from(b'\''));
                        rest = behind;
                    }
                    None => break,
                }
            }
        }
        match rest.strip_prefix(" + ") {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    assert_eq!(rest, "", "nothing stands behind the expression");
    String::from_utf16(&units).unwrap()
}

#[test]
fn every_shell_script_is_one_that_a_shell_reads() {
    for odd in ODD {
        let mut values = values_of(CONFIG);
        for value in &mut values {
            value.1 = (*odd).to_owned();
        }
        values.extend(["ca_subject", "ca_sha1", "ca_sha256", "ca_line"].map(|name| (name, (*odd).to_owned())));
        for system in [System::Macos, System::Linux] {
            let (script, face) = system.script();
            for shell in ["sh", "bash"] {
                let filled = filled(script, &values, face);
                let output = Command::new(shell).args(["-n", "-c", &filled]).output().unwrap();
                assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }
}
