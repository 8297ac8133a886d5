//! The gate's settings: read from TOML whole or refused whole, with defaults that need no file.

mod console;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::challenge::Spans;
use crate::challenge::auth::Settings;
use crate::detect::{self, Inside, Zone, ZoneRole};
use crate::evidence::Keep;
use crate::facts::Host;
use crate::gateway::{Network, Role, Segment, flows};
use crate::lists::Feed;
use crate::notify::AlertReceiver;
use crate::parse::{Document, Problem, Section, parse_authority};
use crate::policy::Internal;
use crate::review::StreamSettings;
use crate::session::Fallback;
use crate::sinks::{Hook, Receiver};
use crate::site::Pac;
use crate::store::Durability;
use crate::tls::{Roots, Trust};

pub use console::ConsoleSettings;

/// Everything that can be set. The keys, with units and bounds, stand in the file that `sekisho init` writes.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect: IP addresses with ports, `[gate] listen`.
    pub listen: Vec<SocketAddr>,
    /// Threads that serve, 1 to 256; 0 means one for each core this process may use.
    pub workers: u16,
    /// The directory of the journal and the query key; made with mode 0700. Absent: the command line
    /// chooses by who runs it.
    pub data_dir: Option<PathBuf>,
    /// The policy file. Absent: the built-in policy, which allows nothing.
    pub policy: Option<PathBuf>,
    /// What the gate calls itself in `Via` and in every segment: 1 to 64 letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Where it stands; written into every segment.
    pub site: Option<String>,
    /// A line at the end of every refusal page: whom to ask.
    pub contact: Option<String>,
    /// Further directories below which the gate, and what it starts, can write.
    pub writable: Vec<PathBuf>,
    /// Whether messages get a `Via` field (RFC 9110 §7.6.3).
    pub via: bool,
    /// The name servers asked, IP addresses with ports; empty means those of `/etc/resolv.conf`.
    pub dns_servers: Vec<SocketAddr>,
    /// For one question to one server, 1 to 60 s.
    pub dns_timeout: Duration,
    /// Names that other name servers answer, and where they live; `[internal]`.
    pub internal: Option<InternalNames>,
    /// How browsers are challenged; `[challenge]`.
    pub challenge: Challenge,
    /// How users show who they are; `[authentication]`.
    pub authentication: Option<Settings>,
    /// Who vouches for the servers to which inspected requests go; `[inspection]`.
    pub inspection: Trust,
    /// Whether the journal is watched for what calls home; `live` of `[detect]`.
    pub watches: bool,
    /// Whether the gate fills the index behind its journal.
    pub indexes: bool,
    /// How long what was seen waits for what tunnels tell late.
    pub watch_delay: Duration,
    /// What the operator says of this network to those who watch.
    pub detect: detect::Settings,
    /// The proxy within TLS; `[secure_proxy]`.
    pub secure_proxy: Option<SecureProxySettings>,
    /// Files that say which client is which device; `[devices]`.
    pub devices: DeviceFiles,
    /// The web console; `[console]`.
    pub console: Option<ConsoleSettings>,
    /// Where what went past the proxy comes in; `[capture]`.
    pub capture: CaptureSettings,
    /// What `/proxy.pac` says, where it is served; `[pac]`.
    pub pac: Option<Pac>,
    /// Who has checkpoints sent to them; `[checkpoints]`.
    pub checkpoint_receivers: Vec<Receiver>,
    /// Who is told that a client is cut off; `[hooks]`.
    pub hooks: Vec<Hook>,
    /// Who is told of what is found, and of the gate's health; `[alerts]`.
    pub alerts: Vec<AlertReceiver>,
    /// Files that go on with the journal in the form of other programs' logs; `[streams]`.
    pub streams: Vec<StreamSettings>,
    /// Where attempts past the proxy are read from; `[flows]`.
    pub flows: flows::Settings,
    /// The network of which the gate is to be the only way out; `[network]`.
    pub network: Option<Network>,
    /// Host lists that are fetched; `[lists]`.
    pub lists: Vec<Feed>,
    /// When a record counts as accepted, which is when its exchange may pass.
    pub durability: Durability,
    /// What is kept of the evidence: 1 to 36,500 days, 1 to 1,048,576 GiB; all where nothing is said.
    pub keep: Keep,
    /// A segment is closed at this size, 1 MiB to 64 GiB, and when the hour changes.
    pub segment_bytes_max: u64,
    /// Held on the disk for the time when it is full, 0 for none, at most 256 MiB. Half of it is given up for the
    /// last records; half is room for what passes under a breakglass.
    pub reserve_bytes: u64,
    /// Whether queries are recorded in clear; otherwise by length and keyed hash.
    pub keep_query: bool,
    /// For all attempts to connect to one origin together, a parent's answers included and DNS not; 1 to
    /// 600 s.
    pub connect_timeout: Duration,
    /// From the first byte of a request's head to its last; 1 to 600 s.
    pub head_timeout: Duration,
    /// From a client's connection to its first byte; 1 s to a day.
    pub first_request_timeout: Duration,
    /// Between two requests of a client's connection; 1 s to a day.
    pub keep_alive_timeout: Duration,
    /// Without a byte in either direction while an exchange is under way; 1 s to a day.
    pub body_timeout: Duration,
    /// From the answer to CONNECT to a whole ClientHello; 1 to 600 s.
    pub hello_timeout: Duration,
    /// A tunnel in which nothing moves ends after this; 1 s to 7 days. A rule may set its own.
    pub tunnel_idle: Duration,
    /// A tunnel ends after this whatever moves; 1 s to 7 days. A rule may set its own.
    pub tunnel_lifetime: Duration,
    /// What is open may go on for this long after SIGTERM; 1 s to an hour.
    pub drain_timeout: Duration,
    /// What is open may go on for this long after another gate has taken over; 1 s to 7 days.
    pub hand_over_timeout: Duration,
    /// Client connections at the same time, 1 to 1,000,000; one more is closed at once, unread.
    /// Fewer where the system allows too few open files.
    pub connections_max: u64,
    /// Connections of one client at the same time, 1 to 1,000,000; one more is closed at once, unread. A
    /// client is an IPv4 address, or the /64 of an IPv6 one.
    pub client_connections_max: u64,
    /// The largest head of a request or response, 1 KiB to 1 MiB.
    pub head_bytes_max: u64,
    /// Memory that all connections together hold for heads and hellos beyond 8 KiB each, 1 MiB to 64 GiB.
    pub heads_bytes_max: u64,
}

/// Names of the inside: asked of their own name servers, and of nobody else.
#[derive(Debug, Clone)]
pub struct InternalNames {
    /// Which they are, and where they live.
    pub places: Arc<Internal>,
    /// The name servers asked for them and for nothing else, at least one.
    pub resolvers: Vec<SocketAddr>,
}

/// A proxy that clients reach by TLS, `HTTPS host:port` in a PAC file.
#[derive(Debug, Clone)]
pub struct SecureProxySettings {
    /// Where clients connect, at least one.
    pub listen: Vec<SocketAddr>,
    /// What clients call it: where there are no files, the gate's authority vouches for these.
    pub names: Vec<Host>,
    /// The files of its certificate and key.
    pub files: Option<(PathBuf, PathBuf)>,
}

impl SecureProxySettings {
    /// All that is needed: where, and either names or files.
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let listen = addresses(section, "listen");
        section.need_some("listen", "[\"127.0.0.1:3129\"]");
        let place = section.place().clone();
        let mut names = Vec::new();
        for name in section.strings("names").unwrap_or_default() {
            match Host::parse(name.value.as_bytes()) {
                Ok(host) => names.push(host),
                Err(_) => section.problem(
                    &name.place,
                    format!("`{}` is no host name or address", name.value),
                    "write what PAC files call the proxy, such as \"proxy.corp.example\"",
                ),
            }
        }
        let mut file = |key| section.string(key).map(|file| PathBuf::from(file.value));
        let files = match (file("certificate"), file("key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                section.problem(&place, "`certificate` and `key` belong together", "write both, or neither");
                None
            }
        };
        if names.is_empty() && files.is_none() {
            let fix = "write `names` for a certificate of the gate's own authority (`sekisho ca init`), or `certificate` \
                       and `key` for one of yours";
            section.problem(&place, "what the proxy shows to its clients is not said", fix);
        }
        Some(Self { listen: listen?, names, files })
    }
}

/// Where connections come in that a firewall of this machine has captured on their way past the proxy.
#[derive(Debug, Clone, Default)]
pub struct CaptureSettings {
    /// Those that it redirects.
    pub redirect: Vec<SocketAddr>,
    /// Those that it hands over as they are.
    pub tproxy: Vec<SocketAddr>,
    /// The proxy that their clients are told to set: host and port. Absent: what the gate knows of itself.
    pub proxy: Option<String>,
}

impl CaptureSettings {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let mut listen = |key| addresses(section, key).unwrap_or_default();
        let (redirect, tproxy) = (listen("redirect"), listen("tproxy"));
        let proxy = section.string("proxy");
        if let Some(proxy) = &proxy
            && !matches!(parse_authority(proxy.value.as_bytes()), Ok((_, Some(_))))
        {
            let what = format!("`{}` is no host with a port", proxy.value);
            section.problem(&proxy.place, what, "write it like \"proxy.corp.example:3128\"");
        }
        Self { redirect, tproxy, proxy: proxy.map(|proxy| proxy.value) }
    }
}

/// Files that say which client is which device.
#[derive(Debug, Clone)]
pub struct DeviceFiles {
    /// An administrator's table, in TOML or CSV.
    pub table: Option<PathBuf>,
    /// Lease files of Kea, and of dnsmasq: at most 16 each.
    pub kea: Vec<PathBuf>,
    pub dnsmasq: Vec<PathBuf>,
    /// How often they are looked at, 1 s to an hour.
    pub every: Duration,
}

const LEASE_FILES_MAX: usize = 16;

impl Default for DeviceFiles {
    fn default() -> Self {
        Self { table: None, kea: Vec::new(), dnsmasq: Vec::new(), every: Duration::from_secs(5) }
    }
}

impl DeviceFiles {
    fn read(&mut self, section: &mut Section<'_, '_>) {
        self.table = section.string("table").map(|file| PathBuf::from(file.value));
        let mut files = |key| {
            let files = section.strings(key).unwrap_or_default();
            if let Some(beyond) = files.get(LEASE_FILES_MAX) {
                section.problem(
                    &beyond.place,
                    format!("`{key}` names more than {LEASE_FILES_MAX} files"),
                    "name fewer",
                );
            }
            files.into_iter().map(|file| PathBuf::from(file.value)).collect()
        };
        (self.kea, self.dnsmasq) = (files("kea"), files("dnsmasq"));
        seconds(section, "every_seconds", 3600, &mut self.every);
    }

    /// All that are named.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.table.iter_mut().chain(&mut self.kea).chain(&mut self.dnsmasq)
    }
}

/// How browsers are challenged.
#[derive(Debug, Clone, Copy)]
pub struct Challenge {
    pub spans: Spans,
    /// What becomes of a browser version that does not come back any more.
    pub fallback: Fallback,
}

impl Challenge {
    fn read(&mut self, section: &mut Section<'_, '_>) {
        if let Some(window) = section.integer("window_ms", 100..=10_000) {
            self.spans.window = Duration::from_millis(window);
        }
        if let Some(hours) = section.integer("clearance_hours", 1..=720) {
            self.spans.clearance = Duration::from_secs(hours * 3600);
        }
        if let Some(minutes) = section.integer("fresh_minutes", 1..=1440) {
            self.spans.afresh = Duration::from_secs(minutes * 60);
        }
        if let Some(fallback) = section.word("fallback", &[("identity", Fallback::Identity), ("deny", Fallback::Deny)])
        {
            self.fallback = fallback;
        }
    }
}

fn read_trust(section: &mut Section<'_, '_>) -> Trust {
    let mut files = |key| section.strings(key).unwrap_or_default().into_iter().map(|file| PathBuf::from(file.value));
    let added: Vec<_> = files("ca_files").map(Roots::File).collect();
    let revocation_lists = files("revocation_lists").collect();
    let system = section.boolean("system_roots").unwrap_or(true);
    let roots: Vec<_> = system.then_some(Roots::System).into_iter().chain(added).collect();
    if roots.is_empty() {
        let place = section.place_of_key("system_roots").unwrap_or_else(|| section.place().clone());
        section.problem(
            &place,
            "nobody vouches for any server",
            "name `ca_files`, or take `system_roots = false` away",
        );
    }
    Trust { roots, revocation_lists }
}

const DAY: u64 = 86_400;

impl Default for Config {
    /// Loopback only, and nothing that grants: what may leave is the policy's alone.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 3128))],
            workers: 0,
            data_dir: None,
            policy: None,
            name: "sekisho".to_owned(),
            site: None,
            contact: None,
            writable: Vec::new(),
            via: true,
            dns_servers: Vec::new(),
            dns_timeout: seconds(3),
            internal: None,
            challenge: Challenge { spans: Spans::default(), fallback: Fallback::Identity },
            authentication: None,
            watches: true,
            indexes: true,
            watch_delay: Duration::from_secs(90),
            detect: detect::Settings::default(),
            inspection: Trust { roots: vec![Roots::System], revocation_lists: Vec::new() },
            secure_proxy: None,
            devices: DeviceFiles::default(),
            console: None,
            capture: CaptureSettings::default(),
            pac: None,
            checkpoint_receivers: Vec::new(),
            hooks: Vec::new(),
            alerts: Vec::new(),
            streams: Vec::new(),
            flows: flows::Settings::default(),
            network: None,
            lists: Vec::new(),
            durability: Durability::Batch,
            keep: Keep::default(),
            segment_bytes_max: 256 << 20,
            reserve_bytes: 32 << 20,
            keep_query: false,
            connect_timeout: seconds(15),
            head_timeout: seconds(15),
            first_request_timeout: seconds(30),
            keep_alive_timeout: seconds(120),
            body_timeout: seconds(120),
            hello_timeout: seconds(30),
            tunnel_idle: seconds(600),
            tunnel_lifetime: seconds(8 * 3600),
            drain_timeout: seconds(10),
            hand_over_timeout: seconds(3600),
            connections_max: 20_000,
            client_connections_max: 4096,
            head_bytes_max: 64 << 10,
            heads_bytes_max: 256 << 20,
        }
    }
}

impl Config {
    /// Reads a config file; `file` is the name that problems show.
    ///
    /// # Errors
    /// Every problem at once, each with its place and its fix.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        Document::read(file, text, |root| {
            let mut config = Self::default();
            if let Some(mut section) = root.table("gate") {
                config.read_gate(&mut section);
                section.finish();
            }
            if let Some(mut section) = root.table("dns") {
                config.dns_servers = addresses(&mut section, "servers").unwrap_or_default();
                seconds(&mut section, "timeout_seconds", 60, &mut config.dns_timeout);
                section.finish();
            }
            if let Some(mut section) = root.table("internal") {
                config.internal = read_internal(&mut section);
                section.finish();
            }
            if let Some(mut section) = root.table("challenge") {
                config.challenge.read(&mut section);
                section.finish();
            }
            if let Some(mut section) = root.table("authentication") {
                config.authentication = Settings::read(&mut section);
                section.finish();
            }
            if let Some(mut section) = root.table("inspection") {
                config.inspection = read_trust(&mut section);
                section.finish();
            }
            config.detect = detect::Settings::read_all(root, |section| {
                config.watches = section.boolean("live").unwrap_or(config.watches);
                seconds(section, "delay_seconds", 600, &mut config.watch_delay);
            });
            if let Some(mut section) = root.table("secure_proxy") {
                config.secure_proxy = SecureProxySettings::read(&mut section);
                section.finish();
            }
            if let Some(mut section) = root.table("devices") {
                config.devices.read(&mut section);
                section.finish();
            }
            if let Some(mut section) = root.table("flows") {
                config.flows = flows::Settings::read(&mut section);
                section.finish();
            }
            if let Some(mut section) = root.table("network") {
                config.network = Network::read(&mut section);
                section.finish();
            }
            if let Some(mut section) = root.table("console") {
                config.console = ConsoleSettings::read(&mut section);
                section.finish();
            }
            if let Some(network) = &config.network {
                tell_inside(network, &mut config.detect.inside);
            }
            if let Some(mut section) = root.table("capture") {
                config.capture = CaptureSettings::read(&mut section);
                section.finish();
            }
            if let Some(mut section) = root.table("pac") {
                config.pac = Some(Pac::read(&mut section));
                section.finish();
            }
            config.lists = Feed::read_all(root);
            config.checkpoint_receivers = Receiver::read_all(root, "checkpoints");
            config.hooks = Hook::read_all(root);
            config.alerts = AlertReceiver::read_all(root);
            config.streams = StreamSettings::read_all(root);
            if let Some(mut section) = root.table("evidence") {
                config.read_evidence(&mut section);
                section.finish();
            }
            if let Some(mut section) = root.table("limits") {
                config.read_limits(&mut section);
                section.finish();
            }
            Some(config)
        })
    }

    fn read_gate(&mut self, section: &mut Section<'_, '_>) {
        if let Some(listen) = addresses(section, "listen") {
            if listen.is_empty() {
                let place = section.place().clone();
                section.problem(&place, "`listen` names no address", "name at least one, or leave the key out");
            }
            self.listen = listen;
        }
        if let Some(workers) = section.integer("workers", 1..=256) {
            self.workers = u16::try_from(workers).unwrap_or_default();
        }
        self.data_dir = section.string("data_dir").map(|path| path.value.into());
        self.policy = section.string("policy").map(|path| path.value.into());
        if let Some(name) = section.string("name") {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            if name.value.is_empty() || name.value.len() > 64 || !name.value.bytes().all(plain) {
                section.problem(
                    &name.place,
                    format!("`name` cannot be {:?}", name.value),
                    "write 1 to 64 letters, digits, `-`, `_` or `.`: it stands in Via",
                );
            }
            self.name = name.value;
        }
        self.site = section.string("site").map(|text| text.value);
        self.contact = section.string("contact").map(|text| text.value);
        let writable = section.strings("writable").unwrap_or_default();
        self.writable = writable.into_iter().map(|path| PathBuf::from(path.value)).collect();
        if let Some(via) = section.boolean("via") {
            self.via = via;
        }
    }

    fn read_evidence(&mut self, section: &mut Section<'_, '_>) {
        let words = [("batch", Durability::Batch), ("strict", Durability::Strict)];
        if let Some(durability) = section.word("durability", &words) {
            self.durability = durability;
        }
        if let Some(mib) = section.integer("segment_mib", 1..=65_536) {
            self.segment_bytes_max = mib << 20;
        }
        if let Some(mib) = section.integer("reserve_mib", 0..=256) {
            self.reserve_bytes = mib << 20;
        }
        self.indexes = section.boolean("index").unwrap_or(self.indexes);
        self.keep.days = section.integer("keep_days", 1..=36_500).and_then(|days| u32::try_from(days).ok());
        self.keep.bytes = section.integer("keep_gib", 1..=1 << 20).map(|gib: u64| gib << 30);
        if let Some(keep) = section.boolean("keep_query") {
            self.keep_query = keep;
        }
    }

    fn read_limits(&mut self, section: &mut Section<'_, '_>) {
        seconds(section, "connect_seconds", 600, &mut self.connect_timeout);
        seconds(section, "head_seconds", 600, &mut self.head_timeout);
        seconds(section, "first_request_seconds", DAY, &mut self.first_request_timeout);
        seconds(section, "keep_alive_seconds", DAY, &mut self.keep_alive_timeout);
        seconds(section, "body_seconds", DAY, &mut self.body_timeout);
        seconds(section, "hello_seconds", 600, &mut self.hello_timeout);
        seconds(section, "tunnel_idle_seconds", 7 * DAY, &mut self.tunnel_idle);
        seconds(section, "tunnel_lifetime_seconds", 7 * DAY, &mut self.tunnel_lifetime);
        seconds(section, "drain_seconds", 3600, &mut self.drain_timeout);
        seconds(section, "hand_over_seconds", 7 * DAY, &mut self.hand_over_timeout);
        if let Some(connections) = section.integer("connections_max", 1..=1_000_000) {
            self.connections_max = connections;
        }
        if let Some(connections) = section.integer("client_connections_max", 1..=1_000_000) {
            self.client_connections_max = connections;
        }
        if let Some(kib) = section.integer("head_kib_max", 1..=1024) {
            self.head_bytes_max = kib << 10;
        }
        if let Some(mib) = section.integer("heads_mib_max", 1..=65_536) {
            self.heads_bytes_max = mib << 20;
        }
    }
}

/// All three keys belong together, and each must hold something.
/// What those who watch must know of the network.
fn tell_inside(network: &Network, inside: &mut Inside) {
    let zone = |segment: &Segment| Zone {
        name: segment.name.as_str().into(),
        role: match segment.role {
            Role::Clients | Role::Servers | Role::Gateway => ZoneRole::Ordinary,
            Role::Management => ZoneRole::Management,
            Role::Critical => ZoneRole::Critical,
        },
        addresses: segment.addresses.clone(),
    };
    inside.segments = network.segments.iter().map(zone).collect();
    inside.gate.clone_from(&network.gate);
    inside.tripwires = network.tripwires.iter().map(|ports| ports.first..=ports.last).collect();
}

fn read_internal(section: &mut Section<'_, '_>) -> Option<InternalNames> {
    let places = Internal::read(section);
    let resolvers = addresses(section, "resolvers");
    section.need_some("resolvers", "[\"10.1.0.53:53\"]");
    Some(InternalNames { places: places?.into(), resolvers: resolvers? })
}

fn seconds(section: &mut Section<'_, '_>, key: &'static str, most: u64, into: &mut Duration) {
    if let Some(seconds) = section.integer(key, 1..=most) {
        *into = Duration::from_secs(seconds);
    }
}

fn addresses(section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<SocketAddr>> {
    let texts = section.strings(key)?;
    let count = texts.len();
    let mut addresses = Vec::with_capacity(count);
    for text in texts {
        match text.value.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => section.problem(
                &text.place,
                format!("`{}` is no address with a port", text.value),
                "write it like \"127.0.0.1:3128\" or \"[::1]:3128\"",
            ),
        }
    }
    (addresses.len() == count).then_some(addresses)
}
