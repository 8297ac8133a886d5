#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho::policy::properties::policy_decide(bytes));
