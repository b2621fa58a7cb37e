//! Sizes as Proxmox writes them in drive options: `40G`, `2252M`, `528K`, plain bytes.

/// The bytes of a size such as `40G`; the units K, M, G and T are powers of 1024, and without one it
/// is bytes. A fraction (`2.5G`) is legal. Nothing that is not a size gives a number.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, shift) = match text.char_indices().next_back()? {
        (end, 'K' | 'k') => (text.get(..end)?, 10),
        (end, 'M' | 'm') => (text.get(..end)?, 20),
        (end, 'G' | 'g') => (text.get(..end)?, 30),
        (end, 'T' | 't') => (text.get(..end)?, 40),
        _ => (text, 0),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unit = 1_u64 << shift;
    match number.split_once('.') {
        None => digits(number).then(|| number.parse::<u64>().ok()?.checked_mul(unit)).flatten(),
        Some((whole, fraction)) if digits(whole) && digits(fraction) && fraction.len() <= 9 => {
            let scale = 10_u128.pow(fraction.len() as u32);
            let parts = whole.parse::<u128>().ok()?.checked_mul(scale)?;
            let parts = parts.checked_add(fraction.parse::<u128>().ok()?)?;
            u64::try_from(parts.checked_mul(u128::from(unit))? / scale).ok()
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_are_read_to_the_byte() {
        for (text, bytes) in [
            ("40G", Some(40 << 30)),
            ("2252M", Some(2252 << 20)),
            ("528K", Some(528 << 10)),
            ("4194304", Some(4 << 20)),
            ("1T", Some(1 << 40)),
            ("2.5G", Some(5 << 29)),
            (" 4M ", Some(4 << 20)),
            ("", None),
            ("G", None),
            ("-1G", None),
            ("4GB", None),
            ("1.G", None),
            ("99999999999999999999T", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
    }
}
