//! A proxy before a service or its database that cuts connections in the middle of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One of so many packets is where a connection is cut.
const ONE_OF: u32 = 12;
/// How long a request goes on to the server after its client was cut off.
const LATE: Duration = Duration::from_millis(30);

#[derive(Clone)]
pub struct CuttingProxy {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cuts: AtomicUsize,
    is_cutting: AtomicBool,
}

impl State {
    fn is_cut(&self) -> bool {
        let is_cut =
            self.is_cutting.load(Ordering::Relaxed) && rand::random::<u32>().is_multiple_of(ONE_OF);
        if is_cut {
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
        is_cut
    }
}

impl CuttingProxy {
    /// Starts a proxy that cuts nothing yet.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let proxy = Self {
            port,
            state: Arc::clone(&state),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Where nobody listens any more, the client finds its connection closed.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                    tokio::spawn(carry(client, server, Arc::clone(&state)));
                }
            }
        });
        proxy
    }

    pub fn begin_cutting(&self) {
        self.state.is_cutting.store(true, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.state.is_cutting.store(false, Ordering::Relaxed);
    }

    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::Relaxed)
    }
}

/// Carries packets both ways, until one is where the connection is cut: a request, which the server gets after its client has gone,
/// or an answer, which nobody gets.
async fn carry(mut client: TcpStream, mut server: TcpStream, state: Arc<State>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let count = read.unwrap_or(0);
                if count == 0 {
                    return;
                }
                if state.is_cut() {
                    drop(client);
                    tokio::time::sleep(LATE).await;
                    let _ = server.write_all(&asked[..count]).await;
                    tokio::time::sleep(LATE).await;
                    return;
                }
                if server.write_all(&asked[..count]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let count = read.unwrap_or(0);
                if count == 0 || state.is_cut() || client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
