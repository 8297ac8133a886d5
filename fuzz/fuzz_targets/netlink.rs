#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho::gateway::flows::properties::netlink(bytes));
