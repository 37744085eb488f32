//! The connection that hosts a stream of answers: what the stream may hold of its memory, when it has to end, and how much of it
//! was sent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Status};

use super::held::Held;
use super::in_flight::InFlight;
use super::peer::Peer;
use crate::service::Hold;

/// The host of a stream. The handler puts it into the request.
#[derive(Debug, Clone)]
pub struct StreamHost {
    /// The other end of the connection.
    pub peer: Arc<Peer>,
    /// What the request holds.
    pub held: Held,
    /// The counter of what a drain waits for: a stream does not count, but for the changes that it makes.
    pub in_flight: InFlight,
    /// How long a part of the stream may take: the client's next message, a change, or an answer that is taken.
    pub patience: Duration,
    /// The largest message of the client, in bytes.
    pub max_message_bytes: usize,
}

impl StreamHost {
    /// What holds memory for the stream beside its messages.
    pub fn hold(&self) -> Hold {
        let held = self.held.clone();
        Arc::new(move |bytes| {
            let charge = held.beside(bytes).ok()?;
            Some(Box::new(charge))
        })
    }
}

/// The host of a request's stream.
///
/// # Errors
/// Where the service is not behind the handler.
pub fn of<T>(request: &Request<T>) -> Result<StreamHost, Status> {
    let host = request.extensions().get::<StreamHost>().cloned();
    host.ok_or_else(|| Status::internal("the stream has no connection"))
}

/// A stream that wants to know what of it is sent, and how it ends where there is no memory for more. Its method puts it into the
/// response.
#[derive(Clone)]
pub struct Follower(pub Arc<dyn Follows>);

/// What a [`Follower`] does.
pub trait Follows: Send + Sync {
    /// Takes note that all that was made so far is on its way.
    fn sent(&self);

    /// The status of a stream that ends since there is no memory for what was made last.
    fn cut(&self) -> Status;
}

impl fmt::Debug for Follower {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Follower")
    }
}
