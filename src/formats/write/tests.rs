use proptest::option;
use proptest::prelude::*;

use crate::facts::Timestamp;
use crate::formats::{Line, Reader};

use super::*;

/// What a log may hold, owned: an [`Observed`] borrows.
#[derive(Debug, Clone)]
struct Event {
    time: u64,
    tunnel: bool,
    client: String,
    user: String,
    host: String,
    port: u16,
    path: String,
    method: String,
    agent: String,
    status: u16,
    kind: String,
    denied: bool,
    up: u64,
    down: u64,
    duration: Option<u64>,
}

impl Event {
    fn observed(&self) -> Observed<'_> {
        Observed {
            time: Timestamp(self.time),
            what: if self.tunnel { Asked::Tunnel } else { Asked::Request },
            client: &self.client,
            user: &self.user,
            host: &self.host,
            port: self.port,
            path: if self.tunnel { "" } else { &self.path },
            method: if self.tunnel { "CONNECT" } else { &self.method },
            user_agent: &self.agent,
            status: self.status,
            content_type: &self.kind,
            verdict: if self.denied { Verdict::Denied } else { Verdict::Allowed },
            bytes_up: Some(self.up),
            bytes_down: Some(self.down),
            duration_us: self.duration,
            ..Observed::default()
        }
    }
}

fn events() -> impl Strategy<Value = Event> {
    let who = (
        0..250_000_000_000_000_000_u64,
        any::<bool>(),
        prop_oneof!["10\\.[0-9]{1,2}\\.0\\.7", "2001:db8::[0-9a-f]{1,4}"],
        "(\\PC| ){0,12}",
    );
    let what = (
        prop_oneof!["([a-z0-9-]{1,9}\\.){1,3}example", "192\\.0\\.2\\.[0-9]", "\\[2001:db8::[0-9a-f]{1,4}\\]"],
        any::<u16>(),
        "/[!\\$-;=A-~]{0,20}",
        "[A-Z]{3,7}".prop_filter("a tunnel's", |method| method != "CONNECT"),
    );
    let how = (".{0,20}", 0..1000_u16, "[a-z]{0,5}/[a-z]{1,5}|", any::<bool>(), any::<u64>(), any::<u64>());
    (who, what, how, option::of(0..1_000_000_000_000_u64)).prop_map(|(who, what, how, duration)| Event {
        time: who.0,
        tunnel: who.1,
        client: who.2,
        user: who.3,
        host: what.0,
        port: what.1,
        path: what.2,
        method: what.3,
        agent: how.0,
        status: how.1,
        kind: how.2,
        denied: how.3,
        up: how.4,
        down: how.5,
        duration,
    })
}

proptest! {
    #[test]
    fn a_line_written_as_squid_does_is_read_back(event in events()) {
        let event = event.observed();
        let mut line = Vec::new();
        write_squid(&event, &mut line);
        let mut reader = Reader::new();
        let Line::Observed(read) = reader.read(&line) else { panic!("{}", line.escape_ascii()) };
        prop_assert!(event.time.0.abs_diff(read.time.0) < 1000, "cut to milliseconds");
        prop_assert!(event.duration_us.unwrap_or_default().abs_diff(read.duration_us.unwrap_or_default()) < 1000);
        // A name that is only a dash cannot be told from none.
        let user = if event.user == "-" { "" } else { event.user };
        prop_assert_eq!((read.client, read.user, read.what), (event.client, user, event.what));
        prop_assert_eq!((read.host, read.port, read.path), (event.host, event.port, event.path));
        prop_assert_eq!((read.method, read.status, read.verdict), (event.method, event.status, event.verdict));
        prop_assert_eq!((read.content_type, read.bytes_down), (event.content_type, event.bytes_down));
    }

    #[test]
    fn a_line_written_as_zeek_does_is_read_back(event in events()) {
        let event = event.observed();
        let mut lines = Vec::new();
        write_zeek_http_header(&mut lines);
        let mut reader = Reader::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            prop_assert!(matches!(reader.read(line), Line::Passed));
        }
        let mut line = Vec::new();
        write_zeek_http(&event, &mut line);
        let Line::Observed(read) = reader.read(&line) else { panic!("{}", line.escape_ascii()) };
        prop_assert_eq!((read.time, read.client, read.user), (event.time, event.client, event.user));
        prop_assert_eq!((read.what, read.host, read.port), (event.what, event.host, event.port));
        prop_assert_eq!((read.path, read.method, read.user_agent), (event.path, event.method, event.user_agent));
        prop_assert_eq!((read.status, read.content_type), (event.status, event.content_type));
        if event.what == Asked::Request {
            prop_assert_eq!((read.bytes_up, read.bytes_down), (event.bytes_up, event.bytes_down));
        }
    }
}

#[test]
fn lines_look_as_the_other_programs_write_them() {
    let event = Observed {
        time: Timestamp(1_795_510_800_108_500),
        client: "10.20.1.5",
        user: r"SITE\ada löf",
        host: "news.example",
        port: 8080,
        address: "192.0.2.7",
        method: "GET",
        path: "/a b",
        user_agent: "-",
        status: 200,
        content_type: "text/html",
        bytes_up: Some(12),
        bytes_down: Some(5120),
        duration_us: Some(142_000),
        id: 1_795_510_800_108_500,
        ..Observed::default()
    };
    let mut written = Vec::new();
    write_squid(&event, &mut written);
    write_zeek_http(&event, &mut written);
    let connection = Connection {
        client_port: Some(50_123),
        dialled: Some("[2001:db8::7]:8080".parse().unwrap()),
        scheme: "http",
        state: ConnectionState::Finished,
    };
    write_zeek_conn(&event, &connection, &mut written);
    let none = Connection { client_port: None, dialled: None, scheme: "", state: ConnectionState::Rejected };
    let tunnel = Observed { what: Asked::Tunnel, carries: "tls", bytes_up: None, duration_us: None, ..event };
    write_zeek_conn(&tunnel, &none, &mut written);
    let uid = ExchangeId(event.id);
    let expected = format!(
        "1795510800.250    142 10.20.1.5 TCP_MISS/200 5120 GET http://news.example:8080/a%20b SITE%5cada%20l%c3%b6f \
         HIER_DIRECT/192.0.2.7 text/html\n\
         1795510800.108500\tC{uid}\t10.20.1.5\t192.0.2.7\t8080\tGET\tnews.example\t/a b\t\\x2d\t12\t5120\t200\tSITE\\\\ada \
         l\\xc3\\xb6f\ttext/html\n\
         1795510800.108500\tC{uid}\t10.20.1.5\t50123\t2001:db8::7\t8080\ttcp\thttp\t0.142000\t12\t5120\tSF\n\
         1795510800.108500\tC{uid}\t10.20.1.5\t-\t-\t8080\ttcp\tssl\t-\t-\t5120\tREJ\n"
    );
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}
