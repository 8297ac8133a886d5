//! What leaves: bytes up against what is usual at that time of the week, small uploads that add up, uploads that grow, and
//! names that carry data.
//!
//! Bytes up are kept for each client by hours and days, and for each client and host and each program by quarters of a day.
//! What is usual is the median of the same time in weeks before, and how far values lie from it; while too little is known of
//! that time, of the same time on all days, then of all times. Until anything is usual, a client is silent, and what it sends
//! to a host is told only where few talk to that host and it is much. Sums are judged as they grow, so that a leak is told of
//! while it goes on. What is told of a client and a host is no reason to tell of the client or of the program too.
//!
//! # What it costs
//!
//! A client takes about 1.3 KiB once its second hour is over, a pair or a program about 500 bytes. Only those pairs are kept to
//! which 4 KiB or more went at once, a tenth of all pairs at most; beyond that those go that were not seen for a while. An
//! event without bytes up costs a look-up of its domain.
//!
//! # How good it is
//!
//! On the traffic that `tests/volume.rs` generates, an office of 200 clients over four weeks (uploads of lognormal size and
//! number in working hours, telemetry at night, a tenth with a weekly backup), each time with a seed of its own:
//!
//! * Leaks of 0.1 to 5 GiB within 5 minutes to 4 hours on day 25, to hosts that nobody knows: 80 of 80 in four runs, 8 low,
//!   59 medium, 13 high. Of 0.1 GiB within 25 hours, among 100 clients: 25 of 25.
//! * To a host that a third of 100 clients use, within half an hour: 19 of 25 of 0.3 GiB, 21 of 25 of 1 GiB, 25 of 25 of
//!   3 GiB; of 1 GiB within 25 hours 18 of 25. What is missed comes from clients that send nearly as much at times.
//! * Else, in 27 days, 0 high, 3 to 5 medium and 13 to 24 low: backups on their first run, and, where each client also sends
//!   a file of some 30 MiB every 40 days, such files.

mod channels;
mod detector;
mod growth;
mod history;
mod meter;
mod recent;
mod sayings;

pub(super) use detector::Volume;
pub(super) use history::{History, Scheme, Usual, When};
pub(super) use meter::{Meter, Place, Sent, Window};
