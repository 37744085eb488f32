//! A port, which accepts connections up to a number.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::connection::Common;
use super::slots::{Entered, Evicts, Slots};
use crate::telemetry::metrics::metrics;

/// How long to wait before the next try when the process can accept no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the log says that connections are turned away.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

const EVICTED: &str = "idle connections of clients that have not shown who they are have to go: there are as many as may be open";
const FULL: &str = "connections are turned away: there are as many as may be open";

/// A listener and what serves it.
pub struct Port {
    /// The port's name in the log and the metrics.
    pub name: &'static str,
    /// Which connections may have to go for a new one.
    pub evicts: Evicts,
    pub listener: TcpListener,
    pub connections: TaskTracker,
    pub common: Common,
}

impl Port {
    /// Accepts connections until closing; those that are open then finish their requests on their own.
    pub async fn serve(self) {
        let counted = metrics().server.connections(self.name);
        match self.listener.local_addr() {
            Ok(address) => tracing::info!(port = self.name, %address, "listening"),
            Err(error) => {
                tracing::warn!(port = self.name, %error, "listening on an unknown address");
            }
        }
        let common = Arc::new(self.common);
        let slots = Slots::new(common.limits.connections, self.evicts);
        let mut complained: Option<Instant> = None;
        let mut complain = |message: &str, error: Option<&io::Error>| {
            if complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
                complained = Some(Instant::now());
                let error = error.map(tracing::field::display);
                tracing::warn!(port = self.name, error, "{message}");
            }
        };
        loop {
            let accepted = tokio::select! {
                () = common.closing.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    // An IPv4 client of an IPv6 listener is what it is.
                    let peer = common.peer(address.ip().to_canonical());
                    // Closed at once, a client can go elsewhere; left in the queue, it would hang.
                    let Some(Entered { slot, evicted }) = slots.enter(&peer) else {
                        counted.refused_at_limit.inc();
                        complain(FULL, None);
                        continue;
                    };
                    if evicted > 0 {
                        counted
                            .evicted
                            .inc_by(u64::try_from(evicted).unwrap_or(u64::MAX));
                        complain(EVICTED, None);
                    }
                    let common = Arc::clone(&common);
                    let open = counted.open();
                    self.connections.spawn(async move {
                        common.serve(stream, peer).await;
                        drop((slot, open));
                    });
                }
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    counted.refused_by_system.inc();
                    complain("cannot accept connections; trying again", Some(&error));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
