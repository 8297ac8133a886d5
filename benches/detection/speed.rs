pub(crate) fn run(_seed: u64, _pairs: usize) {}
