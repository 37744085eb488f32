//! What the fuzz targets expect of users as JSON Lines.

use super::json_lines::{LineError, read, write};

/// Checks that each line is refused by its number or is a user that is written as a line of the same user.
///
/// # Panics
/// Where that does not hold.
pub fn import_lines(bytes: &[u8]) {
    let mut before = 0;
    for line in read(bytes) {
        let line = match line {
            Ok(line) => line,
            Err(LineError::Invalid { number, what }) => {
                assert!(number > before && !what.is_empty());
                before = number;
                continue;
            }
            Err(LineError::Read { .. }) => panic!("memory can be read"),
        };
        assert!(line.number > before);
        before = line.number;
        let mut written = Vec::new();
        write(&mut written, &line.user).expect("memory can be written");
        assert_eq!(written.last(), Some(&b'\n'));
        let again: Vec<_> = read(written.as_slice()).map(Result::ok).collect();
        let [Some(again)] = &again[..] else {
            panic!("{written:?} is read as {again:?}");
        };
        assert_eq!((again.number, &again.user), (1, &line.user));
    }
    // Each line is at most one user.
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let pieces = bytes.len() / 65_536;
    assert!(usize::try_from(before).is_ok_and(|last| last <= lines + pieces));
}
