//! The connection that hosts a stream of answers: what the stream may hold of its memory, when it has to end, and how much of it
//! was sent.

use std::fmt;
use std::sync::Arc;

use tonic::Status;

use super::held::Held;
use super::peer::Peer;
use crate::service::Hold;

/// The host of a stream. The handler puts it into the request.
#[derive(Debug, Clone)]
pub struct StreamHost {
    /// The other end of the connection.
    pub peer: Arc<Peer>,
    /// What the request holds.
    pub held: Held,
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
