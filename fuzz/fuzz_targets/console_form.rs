#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho::console::properties::console_form(bytes));
