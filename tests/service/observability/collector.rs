//! A real collector: rotel, which prints the spans that it gets.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::PATIENCE;

/// How long the collector prints nothing when it has printed all.
const SILENCE: Duration = Duration::from_millis(200);

/// A running collector; killed when it goes out of scope.
pub struct Collector {
    child: Child,
    printed: Arc<Mutex<String>>,
    pub address: SocketAddr,
}

/// A span as the collector got it.
#[derive(Debug, Default)]
pub struct Span {
    /// The lines of the span, such as `Trace ID`, and its attributes.
    fields: BTreeMap<String, String>,
}

impl Span {
    /// A line or an attribute; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    pub fn name(&self) -> &str {
        self.get("Name")
    }

    /// When it began and ended, in nanoseconds.
    pub fn times(&self) -> (u64, u64) {
        let time = |name| self.get(name).parse().unwrap();
        (time("Start time"), time("End time"))
    }
}

impl Collector {
    pub fn start() -> Self {
        let [grpc] = free_ports();
        Self::start_at(grpc)
    }

    pub fn start_at(grpc: SocketAddr) -> Self {
        let [http] = free_ports();
        let mut child = Command::new(program())
            .args(["start", "--exporter", "blackhole"])
            .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &grpc.to_string()])
            .args(["--otlp-http-endpoint", &http.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("rotel starts");
        let printed = Arc::new(Mutex::new(String::new()));
        let mut stdout = child.stdout.take().unwrap();
        let sink = Arc::clone(&printed);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // Not by lines: the last one of a batch comes without its end.
            while let Ok(length @ 1..) = stdout.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..length]);
                sink.lock().unwrap().push_str(&text);
            }
        });
        let collector = Self {
            child,
            printed,
            address: grpc,
        };
        let started = Instant::now();
        while TcpStream::connect(grpc).is_err() {
            let printed = collector.printed();
            assert!(started.elapsed() < PATIENCE, "rotel is silent: {printed}");
            thread::sleep(Duration::from_millis(10));
        }
        collector
    }

    /// The URL that the service is given.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that the collector has said so far.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// The spans, once there are so many of these names and the collector is silent: what it prints arrives in pieces, and the
    /// name of a span before its attributes.
    pub fn spans(&self, names: &[&str], count: usize) -> Vec<Span> {
        let started = Instant::now();
        let (mut printed, mut grown) = (String::new(), Instant::now());
        loop {
            let now = self.printed();
            if now.len() > printed.len() {
                (printed, grown) = (now, Instant::now());
            }
            let spans: Vec<Span> = parse(&printed)
                .into_iter()
                .filter(|span| names.contains(&span.name()))
                .collect();
            if spans.len() >= count && grown.elapsed() > SILENCE {
                return spans;
            }
            assert!(started.elapsed() < PATIENCE, "no {names:?}: {printed}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Addresses that nobody listens on. The collector does not say which port it was given, so it can't take port 0.
pub fn free_ports<const COUNT: usize>() -> [SocketAddr; COUNT] {
    let listeners = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

fn program() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/lib");
    let mut folders = venv.read_dir().into_iter().flatten().flatten();
    folders
        .find_map(|folder| {
            let program = folder.path().join("site-packages/rotel/rotel-agent");
            program.is_file().then_some(program)
        })
        .expect("rotel is missing: run scripts/setup")
}

/// Reads `Name : value` and `name: value` lines, and `-> name: Kind(value)` ones.
fn parse(printed: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    for line in printed.lines().map(str::trim) {
        if line.starts_with("ResourceSpans #") || line.starts_with("Span #") {
            spans.push(Span::default());
        }
        let (Some(span), Some((name, value))) = (
            spans.last_mut(),
            line.trim_start_matches("-> ").split_once(':'),
        ) else {
            continue;
        };
        let value = value.trim();
        let value = match value.split_once('(') {
            Some((_, inner)) if line.starts_with("-> ") => inner.trim_end_matches(')'),
            _ => value,
        };
        span.fields.insert(name.trim().to_owned(), value.to_owned());
    }
    spans
}
