use std::collections::HashMap;
use std::net::IpAddr;

use super::{DEVICES_MAX, LINE_BYTES_MAX, Lease, LeaseFault, Leases, address, hardware, lines, moment, number, text};

/// Where the columns are that are read.
struct Columns {
    address: usize,
    hardware: Option<usize>,
    duid: Option<usize>,
    lifetime: usize,
    expire: usize,
    hostname: Option<usize>,
    state: Option<usize>,
    lease_type: Option<usize>,
}

/// As a lease of infinite time has it (Kea Administrator Reference Manual, "Lease Lifetime"; RFC 2131 §3.3).
const INFINITE: u64 = 0xffff_ffff;
/// The lease is in use (0), or a client has registered an address that it gave itself (4).
const IN_USE: [u64; 2] = [0, 4];
/// A prefix that is delegated, to a router and not to a device.
const DELEGATED_PREFIX: &[u8] = b"2";

/// Reads a lease file of Kea's memfile backend, for IPv4 or IPv6 (Kea Administrator Reference Manual, "Memfile - Basic
/// Storage for Leases"): CSV, whose first line names the columns, and to which Kea appends a line whenever a lease
/// changes. The last line of an address counts; one with a lifetime of 0 says that the lease is gone. A comma in a field
/// is written `&#x2c`, other characters likewise.
pub fn read_kea(file: &[u8]) -> Leases {
    let mut read = Leases::default();
    let mut lines = lines(file);
    let columns = match lines.next().map_or(Err(LeaseFault::Column("address")), |(_, line)| Columns::read(line)) {
        Ok(columns) => columns,
        Err(fault) => {
            read.is_bad(1, fault);
            return read;
        }
    };
    let mut newest: HashMap<IpAddr, Lease> = HashMap::new();
    // A file that was joined from several has the line of columns again.
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"address,")) {
        match columns.lease(line) {
            Ok(Row::Lease(lease)) => {
                if newest.len() < DEVICES_MAX || newest.contains_key(&lease.address) {
                    newest.insert(lease.address, lease);
                } else {
                    read.beyond = read.beyond.saturating_add(1);
                }
            }
            Ok(Row::Gone(address)) => _ = newest.remove(&address),
            Ok(Row::OfNoDevice) => {}
            Err(fault) => read.is_bad(number, fault),
        }
    }
    read.leases = newest.into_values().collect();
    read.leases.sort_by_key(|lease| lease.address);
    read
}

enum Row {
    Lease(Lease),
    Gone(IpAddr),
    OfNoDevice,
}

impl Columns {
    fn read(line: &[u8]) -> Result<Self, LeaseFault> {
        if line.len() > LINE_BYTES_MAX {
            return Err(LeaseFault::Long);
        }
        let names: Vec<&[u8]> = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
        let at = |name: &'static str| names.iter().position(|known| *known == name.as_bytes());
        let needed = |name| at(name).ok_or(LeaseFault::Column(name));
        Ok(Self {
            address: needed("address")?,
            hardware: at("hwaddr"),
            duid: at("duid"),
            lifetime: needed("valid_lifetime")?,
            expire: needed("expire")?,
            hostname: at("hostname"),
            state: at("state"),
            lease_type: at("lease_type"),
        })
    }

    fn lease(&self, line: &[u8]) -> Result<Row, LeaseFault> {
        if line.len() > LINE_BYTES_MAX {
            return Err(LeaseFault::Long);
        }
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b',').collect();
        let needed = |at: usize| fields.get(at).copied().ok_or(LeaseFault::Fields);
        let perhaps = |at: Option<usize>| at.and_then(|at| fields.get(at)).copied().unwrap_or_default();
        let address = address(needed(self.address)?).ok_or(LeaseFault::Address)?;
        let lifetime = number(needed(self.lifetime)?).ok_or(LeaseFault::Number)?;
        let expire = number(needed(self.expire)?).ok_or(LeaseFault::Number)?;
        if perhaps(self.lease_type) == DELEGATED_PREFIX {
            return Ok(Row::OfNoDevice);
        }
        let state = match perhaps(self.state) {
            b"" => 0,
            state => number(state).ok_or(LeaseFault::Number)?,
        };
        if lifetime == 0 || !IN_USE.contains(&state) {
            return Ok(Row::Gone(address));
        }
        let hardware_address = Some(perhaps(self.hardware)).filter(|field| !field.is_empty());
        let name = unescaped(perhaps(self.hostname));
        Ok(Row::Lease(Lease {
            address,
            // A name with its dot at the end is the same name.
            name: text(name.strip_suffix(b".").unwrap_or(&name)),
            hardware: hardware(hardware_address.unwrap_or(perhaps(self.duid))),
            since: Some(moment(expire.saturating_sub(lifetime))),
            until: (lifetime != INFINITE).then(|| moment(expire)),
        }))
    }
}

/// Undoes `&#x` and two hexadecimal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let digits = rest.strip_prefix(b"&#x").and_then(|tail| tail.get(..2));
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = rest.get(5..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = others;
            }
        }
    }
    out
}
