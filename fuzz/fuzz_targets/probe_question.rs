#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho::probe::properties::question(bytes));
