//! Numbers and extra fields of ZIP headers.

use crate::docker::content::{Error, error::shown};

/// The extra field with sizes of 64 bits.
const LARGE: u16 = 0x0001;
/// The extra field in which Info-ZIP writes the name a second time, in UTF-8.
const UNICODE_NAME: u16 = 0x7075;

/// A header that is read from its beginning.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(|| Error::damaged("a header is too short"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(|| Error::damaged("a header is too short"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }
}

/// The sizes of an entry, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) packed: u64,
    pub(super) size: u64,
}

impl Sizes {
    /// As the header before an entry has them: where one of them is in the extra field, both are.
    pub(super) fn local(packed: u32, size: u32, extra: &[u8], name: &[u8]) -> Result<Self, Error> {
        let small = Self { packed: packed.into(), size: size.into() };
        match extra_field(extra, LARGE, name)? {
            Some(mut large) if packed == u32::MAX || size == u32::MAX => {
                let both = Self { size: large.u64()?, packed: large.u64()? };
                // Those that are in the header as well say the same.
                let agree = |small: u32, large: u64| small == u32::MAX || u64::from(small) == large;
                if !agree(packed, both.packed) || !agree(size, both.size) {
                    return Err(lie(name));
                }
                Ok(both)
            }
            _ => Ok(small),
        }
    }

    /// As the directory has them, with the entry's place: in the extra field are those that the header has no room for.
    pub(super) fn central(
        packed: u32,
        size: u32,
        offset: u32,
        extra: &[u8],
        name: &[u8],
    ) -> Result<(Self, u64), Error> {
        let mut large = extra_field(extra, LARGE, name)?.unwrap_or(Fields(&[]));
        let mut whole = |small: u32| if small == u32::MAX { large.u64() } else { Ok(small.into()) };
        let (size, packed, offset) = (whole(size)?, whole(packed)?, whole(offset)?);
        if large.0.is_empty() { Ok((Self { packed, size }, offset)) } else { Err(lie(name)) }
    }
}

fn lie(name: &[u8]) -> Error {
    Error::damaged(format!("the sizes of `{}` contradict each other", shown(name)))
}

/// Refuses a second name that is not the first.
pub(super) fn same_name(extra: &[u8], name: &[u8]) -> Result<(), Error> {
    let Some(mut field) = extra_field(extra, UNICODE_NAME, name)? else { return Ok(()) };
    // A version and the first name's checksum.
    field.bytes(5)?;
    if field.0 == name {
        Ok(())
    } else {
        Err(Error::damaged(format!("`{}` has a second name, `{}`", shown(name), shown(field.0))))
    }
}

/// The extra field of a kind, of which there may be one.
fn extra_field<'a>(extra: &'a [u8], kind: u16, name: &[u8]) -> Result<Option<Fields<'a>>, Error> {
    let mut rest = Fields(extra);
    let mut found = None;
    // Some programs align contents by a few zeros here.
    while rest.0.len() >= 4 {
        let this = rest.u16()?;
        let length = rest.u16()?.into();
        let content = rest.bytes(length)?;
        if this == kind && found.replace(Fields(content)).is_some() {
            return Err(lie(name));
        }
    }
    Ok(found)
}
