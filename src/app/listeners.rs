use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::config::Config;
use crate::listen::{Bound, Capture, ListenError, Passed};
use crate::site::ProxySetting;

/// What clients speak to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Clear,
    Tls,
    /// Whatever they meant to speak to an origin, past the gate.
    Captured(Capture),
}

/// Where clients connect, all bound.
#[derive(Debug)]
pub(super) struct Listeners(Vec<(Bound, Speaks)>);

impl Listeners {
    /// Binds all that the config names and that was not passed, once for each worker.
    ///
    /// # Errors
    /// The first that cannot be bound.
    pub(super) fn bind(config: &Config, workers: usize, passed: &mut Passed) -> Result<Self, ListenError> {
        let secured = config.secure_proxy.as_ref().map_or(&[][..], |proxy| &proxy.listen);
        let mut bound = Vec::new();
        for (addresses, speaks) in [
            (&config.listen[..], Speaks::Clear),
            (secured, Speaks::Tls),
            (&config.capture.redirect, Speaks::Captured(Capture::Redirect)),
            (&config.capture.tproxy, Speaks::Captured(Capture::Tproxy)),
        ] {
            for address in addresses {
                let listeners = match speaks {
                    Speaks::Captured(Capture::Tproxy) => passed.or_bind_transparent(*address, workers)?,
                    Speaks::Clear | Speaks::Tls | Speaks::Captured(Capture::Redirect) => {
                        passed.or_bind(*address, workers)?
                    }
                };
                bound.push((listeners, speaks));
            }
        }
        Ok(Self(bound))
    }

    /// All addresses, with the ports that the kernel chose.
    pub(super) fn all(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|(bound, _)| bound.address).collect()
    }

    /// Those to which this is spoken.
    pub(super) fn speaking(&self, wanted: Speaks) -> Vec<SocketAddr> {
        self.0.iter().filter(|(_, speaks)| *speaks == wanted).map(|(bound, _)| bound.address).collect()
    }

    /// Those to which captured connections come.
    pub(super) fn captured(&self) -> Vec<SocketAddr> {
        let each = [Capture::Redirect, Capture::Tproxy].map(|capture| self.speaking(Speaks::Captured(capture)));
        each.concat()
    }

    /// All of them once more, for a gate that takes over.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn copies(&self) -> io::Result<Vec<TcpListener>> {
        self.0.iter().flat_map(|(bound, _)| &bound.listeners).map(TcpListener::try_clone).collect()
    }

    /// The listeners of each worker: one of every address.
    pub(super) fn shares(self, workers: usize) -> Vec<Vec<(TcpListener, Speaks)>> {
        let mut shares: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        for (bound, speaks) in self.0 {
            for (share, listener) in shares.iter_mut().zip(bound.listeners) {
                share.push((listener, speaks));
            }
        }
        shares
    }
}

/// What who went past the proxy is told to set: what `[capture]` says, else the gate by `[network]`, else the first address
/// that is not this machine's alone.
pub(super) fn proxy_setting(config: &Config) -> Option<ProxySetting> {
    let network = config.network.as_ref().and_then(|network| {
        Some(SocketAddr::new(*network.gate.first()?, network.gate_ports.first()?.first).to_string())
    });
    let listening = || {
        let reached = |address: &&SocketAddr| !address.ip().is_unspecified() && !address.ip().is_loopback();
        config.listen.iter().find(reached).map(ToString::to_string)
    };
    let address = config.capture.proxy.clone().or(network).or_else(listening)?;
    let pac = config.pac.is_some().then(|| format!("http://{address}/proxy.pac"));
    Some(ProxySetting { address, pac })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(config: &str) -> Option<(String, Option<String>)> {
        let setting = proxy_setting(&Config::read("t.toml", config).unwrap());
        setting.map(|setting| (setting.address, setting.pac))
    }

    #[test]
    fn who_went_past_the_proxy_is_told_the_address_at_which_it_can_be_reached() {
        let some = |address: &str| Some((address.to_owned(), None));
        let network = "[network]\ngate = [\"fd00:20::1\", \"10.20.0.1\"]\ngate_ports = [3129, 8080]\noutside = [\"wan0\"]\n\
                       [network.segments.office]\nrole = \"clients\"\naddresses = [\"10.20.0.0/16\"]\n";
        assert_eq!(told(""), None, "loopback is another machine's own");
        let listen = "[gate]\nlisten = [\"127.0.0.1:3128\", \"0.0.0.0:3128\", \"10.20.0.1:3130\"]\n";
        assert_eq!(told(listen), some("10.20.0.1:3130"));
        assert_eq!(told(&format!("{listen}{network}")), some("[fd00:20::1]:3129"));
        let all = format!("{listen}{network}[pac]\n[capture]\nproxy = \"proxy.corp.example:3128\"\n");
        let pac = "http://proxy.corp.example:3128/proxy.pac".to_owned();
        assert_eq!(told(&all), Some(("proxy.corp.example:3128".to_owned(), Some(pac))));
    }
}
