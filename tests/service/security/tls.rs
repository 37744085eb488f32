//! TLS: which versions, and clients that do not get through the handshake.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::harness::Files;
use crate::support::authority::Authority;
use crate::support::list;
use crate::support::{PATIENCE, Server, run};

fn handshake(
    server: &Server,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    alpn: &[&[u8]],
) -> Result<ClientConnection, std::io::Error> {
    let mut roots = RootCertStore::empty();
    let pem = authority.pem();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(connection)
}

#[test]
fn tls_1_2_and_1_3_are_served_with_http_2_and_http_1_1() {
    let files = Files::new();
    let server = files.serve(&[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let handshake = |alpn: &[&[u8]]| handshake(&server, &files.servers, version, alpn);
        for (offered, taken) in [
            (&[&b"h2"[..]][..], &b"h2"[..]),
            (&[b"http/1.1"], b"http/1.1"),
            (&[b"http/1.1", b"h2"], b"h2"),
        ] {
            let connection = handshake(offered).unwrap();
            assert_eq!(connection.protocol_version(), Some(version.version));
            assert_eq!(connection.alpn_protocol(), Some(taken));
        }
        let refused = handshake(&[b"http/0.9"]);
        assert!(refused.is_err(), "{version:?} with HTTP/0.9");
    }
}

#[test]
fn openssl_may_not_speak_tls_1_1() {
    let files = Files::new();
    let server = files.serve(&[]);
    let connect = |version: &str| {
        let output = Command::new("openssl")
            .args(["s_client", version, "-alpn", "h2"])
            // Without it openssl itself refuses the old version.
            .args(["-cipher", "DEFAULT:@SECLEVEL=0"])
            .args(["-connect", &server.address.to_string()])
            .stdin(Stdio::null())
            .output()
            .expect("openssl is installed (scripts/setup)");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let refused = connect("-tls1_1");
    assert!(refused.contains("SSL alert"), "{refused}");
    let taken = connect("-tls1_2");
    assert!(!taken.contains("alert"), "{taken}");
}

#[tokio::test]
async fn a_client_without_tls_is_turned_away_and_the_others_are_served() {
    let files = Files::new();
    let server = files.serve(&[]);
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address));
    let plain = plain.unwrap().connect_lazy();
    let mut plain = untag::grpc::proto::tag_service_client::TagServiceClient::new(plain);
    plain.list_tag_resources(list()).await.unwrap_err();
    let mut client = files.client(&server, None).await;
    client.list_tag_resources(list()).await.unwrap();
}

#[test]
fn a_handshake_that_stalls_is_given_up() {
    let files = Files::new();
    let server = files.serve(&["--handshake-timeout", "0.3"]);
    let mut silent = TcpStream::connect(server.address).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "the server closes it");
    server.wait_for_log("a TLS handshake has taken too long");
}

#[test]
fn max_handshakes_are_under_way_and_another_takes_the_slot_of_one() {
    let files = Files::new();
    let server = files.serve(&["--max-handshakes", "1", "--handshake-timeout", "600"]);
    let version = &rustls::version::TLS13;
    let mut silent = TcpStream::connect(server.address).unwrap();
    silent
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let (started, mut successes) = (Instant::now(), 0);
    // As long as the silent one has not begun, others need no place of it.
    loop {
        successes += u32::from(handshake(&server, &files.servers, version, &[b"h2"]).is_ok());
        match silent.read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            closed => {
                assert_eq!(closed.unwrap_or(0), 0, "the server says nothing");
                break;
            }
        }
        assert!(
            started.elapsed() < PATIENCE,
            "the silent one keeps its place"
        );
    }
    assert!(successes > 0);
}

#[tokio::test]
async fn probes_need_neither_tls_nor_a_certificate() {
    let files = Files::new();
    let server = files.serve_callers(&[]);
    let admin = format!("http://{}", server.admin_address);
    let admin = tonic::transport::Endpoint::from_shared(admin).unwrap();
    let mut health = HealthClient::new(admin.connect().await.unwrap());
    let answer = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status().as_str_name(), "SERVING");
    let address = server.admin_address.to_string();
    assert!(
        run(&["health", "--admin-listen", &address])
            .status
            .success()
    );
}

#[test]
fn files_that_can_not_be_used_are_refused_at_the_start() {
    let files = Files::new();
    let stranger = files.servers.issue_for_server();
    files.write("other.key", &stranger.key);
    files.write("nothing", "nothing\n");
    let path = |name| files.path(name).to_str().unwrap().to_owned();
    let (certificate, key, other) = (path("tls.crt"), path("tls.key"), path("other.key"));
    let (nothing, absent, authority) = (path("nothing"), path("absent"), path("client-ca.pem"));
    let data = path("data");
    for (arguments, wanted) in [
        (
            vec!["--tls-cert", &certificate, "--tls-key", &other],
            "do not work together",
        ),
        (
            vec!["--tls-cert", &nothing, "--tls-key", &key],
            "there is no certificate",
        ),
        (
            vec!["--tls-cert", &certificate, "--tls-key", &nothing],
            "there is no private key",
        ),
        (
            vec!["--tls-cert", &absent, "--tls-key", &key],
            "cannot read",
        ),
        (
            vec![
                "--tls-cert",
                &certificate,
                "--tls-key",
                &key,
                "--client-ca",
                &nothing,
            ],
            "there is no certificate in the client CA file",
        ),
        (vec!["--tls-cert", &certificate], "--tls-key"),
        (vec!["--client-ca", &authority], "--tls-cert"),
        (
            vec!["--require-identity", "certificate"],
            "give --client-ca",
        ),
        (vec!["--require-identity", "token"], "give --jwks"),
    ] {
        let output = run(&[&["serve", "--data-dir", &data][..], &arguments].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
}
