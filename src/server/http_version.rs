//! The version of HTTP of a connection, by its first bytes or by what was negotiated.

/// The bytes that begin every HTTP/2 connection (RFC 9113, section 3.4). No request of HTTP/1.1 is shorter, or begins so.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The version of HTTP that a client speaks, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// So many bytes are here, and are those that begin HTTP/2.
    Open(usize),
    Http1,
    Http2,
}

impl HttpVersion {
    /// The version by the name that client and server have agreed on in the TLS handshake (ALPN), if they have.
    pub fn negotiated(name: Option<&[u8]>) -> Self {
        match name {
            Some(b"h2") => Self::Http2,
            Some(_) => Self::Http1,
            None => Self::Open(0),
        }
    }

    /// Reads on in the first bytes, and returns how many of these are the beginning of HTTP/2.
    pub fn read(&mut self, bytes: &[u8]) -> usize {
        let Self::Open(seen) = *self else {
            return 0;
        };
        let wanted = &PREFACE[seen..];
        let count = bytes.len().min(wanted.len());
        if bytes[..count] != wanted[..count] {
            *self = Self::Http1;
            return 0;
        }
        *self = if count == wanted.len() {
            Self::Http2
        } else {
            Self::Open(seen + count)
        };
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_version_however_they_are_cut() {
        let version = |parts: &[&[u8]]| {
            let mut version = HttpVersion::Open(0);
            let read = parts.iter().map(|part| version.read(part)).sum::<usize>();
            (version, read)
        };
        for cut in 0..=PREFACE.len() {
            let (first, rest) = PREFACE.split_at(cut);
            assert_eq!(
                version(&[first, rest, b"more"]),
                (HttpVersion::Http2, 24),
                "{cut}"
            );
            let changed = [first, b"x"].concat();
            let wanted = if cut == 24 {
                HttpVersion::Http2
            } else {
                HttpVersion::Http1
            };
            assert_eq!(version(&[&changed]).0, wanted, "{cut}");
            let wanted = if cut == 24 {
                HttpVersion::Http2
            } else {
                HttpVersion::Open(cut)
            };
            assert_eq!(version(&[first]), (wanted, cut));
        }
        assert_eq!(version(&[b"POST / HTTP/1.1"]), (HttpVersion::Http1, 0));
        assert_eq!(version(&[b"PRI * HTTP/1.1"]).0, HttpVersion::Http1);
    }
}
