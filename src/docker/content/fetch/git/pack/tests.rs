use std::io::{Cursor, Write};

use flate2::{Compression, write::ZlibEncoder};
use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { objects: 3, object: 1000, total: 2500 };

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn object(kind: u8, claimed: usize, base: &[u8], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![(kind << 4) | (claimed & 15) as u8 | 0x80];
    bytes.extend([((claimed >> 4) & 0x7f) as u8 | 0x80, ((claimed >> 11) & 0x7f) as u8 | 0x80, (claimed >> 18) as u8]);
    bytes.extend(base);
    bytes.extend(deflate(content));
    bytes
}

fn pack(count: u32, objects: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"PACK\0\0\0\x02".to_vec();
    bytes.extend(count.to_be_bytes());
    objects.iter().for_each(|object| bytes.extend(object));
    bytes
}

fn look(pack: Vec<u8>) -> String {
    match survey(&mut Cursor::new(pack), BOUNDS, "git.example", "the repository") {
        Ok(count) => count.to_string(),
        Err(error) => error.to_string(),
    }
}

/// So many bytes back.
fn back(distance: usize) -> [u8; 2] {
    let distance = distance - 128;
    [(distance >> 7) as u8 | 0x80, (distance & 0x7f) as u8]
}

#[test]
fn what_a_pack_becomes_is_added_up() {
    let blob = |size: usize| object(3, size, &[], &vec![0; size]);
    let padded = || object(3, 200, &[], &(0..200_u32).map(|number| (number * 77 % 251) as u8).collect::<Vec<_>>());
    let delta = |content: &[u8]| object(OFFSET_DELTA, content.len(), &back(padded().len()), content);
    for (bytes, expected) in [
        (pack(0, &[]), "0"),
        (pack(1, &[blob(1000)]), "1"),
        (pack(2, &[padded(), delta(&[20, 0xe8, 0x07])]), "2"),
        (pack(1, &[object(REFERENCE_DELTA, 2, &[7; 20], &[20, 30])]), "1"),
        (pack(1, &[blob(1001)]), "a file in the repository is larger than 1000 bytes"),
        (pack(2, &[padded(), delta(&[20, 0xe9, 0x07])]), "a file in the repository is larger than 1000 bytes"),
        (pack(2, &[padded(), delta(&[20, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])]), "larger than 1000 bytes"),
        (pack(3, &[blob(900), blob(900), blob(900)]), "all that is in the repository is larger than 2500 bytes"),
        (pack(4, &[]), "the history of the repository is larger than 3 objects"),
        (pack(u32::MAX, &[]), "larger than 3 objects"),
        (pack(2, &[blob(10), delta(&[20, 30])]), "to what is not there"),
        (pack(1, &[object(OFFSET_DELTA, 2, &[0x7f], &[20, 30])]), "to what is not there"),
        (pack(1, &[object(3, 10, &[], &[0; 5000])]), "another size"),
        (pack(1, &[object(3, 500, &[], &[0; 10])]), "another size"),
        (pack(1, &[object(5, 1, &[], &[0])]), "unknown kind"),
        (pack(1, &[]), "a broken pack"),
        (pack(1, &[vec![0xbf; 40]]), "a size that is none"),
        (b"<html>no pack at all".to_vec(), "does not begin as a pack"),
    ] {
        let found = look(bytes);
        assert!(found.contains(expected), "{found} instead of {expected}");
    }
}

#[test]
fn differences_are_not_built_on_each_other_without_end() {
    let bounds = Bounds { objects: 30_000, object: 1000, total: u64::MAX };
    let survey = |count, objects: &[Vec<u8>]| {
        let outcome = survey(&mut Cursor::new(pack(count, objects)), bounds, "git.example", "the repository");
        outcome.map_or_else(|error| error.to_string(), |count| count.to_string())
    };
    let large = |kind, base: &[u8]| object(kind, 3, base, &[20, 0xe8, 0x07]);
    let named: Vec<_> = (0..5).map(|_| large(REFERENCE_DELTA, &[7; 20])).collect();
    assert_eq!(survey(4, &named), "4");
    assert!(survey(5, &named).contains("larger than 4000 bytes"));
    let named = vec![object(REFERENCE_DELTA, 2, &[7; 20], &[0, 0]); 20_001];
    assert_eq!(survey(20_000, &named), "20000");
    assert!(survey(20_001, &named).contains("larger than 20000 objects"));

    let mut chain = vec![object(3, 200, &[], &(0..200_u8).map(|n| n.wrapping_mul(77)).collect::<Vec<_>>())];
    for _ in 0..5000 {
        let distance = chain.last().unwrap().len();
        let distance = if distance < 128 { vec![distance as u8] } else { back(distance).to_vec() };
        chain.push(object(OFFSET_DELTA, 2, &distance, &[0, 0]));
    }
    assert_eq!(survey(4000, &chain), "4000");
    assert!(survey(5000, &chain).contains("larger than 4095 objects"));
}

proptest! {
    #[test]
    fn garbage_is_survived(garbage in proptest::collection::vec(any::<u8>(), 0..200), count in 0..4u32) {
        look(pack(count, &[garbage]));
    }
}
