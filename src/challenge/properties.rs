//! What must hold for any bytes at all of those by which a program shows what it is. Fuzz targets call these functions
//! and so do tests; the gate does not.
//!
//! Each function panics when its property does not hold.

mod authorization;
mod token;
mod user_agent;

pub use authorization::{authorization, user_table};
pub use token::challenge_token;
pub use user_agent::user_agent;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Property = fn(&[u8]);
    const PROPERTIES: [(&str, Property); 4] = [
        ("authorization", authorization),
        ("user_table", user_table),
        ("challenge_token", challenge_token),
        ("user_agent", user_agent),
    ];

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        fs::read_dir(directory).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    /// So that what a fuzzer once found is tried without one.
    #[test]
    fn the_properties_hold_for_every_seed() {
        for (target, property) in PROPERTIES {
            let seeds = seeds(target);
            assert!(!seeds.is_empty(), "{target}");
            seeds.iter().for_each(|seed| property(seed));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// There are more ways to be wrong than to be right.
        #[test]
        fn the_properties_hold_for_damaged_seeds(
            which in any::<prop::sample::Index>(),
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            for (target, property) in PROPERTIES {
                let seeds = seeds(target);
                let mut bytes = seeds[which.index(seeds.len())].clone();
                for (at, byte) in &changes {
                    if !bytes.is_empty() {
                        let at = at.index(bytes.len());
                        bytes[at] = *byte;
                    }
                }
                property(&bytes);
            }
        }
    }
}
