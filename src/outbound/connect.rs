//! One connection to an address that was checked.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use url::Url;

use super::{
    error::OutboundError,
    policy::{Policy, Target},
    resolve::Resolver,
};

/// A byte stream, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens connections under a policy.
pub(super) struct Connector {
    pub policy: Policy,
    pub resolver: Arc<dyn Resolver>,
    /// Reading the system's certificates takes milliseconds; plain HTTP needs none.
    tls: OnceLock<Result<TlsConnector, String>>,
}

impl Connector {
    pub const fn new(policy: Policy, resolver: Arc<dyn Resolver>) -> Self {
        Self { policy, resolver, tls: OnceLock::new() }
    }

    /// Connects to the URL's host: checks every address that its name has, then takes the first that answers.
    pub async fn connect(&self, url: &Url) -> Result<Box<dyn Stream>, OutboundError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let addresses = match self.policy.check_url(url)? {
            Target::Address(address, port) => vec![SocketAddr::new(address, port)],
            Target::Name(name, port) => self.addresses(&name).await?.into_iter().map(|address| SocketAddr::new(address, port)).collect(),
        };
        let mut last = "it has no address".to_owned();
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // A small request must not wait for company; without the option it is only slower.
                    let _ = stream.set_nodelay(true);
                    return if url.scheme() == "https" { self.secure(host, stream).await } else { Ok(Box::new(stream)) };
                }
                Err(error) => last = error.kind().to_string(),
            }
        }
        Err(OutboundError::Unreachable { host, detail: last })
    }

    /// All addresses of the name, each allowed: a name with one foot inside is refused as a whole.
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, OutboundError> {
        let unresolved = |detail: String| OutboundError::Unresolved { host: name.to_owned(), detail };
        let addresses = self.resolver.lookup(name).await.map_err(|error| unresolved(error.to_string()))?;
        if addresses.is_empty() {
            return Err(unresolved("it has no address".to_owned()));
        }
        addresses.iter().try_for_each(|address| self.policy.check_address(*address, Some(name)))?;
        Ok(addresses)
    }

    async fn secure(&self, host: String, stream: TcpStream) -> Result<Box<dyn Stream>, OutboundError> {
        let failed = |detail: String| OutboundError::Tls { host: host.clone(), detail };
        let connector = self.tls.get_or_init(connector).as_ref().map_err(|detail| failed(detail.clone()))?;
        let name = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| failed(error.to_string()))?;
        let stream = connector.connect(name, stream).await.map_err(|error| failed(error.to_string()))?;
        Ok(Box::new(stream))
    }
}

/// TLS 1.2 and 1.3 with the certificates that the system trusts: an operator's own authority is trusted as everywhere else on the machine.
fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this machine trusts no certificate authority; install ca-certificates, or name a file in SSL_CERT_FILE".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
