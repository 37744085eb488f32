//! The frames of HTTP/2 in what a client sends, followed by their headers. Only frames of header blocks are looked into, and nothing
//! of a client that speaks HTTP/1.1.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::authority::{Authorities, CONTINUATION, HEADERS};
use super::http_version::HttpVersion;
use crate::grpc::{Charge, Holder, Peer};
use crate::telemetry::metrics::{Throttle, metrics};

/// The length of what a frame's header begins with: the frame's length, its type and its flags.
const START_BYTES: usize = 5;
/// The length of the rest of a frame's header: its stream.
const REST_OF_HEADER_BYTES: usize = 4;

const END_HEADERS: u8 = 4;

/// The position in a client's frames, and whether a block of headers is open that goes on in another frame.
pub struct Frames {
    version: HttpVersion,
    /// How many bytes the frame that has begun still has.
    left: usize,
    /// The first bytes of the next frame's header, as far as they are here.
    start: Vec<u8>,
    has_open_block: bool,
    authorities: Authorities,
}

impl Frames {
    /// The frames of a client whose connection begins.
    pub fn of(client: IpAddr) -> Self {
        Self {
            version: HttpVersion::Open(0),
            left: 0,
            start: Vec::with_capacity(START_BYTES),
            has_open_block: false,
            authorities: Authorities::of(client),
        }
    }

    /// Whether the bytes so far end with a frame.
    pub fn is_between(&self) -> bool {
        self.version == HttpVersion::Http2 && self.left == 0 && self.start.is_empty()
    }

    /// Follows the frames through these bytes, mends an `:authority` of several hosts in them, and returns the position of a
    /// frame among them that is the same as `wanted`. One that comes in two parts is not seen.
    pub fn follow(&mut self, bytes: &mut [u8], wanted: &[u8]) -> Option<usize> {
        let (mut at, mut found) = (self.version.read(bytes), None);
        if self.version != HttpVersion::Http2 {
            return None;
        }
        while let Some(rest) = bytes.get_mut(at..)
            && let Some(first) = rest.first()
        {
            if self.left > 0 {
                let passed = self.left.min(rest.len());
                self.authorities.read(&mut rest[..passed]);
                self.left -= passed;
                at += passed;
            } else if self.is_between() && rest.starts_with(wanted) {
                found = Some(at);
                at += wanted.len();
            } else {
                self.start.push(*first);
                at += 1;
                if let [high, middle, low, kind, flags] = self.start[..] {
                    let length = u32::from_be_bytes([0, high, middle, low]);
                    self.left =
                        usize::try_from(length).unwrap_or(usize::MAX) + REST_OF_HEADER_BYTES;
                    if kind == HEADERS || kind == CONTINUATION {
                        self.has_open_block = flags & END_HEADERS == 0;
                    }
                    self.authorities.begin(kind, flags);
                    self.start.clear();
                }
            }
        }
        found
    }
}

/// The charge for a block of headers while it is open: h2 keeps what it has decoded of it, and no request of it is seen.
pub struct OpenBlock {
    peer: Arc<Peer>,
    bytes: usize,
    charge: Option<Charge>,
}

impl OpenBlock {
    /// The charge for the blocks of a peer's connection, each of which takes at most `bytes`.
    pub fn of(peer: Arc<Peer>, bytes: usize) -> Self {
        Self {
            peer,
            bytes,
            charge: None,
        }
    }

    /// The address of the peer.
    pub fn client(&self) -> IpAddr {
        self.peer.address
    }

    /// Takes the charge while a block is open, and returns it after that.
    ///
    /// # Errors
    /// Where the connection has no budget for it: it can't go on without the block.
    pub fn follow(&mut self, frames: &Frames) -> io::Result<()> {
        if !frames.has_open_block {
            self.charge = None;
        } else if self.charge.is_none() {
            let charge = self.peer.charge(Holder::Stranger, self.bytes);
            self.charge = Some(charge.map_err(|_| over_budget())?);
        }
        Ok(())
    }
}

/// The error that ends a connection which sends more than it has budget for.
pub fn over_budget() -> io::Error {
    metrics().server.throttled(Throttle::Memory);
    io::Error::other("it has no budget of memory for what it sends")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::grpc::Budget;
    use crate::server::http_version::PREFACE;

    #[test]
    fn http_1_has_no_frames() {
        let mut frames = Frames::of(Ipv4Addr::LOCALHOST.into());
        let mut sent = b"POST / HTTP/1.1\r\n\0\0\x0d\x01\x04\0\0\0\x01\x41\x0b10.0.0.1,::".to_vec();
        assert_eq!(frames.follow(&mut sent, b"/"), None);
        assert!(sent.ends_with(b"10.0.0.1,::") && !frames.is_between());
    }

    #[test]
    fn a_block_is_open_until_its_last_frame_and_costs_as_long() {
        let budget = Budget::new(1 << 20);
        let peer = Peer::new(Ipv4Addr::LOCALHOST.into(), false, Arc::clone(&budget));
        let (mut frames, mut block) = (
            Frames::of(peer.address),
            OpenBlock::of(Arc::new(peer), 1000),
        );
        let frame = |kind, flags| [0, 0, 2, kind, flags, 0, 0, 0, 1, b'a', b'b'];
        let sent: [(&[u8], usize); 5] = [
            (PREFACE, 0),
            (&frame(HEADERS, 0), 1000),
            (&frame(CONTINUATION, 0)[..7], 1000),
            (&frame(CONTINUATION, 0)[7..], 1000),
            (&frame(CONTINUATION, END_HEADERS), 0),
        ];
        for (bytes, held) in sent {
            assert_eq!(frames.follow(&mut bytes.to_vec(), b"none"), None);
            block.follow(&frames).unwrap();
            assert_eq!(budget.held(), held, "{bytes:?}");
        }
        block.bytes = 1 << 20;
        frames.follow(&mut frame(HEADERS, 0), b"none");
        block.follow(&frames).unwrap_err();
    }
}
