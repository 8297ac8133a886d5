//! What the gate costs: `cargo bench --bench speed [-- WORD]`. See benches/README.md.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

mod process;
mod harness;
mod origin;
mod client;

mod decide;
mod identity;
mod programs;
mod parse;
mod journal;
mod review;
mod end_to_end;
mod names;
mod tls;

fn main() {
    harness::main(&[
        decide::SCENARIOS,
        identity::SCENARIOS,
        programs::SCENARIOS,
        parse::SCENARIOS,
        journal::SCENARIOS,
        review::SCENARIOS,
        end_to_end::SCENARIOS,
        names::SCENARIOS,
        tls::SCENARIOS,
    ]);
}

/// The bytes that are written in hexadecimal.
fn hex(text: &str) -> Vec<u8> {
    let pairs = text.trim().as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
