//! What a client says, before it is understood: whether it has begun, and not too much of it at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::frames::over_budget;
use crate::grpc::{Charge, Holder, Peer};

/// The bytes that begin every HTTP/2 connection (RFC 9113, section 3.4). No request of HTTP/1.1 is shorter.
const PREFACE_BYTES: usize = 24;

/// How many bytes one connection may have read before the others get their turn. A client that sends frames without a
/// pause would keep a thread for as long as it takes to read what is there.
const TURN_BYTES: usize = 32 * 1024;

/// Writing to a stream that only looks at what is read.
macro_rules! writes_pass_through {
    ($stream:ident) => {
        impl<S: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for $stream<S> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.stream).poll_write(context, bytes)
            }

            fn poll_flush(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_flush(context)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_shutdown(context)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffers: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
            }

            fn is_write_vectored(&self) -> bool {
                self.stream.is_write_vectored()
            }
        }
    };
}
pub(super) use writes_pass_through;

/// A stream that counts what it reads.
pub struct Listening<S> {
    stream: S,
    spoken: Spoken,
    unanswered: Option<Unanswered>,
}

/// How much a client has said.
#[derive(Debug, Clone, Default)]
pub struct Spoken(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: AtomicUsize,
    /// Since the connection was last polled.
    turn: AtomicUsize,
}

impl Spoken {
    /// Whether the beginning of HTTP/2 is here.
    pub fn is_begun(&self) -> bool {
        self.0.all.load(Ordering::Relaxed) >= PREFACE_BYTES
    }

    /// Lets as much be read again as a connection may in one poll. What it reads beyond that waits for the next, however
    /// often it asks: all that was read is decoded at once.
    pub fn begin_turn(&self) {
        self.0.turn.store(0, Ordering::Relaxed);
    }
}

/// What was read of requests that are not answered, where a connection has one at a time (HTTP/1.1).
pub struct Unanswered {
    peer: Arc<Peer>,
    charge: Option<Charge>,
    bytes: usize,
    answered: usize,
}

impl Unanswered {
    /// What is read from a peer.
    pub fn from(peer: Arc<Peer>) -> Self {
        Self {
            peer,
            charge: None,
            bytes: 0,
            answered: 0,
        }
    }

    fn add(&mut self, bytes: usize) -> io::Result<()> {
        let answered = self.peer.answered();
        if answered != self.answered {
            (self.answered, self.bytes, self.charge) = (answered, 0, None);
        }
        self.bytes += bytes;
        let charged = if let Some(charge) = &mut self.charge {
            charge.grow_to(self.bytes)
        } else {
            let charge = self.peer.charge(Holder::Stranger, self.bytes);
            charge.map(|charge| self.charge = Some(charge))
        };
        charged.map_err(|_| over_budget())
    }
}

impl<S> Listening<S> {
    /// Counts what is read from a stream; `unanswered` is charged with it.
    pub fn to(stream: S, unanswered: Option<Unanswered>) -> (Self, Spoken) {
        let spoken = Spoken::default();
        let listening = Self {
            stream,
            spoken: spoken.clone(),
            unanswered,
        };
        (listening, spoken)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let counts = Arc::clone(&self.spoken.0);
        if counts.turn.load(Ordering::Relaxed) >= TURN_BYTES {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if !self.spoken.is_begun() {
            counts.all.fetch_add(count, Ordering::Relaxed);
        }
        counts.turn.fetch_add(count, Ordering::Relaxed);
        if count > 0
            && let Some(unanswered) = &mut self.unanswered
        {
            unanswered.add(count)?;
        }
        read
    }
}

writes_pass_through!(Listening);
