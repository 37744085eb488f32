//! What a client says, before it is understood: whether it has begun, and not too much of it at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

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
    turn: usize,
}

/// How much a client has said.
#[derive(Debug, Clone)]
pub struct Spoken(Arc<AtomicUsize>);

impl Spoken {
    /// Whether the beginning of HTTP/2 is here.
    pub fn is_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= PREFACE_BYTES
    }
}

impl<S> Listening<S> {
    /// Counts what is read from a stream.
    pub fn to(stream: S) -> (Self, Spoken) {
        let spoken = Spoken(Arc::default());
        let listening = Self {
            stream,
            spoken: spoken.clone(),
            turn: 0,
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
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if !self.spoken.is_begun() {
            self.spoken.0.fetch_add(count, Ordering::Relaxed);
        }
        self.turn = if read.is_ready() {
            self.turn + count
        } else {
            0
        };
        read
    }
}

writes_pass_through!(Listening);
