//! An endpoint that does what a test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The headers in lower case, a line each.
    pub headers: String,
    pub body: String,
}

impl Asked {
    pub fn action(&self) -> &str {
        let line = self
            .headers
            .lines()
            .find_map(|line| line.strip_prefix("x-acs-action: "));
        line.unwrap_or_default()
    }

    /// Whether the service only wants to know if there is an answer.
    pub fn is_probe(&self) -> bool {
        self.body.contains("untag-readiness")
    }
}

/// The bytes of an answer; `None` to say nothing for as long as the connection lasts.
type Reply = dyn Fn(usize, &Asked) -> Option<Vec<u8>> + Send + Sync;

/// An endpoint that listens until the test ends.
pub struct Endpoint {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Endpoint {
    /// Answers the n-th request, from 0, as this says.
    pub fn start(reply: impl Fn(usize, &Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap(), reply)
    }

    /// The same at a socket that is bound already.
    pub fn start_on(
        listener: TcpListener,
        reply: impl Fn(usize, &Asked) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let endpoint = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let (asked, reply): (_, Arc<Reply>) = (Arc::clone(&endpoint.asked), Arc::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (asked, reply) = (Arc::clone(&asked), Arc::clone(&reply));
                thread::spawn(move || answer(stream, &asked, &*reply));
            }
        });
        endpoint
    }

    /// The requests so far, without the probes of readiness.
    pub fn asked(&self) -> Vec<Asked> {
        let all = self.asked.lock().unwrap();
        all.iter()
            .filter(|asked| !asked.is_probe())
            .cloned()
            .collect()
    }

    /// How many probes of readiness there were so far.
    pub fn probes(&self) -> usize {
        let all = self.asked.lock().unwrap();
        all.iter().filter(|asked| asked.is_probe()).count()
    }
}

/// Answers the one request of a connection.
fn answer(stream: TcpStream, all: &Mutex<Vec<Asked>>, reply: &Reply) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut headers = String::new();
    while stream.read_line(&mut headers).ok()? > 2 {}
    let headers = headers.to_lowercase();
    let length = headers
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap_or("0").parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    let asked = Asked {
        headers,
        body: String::from_utf8(body).ok()?,
    };
    let number = {
        let mut all = all.lock().unwrap();
        let own = all.iter().filter(|asked| !asked.is_probe()).count();
        all.push(asked.clone());
        if asked.is_probe() { usize::MAX } else { own }
    };
    match reply(number, &asked) {
        Some(bytes) => stream.get_mut().write_all(&bytes).ok(),
        // Until the other end has enough.
        None => stream.read_to_end(&mut Vec::new()).ok().map(drop),
    }
}

/// An answer of HTTP.
pub fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

/// The cloud's RequestId of [`good`] and [`refusal`].
pub const REQUEST_ID: &str = "6AC79B74-9A78-58E2-818B-1D38EDC64D67";

/// The cloud's answer to a change that it has made, and to a list of nothing.
pub fn good() -> Vec<u8> {
    http(
        200,
        "",
        &format!(r#"{{"RequestId":"{REQUEST_ID}","TagResources":{{"TagResource":[]}}}}"#),
    )
}

/// The cloud's answer when it refuses.
pub fn refusal(status: u16, headers: &str, code: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"RequestId":"{REQUEST_ID}","HostId":"h","Code":"{code}","Message":"In the cloud's words."}}"#
    );
    http(status, headers, &body)
}
