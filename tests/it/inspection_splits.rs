//! Heads that could be read in two ways, inside tunnels that are looked into, in two pieces: each in a record of TLS of its
//! own.

use std::net::SocketAddr;

use crate::fire_splits::{counted, refuse_all, splits};
use crate::inspection_lab::{Lab, Terms, inner};
use crate::inspection_requests::inside;
use crate::origin::{each, head_of, listener_of_its_own};
use crate::wire::Class;
use crate::wire_heads::{framing, lines};
use crate::wire_secured::is_split_here;

/// Payloads of each class, since each split costs two handshakes: all of them are tried whole, and split outside.
const OF_EACH: usize = 1;

#[test]
fn heads_in_two_pieces_are_refused_inside_by_the_same_names_and_each_is_on_record() {
    let terms = Terms { config: "[gate]\nworkers = 1\n", ..Terms::default() };
    let mut lab = Lab::with(listener_of_its_own(443), each(head_of), &terms);
    let at = SocketAddr::from(([127, 0, 0, 9], 8009));
    // Those about a CONNECT have a test of their own inside.
    let classes: Vec<Class> = [framing(at), lines(at)]
        .concat()
        .into_iter()
        .filter(|(name, _)| !name.ends_with("_connect"))
        .map(|(name, payloads)| (name, payloads.iter().take(OF_EACH).map(|payload| inside(payload, at)).collect()))
        .collect();
    let splits = splits(&classes, 1, |_, payload, at| !is_split_here(payload, at));
    let tls = lab.tls();
    let door = || lab.tunnel("site.test").secure(tls.clone(), "site.test").unwrap();
    refuse_all(&lab.gate, &door, &splits);
    let records = lab.records();
    let refused = inner(&records, "refused");
    assert_eq!(
        counted(refused.iter().map(|record| record["reason"].as_str().unwrap())),
        counted(splits.iter().map(|(name, _)| *name)),
        "as many records as refusals"
    );
    assert_eq!(lab.origin.connections(), 0, "nothing was dialled");
}
