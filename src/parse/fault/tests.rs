use std::collections::HashSet;

use super::Fault;

#[test]
fn every_name_is_unique_snake_case_and_follows_its_variant() {
    let mut seen = HashSet::new();
    for fault in Fault::ALL {
        let name = fault.name();
        assert!(seen.insert(name), "{name} is used twice");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        let variant = format!("{fault:?}").to_lowercase();
        assert_eq!(variant, name.replace('_', ""));
    }
}

#[test]
fn every_text_is_one_clause_without_a_full_stop() {
    for fault in Fault::ALL {
        let text = fault.to_string();
        assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('\n'), "{text}");
    }
}
