#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho::challenge::properties::user_agent(bytes));
