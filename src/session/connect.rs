use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::facts::{Client, Hello, Host, Stage, Target};
use crate::parse::{HelloRead, RequestHead, Sniffed, read_hello, sniff};
use crate::policy::{Decision, Need, Outcome, Permit, Policy, Reason, Verdict, VerdictKind};

use super::account::{Account, Asked, Why};
use super::connection::{Io, answer, linger, write};
use super::gate::{Counted, Gate};
use super::relay;

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
/// TLS alert 112, `unrecognized_name`, fatal: neither Chromium nor Firefox retries on it.
const ALERT_UNRECOGNIZED_NAME: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// Serves one CONNECT, to the end of its tunnel.
pub(super) async fn serve(gate: &Gate, io: Io, client: Client, head: RequestHead, target: Target) {
    let policy = gate.policy();
    let account = Account::new(gate, None);
    let asked = Asked { client: &client, head: &head, target: &target, hello: Stage::NotYet };
    if !io.buffer.is_empty() {
        let why = Why::of_fault(crate::parse::Fault::BytesBehindConnect);
        return refuse(gate, io, &account, &policy, &asked, VerdictKind::Deny, None, &why).await;
    }
    match account.judge(&policy, &asked) {
        Outcome::Decided(decision) => decided(gate, io, account, &policy, &asked, decision).await,
        Outcome::Needs(Need::Hello) => after_hello(gate, io, account, &policy, asked).await,
        Outcome::Needs(need) => {
            let why = Why::of_need(need);
            refuse(gate, io, &account, &policy, &asked, VerdictKind::Deny, None, &why).await;
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "all of it is one refusal")]
async fn refuse(
    gate: &Gate,
    mut io: Io,
    account: &Account<'_>,
    policy: &Policy,
    asked: &Asked<'_>,
    verdict: VerdictKind,
    reason: Option<&Reason>,
    why: &Why,
) {
    account.refuse(policy, asked, verdict, reason, why);
    answer(gate, &mut io, account, why, &asked.target.host.to_string(), Some(asked.head), false).await;
    linger(&mut io.stream).await;
}

/// The verdict is known at CONNECT: dial, then 200, then look at the first bytes.
async fn decided(
    gate: &Gate,
    mut io: Io,
    mut account: Account<'_>,
    policy: &Policy,
    asked: &Asked<'_>,
    decision: Decision,
) {
    if !matches!(decision.verdict, Verdict::Allow(_)) {
        let why = Why::of_decision(&decision);
        let kind = decision.verdict.kind();
        return refuse(gate, io, &account, policy, asked, kind, Some(&decision.reason), &why).await;
    }
    let host = asked.target.host.to_string();
    if account.open(policy, asked, &decision).await.is_err() {
        let why = Why::new(503, "evidence_unavailable");
        answer(gate, &mut io, &account, &why, &host, Some(asked.head), false).await;
        return linger(&mut io.stream).await;
    }
    let Verdict::Allow(permit) = decision.verdict else { return };
    let terms = Terms::of(gate, &permit);
    let mut connected = match gate.dialler.dial(permit).await {
        Ok(connected) => connected,
        Err(error) => {
            let why = Why::of_dial(&error);
            answer(gate, &mut io, &account, &why, &host, Some(asked.head), false).await;
            account.fail("gate", &why);
            return linger(&mut io.stream).await;
        }
    };
    account.dialled(&connected);
    if !write(&mut io.stream, ESTABLISHED, gate.limits.body_timeout).await {
        return account.close("client", "write_failed", 0, 0);
    }
    let _counted = Counted::new(&gate.counters.tunnels);
    if !terms.any_protocol {
        match read_first(gate, &mut io).await {
            Ok(hello) => {
                account.carries("tls");
                account.hello(&hello);
                if !terms.any_sni && !sni_agrees(&hello, &asked.target.host) {
                    let _ = write(&mut io.stream, ALERT_UNRECOGNIZED_NAME, gate.limits.body_timeout).await;
                    account.close("gate", "sni_mismatch", 0, 0);
                    return linger(&mut io.stream).await;
                }
            }
            Err(why) => {
                account.close("gate", why.code, 0, 0);
                return linger(&mut io.stream).await;
            }
        }
    }
    let early = std::mem::take(&mut io.buffer);
    let carried = relay::run(&mut io.stream, &mut connected.stream, &early, &[], terms.limits).await;
    account.close(carried.by, carried.how, carried.up, carried.down);
}

/// A rule waits for the ClientHello: 200 first, then the hello, then judge again, then dial. What is
/// refused now ends with a TLS alert, since a CONNECT can be answered once only.
async fn after_hello(gate: &Gate, mut io: Io, mut account: Account<'_>, policy: &Policy, asked: Asked<'_>) {
    if !write(&mut io.stream, ESTABLISHED, gate.limits.body_timeout).await {
        return account.refuse(policy, &asked, VerdictKind::Deny, None, &Why::new(403, "client_closed"));
    }
    let hello = match read_first(gate, &mut io).await {
        Ok(hello) => hello,
        Err(why) => {
            account.refuse(policy, &asked, VerdictKind::Deny, None, &why);
            return linger(&mut io.stream).await;
        }
    };
    let asked = Asked { hello: Stage::Known(&hello), ..asked };
    let decision = match account.judge(policy, &asked) {
        Outcome::Decided(decision) => decision,
        Outcome::Needs(need) => {
            account.refuse(policy, &asked, VerdictKind::Deny, None, &Why::of_need(need));
            return alert(gate, io).await;
        }
    };
    if !matches!(decision.verdict, Verdict::Allow(_)) {
        let why = Why::of_decision(&decision);
        account.refuse(policy, &asked, decision.verdict.kind(), Some(&decision.reason), &why);
        return alert(gate, io).await;
    }
    if account.open(policy, &asked, &decision).await.is_err() {
        return alert(gate, io).await;
    }
    let Verdict::Allow(permit) = decision.verdict else { return };
    let terms = Terms::of(gate, &permit);
    if !terms.any_sni && !sni_agrees(&hello, &asked.target.host) {
        account.close("gate", "sni_mismatch", 0, 0);
        return alert(gate, io).await;
    }
    let mut connected = match gate.dialler.dial(permit).await {
        Ok(connected) => connected,
        Err(error) => {
            account.fail("gate", &Why::of_dial(&error));
            return alert(gate, io).await;
        }
    };
    account.dialled(&connected);
    account.carries("tls");
    let _counted = Counted::new(&gate.counters.tunnels);
    let early = std::mem::take(&mut io.buffer);
    let carried = relay::run(&mut io.stream, &mut connected.stream, &early, &[], terms.limits).await;
    account.close(carried.by, carried.how, carried.up, carried.down);
}

async fn alert(gate: &Gate, mut io: Io) {
    let _ = write(&mut io.stream, ALERT_UNRECOGNIZED_NAME, gate.limits.body_timeout).await;
    linger(&mut io.stream).await;
}

/// What the permit says of the tunnel, kept after the dial has spent it.
struct Terms {
    any_protocol: bool,
    any_sni: bool,
    limits: relay::Limits,
}

impl Terms {
    fn of(gate: &Gate, permit: &Permit) -> Self {
        let limits = permit.limits();
        Self {
            any_protocol: permit.any_protocol(),
            any_sni: permit.any_sni(),
            limits: relay::Limits {
                idle: limits.idle.unwrap_or(gate.limits.tunnel_idle),
                lifetime: limits.lifetime.unwrap_or(gate.limits.tunnel_lifetime),
            },
        }
    }
}

/// Reads the client's first bytes to a whole ClientHello; they stay in the buffer.
async fn read_first(gate: &Gate, io: &mut Io) -> Result<Hello, Why> {
    let reading = async {
        loop {
            if let Some(hello) = first_bytes(gate, &io.buffer)? {
                return Ok(hello);
            }
            io.buffer.reserve(2048);
            match io.stream.read_buf(&mut io.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Why::new(403, "client_closed")),
            }
        }
    };
    timeout(gate.limits.hello_timeout, reading).await.unwrap_or(Err(Why::new(408, "hello_timeout")))
}

fn first_bytes(gate: &Gate, bytes: &BytesMut) -> Result<Option<Hello>, Why> {
    match sniff(bytes) {
        None => Ok(None),
        Some(Sniffed::Tls) => match read_hello(bytes, &gate.limits.hello) {
            Ok(HelloRead::Hello(hello)) => Ok(Some(hello)),
            Ok(HelloRead::Incomplete) => Ok(None),
            Err(fault) => Err(Why { status: 403, code: fault.name(), detail: Some(fault.to_string()) }),
        },
        Some(Sniffed::Http) if crate::parse::is_connect(bytes) => Err(Why::new(403, "nested_connect")),
        Some(Sniffed::Http | Sniffed::Ssh | Sniffed::Other) => Err(Why::new(403, "not_tls")),
    }
}

/// The SNI must name the CONNECT's host. A tunnel to an address has no name to compare, and sends
/// none (RFC 6066 §3).
fn sni_agrees(hello: &Hello, host: &Host) -> bool {
    match (&hello.sni, host) {
        (Some(sni), host) => Host::parse(sni.as_bytes()).is_ok_and(|named| named == *host),
        (None, Host::V4(_) | Host::V6(_)) => true,
        (None, Host::Name(_)) => false,
    }
}
