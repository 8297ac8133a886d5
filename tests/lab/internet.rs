//! The internet of the lab: a DNS server that logs what it is asked, a web server that logs what it
//! is sent, and an authority that vouches for the latter.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::network::{DNS, Machine, Network};
use super::process::{Process, run};

pub(super) struct Internet {
    dns: Process,
    web: Process,
    access_log: PathBuf,
    /// The certificate of the test authority.
    pub(super) authority: PathBuf,
}

/// What the web server says, whoever asks.
pub(super) fn text(scheme: &str, host: &str) -> String {
    format!("This is {host} over {scheme}.")
}

impl Internet {
    /// Starts DNS and web; `names` is all that DNS knows.
    pub(super) fn start(network: &Network, directory: &Path, names: &[(&str, &str)]) -> Self {
        let mut dns = network.command(Machine::Internet, "dnsmasq");
        dns.args(["--keep-in-foreground", "--log-facility=-", "--log-queries", "--user=root", "--pid-file"]);
        dns.args(["--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", "--local=/example/"]);
        dns.arg(format!("--listen-address={DNS}"));
        dns.args(names.iter().map(|(name, address)| format!("--host-record={name},{address}")));
        let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        let authority = certify(directory, &names);
        std::fs::write(directory.join("nginx.conf"), WEB_CONFIG).unwrap();
        let mut web = network.command(Machine::Internet, "nginx");
        web.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(directory);
        Self {
            // Both have bound their sockets when they say this.
            dns: Process::start_on_stderr(dns, "started, version"),
            web: Process::start_on_stderr(web, "event method"),
            access_log: directory.join("access.log"),
            authority,
        }
    }

    /// Ends both; the log of DNS, and of the web server.
    pub(super) fn end(&mut self) -> (Vec<String>, Vec<String>) {
        self.web.end(Signal::QUIT);
        self.dns.end(Signal::TERM);
        let requests = std::fs::read_to_string(&self.access_log).unwrap();
        (self.dns.log().to_vec(), requests.lines().map(str::to_owned).collect())
    }
}

/// One process, so that ending it ends the server.
const WEB_CONFIG: &str = r#"
daemon off;
master_process off;
pid nginx.pid;
error_log stderr notice;
events {}
http {
    log_format lab "$scheme $remote_addr $host $request_method $uri $status";
    access_log access.log lab;
    client_body_temp_path tmp;
    proxy_temp_path tmp;
    fastcgi_temp_path tmp;
    uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    default_type text/html;
    server {
        listen 80;
        listen 443 ssl http2;
        ssl_certificate web.crt;
        ssl_certificate_key web.key;
        location / { return 200 "<!doctype html><title>origin</title><p>This is $host over $scheme.</p><img src=//tracker.example/dot.png>"; }
    }
}
"#;

/// Makes the authority and the web server's certificate; where the authority's is.
fn certify(directory: &Path, names: &[&str]) -> PathBuf {
    let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let config = format!(
        "[req]\ndistinguished_name = name\n[name]\n\
         [authority]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign\n\
         subjectKeyIdentifier = hash\n\
         [web]\nbasicConstraints = CA:FALSE\nextendedKeyUsage = serverAuth\nsubjectAltName = {}\n",
        names.join(",")
    );
    std::fs::write(directory.join("openssl.cnf"), config).unwrap();
    let make = |arguments: &str| {
        let common = "req -x509 -config openssl.cnf -days 2 -noenc -newkey ec -pkeyopt ec_paramgen_curve:P-256";
        run(Command::new("openssl").current_dir(directory).args(common.split(' ')).args(arguments.split(' ')));
    };
    make("-subj /CN=Lab-authority -extensions authority -keyout authority.key -out authority.crt");
    make("-subj /CN=Lab-web -extensions web -keyout web.key -out web.crt -CA authority.crt -CAkey authority.key");
    directory.join("authority.crt")
}
