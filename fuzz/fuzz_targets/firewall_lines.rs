#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho::formats::properties::firewall_lines(bytes));
