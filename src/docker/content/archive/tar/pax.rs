//! POSIX's extended headers.

use crate::docker::content::Error;

/// What counts of an extended header. Times, owners and attributes do not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

/// Reads records, each `LENGTH KEY=VALUE` and a line's end, where the length is that of the whole record. Values may hold
/// anything, line ends too.
pub(super) fn parse(mut data: &[u8]) -> Result<Extended, Error> {
    let mut extended = Extended::default();
    while !data.is_empty() {
        let (key, value, rest) = record(data).ok_or_else(|| Error::damaged("an extended header is malformed"))?;
        data = rest;
        let twice = match key {
            b"path" => extended.path.replace(named(value)?).is_some(),
            b"linkpath" => extended.target.replace(named(value)?).is_some(),
            b"size" => extended.size.replace(size(value)?).is_some(),
            _ if key.starts_with(b"GNU.sparse.") || matches!(key, b"SCHILY.realsize" | b"SUN.holesdata") => {
                return Err(Error::damaged(
                    "there is a sparse file in it, which is not read: pack it without `--sparse`",
                ));
            }
            _ => false,
        };
        if twice {
            return Err(Error::damaged("an extended header says the same twice"));
        }
    }
    Ok(extended)
}

/// The first record, and what follows it.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(10).position(|byte| *byte == b' ')?;
    let (digits, _) = data.split_at_checked(space)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (record, rest) = data.split_at_checked(length)?;
    let pair = record.get(space.checked_add(1)?..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (key, value) = pair.split_at_checked(equals)?;
    Some((key, value.strip_prefix(b"=")?, rest))
}

/// A name. An empty one would take an earlier one back.
fn named(value: &[u8]) -> Result<Vec<u8>, Error> {
    if value.is_empty() { Err(Error::damaged("an extended header has an empty name")) } else { Ok(value.to_vec()) }
}

fn size(value: &[u8]) -> Result<u64, Error> {
    let digits = value.iter().all(u8::is_ascii_digit).then_some(value);
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Error::damaged("an extended header has no proper size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_lengths() {
        let extended = parse(b"9 path=\xc3\n14 linkpath=b\n9 size=7\n22 SCHILY.xattr.a=\n=\n\n").unwrap();
        assert_eq!(extended, Extended { path: Some(vec![0xc3]), target: Some(b"b".to_vec()), size: Some(7) });
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for data in [
            b"8 path=a".as_slice(),
            b"11 path=a\n",
            b" path=a\n",
            b"9 path=\n",
            b"+9 path=a\n",
            b"8 patha\n",
            b"99999999999999999999 path=a\n",
            b"9 path=a\n9 path=b\n",
            b"8 path=\n",
            b"10 size=-1\n",
            b"8 size=\n",
            b"0 ",
            b"2 \n",
            b"\0",
            b"22 GNU.sparse.major=1\n",
        ] {
            assert!(parse(data).is_err(), "{:?}", String::from_utf8_lossy(data));
        }
    }
}
