//! `nightlight serve`.

mod files;
mod wiring;

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use clap::Args;
use tokio::net::{TcpListener, TcpSocket};

use super::{Failure, block_on};
use crate::{
    config::{Config, Sources},
    services::{
        App,
        access::{Bootstrap, bootstrap},
    },
    telemetry,
};

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Address and port to listen on; port 0 takes a free one [default: server.listen, 127.0.0.1:8080]
    ///
    /// The first start makes an administrator's key and writes it to admin.key in the data directory. SIGTERM makes /readyz answer 503, and
    /// server.drain_ms later, or at once with Ctrl-C, no more requests are taken, those under way are finished, and the exit code is 0. SIGHUP is
    /// ignored.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Serve {
    /// What the flags add to the configuration.
    pub fn flags(&self, sources: Sources) -> Sources {
        match &self.listen {
            Some(listen) => sources.with_flag("--listen", "server.listen", listen.clone()),
            None => sources,
        }
    }

    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        block_on(serve(config))
    }
}

async fn serve(config: &Config) -> Result<(), Failure> {
    wiring::outlive_hangups()?;
    // Before the models are loaded: a taken port should not cost seconds to find out.
    let failed =
        |error: io::Error| Failure::failed(format!("cannot listen on {}: {error}; choose another with --listen", config.server.listen));
    let listener = listen(config.server.listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    // Before anything that counts.
    let metrics = telemetry::install_metrics().map_err(Failure::failed)?;
    let app = App::start(config).await?;
    for warning in app.warnings.iter().chain(&app.points.warning_texts()) {
        tracing::warn!("{warning}");
    }
    if config.auth.enabled {
        told(&bootstrap(&app.store, &config.data_dir).await?);
    }
    greet(config, address)?;
    let served = wiring::run(config, &app, listener, metrics).await;
    app.stop().await;
    served
}

/// Callers whom the kernel holds until they are accepted: what Linux allows unless told otherwise (net.core.somaxconn).
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart does not wait for the last one's connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Closing a file does not take back what was read.
fn told(found: &Bootstrap) {
    if let Bootstrap::Closed(path) = found {
        tracing::warn!(
            "others than the owner of {} could read it; it is closed (mode 0600), but whoever read it has the key: make another one with `nightlight key create` and \
             end this one with `nightlight key revoke`",
            path.display()
        );
    }
}

/// What somebody who has just started a server wants to paste.
fn greet(config: &Config, address: SocketAddr) -> io::Result<()> {
    let base = format!("http://{}", reachable(address));
    // Absolute, because the line is pasted into another terminal.
    let file = std::path::absolute(config.admin_key_file())?;
    let authorization = match (config.auth.enabled, file.exists()) {
        (false, _) => String::new(),
        (true, true) => format!("-H \"Authorization: Bearer $(cat {})\" ", shell_word(&file.to_string_lossy())),
        (true, false) => "-H \"Authorization: Bearer $NIGHTLIGHT_KEY\" ".to_owned(),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "nightlight {} listens on {base}/", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  API and documentation  {base}/docs")?;
    writeln!(out, "  console                {base}/console")?;
    writeln!(out, "  review queue           {base}/review/items")?;
    writeln!(out, "  state and metrics      {base}/readyz  {base}/metrics")?;
    if config.auth.enabled && !file.exists() {
        writeln!(
            out,
            "There are keys, but no admin.key; make one: nightlight key create --name NAME --role admin (or scorer, for /score alone)"
        )?;
    }
    writeln!(out, "Score a picture, or a text:")?;
    writeln!(out, "  curl -sS {authorization}-H 'Content-Type: image/jpeg' --data-binary @photo.jpg {base}/score")?;
    writeln!(out, "  curl -sS {authorization}-H 'Content-Type: text/plain' --data-binary 'see you at practice' {base}/score")?;
    out.flush()
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Quoted where a shell would take it apart.
fn shell_word(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_addresses_and_paths_work_when_pasted() {
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
        assert_eq!(reachable("10.0.0.7:80".parse().unwrap()).to_string(), "10.0.0.7:80");
        assert_eq!(shell_word("a/b-c.key"), "a/b-c.key");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
    }
}
