//! Numbers in headers of tar.

use super::BLOCK;

/// Where a header has its checksum.
const SUM: std::ops::Range<usize> = 148..156;

/// Whether the checksum of a header is right: the sum of its bytes, with spaces in place of the sum.
pub(super) fn is_sum_right(block: &[u8; BLOCK]) -> bool {
    let bytes = block.iter().enumerate();
    let sum = bytes.map(|(at, byte)| if SUM.contains(&at) { u64::from(b' ') } else { u64::from(*byte) }).sum::<u64>();
    block.get(SUM).and_then(number) == Some(sum)
}

/// A number: octal, or in GNU's way binary. `None` if it is neither, negative, or larger than any file.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, rest @ ..] => {
            let (high, low) = rest.split_last_chunk::<8>()?;
            high.iter().all(|byte| *byte == 0).then(|| u64::from_be_bytes(*low))
        }
        _ => {
            let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
            let digits = field.get(start..)?;
            let length = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
            let (digits, rest) = digits.split_at_checked(length)?;
            if !rest.iter().all(|byte| matches!(byte, b' ' | 0)) {
                return None;
            }
            digits.iter().try_fold(0_u64, |number, digit| match digit {
                b'0'..=b'7' => number.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
                _ => None,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        for (field, expected) in [
            (b"00000000017\0".as_slice(), Some(15)),
            (b"     17 \0", Some(15)),
            (b"77777777777", Some(0o77_777_777_777)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", Some(1 << 32)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\x80\0", None),
            (b"0000000008\0\0", None),
            (b"-0000000001\0", None),
            (b"+0000000001\0", None),
            (b"1 1\0", None),
            (b"7777777777777777777777777", None),
        ] {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }
}
