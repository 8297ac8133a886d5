use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Socket, Type};
use tokio::sync::oneshot;

use super::super::way::{Layer, Outcome, Route, Way};
use super::*;

const SOME_TIME: Duration = Duration::from_secs(20);

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn settings(word: &str, ports: usize) -> RespondSettings {
    RespondSettings {
        listen: vec!["127.0.0.1".parse().unwrap()],
        tcp: vec![0; ports],
        udp: vec![0; ports],
        icmp: false,
        key: Key::of(word),
    }
}

/// What came of some work beside a responder, and what that told.
async fn beside<T>(responder: Responder, work: impl Future<Output = T>) -> (T, Vec<Heard>, Served) {
    let (stop, stopped) = oneshot::channel::<()>();
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = told.clone();
    let serving = responder.serve(async move { drop(stopped.await) }, move |heard| into.lock().unwrap().push(heard));
    let working = async move {
        let done = work.await;
        drop(stop);
        done
    };
    let (served, done) = tokio::join!(serving, working);
    let told = told.lock().unwrap().clone();
    (done, told, served.unwrap())
}

fn way(layer: Layer, to: SocketAddr) -> Way {
    Way { route: Route::Direct, layer, to }
}

async fn tried(ways: &[Way], word: &str, timeout: Duration) -> Vec<(Outcome, String)> {
    let means = super::super::attempt::Means { key: Key::of(word), timeout, tls: super::super::tls::client() };
    let mut ended = Vec::new();
    for (at, way) in ways.iter().enumerate() {
        ended.push(means.attempt(*way, super::super::run::question(&[7; 32], at)).await);
    }
    ended
}

const TCP: [Layer; 7] = [
    Layer::Tcp(Form::Own),
    Layer::Tcp(Form::Http),
    Layer::Tcp(Form::Dns),
    Layer::Tls(Form::Own),
    Layer::Tls(Form::Http),
    Layer::Tls(Form::Doh),
    Layer::Tls(Form::Dns),
];
const UDP: [Layer; 3] = [Layer::Udp(Form::Own), Layer::Udp(Form::Dns), Layer::Udp(Form::Quic)];

#[test]
fn every_dress_is_answered_on_every_port_and_told_of_by_its_run_and_number() {
    on_runtime(async {
        let responder = Responder::bind(&settings("word", 1));
        let at: HashMap<_, _> = responder.listening().into_iter().collect();
        let ways: Vec<Way> = TCP
            .iter()
            .map(|layer| (*layer, "tcp"))
            .chain(UDP.iter().map(|layer| (*layer, "udp")))
            .map(|(layer, socket)| way(layer, at[socket]))
            .collect();
        let (ended, told, served) = beside(responder, tried(&ways, "word", SOME_TIME)).await;
        for (way, (outcome, detail)) in ways.iter().zip(&ended) {
            assert_eq!(*outcome, Outcome::Through, "{way}: {detail}");
            assert!(detail.starts_with("seen outside as 127.0.0.1:"), "{detail}");
        }
        let told: Vec<_> = told.iter().map(|heard| (heard.layer, heard.question.unwrap())).collect();
        let expected: Vec<_> = ways.iter().map(|way| (way.layer_str(), way.form().unwrap())).collect();
        assert_eq!(told.iter().map(|(layer, (form, _))| (*layer, *form)).collect::<Vec<_>>(), expected);
        assert!(told.iter().zip(1..).all(|((_, (_, question)), number)| question.way == number));
        assert!(told.windows(2).all(|two| two[0].1.1.run() == two[1].1.1.run()));
        assert_eq!(served.beyond, 0);
    });
}

#[test]
fn who_does_not_know_the_word_is_not_answered_and_told_of_as_a_stranger() {
    on_runtime(async {
        let responder = Responder::bind(&settings("word", 1));
        let at: HashMap<_, _> = responder.listening().into_iter().collect();
        let ways = [way(TCP[0], at["tcp"]), way(TCP[4], at["tcp"]), way(UDP[0], at["udp"])];
        let (ended, told, _) = beside(responder, tried(&ways, "other", Duration::from_millis(300))).await;
        let outcomes: Vec<Outcome> = ended.iter().map(|(outcome, _)| *outcome).collect();
        assert_eq!(outcomes, [Outcome::Answered, Outcome::Answered, Outcome::Silent], "{ended:?}");
        assert!(told.iter().all(|heard| heard.question.is_none()), "{told:?}");
        let datagrams = told.iter().filter(|heard| heard.layer == "udp").count();
        assert!((1..=3).contains(&datagrams), "as often as it was sent, as far as there was time: {datagrams}");
    });
}

#[test]
fn what_is_refused_silent_or_answered_by_another_is_told_apart() {
    on_runtime(async {
        // Bound, so that nobody else is there, and open to nobody: one does not listen, one hears another alone.
        let unheard = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        unheard.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let closed = unheard.local_addr().unwrap().as_socket().unwrap();
        let deaf = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        deaf.connect("127.0.0.1:9").await.unwrap();
        let echo = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let web = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ways = [
            way(TCP[0], closed),
            way(UDP[0], deaf.local_addr().unwrap()),
            way(UDP[1], echo.local_addr().unwrap()),
            way(UDP[2], silent.local_addr().unwrap()),
            way(TCP[1], web.local_addr().unwrap()),
        ];
        let echoing = async {
            let mut buffer = [0; 2048];
            loop {
                let (length, from) = echo.recv_from(&mut buffer).await.unwrap();
                echo.send_to(&buffer[..length], from).await.unwrap();
            }
        };
        let serving = async {
            let (mut stream, _) = web.accept().await.unwrap();
            let _ = stream.read(&mut [0; 2048]).await;
            stream.write_all(b"HTTP/1.1 403 Forbidden\x1b\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            drop(stream);
            pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = tried(&ways, "", Duration::from_millis(1500)) => ended,
            () = async { tokio::join!(echoing, serving); } => unreachable!("they never end"),
        };
        let expected = [Outcome::Refused, Outcome::Refused, Outcome::Answered, Outcome::Silent, Outcome::Answered];
        for ((outcome, detail), expected) in ended.iter().zip(expected) {
            assert_eq!(*outcome, expected, "{detail}");
            assert!(!detail.contains('\x1b'), "{detail:?}");
        }
    });
}

#[test]
fn strangers_that_stay_silent_keep_no_question_out_and_the_oldest_of_them_go() {
    on_runtime(async {
        let responder = Responder::bind(&settings("word", 1));
        let at: HashMap<_, _> = responder.listening().into_iter().collect();
        let to = at["tcp"];
        let work = async {
            let mut held = Vec::new();
            for _ in 0..UNPROVEN_MAX {
                held.push(TcpStream::connect(to).await.unwrap());
            }
            let ended = tried(&[way(TCP[0], to), way(TCP[3], to)], "word", SOME_TIME).await;
            assert!(ended.iter().all(|(outcome, _)| *outcome == Outcome::Through), "{ended:?}");
            let gone = held[0].read(&mut [0; 1]).await;
            assert!(matches!(gone, Ok(0) | Err(_)), "{gone:?}");
        };
        let ((), told, _) = beside(responder, work).await;
        let strangers = told.iter().filter(|heard| heard.question.is_none()).count();
        assert!((1..=UNPROVEN_MAX).contains(&strangers), "{strangers}");
    });
}

#[test]
fn who_says_nothing_is_closed_after_a_short_time() {
    on_runtime(async {
        let responder = Responder::bind(&settings("word", 1));
        let at: HashMap<_, _> = responder.listening().into_iter().collect();
        let work = async {
            let mut silent = TcpStream::connect(at["tcp"]).await.unwrap();
            let begun = tokio::time::Instant::now();
            let closed = silent.read(&mut [0; 1]).await;
            assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
            assert!(begun.elapsed() < QUESTION_TIMEOUT, "{:?}", begun.elapsed());
        };
        let ((), told, _) = beside(responder, work).await;
        assert_eq!(told.iter().map(|heard| (heard.layer, heard.question)).collect::<Vec<_>>(), [("tcp", None)]);
    });
}

/// How many of so many are told of and answered, and that the rest is counted.
fn flooded(room: &Room, told: &mut tokio::sync::mpsc::Receiver<Heard>, sent: u64, most: u64, of: Option<Question>) {
    let from = "192.0.2.9:4711".parse().unwrap();
    let before = room.beyond.load(Ordering::Relaxed);
    let question = of.map(|question| (Form::Own, question));
    let answered = (0..sent).filter(|_| room.tell(from, "udp", 53, question)).count();
    let told: Vec<Heard> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    let seconds: HashSet<u64> = told.iter().map(|heard| heard.at.0 / 1_000_000).collect();
    assert_eq!(answered, told.len());
    assert!(answered > 0 && answered as u64 <= most * seconds.len() as u64, "{answered}");
    assert_eq!(room.beyond.load(Ordering::Relaxed) - before, sent - answered as u64);
}

#[test]
fn a_flood_is_told_so_far_and_the_rest_is_counted_and_that_of_strangers_takes_no_room_of_questions() {
    let (tell, mut told) = channel(UNTOLD_MAX);
    let room = Room::new(Key::of(""), tls::server().unwrap(), tell);
    let sent = 4 * QUESTIONS_PER_SECOND_MAX;
    flooded(&room, &mut told, sent, STRANGERS_PER_SECOND_MAX, None);
    let from = "192.0.2.9:4711".parse().unwrap();
    let asked = super::super::run::question(&[7; 32], 0);
    // Whatever strangers have sent in this second, all of these are within their own.
    let answered =
        (0..QUESTIONS_PER_SECOND_MAX).filter(|_| room.tell(from, "udp", 53, Some((Form::Own, asked)))).count();
    assert_eq!(answered as u64, QUESTIONS_PER_SECOND_MAX);
    let (tell, mut told) = channel(UNTOLD_MAX);
    let room = Room::new(Key::of(""), tls::server().unwrap(), tell);
    flooded(&room, &mut told, sent, QUESTIONS_PER_SECOND_MAX, Some(asked));
}

#[test]
fn what_cannot_be_bound_is_said_and_the_rest_is() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let settings = RespondSettings { tcp: vec![address.port(), 0], ..settings("", 1) };
    let responder = Responder::bind(&settings);
    let failed: Vec<_> = responder.not_bound().iter().map(|one| (one.layer, one.address, one.source.kind())).collect();
    assert_eq!(failed, [("tcp", address, io::ErrorKind::AddrInUse)]);
    assert_eq!(responder.listening().len(), 2);
}
