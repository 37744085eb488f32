//! Serves calls whose `:authority` names several hosts, as gRPC's C library has it for a target of several addresses:
//! `10.0.0.1:1,10.0.0.2:2`.
//!
//! That is no authority of a URI (RFC 3986, section 3.2), and h2 (0.4.20) resets such a request before anybody sees it. Nothing
//! is routed by the hosts. So commas become dots, and so do colons and brackets behind the first: in place, so that all lengths
//! stay, and with them the indices and sizes of HPACK (RFC 7541). The library sends the text again whenever its table has lost
//! it, so all header blocks of such a connection are walked, and of others the first one only.

use std::net::IpAddr;

/// The type of a frame that begins a block of headers.
pub const HEADERS: u8 = 1;
/// The type of a frame that goes on with a block of headers.
pub const CONTINUATION: u8 = 9;

const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// The lengths of what stands between the flags of a frame and its block: the stream, and the priority where there is one.
const STREAM_BYTES: usize = 4;
const PRIORITY_BYTES: usize = 5;

/// The header's name, as a literal. Its index among HPACK's static names is 1.
const NAME: &[u8] = b":authority";
const NAME_INDEX: u8 = 1;

/// The most bits of a text's length. The rest of a block with a longer text is passed over.
const LENGTH_BITS: u32 = 28;

/// The authorities in the header blocks of a connection.
pub struct Authorities {
    client: IpAddr,
    seen: Seen,
    /// How many bytes are passed over before the block goes on.
    skipped: usize,
    next: Next,
}

/// The header blocks that were seen of a client.
#[derive(PartialEq)]
enum Seen {
    Nothing,
    OneBlock,
    SeveralHosts,
}

/// The meaning of the next byte of a block.
#[derive(Clone, Copy)]
enum Next {
    /// The first byte of a field.
    Field,
    /// A further byte of an index, with the text behind it if there is one.
    Index(Option<Text>),
    /// The first byte of the length of a text.
    Length(Text),
    /// A further byte of a length, with the length's sum so far and how far the byte is shifted.
    LongLength(Text, usize, u32),
    /// A byte of a text that has this many bytes left.
    Text(Text, usize),
    /// A byte that is passed over, as all are until another block begins.
    Unread,
}

/// The meaning of a text.
#[derive(Clone, Copy)]
enum Text {
    /// A name that is the same as [`NAME`] so far.
    SameName,
    OtherName,
    OtherValue,
    /// The value of `:authority`, before the first comma and behind it.
    FirstHost,
    MoreHosts,
}

impl Authorities {
    /// The authorities of a client whose connection begins.
    pub fn of(client: IpAddr) -> Self {
        Self {
            client,
            seen: Seen::Nothing,
            skipped: 0,
            next: Next::Unread,
        }
    }

    /// Begins a frame of this kind with these flags, whose stream comes next.
    pub fn begin(&mut self, kind: u8, flags: u8) {
        self.skipped = STREAM_BYTES;
        self.next = match (kind, &self.seen) {
            (CONTINUATION, _) => self.next,
            // No client of gRPC pads.
            (HEADERS, Seen::Nothing | Seen::SeveralHosts) if flags & PADDED == 0 => {
                if flags & PRIORITY != 0 {
                    self.skipped += PRIORITY_BYTES;
                }
                Next::Field
            }
            _ => Next::Unread,
        };
        if kind == HEADERS && self.seen == Seen::Nothing {
            self.seen = Seen::OneBlock;
        }
    }

    /// Reads on in the frame, and makes several hosts one.
    pub fn read(&mut self, bytes: &mut [u8]) {
        if matches!(self.next, Next::Unread) {
            return;
        }
        let skipped = self.skipped.min(bytes.len());
        self.skipped -= skipped;
        for byte in &mut bytes[skipped..] {
            self.next = match self.next {
                Next::Field => Next::of_field(*byte),
                Next::Index(text) if *byte & 0x80 == 0 => text.map_or(Next::Field, Next::Length),
                Next::Length(text) => Next::of_length(text, *byte),
                Next::LongLength(text, sum, shift) => Next::of_longer(text, sum, shift, *byte),
                Next::Text(text, left) => self.read_text(text, left, byte),
                Next::Index(_) | Next::Unread => self.next,
            };
        }
    }

    fn read_text(&mut self, text: Text, left: usize, byte: &mut u8) -> Next {
        let text = match (text, *byte) {
            (Text::SameName, _) if NAME[NAME.len() - left] != *byte => Text::OtherName,
            (Text::FirstHost, b',') => Text::MoreHosts,
            _ => text,
        };
        if matches!(text, Text::MoreHosts) && b",:[]".contains(byte) {
            *byte = b'.';
            if self.seen != Seen::SeveralHosts {
                self.seen = Seen::SeveralHosts;
                tracing::info!(
                    address = %self.client,
                    "the :authority of a client names several hosts; its calls are served, and nothing depends on the hosts"
                );
            }
        }
        Next::of_text(text, left - 1)
    }
}

impl Next {
    /// The meaning of the byte behind the first byte of a field (RFC 7541, section 6).
    fn of_field(byte: u8) -> Self {
        let (index_bits, has_text) = match byte {
            0x80.. => (0x7f, false),
            0x40.. => (0x3f, true),
            0x20.. => (0x1f, false),
            _ => (0x0f, true),
        };
        let index = byte & index_bits;
        let text = has_text.then_some(match index {
            0 => Text::SameName,
            NAME_INDEX => Text::FirstHost,
            _ => Text::OtherValue,
        });
        if index == index_bits {
            Self::Index(text)
        } else {
            text.map_or(Self::Field, Self::Length)
        }
    }

    /// The meaning of the byte behind the first byte of a length.
    fn of_length(text: Text, byte: u8) -> Self {
        let is_huffman = byte & 0x80 != 0;
        let length = usize::from(byte & 0x7f);
        let text = match text {
            Text::SameName if is_huffman || length != NAME.len() => Text::OtherName,
            Text::FirstHost if is_huffman => Text::OtherValue,
            _ => text,
        };
        if length == 0x7f {
            Self::LongLength(text, length, 0)
        } else {
            Self::of_text(text, length)
        }
    }

    /// The meaning of the byte behind a further byte of a length.
    fn of_longer(text: Text, sum: usize, shift: u32, byte: u8) -> Self {
        if shift >= LENGTH_BITS {
            return Self::Unread;
        }
        let sum = sum + (usize::from(byte & 0x7f) << shift);
        if byte & 0x80 == 0 {
            Self::of_text(text, sum)
        } else {
            Self::LongLength(text, sum, shift + 7)
        }
    }

    /// The meaning of the next byte, at a text that has this many bytes left.
    fn of_text(text: Text, left: usize) -> Self {
        match text {
            _ if left > 0 => Self::Text(text, left),
            Text::SameName => Self::Length(Text::FirstHost),
            Text::OtherName => Self::Length(Text::OtherValue),
            Text::OtherValue | Text::FirstHost | Text::MoreHosts => Self::Field,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::uri::Authority;

    use super::*;

    const END_HEADERS: u8 = 4;

    /// The payload of a frame, as it is read of a connection of this kind, with its stream.
    fn read(authorities: &mut Authorities, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [b"\0\0\0\x01", payload].concat();
        authorities.begin(kind, flags);
        for part in bytes.chunks_mut(1) {
            authorities.read(part);
        }
        bytes.split_off(STREAM_BYTES)
    }

    fn authorities() -> Authorities {
        Authorities::of(Ipv4Addr::LOCALHOST.into())
    }

    /// `:authority` with its value as a literal, behind one with a long index and a long value, and an indexed field.
    fn block(start: &[u8], value: &str) -> Vec<u8> {
        let length = u8::try_from(value.len()).unwrap();
        let long = [b"\x7f\x80\x01\x7f\x81\x01", [b','; 256].as_slice()].concat();
        let literal = [start, &[length], value.as_bytes()].concat();
        [&long, b"\xff\x01\x3f\x01".as_slice(), &literal].concat()
    }

    const LITERAL: &[u8] = b"\x40\x0a:authority";
    const INDEXED: &[u8] = b"\x41";
    const HOSTS: &str = "10.0.0.1:1,10.0.0.2:2";
    const MENDED: &str = "10.0.0.1:1.10.0.0.2.2";

    #[test]
    fn several_hosts_become_one_however_they_are_cut() {
        for (hosts, mended) in [
            (HOSTS, MENDED),
            ("[::1]:1,[::2]:2", "[::1]:1....2..2"),
            ("a,b:1,c:2", "a.b.1.c.2"),
        ] {
            mended.parse::<Authority>().unwrap();
            for start in [LITERAL, INDEXED, b"\x01", b"\x10\x0a:authority"] {
                let (sent, wanted) = (block(start, hosts), block(start, mended));
                let got = read(&mut authorities(), HEADERS, END_HEADERS, &sent);
                assert_eq!(got, wanted);
                for cut in 0..sent.len() {
                    let (first, rest) = sent.split_at(cut);
                    let mut blocks = authorities();
                    let prioritised = [b"\x7f,,,,", first].concat();
                    let first = read(&mut blocks, HEADERS, PRIORITY, &prioritised);
                    let rest = read(&mut blocks, CONTINUATION, END_HEADERS, rest);
                    assert_eq!([&first[PRIORITY_BYTES..], &rest].concat(), wanted, "{cut}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_list_of_hosts_is_left_alone() {
        let huffman = [b"\x41\x84", ",:,:".as_bytes()].concat();
        let name = [b"\x40\x8a", ":authority\x03a,b".as_bytes()].concat();
        for sent in [
            block(LITERAL, "[::1]:50051"),
            block(LITERAL, "user@example.com:1"),
            block(b"\x40\x0a:authoritx", HOSTS),
            block(b"\x40\x09authority", HOSTS),
            block(b"\x42", HOSTS),
            block(b"\x40\0", HOSTS),
            huffman,
            name,
            [b"\x40\x7f\xff\xff\xff\xff\xff\xff\x01", ",".as_bytes()].concat(),
        ] {
            let got = read(&mut authorities(), HEADERS, END_HEADERS, &sent);
            assert_eq!(got, sent);
        }
        let sent = block(INDEXED, HOSTS);
        for (kind, flags) in [(HEADERS, PADDED), (0, 0), (CONTINUATION, END_HEADERS)] {
            assert_eq!(read(&mut authorities(), kind, flags, &sent), sent);
        }
    }

    #[test]
    fn later_blocks_are_read_where_the_first_had_several_hosts() {
        let (sent, mended) = (block(LITERAL, HOSTS), block(LITERAL, MENDED));
        let mut several = authorities();
        for _ in 0..2 {
            assert_eq!(read(&mut several, HEADERS, END_HEADERS, &sent), mended);
            let by_index = read(&mut several, HEADERS, END_HEADERS, b"\xbe\xbf");
            assert_eq!(by_index, b"\xbe\xbf");
            assert_eq!(read(&mut several, 0, 1, b"\x41\x03a,b"), b"\x41\x03a,b");
        }
        let mut one = authorities();
        read(&mut one, HEADERS, END_HEADERS, b"\x41\x01a");
        assert_eq!(read(&mut one, HEADERS, END_HEADERS, &sent), sent);
    }
}
