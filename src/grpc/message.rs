//! The reading of the one message of a request, whole and before anything of it is decoded.
//!
//! A service that decodes the first message and passes over what follows would carry out half of what it was sent.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Version;
use http_body::Body;
use http_body_util::BodyExt as _;

use super::budget::{Charge, over_budget};
use super::completion::NOT_ONE_MESSAGE;
use super::held::Held;
use crate::domain::{Applied, Error, Fault, FaultCode};

/// The length of the prefix of each message (PROTOCOL-HTTP2): a flag, and the message's length in four bytes.
const PREFIX_BYTES: usize = 5;

/// How the one message of a request stands in its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The message stands behind its prefix.
    Prefixed,
    /// The message is the body.
    Bare,
}

/// The body of a request with one message.
pub struct Sent<B> {
    pub body: B,
    pub framing: Framing,
    /// The version of HTTP that it comes by.
    pub version: Version,
}

/// The bytes that have arrived of a message with its prefix.
enum Received {
    Nothing,
    /// A part of the message, copied: as it came it would keep the buffer that it was read into.
    Part(BytesMut),
    Whole(Bytes),
    /// A message that ends with its body, behind room for its prefix.
    Bare(BytesMut),
}

/// How long a client that is not identified may take to send its whole message.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(5);

/// Reads a message, as [`read`] does, and charges it to what its request holds.
///
/// # Errors
/// Those of [`read`], and for a stranger who takes too long.
pub async fn read_charged<B>(sent: Sent<B>, limit: usize, held: &Held) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes>,
{
    let mut charge = held.beside(0).map_err(over_budget)?;
    let reading = read(sent, limit, &mut charge);
    if !held.is_strangers() {
        return reading.await;
    }
    match tokio::time::timeout(STRANGERS_PATIENCE, reading).await {
        Ok(read) => read,
        Err(_) => Err(Error::DeadlineExceeded(Applied::No)),
    }
}

/// Reads a body that has to be one message of at most so many bytes, and returns the message with its prefix. What is here of it is
/// charged.
///
/// # Errors
/// For a body that is anything else, as soon as that is known, and where there is no budget for it.
async fn read<B>(sent: Sent<B>, limit: usize, charge: &mut Charge) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes>,
{
    let Sent {
        body,
        framing,
        version,
    } = sent;
    let mut body = std::pin::pin!(body);
    let mut received = match framing {
        Framing::Prefixed => Received::Nothing,
        Framing::Bare => Received::Bare(BytesMut::zeroed(PREFIX_BYTES)),
    };
    while let Some(frame) = body.frame().await.map(Result::ok) {
        let Some(frame) = frame else {
            if version < Version::HTTP_2 {
                return Err(malformed("the body breaks off"));
            }
            // The caller has reset the stream, and whoever runs this drops it.
            return std::future::pending().await;
        };
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            received = received.and(data, limit)?;
            charge.grow_to(received.bytes()).map_err(over_budget)?;
        }
    }
    match received {
        Received::Whole(message) => Ok(message),
        Received::Bare(message) => Ok(prefixed(message)),
        Received::Nothing => Err(malformed("the body is empty")),
        Received::Part(_) => Err(malformed("the body ends before the message does")),
    }
}

impl Received {
    /// How many bytes of memory it takes.
    fn bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Part(part) | Self::Bare(part) => part.capacity(),
            Self::Whole(message) => message.len(),
        }
    }

    fn and(self, data: Bytes, limit: usize) -> Result<Self, Error> {
        match self {
            Self::Whole(_) => Err(second_message()),
            Self::Bare(message)
                if data.len() > limit.saturating_sub(message.len() - PREFIX_BYTES) =>
            {
                Err(too_large(limit))
            }
            Self::Bare(mut message) => {
                message.extend_from_slice(&data);
                Ok(Self::Bare(message))
            }
            Self::Nothing => match missing(&data, limit)? {
                Some(0) => Ok(Self::Whole(data)),
                _ => Ok(Self::Part(BytesMut::from(&data[..]))),
            },
            Self::Part(mut part) => {
                part.extend_from_slice(&data);
                match missing(&part, limit)? {
                    Some(0) => Ok(Self::Whole(part.freeze())),
                    _ => Ok(Self::Part(part)),
                }
            }
        }
    }
}

/// How many bytes of a message are still to come; `None` until its prefix is here.
fn missing(received: &[u8], limit: usize) -> Result<Option<usize>, Error> {
    let Some((prefix, message)) = received.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    let [flag, length @ ..] = *prefix;
    match flag {
        0 => {}
        // An encoding was refused before the body is read, so there is none here.
        1 => {
            return Err(Error::BrokenProtocol(
                "the message is marked as compressed, and no grpc-encoding says how".to_owned(),
            ));
        }
        _ => {
            return Err(Error::BrokenProtocol(format!(
                "the message's compressed flag is {flag}, and must be 0 or 1"
            )));
        }
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(too_large(limit));
    }
    let missing = length.checked_sub(message.len());
    missing.map(Some).ok_or_else(second_message)
}

/// The message behind its prefix, for which room was left.
fn prefixed(mut message: BytesMut) -> Bytes {
    let length = u32::try_from(message.len() - PREFIX_BYTES).unwrap_or(u32::MAX);
    message[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    message.freeze()
}

/// A message with its prefix before it.
pub fn with_prefix(message: &[u8]) -> Bytes {
    let mut prefixed_message = BytesMut::zeroed(PREFIX_BYTES);
    prefixed_message.extend_from_slice(message);
    prefixed(prefixed_message)
}

/// The message behind a prefix.
pub fn without_prefix(message: &Bytes) -> Bytes {
    message.slice(PREFIX_BYTES.min(message.len())..)
}

fn too_large(limit: usize) -> Error {
    Error::TooLarge(format!(
        "the request message is larger than {limit} bytes; name fewer resources"
    ))
}

fn second_message() -> Error {
    Error::BrokenProtocol(
        "more bytes follow the message, and the method takes one message".to_owned(),
    )
}

fn malformed(why: &str) -> Error {
    Error::Invalid(vec![Fault {
        code: FaultCode::MalformedRequest,
        field: String::new(),
        description: format!("{NOT_ONE_MESSAGE}: {why}"),
    }])
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::grpc::budget::{Budget, Holder, Holdings};

    /// The message that is read from these DATA frames, with a limit of 3 bytes.
    async fn read_of(frames: &[&'static [u8]]) -> Result<Bytes, String> {
        let frames = frames.iter().map(|frame| Ok(*frame));
        read_as(Framing::Prefixed, Version::HTTP_2, frames).await
    }

    /// The message that is read from a body that breaks off where it has an error.
    async fn read_as(
        framing: Framing,
        version: Version,
        frames: impl Iterator<Item = Result<&'static [u8], fmt::Error>>,
    ) -> Result<Bytes, String> {
        let frames = frames.map(|frame| frame.map(Bytes::from_static).map(Frame::data));
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let holdings = Holdings::of(Budget::new(1 << 20));
        let mut charge = holdings.charge(Holder::Caller, 0).unwrap();
        let sent = Sent {
            body,
            framing,
            version,
        };
        let message = read(sent, 3, &mut charge).await;
        message.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_bare_message_is_the_whole_body_and_gets_its_prefix() {
        let bare = |frames: Vec<Result<&'static [u8], fmt::Error>>| {
            read_as(Framing::Bare, Version::HTTP_11, frames.into_iter())
        };
        let read = bare(vec![Ok(b"ab"), Ok(b""), Ok(b"c")]).await.unwrap();
        assert_eq!(read, with_prefix(b"abc"));
        assert_eq!(without_prefix(&read), &b"abc"[..]);
        assert_eq!(bare(vec![]).await.unwrap(), &[0; 5][..]);
        let refused = bare(vec![Ok(b"ab"), Ok(b"cd")]).await.unwrap_err();
        assert!(refused.contains("larger than 3 bytes"), "{refused}");
        let refused = bare(vec![Ok(b"ab"), Err(fmt::Error)]).await.unwrap_err();
        assert!(refused.contains("breaks off"), "{refused}");
    }

    #[tokio::test]
    async fn one_message_is_read_whatever_frames_it_comes_in() {
        let message = b"\0\0\0\0\x03abc";
        for split in 0..message.len() {
            let (first, second) = message.split_at(split);
            assert_eq!(read_of(&[first, b"", second]).await.unwrap(), &message[..]);
        }
        assert_eq!(read_of(&[b"\0\0\0\0\0", b""]).await.unwrap(), &[0; 5][..]);
    }

    #[tokio::test]
    async fn what_is_not_one_message_is_refused() {
        let (one, half) = (b"\0\0\0\0\x01a", b"\0\0\0\0\x03a");
        for frames in [
            &[&b"\0\0\0\0\x01a\0\0\0\0\x01b"[..]][..],
            &[one, one],
            &[one, &half[..1]],
        ] {
            let refused = read_of(frames).await.unwrap_err();
            assert!(refused.contains("more bytes follow"), "{refused}");
        }
        let refused = read_of(&[half]).await.unwrap_err();
        assert!(refused.contains("ends before"), "{refused}");
        let refused = read_of(&[b"\0\0\0\0\x04"]).await.unwrap_err();
        assert!(refused.contains("larger than 3 bytes"), "{refused}");
        let refused = read_of(&[b"\x01\0\0\0\x01a"]).await.unwrap_err();
        assert!(refused.contains("grpc-encoding"), "{refused}");
    }
}
