//! The byte order mark (BOM) that some editors put at the beginning of a text file.

use thiserror::Error;

/// The mark of UTF-8.
const UTF_8: &[u8] = b"\xef\xbb\xbf";

/// The marks of other encodings. That of UTF-32 begins with that of UTF-16 where the low byte comes first.
const OTHERS: [(&[u8], &str); 4] = [
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
];

/// A text in an encoding that is not supported, by the mark at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the text begins with the byte order mark (BOM) of {0}; save it as UTF-8")]
pub struct OtherEncoding(&'static str);

/// The text without a byte order mark of UTF-8.
///
/// # Errors
/// [`OtherEncoding`] where the mark is that of UTF-16 or UTF-32.
pub fn without_bom(text: &[u8]) -> Result<&[u8], OtherEncoding> {
    match OTHERS.iter().find(|(mark, _)| text.starts_with(mark)) {
        Some((_, encoding)) => Err(OtherEncoding(encoding)),
        None => Ok(text.strip_prefix(UTF_8).unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::without_bom;

    #[test]
    fn the_mark_of_utf_8_is_left_out_once() {
        assert_eq!(without_bom(b"{}"), Ok(&b"{}"[..]));
        assert_eq!(without_bom(b"\xef\xbb\xbf{}"), Ok(&b"{}"[..]));
        assert_eq!(
            without_bom(b"\xef\xbb\xbf\xef\xbb\xbf{}"),
            Ok(&b"\xef\xbb\xbf{}"[..])
        );
        assert_eq!(without_bom(b""), Ok(&b""[..]));
    }

    #[test]
    fn other_encodings_are_refused_by_their_mark() {
        for (text, encoding) in [
            (&b"\xff\xfe{\0}\0"[..], "UTF-16"),
            (b"\xfe\xff\0{\0}", "UTF-16"),
            (b"\xff\xfe\0\0{\0\0\0", "UTF-32"),
            (b"\0\0\xfe\xff\0\0\0{", "UTF-32"),
        ] {
            let error = without_bom(text).unwrap_err().to_string();
            let wanted = format!("the byte order mark (BOM) of {encoding}; save it as UTF-8");
            assert!(error.contains(&wanted), "{error}");
        }
    }
}
