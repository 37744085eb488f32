//! HTTP/2 by hand (RFC 9113).

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const INITIAL_WINDOW_SIZE: u16 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const UNTAG: &str = "/ram.tag.v1.TagService/UntagResources";
pub const LIST: &str = "/ram.tag.v1.TagService/ListTagResources";

/// A frame as it is sent.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A setting as it stands in a SETTINGS frame.
pub fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// The headers of a gRPC call (RFC 7541: literals without indexing, not compressed).
pub fn call_headers(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "service"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut block = Vec::new();
    for (name, value) in usual.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn push_length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(u8::try_from(length).unwrap());
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// A frame that was read.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection that sends whatever it likes.
pub struct Raw(TcpStream);

impl Raw {
    /// Connects, and says nothing.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the service accepts connections");
        stream.set_nodelay(true).unwrap();
        // No attack hangs on a server that does not read.
        stream
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        stream
            .set_read_timeout(Some(crate::support::PATIENCE))
            .unwrap();
        Self(stream)
    }

    /// Connects and begins HTTP/2 with these settings.
    pub fn open(address: SocketAddr, settings: &[u8]) -> Self {
        let mut raw = Self::silent(address);
        let beginning = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
        // A server that turns the connection away is seen with the next bytes.
        let _ = raw.send(&beginning);
        raw
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// What sends from another thread.
    pub fn sender(&self) -> impl FnMut(&[u8]) -> io::Result<()> + Send + use<> {
        let mut stream = self.0.try_clone().unwrap();
        move |bytes| stream.write_all(bytes)
    }

    /// Reads a frame; none when the server has closed the connection.
    pub fn read(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        match self.0.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("it is not closed"),
            Err(_) => return None,
        }
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        Some(Frame {
            kind: header[3],
            flags: header[4],
            stream,
            payload,
        })
    }

    /// Reads until a frame fits; none when the server closes the connection before.
    pub fn read_until(&mut self, fits: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if fits(&frame) {
                return Some(frame);
            }
        }
    }

    /// Reads until the server closes the connection, and tells the error code of its GOAWAY.
    pub fn read_to_end(&mut self) -> Option<u32> {
        let (mut code, started) = (None, std::time::Instant::now());
        while let Some(frame) = self.read() {
            assert!(
                started.elapsed() < crate::support::PATIENCE,
                "it is not closed"
            );
            if frame.kind == GOAWAY {
                code = frame.payload[4..8].try_into().ok().map(u32::from_be_bytes);
            }
        }
        code
    }

    /// Throws away what the server sends, from another thread.
    pub fn drain(&self) {
        let mut stream = self.0.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while matches!(stream.read(&mut buffer), Ok(count) if count > 0) {}
        });
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The thread that drains has a clone of the stream, and ends with it.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
