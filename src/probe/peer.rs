//! Another segment's file sharing: a real server there answers by itself, and proves enough by that.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::attempt::{Came, Ended, Means, ask, connected};
use super::form::Form;
use super::question::Question;
use super::way::Outcome;

/// Asks a server of SMB which version it speaks, then, where none answers, a responder on the same port.
pub(super) async fn attempt(means: &Means, to: SocketAddr, question: Question, until: Instant) -> Ended {
    let mut stream = match connected(to, until).await {
        Ok(stream) => stream,
        Err(ended) => return ended,
    };
    let asking = async {
        stream.write_all(&negotiate()).await?;
        let mut head = [0; 8];
        stream.read_exact(&mut head).await.map(|_| head)
    };
    // Half of the time: the rest is the responder's.
    let half = Instant::now() + until.saturating_duration_since(Instant::now()) / 2;
    if let Ok(Ok([0, _, _, _, 0xfe | 0xff, b'S', b'M', b'B'])) = timeout_at(half, asking).await {
        return (Outcome::Through, "a file server answered".to_owned());
    }
    drop(stream);
    let stream = match connected(to, until).await {
        Ok(stream) => stream,
        Err(_) => return (Outcome::Answered, "the connection was taken, and not a second one".to_owned()),
    };
    let asked = Form::Own.on_stream(&question, &means.key, "");
    match ask(stream, &asked, &question, &means.key, until).await {
        Came::Proof(seen) => (Outcome::Through, format!("seen there as {seen}")),
        Came::Other(_) | Came::Closed(_) | Came::Nothing => {
            (Outcome::Answered, "the connection was taken, and nothing proves by whom".to_owned())
        }
    }
}

/// The first request of SMB 2 (MS-SMB2 §2.2.3), behind its length: dialects 2.0.2 and 2.1.
fn negotiate() -> Vec<u8> {
    let mut message = b"\xfeSMB".to_vec();
    message.extend(64_u16.to_le_bytes());
    // Of the header all else is 0: it is the first request.
    message.resize(64, 0);
    for number in [36_u16, 2, 1, 0] {
        message.extend(number.to_le_bytes());
    }
    // Capabilities, the client's identifier, and what 2.0.2 does not use.
    message.resize(64 + 36, 0);
    message.extend(0x0202_u16.to_le_bytes());
    message.extend(0x0210_u16.to_le_bytes());
    let mut bytes = u32::try_from(message.len()).unwrap_or_default().to_be_bytes().to_vec();
    bytes.extend(message);
    bytes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::super::question::Key;
    use super::super::{run, tls};
    use super::*;

    /// What comes of a peer that answers whatever it is asked with these bytes; one that has none says nothing.
    fn beside(answer: &'static [u8], timeout: Duration) -> Ended {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let to = listener.local_addr().unwrap();
            let serving = async {
                let mut held = Vec::new();
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut asked = [0; 8];
                    stream.read_exact(&mut asked).await.unwrap();
                    if asked[4..] == *b"\xfeSMB" {
                        stream.write_all(answer).await.unwrap();
                    }
                    held.push(stream);
                }
            };
            let means = Means { key: Key::of(""), timeout, tls: tls::client() };
            let asking = attempt(&means, to, run::question(&[7; 32], 0), Instant::now() + timeout);
            tokio::select! {
                ended = asking => ended,
                () = serving => unreachable!("it never ends"),
            }
        })
    }

    #[test]
    fn a_file_server_proves_itself_and_whatever_else_takes_the_connection_does_not() {
        let server = b"\0\0\0\x40\xfeSMB\x40\0";
        assert_eq!(beside(server, Duration::from_secs(40)), (Outcome::Through, "a file server answered".to_owned()));
        for other in [&b""[..], b"\0\0\0\x40\xfeSMC", b"220 mail.example\r\n"] {
            assert_eq!(beside(other, Duration::from_millis(600)).0, Outcome::Answered, "{other:?}");
        }
    }
}
