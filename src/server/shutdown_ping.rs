//! The delay between telling a client to leave and taking no more of its requests.
//!
//! h2 tells a client to leave with a GOAWAY and a PING, and takes nothing more once the PING is acknowledged. gRPC's C
//! library acknowledges before it sends the requests that wait in its buffer: these would be dropped, and the
//! `WINDOW_UPDATE` that comes with one makes h2 (0.4.20) end the connection as broken, with the answers that are under
//! way. So the acknowledgement is passed on a moment later, and requests that come right behind it are served as all others.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

use super::bytes_read::writes_pass_through;
use super::frames::{Frames, OpenBlock};

/// How long an acknowledgement is held back. A client sends what is in its buffer at once.
const DELAY: Duration = Duration::from_millis(100);

/// The acknowledgement (RFC 9113, section 6.7) of the PING that h2 sends for a shutdown.
const ACK: &[u8] = b"\0\0\x08\x06\x01\0\0\0\0\x0b\x7b\xa2\xf0\x8b\x9b\xfe\x54";

/// A stream that passes the acknowledgement of a shutdown's PING on later.
pub struct DelayedAck<S> {
    stream: S,
    /// The frames that are followed; `None` for a stream that may be no HTTP/2, where the same bytes could be anything.
    frames: Option<(Frames, OpenBlock)>,
    held: Option<Held>,
}

/// An acknowledgement that is passed on later.
struct Held {
    until: Pin<Box<Sleep>>,
    /// The part of it that is still to be passed on: the reader's buffer may be small.
    rest: &'static [u8],
}

impl<S> DelayedAck<S> {
    /// Follows a stream. `blocks` are those of a stream that is HTTP/2.
    pub fn of(stream: S, blocks: Option<OpenBlock>) -> Self {
        Self {
            stream,
            frames: blocks.map(|blocks| (Frames::of(blocks.client()), blocks)),
            held: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for DelayedAck<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some((frames, blocks)) = &mut this.frames else {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        };
        loop {
            if let Some(held) = &mut this.held
                && frames.is_between()
                && held.until.as_mut().poll(context).is_ready()
            {
                let (now, later) = held.rest.split_at(held.rest.len().min(buffer.remaining()));
                buffer.put_slice(now);
                held.rest = later;
                if later.is_empty() {
                    this.held = None;
                }
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let found = frames.follow(&mut buffer.filled_mut()[before..], ACK);
            blocks.follow(frames)?;
            let Some(at) = found.filter(|_| this.held.is_none()) else {
                return Poll::Ready(Ok(()));
            };
            let (start, end) = (before + at, before + at + ACK.len());
            buffer.filled_mut().copy_within(end.., start);
            buffer.set_filled(buffer.filled().len() - ACK.len());
            this.held = Some(Held {
                until: Box::pin(tokio::time::sleep(DELAY)),
                rest: ACK,
            });
            // Nothing at all would be the end of the stream.
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

writes_pass_through!(DelayedAck);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::grpc::{Budget, Peer};

    fn blocks() -> OpenBlock {
        let peer = Peer::new(Ipv4Addr::LOCALHOST.into(), false, Budget::new(1 << 20));
        OpenBlock::of(Arc::new(peer), 0)
    }

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const DATA: &[u8] = b"\0\0\x03\0\0\0\0\0\x01abc";

    /// What is read, with a buffer of this size, of parts that are written one by one, and in small pieces what is left.
    async fn read_of(parts: &[&[u8]], buffer: usize) -> Vec<u8> {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut server = DelayedAck::of(server, Some(blocks()));
        let (mut read, mut buffer) = (Vec::new(), vec![0; buffer]);
        for part in parts {
            client.write_all(part).await.unwrap();
            let count = server.read(&mut buffer).await.unwrap();
            read.extend(&buffer[..count]);
        }
        let length = parts.concat().len();
        while read.len() < length {
            let count = server.read(&mut buffer[..5]).await.unwrap();
            assert_ne!(count, 0, "it has not ended");
            read.extend(&buffer[..count]);
        }
        read
    }

    #[tokio::test]
    async fn an_ack_comes_after_what_was_sent_behind_it() {
        let sent = [PREFACE, DATA, ACK, DATA].concat();
        let late = [PREFACE, DATA, DATA, ACK].concat();
        assert_eq!(read_of(&[&sent], 1024).await, late);
        // The buffer ends within the frame behind it.
        assert_eq!(read_of(&[&sent], 60).await, late);
        assert_eq!(read_of(&[PREFACE, &sent[24..]], 41).await, late);
    }

    #[tokio::test]
    async fn other_protocols_are_left_alone() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut server = DelayedAck::of(server, None);
        let sent = [&[b'x'; 24], ACK, DATA].concat();
        client.write_all(&sent).await.unwrap();
        let mut read = vec![0; sent.len()];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(read, sent);
    }

    #[tokio::test]
    async fn an_ack_that_comes_alone_is_passed_on_in_the_end() {
        let sent = [PREFACE, ACK];
        assert_eq!(read_of(&sent, 1024).await, sent.concat());
    }

    #[tokio::test]
    async fn an_ack_waits_for_the_end_of_the_frame_before_it() {
        let (begun, rest) = DATA.split_at(2);
        let first = [PREFACE, ACK, begun].concat();
        let late = [PREFACE, DATA, ACK].concat();
        assert_eq!(read_of(&[&first, rest], 1024).await, late);
    }

    #[tokio::test]
    async fn what_only_looks_like_an_ack_stays_where_it_is() {
        let payload = [b"\0\0\x11\0\0\0\0\0\x01", ACK].concat();
        let all = [PREFACE, &payload, DATA].concat();
        assert_eq!(read_of(&[&all], 1024).await, all);
    }
}
