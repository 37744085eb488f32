//! A connection to a service: by TLS or not, and what every call on it says of the caller.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::{fs, io};

use thiserror::Error;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};

use super::address::{Scheme, ServerAddress};
use crate::bom::without_bom;
use crate::domain::AccountId;
use crate::grpc::health_proto::HealthCheckRequest;
use crate::grpc::health_proto::health_client::HealthClient;
use crate::https::{root_cause, with_causes};
use crate::roots;

/// Which service to call, and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the service is.
    pub address: ServerAddress,
    /// The account to act on; without it the service's default.
    pub account: Option<AccountId>,
    /// The authorities that the service's certificate is checked with, a PEM file; without it those of the system.
    pub authorities: Option<PathBuf>,
    /// The caller's certificate and its private key, PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// A file with the caller's bearer token.
    pub token_file: Option<PathBuf>,
    /// How long a call may take, its repetitions included.
    pub timeout: Duration,
}

/// The reason why there is no connection.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A setting, or a file that it names, is wrong.
    #[error("{0}")]
    Setting(String),
    /// The service can't be reached, or one side does not believe the other.
    #[error("{0}")]
    Unreachable(String),
}

/// A service that can be called.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(super) channel: Channel,
    pub(super) timeout: Duration,
    pub(super) account: Option<MetadataValue<Ascii>>,
    /// Whether changes have client tokens: until the service says that it takes none.
    pub(super) takes_tokens: Arc<AtomicBool>,
    token_file: Option<PathBuf>,
}

impl Connection {
    /// Connects to a service, and asks for its health: only an answer shows that both sides believe each other, and it has
    /// to be known before a change is sent.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        let endpoint = endpoint(settings).map_err(OpenError::Setting)?;
        let account = settings.account.as_ref().map(AccountId::as_str);
        let connection = Self {
            channel: endpoint.connect_lazy(),
            timeout: settings.timeout,
            account: account.map(str::parse).transpose().map_err(|_| {
                OpenError::Setting("the account is no value of a header".to_owned())
            })?,
            takes_tokens: Arc::new(AtomicBool::new(true)),
            token_file: settings.token_file.clone(),
        };
        connection.token().map_err(OpenError::Setting)?;
        let asked = tokio::time::timeout(settings.timeout, connection.ask_for_health()).await;
        let problem = match asked {
            Ok(Ok(())) => return Ok(connection),
            Ok(Err(problem)) => problem,
            Err(_) => format!("no answer within {:?}", settings.timeout),
        };
        let hint = match (scheme(settings), &settings.identity) {
            (Scheme::Plain, _) => {
                "see whether it runs; give https:// before the address, or --tls-ca, where it speaks TLS"
            }
            (Scheme::Tls, None) => {
                "see whether it runs; give http:// before the address where it speaks no TLS, or --cert and --key \
                 where it wants to know who calls"
            }
            (Scheme::Tls, Some(_)) => {
                "see whether it runs, and whether it believes the certificate"
            }
        };
        let address = &settings.address;
        Err(OpenError::Unreachable(format!(
            "cannot reach the service at {address}: {problem}; {hint}"
        )))
    }

    /// The same connection, for another account.
    pub(super) fn of_account(&self, account: &AccountId) -> Self {
        Self {
            // Digits are a value of a header.
            account: account.as_str().parse().ok(),
            ..self.clone()
        }
    }

    /// Asks the service for its health. Whatever it answers will do.
    async fn ask_for_health(&self) -> Result<(), String> {
        let request = HealthCheckRequest {
            service: String::new(),
        };
        let answer = HealthClient::new(self.channel.clone()).check(request).await;
        match answer {
            Err(status) => broken_by(&status).map_or(Ok(()), Err),
            Ok(_) => Ok(()),
        }
    }

    /// The value of the header that names the caller. The file is read for each call: what puts tokens there renews them.
    ///
    /// # Errors
    /// What is wrong with the file, without what stands in it.
    pub(super) fn token(&self) -> Result<Option<MetadataValue<Ascii>>, String> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let of_file = |problem: &str| format!("the token file {}: {problem}", path.display());
        let text = read(path).map_err(|error| of_file(&error.to_string()))?;
        let token = without_bom(&text).map_err(|error| of_file(&error.to_string()))?;
        let token = token.trim_ascii();
        if token.is_empty() {
            return Err(of_file("it is empty"));
        }
        let mut value = MetadataValue::try_from([b"Bearer ", token].concat().as_slice())
            .map_err(|_| of_file("it holds more than a token"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// The fault that broke the connection under a call, where the status is not the service's own.
pub(super) fn broken_by(status: &Status) -> Option<String> {
    root_cause(status)
}

/// The scheme that a service is called by. Where nobody says, nothing goes to another host that others could read.
fn scheme(settings: &Settings) -> Scheme {
    settings.address.scheme().unwrap_or_else(|| {
        let has_tls_file = settings.authorities.is_some() || settings.identity.is_some();
        if settings.address.is_this_host() && !has_tls_file {
            Scheme::Plain
        } else {
            Scheme::Tls
        }
    })
}

fn endpoint(settings: &Settings) -> Result<Endpoint, String> {
    let scheme = scheme(settings);
    let address = &settings.address;
    if scheme == Scheme::Plain && settings.token_file.is_some() && !address.is_this_host() {
        return Err(format!(
            "a token goes to another host by TLS only, so that nobody on the way can take it: give https://{address}"
        ));
    }
    if scheme == Scheme::Plain && (settings.authorities.is_some() || settings.identity.is_some()) {
        return Err(format!(
            "certificates are of no use without TLS: give https://{address}, or leave them out"
        ));
    }
    let endpoint = Endpoint::from_shared(address.uri(scheme))
        .map_err(|error| with_causes(&error))?
        .connect_timeout(settings.timeout);
    match scheme {
        Scheme::Plain => Ok(endpoint),
        Scheme::Tls => endpoint
            .tls_config(tls(settings)?)
            .map_err(|error| tls_problem(settings, &with_causes(&error))),
    }
}

fn tls(settings: &Settings) -> Result<ClientTlsConfig, String> {
    let file = settings.authorities.as_deref();
    let roots = roots::load(file).map_err(|error| match file {
        Some(path) => format!("the certificate authorities in {}: {error}", path.display()),
        None => {
            format!("the certificate authorities of the system: {error}; name a file with --tls-ca")
        }
    })?;
    let tls = ClientTlsConfig::new().trust_anchors(roots.roots);
    let Some((certificate, key)) = &settings.identity else {
        return Ok(tls);
    };
    let read = |path: &Path| {
        let text = read(path).map_err(|error| error.to_string());
        let text =
            text.and_then(|text| Ok(without_bom(&text).map_err(|e| e.to_string())?.to_vec()));
        text.map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    Ok(tls.identity(Identity::from_pem(read(certificate)?, read(key)?)))
}

/// The error for what the TLS library finds wrong: only the caller's own files can be the cause.
fn tls_problem(settings: &Settings, problem: &str) -> String {
    match &settings.identity {
        Some((certificate, key)) => format!(
            "the certificate in {} and the key in {} can't be used: {problem}",
            certificate.display(),
            key.display()
        ),
        None => format!("cannot set up TLS: {problem}"),
    }
}

/// The most bytes of a file with a token, a certificate or a key.
const LARGEST_FILE: u64 = 1 << 20;

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = fs::File::open(path)?;
    io::Read::read_to_end(&mut io::Read::take(file, LARGEST_FILE), &mut text)?;
    Ok(text)
}
