use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::AppError;
use crate::evidence::{format_time, shown};
use crate::probe::{
    Attempt, Heard, Key, NotBound, Outcome, RespondSettings, Responder, TCP_PORTS, UDP_PORTS, Ways, chance, probe,
    run_name,
};

use super::error::{CliError, count};
use super::output::{Format, Rows, print, table};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true).multiple(true).args(["responder", "peer"]))]
pub(super) struct ProbeArguments {
    /// An address of the machine outside on which `sekisho egress respond` runs; one of IPv4 and one of IPv6 may be
    /// given
    #[arg(long, value_name = "ADDRESS")]
    responder: Vec<IpAddr>,
    /// The gate: it is asked for tunnels to odd ports, and for everything by raw addresses [default: it is left out]
    #[arg(long, value_name = "HOST:PORT", value_parser = resolved, requires = "responder")]
    proxy: Option<SocketAddr>,
    /// A PC of another segment, whose file sharing (SMB) is tried; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    peer: Vec<IpAddr>,
    #[command(flatten)]
    common: CommonArguments,
    /// How long to wait on each way. Seconds, 1 to 60
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct RespondArguments {
    /// An address of this machine to listen at; may be given several times [default: all]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<IpAddr>,
    #[command(flatten)]
    common: CommonArguments,
    /// Leave echo requests (ping) to the kernel, whose answers prove nothing; else it needs root
    #[arg(long)]
    no_icmp: bool,
    /// End by itself after so long. Minutes, 1 to 1440
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Lines for eyes, or JSON for machines: an object a line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What both ends must say alike.
#[derive(Debug, Args)]
struct CommonArguments {
    /// The TCP ports, as in 80,443,8000-8010; the same at both ends; `none` for none [default:
    /// 53,80,443,853,8080,8443,50000]
    #[arg(long, value_name = "PORTS", value_parser = PortList::read)]
    tcp: Option<PortList>,
    /// The UDP ports, in the same way [default: 53,123,443,853,4500,51820,50000]
    #[arg(long, value_name = "PORTS", value_parser = PortList::read)]
    udp: Option<PortList>,
    /// A word that both ends know, so that the responder answers nobody else [default: anybody's `sekisho` is answered]
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    word: String,
}

/// Ports of one protocol, at most.
const PORTS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
struct PortList(Vec<u16>);

impl PortList {
    fn read(text: &str) -> Result<Self, String> {
        let mut ports = Vec::new();
        for part in text.split(',').filter(|_| text != "none") {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.parse().ok().filter(|port| *port > 0);
            let range: Option<(u16, u16)> = number(first).zip(number(last)).filter(|(first, last)| first <= last);
            let (first, last) = range.ok_or_else(|| format!("`{part}` is no port and no range of ports"))?;
            ports.extend((first..=last).take(PORTS_MAX + 1).filter(|port| !ports.contains(port)).collect::<Vec<_>>());
            if ports.len() > PORTS_MAX {
                return Err(format!("these are more than {PORTS_MAX} ports"));
            }
        }
        Ok(Self(ports))
    }
}

impl CommonArguments {
    fn tcp(&self) -> Vec<u16> {
        self.tcp.as_ref().map_or_else(|| TCP_PORTS.to_vec(), |ports| ports.0.clone())
    }

    fn udp(&self) -> Vec<u16> {
        self.udp.as_ref().map_or_else(|| UDP_PORTS.to_vec(), |ports| ports.0.clone())
    }
}

/// A host's first address, which may be asked of this machine's own name servers.
fn resolved(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| "it has no address".to_owned())
}

/// What came of a run, as JSON.
#[derive(Serialize)]
struct Probed<'p> {
    /// Nothing got through, and something was tried.
    ok: bool,
    run: &'p str,
    through: usize,
    answered_by_another: usize,
    refused: usize,
    silent: usize,
    not_tried: usize,
    /// Families of addresses in which the responder has none, `ipv4` or `ipv6`: nothing is known of them.
    left_out: Vec<&'static str>,
    ways: Vec<ProbedWay<'p>>,
}

#[derive(Serialize)]
struct ProbedWay<'p> {
    /// By which the responder calls it too.
    way: usize,
    name: String,
    route: &'static str,
    layer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<&'static str>,
    address: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'p str,
}

/// Tries each way out of here.
pub(super) fn run_probe(arguments: ProbeArguments) -> Result<(), CliError> {
    let ProbeArguments { responder, proxy, peer, common, timeout, format } = arguments;
    let ways = Ways { responder, proxy, peers: peer, tcp: common.tcp(), udp: common.udp() };
    let left_out = left_out(&ways.responder);
    let chance = chance().map_err(AppError::Random)?;
    let (key, timeout) = (Key::of(&common.word), Duration::from_secs(timeout));
    let attempts = runtime()?.block_on(probe(&ways, &key, timeout, &chance));
    let many = |outcome| attempts.iter().filter(|attempt| attempt.outcome == outcome).count();
    let (run, through) = (run_name(&chance), many(Outcome::Through));
    let is_nothing = many(Outcome::NotTried) == attempts.len();
    match format {
        Format::Text => print(&table(&probed_rows(&attempts, &left_out, &run)))?,
        Format::Json => {
            let probed = Probed {
                ok: through == 0 && !is_nothing,
                run: &run,
                through,
                answered_by_another: many(Outcome::Answered),
                refused: many(Outcome::Refused),
                silent: many(Outcome::Silent),
                not_tried: many(Outcome::NotTried),
                left_out,
                ways: attempts.iter().zip(1..).map(ProbedWay::of).collect(),
            };
            let json = serde_json::to_string_pretty(&probed).map_err(|error| CliError::Output(error.into()))?;
            print(&format!("{json}\n"))?;
        }
    }
    match through {
        0 if is_nothing => Err(CliError::NothingTried),
        0 => Ok(()),
        through => Err(CliError::GotThrough(through)),
    }
}

impl<'p> ProbedWay<'p> {
    fn of((attempt, way): (&'p Attempt, usize)) -> Self {
        let to = attempt.way.to;
        Self {
            way,
            name: attempt.way.to_string(),
            route: attempt.way.route_str(),
            layer: attempt.way.layer_str(),
            form: attempt.way.form().map(|form| form.as_str()),
            address: to.ip(),
            port: Some(to.port()).filter(|port| *port != 0),
            outcome: attempt.outcome.as_str(),
            detail: &attempt.detail,
        }
    }
}

fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Through => "THROUGH",
        Outcome::Answered => "answered",
        Outcome::Refused => "refused",
        Outcome::Silent => "silent",
        Outcome::NotTried => "not tried",
    }
}

/// The families of which no address of the responder was given, where one of the other was.
fn left_out(responder: &[IpAddr]) -> Vec<&'static str> {
    let has = |is_of: fn(&IpAddr) -> bool| responder.is_empty() || responder.iter().any(is_of);
    let families = [("ipv4", has(IpAddr::is_ipv4)), ("ipv6", has(IpAddr::is_ipv6))];
    families.into_iter().filter(|(_, is_there)| !is_there).map(|(name, _)| name).collect()
}

fn probed_rows(attempts: &[Attempt], left_out: &[&str], run: &str) -> Rows {
    let place = |to: SocketAddr| if to.port() == 0 { to.ip().to_string() } else { to.to_string() };
    let names: Vec<(String, String)> =
        attempts.iter().map(|attempt| (attempt.way.to_string(), place(attempt.way.to))).collect();
    let name_width = names.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let place_width = names.iter().map(|(_, place)| place.len()).max().unwrap_or_default();
    let mut rows: Rows = attempts
        .iter()
        .zip(&names)
        .map(|(attempt, (name, place))| {
            let line = format!("{name:name_width$}   {place:place_width$}   {}", shown(&attempt.detail));
            (label(attempt.outcome), line.trim_end().to_owned())
        })
        .collect();
    let many = |outcome| attempts.iter().filter(|attempt| attempt.outcome == outcome).count();
    let counts: Vec<String> = Outcome::ALL
        .into_iter()
        .filter(|outcome| many(*outcome) > 0)
        .map(|outcome| format!("{} {}", many(outcome), label(outcome).to_lowercase()))
        .collect();
    rows.extend(left_out.iter().map(|family| {
        ("not tried", format!("anything in {family}: no address of the responder in it was given (--responder)"))
    }));
    rows.push((
        "run",
        format!("{run}: so the responder calls it; what it heard came out, also where no answer came back"),
    ));
    if many(Outcome::Through) == 0 {
        rows.push((
            "note",
            "that nothing got through says something only while the responder runs and hears".to_owned(),
        ));
    }
    rows.push(("result", format!("{} of {}", counts.join(", "), count(attempts.len(), "way"))));
    rows
}

/// A line of JSON that a responder writes.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<'t> {
    Begun { listening: Vec<Place>, not_bound: Vec<Place>, minutes: u64 },
    Heard(HeardLine<'t>),
    Ended { beyond: u64 },
}

#[derive(Serialize)]
struct Place {
    layer: &'static str,
    address: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
struct HeardLine<'t> {
    at: String,
    from: SocketAddr,
    layer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// Absent for strangers, as all below.
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<u16>,
}

/// Answers probes until the time is over, or a signal ends it.
pub(super) fn run_respond(arguments: RespondArguments) -> Result<(), CliError> {
    let RespondArguments { listen, common, no_icmp, minutes, format } = arguments;
    let listen = if listen.is_empty() { RespondSettings::everywhere() } else { listen };
    let (tcp, udp, key) = (common.tcp(), common.udp(), Key::of(&common.word));
    let responder = Responder::bind(&RespondSettings { listen, tcp, udp, icmp: !no_icmp, key });
    if responder.listening().is_empty() {
        return Err(CliError::NothingBound(responder.not_bound().iter().map(not_bound_text).collect()));
    }
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let failed = |error| CliError::App(AppError::Runtime(error));
        let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
        let stop = async {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(minutes * 60)) => {}
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        };
        // Whoever waits for this line finds all sockets bound, and the signals taken.
        print(&begun(&responder, minutes, format)?)?;
        let mut written = Ok(());
        let served = responder.serve(stop, |heard| {
            if written.is_ok() {
                written = heard_line(&heard, format).and_then(|line| print(&line));
            }
        });
        let served = served.await.map_err(failed)?;
        written.map(|()| served)
    })?;
    match format {
        Format::Json => print(&json_line(&Told::Ended { beyond: served.beyond })?),
        Format::Text if served.beyond > 0 => {
            print(&format!("WARNING: too much came at a time: {} was neither answered nor told\n", served.beyond))
        }
        Format::Text => Ok(()),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CliError::App(AppError::Runtime(error)))
}

fn begun(responder: &Responder, minutes: u64, format: Format) -> Result<String, CliError> {
    let listening = responder.listening();
    if format == Format::Json {
        let place = |(layer, address): (&'static str, SocketAddr)| Place { layer, address, why: None };
        let not_bound = responder.not_bound().iter();
        let not_bound = not_bound
            .map(|one| Place { layer: one.layer, address: one.address, why: Some(one.source.to_string()) })
            .collect();
        return json_line(&Told::Begun { listening: listening.into_iter().map(place).collect(), not_bound, minutes });
    }
    let mut rows: Rows = Vec::new();
    for layer in ["tcp", "udp", "icmp"] {
        let of = listening.iter().filter(|(of, _)| *of == layer);
        let places: Vec<String> =
            of.map(|(_, at)| if layer == "icmp" { at.ip().to_string() } else { at.to_string() }).collect();
        if !places.is_empty() {
            rows.push((layer, places.join(", ")));
        }
    }
    rows.extend(responder.not_bound().iter().map(|one| ("WARNING", not_bound_text(one))));
    rows.push(("stop", format!("Ctrl-C or SIGTERM; by itself after {}", count(minutes as usize, "minute"))));
    Ok(table(&rows))
}

fn not_bound_text(NotBound { layer, address, source }: &NotBound) -> String {
    match *layer {
        "icmp" => {
            format!("echo requests to {} are left to the kernel, whose answers prove nothing: {source}", address.ip())
        }
        layer => format!("not bound: {layer} {address}: {source}; a probe that tries it learns nothing"),
    }
}

fn heard_line(heard: &Heard, format: Format) -> Result<String, CliError> {
    let Heard { at, from, layer, port, question } = heard;
    let port = Some(*port).filter(|port| *port != 0);
    if format == Format::Json {
        return json_line(&Told::Heard(HeardLine {
            at: format_time(*at),
            from: *from,
            layer,
            port,
            form: question.map(|(form, _)| form.as_str()),
            run: question.map(|(_, question)| question.run()),
            way: question.map(|(_, question)| question.way),
        }));
    }
    let place = port.map_or_else(|| (*layer).to_owned(), |port| format!("{layer} {port}"));
    let what = match question {
        Some((form, question)) => format!("run {} way {} ({})", question.run(), question.way, form.as_str()),
        None => "a stranger".to_owned(),
    };
    Ok(format!("{}   {place:9}   from {from}   {what}\n", format_time(*at)))
}

fn json_line(told: &Told<'_>) -> Result<String, CliError> {
    let json = serde_json::to_string(told).map_err(|error| CliError::Output(error.into()))?;
    Ok(format!("{json}\n"))
}

#[cfg(test)]
mod tests {
    use crate::probe::{Form, Layer, Route, Way};

    use super::*;

    #[test]
    fn ports_are_read_as_people_write_them_each_once_and_within_bounds() {
        let read = |text: &str| PortList::read(text).map(|list| list.0);
        assert_eq!(read("80,443,8000-8002,443"), Ok(vec![80, 443, 8000, 8001, 8002]));
        assert_eq!(read("none"), Ok(Vec::new()));
        for bad in ["", "0", "65536", "80,", "9-8", "a", "80-", "none,80"] {
            assert!(read(bad).is_err_and(|why| why.contains("is no port")), "{bad}");
        }
        assert_eq!(read("1-64").map(|ports| ports.len()), Ok(64));
        assert_eq!(read("1-65"), Err("these are more than 64 ports".to_owned()));
        assert_eq!(read("1-65535"), Err("these are more than 64 ports".to_owned()));
    }

    #[test]
    fn a_run_is_shown_so_and_no_escape_of_a_stranger_reaches_the_terminal() {
        let to: SocketAddr = "192.0.2.7:443".parse().expect("it is one");
        let proxy = "10.20.0.1:3128".parse().expect("it is one");
        let attempt = |route, layer, to, outcome, detail: &str| Attempt {
            way: Way { route, layer, to },
            outcome,
            detail: detail.to_owned(),
        };
        let attempts = [
            attempt(Route::Direct, Layer::Udp(Form::Quic), to, Outcome::Through, "seen outside as 198.51.100.4:4711"),
            attempt(Route::Direct, Layer::Tls(Form::Doh), to, Outcome::Answered, "it says: \u{1b}[2J"),
            attempt(Route::Connect(proxy), Layer::Tcp(Form::Own), to, Outcome::Refused, "403 of the proxy"),
            attempt(Route::Direct, Layer::Icmp, (to.ip(), 0).into(), Outcome::Silent, ""),
        ];
        let expected = "\
THROUGH     QUIC                 192.0.2.7:443   seen outside as 198.51.100.4:4711
answered    DNS over HTTPS       192.0.2.7:443   it says: \\u{1b}[2J
refused     proxy CONNECT, TCP   192.0.2.7:443   403 of the proxy
silent      ICMP echo            192.0.2.7
not tried   anything in ipv6: no address of the responder in it was given (--responder)
run         0123: so the responder calls it; what it heard came out, also where no answer came back
result      1 through, 1 answered, 1 refused, 1 silent of 4 ways
";
        assert_eq!(table(&probed_rows(&attempts, &left_out(&[to.ip()]), "0123")), expected);
        assert!(left_out(&[]).is_empty() && left_out(&[to.ip(), "::1".parse().expect("it is one")]).is_empty());
    }
}
