//! Sekisho (関所): an egress-enforcing HTTP/HTTPS forward proxy, the only way out of a network.
//!
//! # Promises
//!
//! 1. No dial without a [`policy::Permit`]; a permit is made by [`policy::decide`] alone and spent
//!    once. The gate's own connections are named in config, go through one function and are recorded.
//! 2. Deny is the only default. An empty, missing or broken policy denies.
//! 3. No passage without record: nothing is forwarded before its opening record is accepted.
//!    Queue or disk full means deny with reason `evidence_unavailable`.
//! 4. Every denial carries a reason a person can act on: rule, file and line, or the guard's name.
//! 5. Addresses are checked after DNS, on every attempt, and the address checked is the one dialled,
//!    or asked of a parent proxy. Only a rule that says so leaves a name to its parent.
//! 6. One parse, one value: the outgoing request is rebuilt from the value that was judged.
//! 7. A new policy is compiled whole, then swapped in atomically. A bad one changes nothing.
//! 8. Every queue, map, cache and buffer has a bound in code, and says what happens at the bound.
//! 9. Detection is a fold over records: live and replayed runs give the same findings.
//! 10. Detection may tighten a verdict, never loosen it. Secrets never reach evidence, logs or errors.
//!
//! | promise | what fails when it is broken |
//! |---|---|
//! | 1 | the examples of [`policy::Permit`] that must not compile; `tests/architecture.rs::sockets_are_opened_in_two_rooms_alone`; `tests/architecture.rs::what_opens_sockets_without_a_permit_is_reached_from_the_command_line_alone`; `tests/it/guard.rs::the_gates_own_connections_are_on_record_by_purpose_and_address`; `tests/it/fetched_lists.rs::a_list_that_is_missing_is_fetched_before_the_gate_starts_and_is_told_of` |
//! | 2 | `src/policy/decide/tests.rs::an_empty_policy_denies`; `tests/architecture.rs::nothing_that_grants_has_a_default`; `tests/it/cli.rs::run_refuses_what_check_refuses`; `tests/it/guard.rs::a_name_that_does_not_exist_is_said_to_be_so` |
//! | 3 | `tests/it/power.rs::with_strict_durability_a_loss_of_power_loses_nothing_that_the_origin_saw`; `tests/it/evidence_lost.rs::an_origin_hears_nothing_before_the_opening_record_is_in_the_journal`; `tests/it/disk.rs::a_full_disk_stops_what_is_new_records_what_was_let_out_and_ends_by_itself` |
//! | 4 | `tests/it/promises.rs::every_denial_says_why_on_the_page_and_on_record` |
//! | 5 | `tests/it/guard.rs::a_name_that_is_rebound_between_two_requests_gains_nothing`; `tests/it/guard.rs::a_name_that_points_inside_is_refused_and_nothing_is_dialled` |
//! | 6 | `src/parse/properties/tests.rs::heads_of_telling_pieces`; `tests/it/wire_neighbours.rs::targets_near_the_refused_ones_pass_and_the_host_sent_is_the_one_judged`; `tests/it/http2_floods.rs::nothing_that_http2_could_smuggle_into_http11_reaches_an_origin` |
//! | 7 | `src/session/in_force.rs::a_policy_is_exchanged_whole_and_exchanges_already_judged_keep_theirs`; `tests/it/reload_load.rs::a_hundred_reloads_under_load_leave_every_answer_to_a_policy_that_was_in_force`; `tests/it/cli.rs::run_refuses_what_check_refuses` |
//! | 8 | `tests/it/flows.rs::a_flood_loses_no_count_and_takes_no_memory`; `tests/it/power.rs::with_batch_durability_no_more_is_unsynced_than_is_stated_however_long_a_sync_takes`; `tests/it/status.rs::connections_beyond_the_bound_are_closed_and_a_gap_record_counts_them`; `tests/it/http2.rs::streams_count_towards_what_a_client_may_have_open_and_one_more_may_be_asked_again` |
//! | 9 | `src/detect/tests/snapshot.rs::a_run_with_its_ticks_and_restarts_shows_what_one_pass_over_its_lines_shows`; `tests/it/hunt.rs::eight_filters_each_with_a_part_of_the_clients_find_what_one_finds`; `src/watch/tests.rs::a_gate_that_starts_again_knows_what_it_told_and_goes_on`; `tests/it/hunt.rs::a_beacon_through_the_gate_is_found_in_its_journal_also_where_it_was_denied` |
//! | 10 | `tests/it/evidence.rs::a_refused_head_is_on_record_with_what_it_asked_for_and_without_its_secrets`; `tests/it/promises.rs::no_secret_of_a_client_reaches_records_pages_or_errors`; `tests/it/inspection_secrets.rs::no_secret_of_clients_origins_or_the_gate_is_in_what_it_keeps_or_says` |
//!
//! # Words
//!
//! *client* a machine, by address · *program* the software on it · *target* scheme, host, port and
//! path where visible · *exchange* one request and its answer, or one tunnel · *facts* what is known
//! of an exchange when it is judged · *decision* = *verdict* + *handling* + *reason* · *permit* ·
//! *record* one line of evidence.
//!
//! # The map
//!
//! The order of the `mod` lines is the architecture: a room imports only rooms listed above it.
//! `tests/architecture.rs` enforces it.

// words (pure)
pub mod facts;
// judgement (pure: functions of data and `now`)
pub mod parse;
pub mod identity;
pub mod policy;
pub mod challenge;
pub mod evidence;
pub mod formats;
pub mod detect;
pub mod alert;
// hands (I/O)
pub mod clock;
pub mod limit;
pub mod tls;
pub mod http2;
pub mod upstream;
pub mod store;
pub mod lists;
pub mod sinks;
pub mod notify;
pub mod listen;
pub mod gateway;
pub mod probe;
// the spine
pub mod site;
pub mod session;
// assembly
pub mod review;
pub mod watch;
pub mod config;
pub mod console;
pub mod app;
pub mod cli;
