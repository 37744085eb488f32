//! Client certificates that expire: by resumption they would go on for ever.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::CertificateParams;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use super::harness::Files;
use crate::support::authority::{Pair, spiffe};
use crate::support::{PATIENCE, Server};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// How long the certificates of these tests are good: whole seconds.
const LIFETIME: Duration = Duration::from_secs(4);

fn config(
    files: &Files,
    identity: &Pair,
    version: &'static rustls::SupportedProtocolVersion,
    protocol: &[u8],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let pem = files.servers.pem();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let chain = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![chain], key)
        .unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

/// Connects, and waits for the first bytes of the server where it sends some by itself, with its session tickets.
fn connect(config: &Arc<ClientConfig>, address: SocketAddr) -> io::Result<Stream> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let mut stream = StreamOwned::new(connection, stream);
    if stream.conn.alpn_protocol() == Some(b"h2") {
        stream.read_exact(&mut [0; 9])?;
    }
    Ok(stream)
}

/// A certificate that is good for a few seconds, and when it expires.
fn short(files: &Files) -> (Pair, SystemTime) {
    let expiry = SystemTime::now() + LIFETIME;
    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names = vec![spiffe("short")];
    parameters.not_after = expiry.into();
    (files.callers.sign(&parameters), expiry)
}

/// Both ports of a server that asks for certificates, and what their clients use.
fn ports(server: &Server) -> [(SocketAddr, &'static [u8]); 2] {
    let rpc = server.wait_for_log_where("listening", |line| line["port"] == "rpc");
    let rpc = rpc["address"].as_str().unwrap().parse().unwrap();
    [(server.address, b"h2"), (rpc, b"http/1.1")]
}

fn serve(files: &Files) -> Server {
    let keys = r#"{"access_keys": [{"access_key_id": "a", "access_key_secret": "b", "account_id": "7", "caller": "c"}]}"#;
    files.write("keys.json", keys);
    let keys = files.path("keys.json");
    let keys = ["--access-keys", keys.to_str().unwrap()];
    // No other limit of time ends what these tests keep open.
    let listen = ["--listen-rpc", "127.0.0.1:0", "--handshake-timeout", "600"];
    files.serve_callers(&[&listen, &keys[..]].concat())
}

#[test]
fn sessions_are_not_resumed_where_clients_show_certificates() {
    let files = Files::new();
    let server = serve(&files);
    let identity = files.callers.issue(vec![spiffe("caller")]);
    for (address, protocol) in ports(&server) {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = config(&files, &identity, version, protocol);
            for _ in 0..3 {
                let stream = connect(&config, address).unwrap();
                let kind = stream.conn.handshake_kind();
                assert_eq!(kind, Some(HandshakeKind::Full), "{address} {version:?}");
            }
        }
    }
}

#[test]
fn an_expired_certificate_opens_no_connection_and_keeps_none() {
    let files = Files::new();
    let server = serve(&files);
    let (identity, expiry) = short(&files);
    let mut held = Vec::new();
    for (address, protocol) in ports(&server) {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = config(&files, &identity, version, protocol);
            let stream = connect(&config, address).expect("it has not expired");
            held.push((stream, config, address));
        }
    }
    for (mut stream, config, address) in held {
        // Whatever else it says, the server closes the connection, and by then a new one is refused.
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        let is_timeout = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        assert!(
            !ended.as_ref().is_err_and(is_timeout),
            "{address}: {ended:?}"
        );
        while SystemTime::now() < expiry + Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let refused = connect(&config, address).and_then(|mut stream| stream.read(&mut [0]));
        let is_closed = matches!(refused, Ok(0) | Err(_));
        assert!(is_closed, "{address}");
    }
}
