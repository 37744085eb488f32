//! An HTTP server on this host that publishes keys, well or badly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::auth::token::JwksUrl;

/// What the server does with a request.
#[derive(Clone)]
pub enum Answer {
    Keys(Vec<Value>),
    /// A head, with status and headers, and no body.
    Head(String),
    /// A body without end, of unknown length.
    Endless,
    /// Nothing, for a long time.
    Silence,
}

pub struct JwksServer {
    address: SocketAddr,
    fetches: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
}

impl JwksServer {
    pub fn start(answer: Answer) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), answer, None)
    }

    /// On an address on which nobody has been listening so far.
    pub fn start_on(address: SocketAddr, answer: Answer) -> Self {
        Self::serve(TcpListener::bind(address).unwrap(), answer, None)
    }

    /// With HTTPS. The text is the certificate, in PEM.
    pub fn start_with_tls(answer: Answer) -> (Self, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self::serve(listener, answer, Some(Arc::new(config)));
        (server, cert.pem())
    }

    fn serve(listener: TcpListener, answer: Answer, tls: Option<Arc<ServerConfig>>) -> Self {
        let address = listener.local_addr().unwrap();
        let fetches = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(Mutex::new(answer));
        let (count, answers) = (Arc::clone(&fetches), Arc::clone(&answer));
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (count, answers, tls) = (Arc::clone(&count), Arc::clone(&answers), tls.clone());
                thread::spawn(move || match tls {
                    None => respond(connection, &count, &answers),
                    Some(config) => {
                        let tls = ServerConnection::new(config).unwrap();
                        respond(StreamOwned::new(tls, connection), &count, &answers);
                    }
                });
            }
        });
        Self {
            address,
            fetches,
            answer,
        }
    }

    pub fn url(&self) -> JwksUrl {
        JwksUrl::parse(&format!("http://{}/jwks", self.address)).unwrap()
    }

    pub fn https_url(&self) -> JwksUrl {
        JwksUrl::parse(&format!("https://localhost:{}/jwks", self.address.port())).unwrap()
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }
}

/// An address on which nobody listens.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Reads one request and answers it. A client that goes away is no failure here.
fn respond(mut stream: impl Read + Write, fetches: &AtomicUsize, answers: &Mutex<Answer>) {
    let mut request = Vec::new();
    let mut buffer = [0; 1_024];
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(1..) => request.extend_from_slice(&buffer),
            _ => return,
        }
    }
    fetches.fetch_add(1, Ordering::SeqCst);
    let answer = answers.lock().unwrap().clone();
    let _ = match answer {
        Answer::Keys(keys) => {
            let body = json!({ "keys": keys }).to_string();
            let length = body.len();
            let head =
                "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: public, max-age=3600";
            write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}")
        }
        Answer::Head(head) => {
            write!(
                stream,
                "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
        }
        Answer::Endless => {
            let mut result = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            while result.is_ok() {
                result = stream.write_all(&[b' '; 8_192]);
            }
            result
        }
        Answer::Silence => {
            thread::sleep(Duration::from_secs(5));
            Ok(())
        }
    };
    let _ = stream.flush();
}
