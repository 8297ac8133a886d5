#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho::parse::properties::read_alike(bytes));
