#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho::evidence::properties::journal_line(bytes));
