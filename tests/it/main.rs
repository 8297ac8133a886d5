//! The gate as a whole, on real sockets and a real journal.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod gate;
mod name_server;
mod origin;
mod parent;
mod peer;

mod cli;
mod disk;
mod evidence;
mod evidence_lost;
mod fire_descriptors;
mod fire_flood;
mod fire_heads;
mod fire_kill;
mod fire_origins;
mod exhausted;
mod fire_splits;
mod forward;
mod forward_bodies;
mod forward_pool;
mod forward_upgrade;
mod guard;
mod internal;
mod lab;
mod power;
mod promises;
mod max_forwards;
mod parents;
mod parents_loops;
mod parents_secrets;
mod readme;
mod shipped;
mod status;
mod tunnel;
mod tunnel_ends;
mod tunnel_hello;
mod tunnel_lab;
mod tunnel_port80;
mod walk;
mod wire;
mod wire_answers;
mod wire_bodies;
mod wire_heads;
mod wire_hosts;
mod wire_neighbours;
