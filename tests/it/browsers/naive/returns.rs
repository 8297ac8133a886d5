//! What counts as coming back, and for whom: who sends several requests without waiting has not come back, and who
//! sends the very bytes of a browser has.

use serde_json::Value;

use crate::challenge_reset::{Lab, carries, challenges, clearance, is_reset};
use crate::peer::{End, Peer};
use crate::tunnel_lab::{ALERT, hello};

use super::super::CHROMIUM;
use super::grounds;

/// The head of a CONNECT, as Chromium writes it.
fn chromium_connect(host: &str) -> Vec<u8> {
    format!(
        "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nProxy-Connection: keep-alive\r\nUser-Agent: {CHROMIUM}\r\n\r\n"
    )
    .into_bytes()
}

/// A request for the root page of this host, as Chromium was recorded to write one.
fn chromium_request(authority: &str) -> Vec<u8> {
    let samples: Value = serde_json::from_str(include_str!("../../../data/clients.json")).unwrap();
    let recorded = samples["chromium-156-headless"]["plain"][0].as_str().unwrap();
    let lines = recorded.split("\r\n").map(|line| match line.split([' ', ':']).next().unwrap() {
        "GET" => format!("GET http://{authority}/ HTTP/1.1"),
        "Host" => format!("Host: {authority}"),
        "User-Agent" => format!("User-Agent: {CHROMIUM}"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\r\n").into_bytes()
}

/// A tunnel that a program with Chromium's User-Agent and its own bytes asks for and says hello in.
fn naive_tunnel(lab: &Lab, host: &str, hello: &[u8]) -> Peer {
    let mut client = lab.gate.client();
    client.send(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nUser-Agent: {CHROMIUM}\r\n\r\n"));
    assert_eq!(client.head().unwrap().status(), 200);
    client.send(hello);
    client
}

/// That nothing came through, and nobody is cleared.
fn nothing_came_through(lab: &mut Lab) -> Vec<Value> {
    assert_eq!(clearance(&["list"], &lab.gate)["count"], 0);
    assert_eq!(lab.origin.connections(), 0);
    let records = lab.gate.records();
    assert!(records.iter().all(|record| record["event"] != "open"), "{records:#?}");
    records
}

fn refused(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["event"] == "refused").collect()
}

fn outcomes(records: &[Value]) -> Vec<&str> {
    challenges(records).iter().map(|record| record["outcome"].as_str().unwrap()).collect()
}

#[test]
fn two_parallel_tunnels_of_one_program_to_one_host_are_no_return_of_each_other() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    // Both were asked for before either is ended.
    let mut tunnels = [lab.browser("a.test"), lab.browser("a.test")];
    tunnels.iter_mut().for_each(|client| client.send(&bytes));
    for client in &mut tunnels {
        assert_eq!(client.rest(), (Vec::new(), End::Closed));
    }
    let records = nothing_came_through(&mut lab);
    // The second waits for what becomes of the first, and is then challenged itself.
    assert_eq!(outcomes(&records), ["did_not_return", "did_not_return"], "{records:#?}");
    let refused = refused(&records);
    assert_eq!(refused.len(), 2, "{records:#?}");
    for record in refused {
        assert_eq!((&record["reason"], grounds(record)), (&"tunnel_reset".into(), vec![]), "{record:#}");
    }
}

#[test]
fn two_quick_requests_on_two_connections_are_no_return_where_the_second_did_not_wait_for_the_end_of_the_first() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    let (begun, rest) = bytes.split_at(bytes.len() / 2);
    let mut first = lab.browser("a.test");
    first.send(begun);
    let mut second = lab.browser("a.test");
    second.send(&bytes);
    first.send(rest);
    for client in [&mut first, &mut second] {
        assert_eq!(client.rest(), (Vec::new(), End::Closed));
    }
    let records = nothing_came_through(&mut lab);
    assert_eq!(outcomes(&records), ["did_not_return", "did_not_return"], "{records:#?}");
}

#[test]
fn a_second_request_behind_the_first_in_one_tunnel_is_read_by_nobody() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    let mut client = lab.browser("a.test");
    client.send([&bytes, &*chromium_connect("a.test"), &bytes].concat());
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
    let records = nothing_came_through(&mut lab);
    assert_eq!(outcomes(&records), ["did_not_return"], "{records:#?}");
}

#[test]
fn who_says_hello_before_its_connect_is_answered_is_refused_on_one_connection_and_on_two() {
    let mut lab = Lab::new();
    let request = [chromium_connect("a.test"), hello("chromium")].concat();
    let clients = [request.repeat(2), request.clone(), request].map(|bytes| {
        let mut client = lab.gate.client();
        client.send(bytes);
        client
    });
    for mut client in clients {
        assert_eq!(client.answer().status(), 400);
    }
    let records = nothing_came_through(&mut lab);
    assert!(challenges(&records).is_empty(), "{records:#?}");
    let reasons: Vec<_> = refused(&records).iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(reasons, ["bytes_behind_connect"; 3], "{records:#?}");
}

#[test]
fn two_quick_requests_over_http_with_chromes_own_head_get_a_puzzle_each_on_one_connection_and_on_two() {
    let mut lab = Lab::new();
    let request = chromium_request("a.test:443");
    let mut one = lab.gate.client();
    one.send(request.repeat(2));
    let mut two = [lab.gate.client(), lab.gate.client()];
    two.iter_mut().for_each(|client| client.send(&request));
    let [first, second] = &mut two;
    for answer in [one.answer(), one.answer(), first.answer(), second.answer()] {
        assert_eq!(answer.status(), 403, "{}", answer.head);
        assert!(answer.text().contains("<script"), "{}", answer.text());
    }
    drop((one, two));
    let records = nothing_came_through(&mut lab);
    assert!(challenges(&records).is_empty(), "{records:#?}");
    let refused = refused(&records);
    assert_eq!(refused.len(), 4, "{records:#?}");
    for record in refused {
        assert_eq!((&record["reason"], grounds(record)), (&"challenge_page".into(), vec![]), "{record:#}");
    }
}

#[test]
fn the_challenge_cannot_tell_a_program_with_chromes_bytes_that_tries_again_at_once_from_chrome_but_says_so_on_record() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    is_reset(&mut lab.browser("a.test"), &bytes);
    carries(lab.browser("a.test"), &bytes);
    let records = lab.gate.records();
    let returned = challenges(&records)[0];
    assert_eq!((&returned["outcome"], &returned["means"]), (&"returned".into(), &"reset".into()), "{returned:#}");
    assert!(returned["after_us"].as_u64().unwrap() < 800_000, "{returned:#}");
    let open = records.iter().find(|record| record["event"] == "open").unwrap();
    assert_eq!((&open["program"], grounds(open)), (&returned["program"], vec![]), "{open:#}");
}

#[test]
fn the_challenge_lets_pass_who_tries_again_at_once_with_chromes_connect_and_another_hello_but_its_grounds_are_on_record()
 {
    let mut lab = Lab::new();
    let bytes = hello("urllib");
    is_reset(&mut lab.browser("a.test"), &bytes);
    carries(lab.browser("a.test"), &bytes);
    let records = lab.gate.records();
    assert_eq!(outcomes(&records), ["returned"], "{records:#?}");
    for event in ["refused", "open"] {
        let record = records.iter().find(|record| record["event"] == event).unwrap();
        assert!(grounds(record).len() >= 2, "{record:#}");
        assert!(grounds(record).iter().all(|ground| ground.starts_with("tls_")), "one group alone: {record:#}");
    }
}

#[test]
fn who_tries_again_at_once_with_a_connect_and_a_hello_of_its_own_never_passes_however_often() {
    for name in ["urllib", "requests", "go", "reqwest"] {
        let mut lab = Lab::new();
        let bytes = hello(name);
        for _ in 0..20 {
            assert_eq!(naive_tunnel(&lab, "a.test", &bytes).rest().0, ALERT, "{name}");
        }
        let records = nothing_came_through(&mut lab);
        assert!(challenges(&records).is_empty(), "{name} is not even challenged: {records:#?}");
        let refused = refused(&records);
        assert_eq!(refused.len(), 20, "{name}");
        for record in refused {
            let grounds = grounds(record);
            assert_eq!(record["reason"], "mimic", "{name}: {record:#}");
            assert!(grounds.contains(&"connect_fields") && grounds.contains(&"tls_key"), "{name}: {record:#}");
        }
    }
}
