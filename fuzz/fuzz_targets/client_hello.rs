#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho::parse::properties::client_hello(bytes));
