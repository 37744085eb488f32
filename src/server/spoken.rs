//! Whether a client has begun to speak HTTP/2.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes that begin every HTTP/2 connection, and the header of the settings that follow them (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24 + 9;

/// A stream that counts what it reads at its beginning.
pub struct Listening<S> {
    stream: S,
    spoken: Spoken,
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
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if !self.spoken.is_begun() {
            let count = buffer.filled().len() - before;
            self.spoken.0.fetch_add(count, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listening<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
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
