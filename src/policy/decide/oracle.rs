//! The evaluation against a naive reading of the same policy, for policies and questions by chance.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::policy::properties::decide::*;

fn some<T: Copy + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = Option<Vec<T>>> {
    option::of(subsequence(of.to_vec(), 1..=of.len()))
}

/// Seldom, so that most rules can match.
fn seldom<T: Copy + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = Option<Vec<T>>> {
    option::weighted(0.2, subsequence(of.to_vec(), 1..=of.len()))
}

fn often(one_in: u32) -> impl Strategy<Value = bool> {
    (0..one_in).prop_map(|number| number == 0)
}

fn rule(hosts: impl Strategy<Value = Option<Vec<&'static str>>>) -> impl Strategy<Value = Written> {
    let conditions =
        (hosts, some(&GROUP_NAMES), some(&PORTS), some(&METHODS), some(&PROGRAMS), seldom(&PATHS), often(5), often(5));
    let inspect = option::weighted(0.7, any::<bool>());
    let marks = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let terms = (select(VERDICTS.to_vec()), inspect, marks);
    (conditions, terms).prop_map(|(conditions, (verdict, inspect, (fresh, confirm, essential, captured)))| {
        let (hosts, clients, ports, methods, programs, paths, hours, until) = conditions;
        Written {
            hosts,
            clients,
            ports,
            methods,
            programs,
            paths,
            hours,
            until,
            verdict,
            inspect,
            fresh,
            confirm,
            essential,
            captured,
        }
        .without_contradictions()
    })
}

/// Few rules that are about much, or more than are looked through without an index, each about little.
fn rules() -> impl Strategy<Value = Vec<Written>> {
    let narrow = option::weighted(0.9, subsequence(HOSTS.to_vec(), 1..=2));
    prop_oneof![vec(rule(some(&HOSTS)), 0..6), vec(rule(narrow), 13..40)]
}

fn layer() -> impl Strategy<Value = Layer> {
    let modes = subsequence(GROUP_NAMES.to_vec(), 0..=2).prop_flat_map(|groups| {
        groups.into_iter().map(|group| (Just(group), select(MODES.to_vec()))).collect::<Vec<_>>()
    });
    let mimic = select(vec!["deny", "challenge", "record"]);
    (select(MODES.to_vec()), select(VERDICTS.to_vec()), mimic, modes, rules())
        .prop_map(|(mode, unknown, mimic, modes, rules)| Layer { mode, unknown, mimic, modes, rules })
}

fn asked() -> impl Strategy<Value = Asked> {
    let users = USERS.map(|(user, _)| user).to_vec();
    let who = (select(CLIENTS.to_vec()), option::of(select(users)), select(SAID.to_vec()));
    let what = (
        select(NAMES.to_vec()),
        select(PORTS.to_vec()),
        option::of(select(METHODS.to_vec())),
        select(ASKED_PATHS.to_vec()),
        option::of(select(PRINTS.to_vec())),
    );
    let finding = option::weighted(0.2, select(vec!["challenge", "deny"]));
    let shown = (select(STANDINGS.to_vec()), select(vec![0, 0, 1, 2]));
    let imposed = (select(MOMENTS.to_vec()), shown, often(20), often(6), finding, often(4));
    (who, what, imposed).prop_map(|((client, user, said), (name, port, method, path, print), imposed)| {
        let (at, (standing, contradictions), isolated, lockdown, finding, captured) = imposed;
        Asked {
            client,
            user,
            name,
            port,
            method,
            path,
            said,
            print,
            at,
            standing,
            contradictions,
            isolated,
            lockdown,
            finding,
            captured,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_decided_is_what_the_policy_says_to_a_reader(
        base in option::weighted(0.4, layer()),
        site in layer(),
        asked in vec(asked(), 1..8),
    ) {
        hold_to_the_reading(base.as_ref(), &site, &asked);
    }
}
