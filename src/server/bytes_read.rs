//! The meter of the bytes that a connection reads: whether its HTTP has begun, and how much one poll may read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::frames::over_budget;
use super::http_version::{HttpVersion, PREFACE};
use crate::grpc::{Charge, Holder, Peer};

/// The most bytes that one poll of a connection may read before other connections are polled. A client that sends frames
/// without a pause would keep a thread for as long as it takes to read what is there.
const POLL_BYTES: usize = 32 * 1024;

/// Implements `AsyncWrite` for a stream that only looks at what is read, by passing writes through.
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

/// A stream whose reads a [`ReadMeter`] counts and bounds.
pub struct MeteredStream<S> {
    stream: S,
    meter: ReadMeter,
    unanswered: Option<Unanswered>,
}

/// The meter of the bytes that one connection has read, shared by its stream and whoever polls it.
#[derive(Debug, Clone, Default)]
pub struct ReadMeter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: AtomicUsize,
    /// The bytes read since the connection was last polled.
    since_poll: AtomicUsize,
}

impl ReadMeter {
    /// Whether the connection preface has been read.
    pub fn preface(&self) -> Preface {
        if self.0.all.load(Ordering::Relaxed) >= PREFACE.len() {
            Preface::Read
        } else {
            Preface::Awaited
        }
    }

    /// Begins a poll of the connection, which may read its share anew. A read beyond the share waits for the next poll, however
    /// often it is tried: all that was read is decoded at once.
    pub fn begin_poll(&self) {
        self.0.since_poll.store(0, Ordering::Relaxed);
    }
}

/// Whether a client has sent the bytes that begin HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preface {
    /// Not all bytes of the preface are here.
    Awaited,
    /// The preface is here.
    Read,
}

/// The charge for what was read of requests that are not answered, where a connection has one at a time (HTTP/1.1).
pub struct Unanswered {
    peer: Arc<Peer>,
    version: HttpVersion,
    charge: Option<Charge>,
    bytes: usize,
    answered: usize,
}

impl Unanswered {
    /// The charge for what is read from this peer if it speaks HTTP/1.1: nothing so far.
    pub fn from(peer: Arc<Peer>, version: HttpVersion) -> Self {
        Self {
            peer,
            version,
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

impl<S> MeteredStream<S> {
    /// A stream that counts what is read, and its meter; `unanswered` is charged with what is read.
    pub fn to(stream: S, unanswered: Option<Unanswered>) -> (Self, ReadMeter) {
        let meter = ReadMeter::default();
        let metered = Self {
            stream,
            meter: meter.clone(),
            unanswered,
        };
        (metered, meter)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MeteredStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let counts = Arc::clone(&self.meter.0);
        if counts.since_poll.load(Ordering::Relaxed) >= POLL_BYTES {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if self.meter.preface() == Preface::Awaited {
            counts.all.fetch_add(count, Ordering::Relaxed);
        }
        counts.since_poll.fetch_add(count, Ordering::Relaxed);
        if count > 0
            && let Some(unanswered) = &mut self.unanswered
        {
            let read = &buffer.filled()[before..];
            unanswered.version.read(read);
            if unanswered.version == HttpVersion::Http2 {
                self.unanswered = None;
            } else {
                unanswered.add(read.len())?;
            }
        }
        read
    }
}

writes_pass_through!(MeteredStream);
