//! An origin that keeps every byte it is sent.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::strict::{Read, request};

/// A listener, and what each of its connections has brought.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Vec<Connection>>>,
}

#[derive(Default)]
struct Connection {
    bytes: Vec<u8>,
    ended: bool,
}

impl Origin {
    pub(crate) fn start() -> Result<Self, String> {
        let failed = |error| format!("cannot listen on the loopback address: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let kept = Arc::<Mutex<Vec<Connection>>>::default();
        let keep = kept.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keep = keep.clone();
                let place = {
                    let mut all = keep.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push(Connection::default());
                    all.len() - 1
                };
                thread::spawn(move || {
                    let with = |change: &dyn Fn(&mut Connection)| {
                        change(&mut keep.lock().unwrap_or_else(PoisonError::into_inner)[place]);
                    };
                    serve(stream, &address.to_string(), |bytes| with(&|kept| kept.bytes.extend_from_slice(bytes)));
                    with(&|kept| kept.ended = true);
                });
            }
        });
        Ok(Self { address, kept })
    }

    /// The bytes of each connection, once all have ended.
    pub(crate) fn kept(&self) -> Result<Vec<Vec<u8>>, String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if all.iter().all(|connection| connection.ended) {
                return Ok(all.iter().map(|connection| connection.bytes.clone()).collect());
            }
            drop(all);
            thread::sleep(Duration::from_millis(5));
        }
        Err("a connection to an origin outlived the gate".to_owned())
    }
}

/// Answers each whole request, and ends at the first that is none.
fn serve(mut stream: TcpStream, authority: &str, keep: impl Fn(&[u8])) {
    let (mut waiting, mut scratch) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut scratch) {
        keep(&scratch[..count]);
        waiting.extend_from_slice(&scratch[..count]);
        loop {
            let answer: &[u8] = match request(&waiting, authority) {
                Read::Whole(_, taken) => {
                    waiting.drain(..taken);
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                }
                Read::Cut(_) => break,
                Read::Wrong(_) => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            };
            if stream.write_all(answer).is_err() || answer.ends_with(b"close\r\n\r\n") {
                return;
            }
        }
    }
}
