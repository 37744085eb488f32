//! The part of the budget that a request holds until the last byte of its answer has been sent.
//!
//! What is handed to h2 for sending waits there as long as the client likes, and nobody is told when it has gone. So the
//! charge goes along: it is owned by the bytes of the answer, and ends with them.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use super::budget::{Charge, Holder, OverBudget};
use super::peer::{Peer, PeerCount};
use crate::domain::RequestId;
use crate::telemetry::metrics::Kind;

/// The memory of a request beside its message and its answer, in bytes: an estimate of the stream of HTTP/2, the futures, and
/// what is known of the request.
const REQUEST_BYTES: usize = 4 * 1024;
/// The memory of a request whose messages go both ways, in bytes, with what its client may send ahead.
const STREAM_BYTES: usize = 256 * 1024;

/// The part of the budget that a request holds, shared by its answer's head and its bytes, which may outlive each other.
#[derive(Debug, Clone)]
pub struct Held(Arc<Inner>);

#[derive(Debug)]
enum Inner {
    /// A charge, and the count of a stranger's request.
    Charged(Charge, Option<PeerCount>),
    /// A refusal for want of budget: these are counted, and have no charge.
    Refused { _count: PeerCount },
}

impl Held {
    /// Takes what a request of this kind holds, for the holder that was found by its check. Without one the request is
    /// refused at once: it waits for nothing, and holds what its answer takes. `None` where there is no budget for it.
    pub fn for_request(peer: &Arc<Peer>, holder: Option<Holder>, kind: Kind) -> Option<Self> {
        let bytes = match kind {
            Kind::BidiStream if holder.is_some() => STREAM_BYTES,
            _ => REQUEST_BYTES,
        };
        let charge = peer
            .charge(holder.unwrap_or(Holder::Stranger), bytes)
            .ok()?;
        let stranger = match holder {
            Some(Holder::Stranger) => Some(peer.enter_stranger()?),
            Some(Holder::Caller) | None => None,
        };
        Some(Self(Arc::new(Inner::Charged(charge, stranger))))
    }

    /// What a refusal for want of budget holds.
    pub fn refused(refusal: PeerCount) -> Self {
        Self(Arc::new(Inner::Refused { _count: refusal }))
    }

    /// Whether this is held for somebody who is not identified.
    pub fn is_strangers(&self) -> bool {
        matches!(&*self.0, Inner::Charged(_, Some(_)))
    }

    /// A charge for so many bytes more.
    ///
    /// # Errors
    /// [`OverBudget`], and for a refusal, which gets nothing more.
    pub fn beside(&self, bytes: usize) -> Result<Charge, OverBudget> {
        match &*self.0 {
            Inner::Charged(charge, _) => charge.beside(bytes),
            Inner::Refused { .. } => Err(OverBudget),
        }
    }

    /// The bytes of an answer, with the charge for them.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub fn keep(&self, bytes: Bytes) -> Result<Bytes, OverBudget> {
        Ok(self.beside(bytes.len())?.kept_with(bytes))
    }

    /// The RequestId as a header, which keeps what the request holds.
    pub fn header(&self, id: RequestId) -> Option<HeaderValue> {
        let owned = Owned {
            bytes: IdBytes(id),
            _kept: self.clone(),
        };
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(owned)).ok()?;
        // No other answer has the same: HPACK need not remember it, and search it for the next one.
        value.set_sensitive(true);
        Some(value)
    }
}

impl Charge {
    /// The bytes, which keep this charge until the last of them is gone.
    #[must_use]
    pub fn kept_with(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Owned { bytes, _kept: self })
    }
}

/// Bytes and a value that is kept with them.
struct Owned<B, K> {
    bytes: B,
    _kept: K,
}

impl<B: AsRef<[u8]>, K> AsRef<[u8]> for Owned<B, K> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

struct IdBytes(RequestId);

impl AsRef<[u8]> for IdBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.as_str().as_bytes()
    }
}
