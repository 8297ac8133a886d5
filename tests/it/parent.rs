//! A harmless proxy that a gate may have for its parent: it remembers what it was asked, and answers
//! as the test wants.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::peer::{Message, Peer};

/// A listening parent; it lives as long as the test process.
pub(crate) struct Parent {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Message>>>,
}

/// What a parent does with a request.
pub(crate) enum Answer {
    /// Leads there: a CONNECT becomes a tunnel to this address, another request goes to it as it is.
    Lead(SocketAddr),
    /// The same, and the other end's first bytes come in one write with the 2xx.
    LeadSaying(SocketAddr, &'static str),
    /// These bytes, and then the end of the connection.
    Say(Vec<u8>),
    /// Nothing, for as long as the other side waits.
    Stall,
}

impl Answer {
    /// No, with this status and nothing else.
    pub(crate) fn refused(status: &str) -> Self {
        Self::Say(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into())
    }
}

impl Parent {
    /// The address of a parent that may not be there.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, asked: Arc::default() }
    }

    /// A parent that leads wherever it is asked to, if that is an address.
    pub(crate) fn start() -> Self {
        Self::answering(|request| match request.line().split(' ').nth(1).unwrap().parse() {
            Ok(address) => Answer::Lead(address),
            Err(_) => Answer::refused("502 Bad Gateway"),
        })
    }

    /// A parent that says this to everything.
    pub(crate) fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::answering(move |_| Answer::Say(answer.clone()))
    }

    pub(crate) fn answering(answer: impl Fn(&Message) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || serve(Peer::new(stream, None), &log, &*answer));
            }
        });
        Self { address, asked }
    }

    /// The heads of the requests it was asked, in their order.
    pub(crate) fn asked(&self) -> Vec<Message> {
        self.asked.lock().unwrap().clone()
    }

    /// Their first lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|request| request.line().to_owned()).collect()
    }

    /// The table that names it `uplink` in a policy.
    pub(crate) fn named(&self) -> String {
        format!("[parents]\nuplink = {{ address = \"{}\" }}\n", self.address)
    }
}

fn serve(mut peer: Peer, log: &Mutex<Vec<Message>>, answer: &dyn Fn(&Message) -> Answer) {
    while let Some(request) = peer.request() {
        log.lock().unwrap().push(request.clone());
        match answer(&request) {
            Answer::Lead(address) if request.line().starts_with("CONNECT ") => return tunnel(peer, address, ""),
            Answer::LeadSaying(address, first) => return tunnel(peer, address, first),
            Answer::Lead(address) => {
                let mut origin = Peer::connect(address);
                origin.send(&request.head);
                let answer = origin.answer();
                if peer.try_send([answer.head.as_bytes(), &answer.body].concat()).is_err() {
                    return;
                }
            }
            Answer::Say(bytes) => {
                let _ = peer.try_send(bytes);
                return;
            }
            Answer::Stall => {
                peer.rest();
                return;
            }
        }
    }
}

fn tunnel(mut peer: Peer, address: SocketAddr, first: &str) {
    let origin = TcpStream::connect(address).unwrap();
    peer.send(format!("HTTP/1.1 200 OK\r\nX-Parent: yes\r\n\r\n{first}"));
    let client = peer.stream().try_clone().unwrap();
    let (mut from_origin, mut to_client) = (origin.try_clone().unwrap(), client);
    let down = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_origin, &mut to_client);
        let _ = to_client.shutdown(std::net::Shutdown::Write);
    });
    let mut to_origin = origin;
    loop {
        let bytes = peer.some();
        if bytes.is_empty() || to_origin.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to_origin.shutdown(std::net::Shutdown::Write);
    let _ = down.join();
}
