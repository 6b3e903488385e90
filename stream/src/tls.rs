//! Mutual TLS: who we are, whom we believe, and the handshake both ways.
//!
//! ```text
//! TlsFiles ── load ──▶ Tls ── to() / named() ──▶ TlsClient ── handshake ──▶ Secured
//!                       └────────── accept ─────────────────────────────▶ Secured
//! ```
//!
//! Files are looked at again before every handshake: three `stat` calls tell whether they are other files than before.
//! A set that does not fit together (a key that was replaced before its certificate) changes nothing: the last good one
//! is used until there is a better. Streams that are open stay as they are, as Open vSwitch keeps its own.
//!
//! A session is never resumed: a peer shows its certificate every time.
//!
//! Must not: fall back to anything less.

mod failure;
mod files;
mod name;
mod secured;
mod verify;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tracing::{info, warn};

use self::failure::Ours;
pub use self::failure::TlsFailure;
pub(crate) use self::failure::date;
use self::files::{Material, Stamp};
pub use self::files::{TlsError, TlsFiles};
pub use self::name::{PeerName, PeerNameError};
use self::secured::Secured;
use self::verify::{Naming, ServerVerifier};

/// A private key with its certificate, and the CA whose certificates are believed. Clones are the same one, and equal
/// to each other alone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

/// How one peer is dialled: with which files, and whom its certificate has to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsClient {
    tls: Tls,
    name: Option<PeerName>,
}

struct Inner {
    files: TlsFiles,
    state: Mutex<State>,
}

struct State {
    loaded: Arc<Loaded>,
    stamp: Stamp,
    complaint: Option<String>,
}

/// What the files come to.
struct Loaded {
    ours: Arc<Ours>,
    to_anyone: Arc<ClientConfig>,
    to_named: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be used, or they do not belong together.
    pub fn load(files: TlsFiles) -> Result<Tls, TlsError> {
        // Before reading: what changes meanwhile is noticed at the next look.
        let stamp = files.stamp();
        let loaded = Arc::new(Loaded::new(&files)?);
        loaded.ours.warn_of_the_end();
        let state = Mutex::new(State {
            loaded,
            stamp,
            complaint: None,
        });
        Ok(Tls(Arc::new(Inner { files, state })))
    }

    /// For peers of which it is enough that the CA has signed their certificate.
    #[must_use]
    pub fn to_anyone(&self) -> TlsClient {
        TlsClient {
            tls: self.clone(),
            name: None,
        }
    }

    /// For a peer whose certificate has to name it.
    #[must_use]
    pub fn to(&self, name: PeerName) -> TlsClient {
        TlsClient {
            tls: self.clone(),
            name: Some(name),
        }
    }

    /// Where everything is read from.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        &self.0.files
    }

    /// The handshake with a peer that has dialled us.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<Secured, TlsFailure> {
        let loaded = self.look().await;
        let acceptor = TlsAcceptor::from(Arc::clone(&loaded.server));
        match acceptor.accept(stream).await {
            Ok(stream) => {
                let stream = TlsStream::Server(stream);
                Ok(Secured::new(stream, Arc::clone(&loaded.ours)))
            }
            Err(error) => Err(TlsFailure::of_handshake(error, &loaded.ours)),
        }
    }

    /// What the files come to now. Reading them is for a thread that may wait.
    async fn look(&self) -> Arc<Loaded> {
        let tls = self.clone();
        let looked = tokio::task::spawn_blocking(move || tls.look_now()).await;
        // Only a runtime that ends gives none.
        looked.unwrap_or_else(|_| Arc::clone(&self.lock().loaded))
    }

    fn look_now(&self) -> Arc<Loaded> {
        let files = &self.0.files;
        let stamp = files.stamp();
        if self.lock().stamp == stamp {
            return Arc::clone(&self.lock().loaded);
        }
        let read = Loaded::new(files);
        let mut state = self.lock();
        state.stamp = stamp;
        match read {
            Ok(loaded) => {
                info!(certificate = %files.certificate.display(), "certificate files read again: they have changed");
                loaded.ours.warn_of_the_end();
                state.loaded = Arc::new(loaded);
                state.complaint = None;
            }
            Err(error) => {
                let complaint = error.to_string();
                if state.complaint.as_ref() != Some(&complaint) {
                    warn!(%error, "certificate files have changed and cannot be used; going on with those read before");
                    state.complaint = Some(complaint);
                }
            }
        }
        Arc::clone(&state.loaded)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TlsClient {
    /// The handshake with a peer that was dialled.
    pub(crate) async fn handshake(&self, stream: TcpStream) -> Result<Secured, TlsFailure> {
        let loaded = self.tls.look().await;
        let (config, name) = match &self.name {
            Some(name) => (&loaded.to_named, name.server_name().clone()),
            // Not looked at, and not sent.
            None => (
                &loaded.to_anyone,
                ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            ),
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let ours = Arc::clone(&loaded.ours);
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Secured::new(TlsStream::Client(stream), ours)),
            Err(error) => Err(TlsFailure::of_handshake(error, &ours)),
        }
    }
}

impl Loaded {
    fn new(files: &TlsFiles) -> Result<Loaded, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let material = Material::read(files, &provider)?;
        let unusable = |error: &dyn fmt::Display| TlsError::Unusable {
            path: files.certificate.clone(),
            problem: error.to_string(),
        };
        let resolver = Arc::new(SingleCertAndKey::from(material.identity));
        let roots = Arc::new(material.roots);
        let to = |naming| {
            client(&provider, &roots, &resolver, naming)
                .map(Arc::new)
                .map_err(|error| unusable(&error))
        };
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|error| unusable(&error))?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| unusable(&error))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&resolver) as Arc<_>);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Loaded {
            ours: Arc::new(Ours {
                files: files.clone(),
                validity: material.validity,
            }),
            to_anyone: to(Naming::Anyone)?,
            to_named: to(Naming::AsDialled)?,
            server: Arc::new(server),
        })
    }
}

fn client(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    resolver: &Arc<SingleCertAndKey>,
    naming: Naming,
) -> Result<ClientConfig, rustls::Error> {
    let verifier = ServerVerifier::new(Arc::clone(roots), provider, naming);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::clone(resolver) as Arc<_>);
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

impl PartialEq for Tls {
    fn eq(&self, other: &Tls) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.files).finish()
    }
}

/// What a TLS stream says went wrong, if that is what is in an error of the system.
fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
