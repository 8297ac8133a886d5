use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::policy::CheckedAddress;

use super::failure::DialError;
use super::resolve::ResolveError;

/// RFC 8305 §5: how long one attempt may go on before the next begins beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

type Attempt = Pin<Box<dyn Future<Output = Result<(TcpStream, SocketAddr), DialError>> + Send>>;

/// Happy eyeballs (RFC 8305): attempts begin one after another, the first connection wins.
pub(super) async fn race(addresses: Vec<CheckedAddress>) -> Result<(TcpStream, SocketAddr), DialError> {
    if let [only] = addresses.as_slice() {
        return connect(*only).await;
    }
    let mut waiting = addresses.into_iter();
    let mut running: Vec<Attempt> = Vec::new();
    let mut told = DialError::Resolve(ResolveError::NoAddress);
    loop {
        if let Some(address) = waiting.next() {
            running.push(Box::pin(connect(address)));
        }
        if running.is_empty() {
            return Err(told);
        }
        let more = waiting.len() > 0;
        tokio::select! {
            (index, result) = first_of(&mut running) => {
                drop(running.swap_remove(index));
                match result {
                    Ok(connected) => return Ok(connected),
                    Err(error) if error.says_no_less_than(&told) => told = error,
                    Err(_) => {}
                }
            }
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => {}
        }
    }
}

async fn connect(address: CheckedAddress) -> Result<(TcpStream, SocketAddr), DialError> {
    let address = address.socket_address();
    match TcpStream::connect(address).await {
        Ok(stream) => Ok((stream, address)),
        Err(source) => Err(DialError::of_connect(address, source)),
    }
}

/// The first of several attempts to end, and its index.
async fn first_of(running: &mut [Attempt]) -> (usize, Result<(TcpStream, SocketAddr), DialError>) {
    std::future::poll_fn(|context| {
        for (index, attempt) in running.iter_mut().enumerate() {
            if let std::task::Poll::Ready(result) = attempt.as_mut().poll(context) {
                return std::task::Poll::Ready((index, result));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{OwnEndpoints, judge_address};

    #[tokio::test]
    async fn when_the_first_address_refuses_the_next_is_dialled() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = OwnEndpoints { listeners: Vec::new(), interfaces: Vec::new() };
        let opened = ["127.0.0.0/8".parse().unwrap()];
        // Nobody listens on the first: the listener has one address of the loopback network.
        let checked = ["127.0.0.2", "127.0.0.1"]
            .map(|address| judge_address(address.parse().unwrap(), port, &opened, &own).unwrap());
        let (_, dialled) = race(checked.to_vec()).await.unwrap();
        assert_eq!(dialled, listener.local_addr().unwrap());
        let error = race(vec![checked[0], checked[0]]).await.unwrap_err();
        assert!(matches!(error, DialError::Connect { .. }), "{error}");
    }
}
