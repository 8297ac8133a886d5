use super::{DEVICES_MAX, LINE_BYTES_MAX, Lease, LeaseFault, Leases, address, hardware, lines, moment, number, text};

/// Reads a lease file of dnsmasq (`--dhcp-leasefile` in dnsmasq(8); the fields as `lease_update_file` of its `src/lease.c`
/// writes them): on each line when the lease ends, in seconds since 1970, 0 for never; the hardware address, for IPv6 the
/// IAID; the address; the name, `*` for none; the client identifier, for IPv6 the DUID. A line `duid` with the server's own
/// stands between IPv4 and IPv6. When a lease began is not in it.
pub fn read_dnsmasq(file: &[u8]) -> Leases {
    let mut read = Leases::default();
    for (number, line) in lines(file).filter(|(_, line)| !line.is_empty() && !line.starts_with(b"duid ")) {
        match lease(line) {
            Ok(_) if read.leases.len() >= DEVICES_MAX => read.beyond = read.beyond.saturating_add(1),
            Ok(lease) => read.leases.push(lease),
            Err(fault) => read.is_bad(number, fault),
        }
    }
    read
}

fn lease(line: &[u8]) -> Result<Lease, LeaseFault> {
    if line.len() > LINE_BYTES_MAX {
        return Err(LeaseFault::Long);
    }
    let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let mut next = || fields.next().ok_or(LeaseFault::Fields);
    let (ends, link, at, name) = (next()?, next()?, next()?, next()?);
    let identifier = next().unwrap_or(b"*");
    let ends = number(ends).ok_or(LeaseFault::Number)?;
    let address = address(at).ok_or(LeaseFault::Address)?;
    let machine = if address.is_ipv6() { identifier } else { link };
    let said = |field: &'static [u8]| move |bytes: &&[u8]| *bytes != field;
    Ok(Lease {
        address,
        name: Some(name).filter(said(b"*")).and_then(text),
        hardware: Some(machine).filter(said(b"*")).and_then(hardware),
        since: None,
        until: (ends != 0).then(|| moment(ends)),
    })
}
