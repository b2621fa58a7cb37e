//! Request bodies in protobuf: client-go since 1.33 sends built-in kinds so unless told otherwise.
//!
//! Only reading is served; answers are JSON, which such clients accept. The encoding is described in
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What stands before every message of Kubernetes.
const MAGIC: &[u8] = b"k8s\0";

/// A message, by its fields.
pub type Message = &'static [Field];

/// A field: its number, its name in JSON, and what it holds.
pub struct Field(pub u64, pub &'static str, pub Holds);

/// Empty texts count as absent: that is how Go writes an unset one.
pub enum Holds {
    Text,
    Texts,
    Whole,
    Flag,
    /// Seconds and nanoseconds; shown to the second.
    Time,
    /// As `Time`, shown to the microsecond.
    MicroTime,
    TextByText,
    BytesByText,
    One(Message),
    Many(Message),
}

#[derive(Debug, thiserror::Error)]
#[error("the protobuf message cannot be read")]
pub struct Malformed;

/// Reads a body: the envelope with `apiVersion` and `kind`, and in it the message.
///
/// # Errors
/// The body is no such message.
pub fn decode(body: &[u8], message: Message) -> Result<Value, Malformed> {
    const TYPE: Message = &[Field(1, "apiVersion", Holds::Text), Field(2, "kind", Holds::Text)];
    let mut reader = Reader(body.strip_prefix(MAGIC).ok_or(Malformed)?);
    let mut object = Map::new();
    let mut raw: &[u8] = &[];
    while let Some((number, part)) = reader.next()? {
        match (number, part) {
            (1, Part::Bytes(bytes)) => object = read(bytes, TYPE)?,
            (2, Part::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    object.extend(read(raw, message)?);
    Ok(object.into())
}

fn read(bytes: &[u8], message: Message) -> Result<Map<String, Value>, Malformed> {
    let mut reader = Reader(bytes);
    let mut object = Map::new();
    while let Some((number, part)) = reader.next()? {
        let Some(Field(_, name, holds)) = message.iter().find(|field| field.0 == number) else {
            continue;
        };
        let value = match (holds, part) {
            (Holds::Whole, Part::Whole(whole)) => whole.cast_signed().into(),
            (Holds::Flag, Part::Whole(whole)) => (whole != 0).into(),
            (Holds::Text, Part::Bytes([])) => continue,
            (Holds::Text, Part::Bytes(bytes)) => text(bytes)?.into(),
            (Holds::Time, Part::Bytes(bytes)) => time(bytes, 0)?,
            (Holds::MicroTime, Part::Bytes(bytes)) => time(bytes, 6)?,
            (Holds::One(message), Part::Bytes(bytes)) => read(bytes, message)?.into(),
            (Holds::Texts, Part::Bytes(bytes)) => {
                push(&mut object, name, text(bytes)?.into());
                continue;
            }
            (Holds::Many(message), Part::Bytes(bytes)) => {
                push(&mut object, name, read(bytes, message)?.into());
                continue;
            }
            (Holds::TextByText | Holds::BytesByText, Part::Bytes(bytes)) => {
                let (key, value) = entry(bytes)?;
                let value = match holds {
                    Holds::BytesByText => STANDARD.encode(value),
                    _ => text(value)?,
                };
                let entries = object.entry(*name).or_insert_with(|| Value::Object(Map::new()));
                if let Some(entries) = entries.as_object_mut() {
                    entries.insert(key, value.into());
                }
                continue;
            }
            _ => return Err(Malformed),
        };
        if !value.is_null() {
            object.insert((*name).to_owned(), value);
        }
    }
    Ok(object)
}

fn push(object: &mut Map<String, Value>, name: &str, value: Value) {
    let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if let Some(list) = list.as_array_mut() {
        list.push(value);
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

/// An entry of a map: its key and its value.
fn entry(bytes: &[u8]) -> Result<(String, &[u8]), Malformed> {
    let mut reader = Reader(bytes);
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    while let Some((number, part)) = reader.next()? {
        match (number, part) {
            (1, Part::Bytes(bytes)) => key = bytes,
            (2, Part::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((text(key)?, value))
}

/// A time; the empty message is none.
fn time(bytes: &[u8], digits: usize) -> Result<Value, Malformed> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let mut reader = Reader(bytes);
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, part)) = reader.next()? {
        match (number, part) {
            (1, Part::Whole(whole)) => seconds = whole.cast_signed(),
            (2, Part::Whole(whole)) => nanos = i32::try_from(whole).map_err(|_| Malformed)?,
            _ => {}
        }
    }
    let time = Timestamp::new(seconds, nanos).map_err(|_| Malformed)?;
    Ok(format!("{time:.digits$}").into())
}

enum Part<'a> {
    Whole(u64),
    Bytes(&'a [u8]),
    /// Of a fixed length, which Kubernetes does not use here.
    Fixed,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next field, by its number.
    fn next(&mut self) -> Result<Option<(u64, Part<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let part = match tag & 7 {
            0 => Part::Whole(self.varint()?),
            1 => self.take(8).map(|_| Part::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Part::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Part::Fixed)?,
            _ => return Err(Malformed),
        };
        Ok(Some((tag >> 3, part)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.first().copied().ok_or(Malformed)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: Message =
        &[Field(1, "metadata", Holds::One(&[Field(1, "name", Holds::Text)])), Field(2, "data", Holds::BytesByText)];

    /// `kubectl create secret generic tok --from-literal=a=b`, cut down to its name and data.
    const BODY: &[u8] = b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Secret\x12\x0f\x0a\x05\x0a\x03tok\x12\x06\x0a\x01a\x12\x01b";

    #[test]
    fn a_message_reads_as_the_json_it_stands_for() {
        assert_eq!(
            decode(BODY, SECRET).unwrap(),
            serde_json::json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": "tok" },
                "data": { "a": "Yg==" },
            })
        );
    }

    proptest! {
        #[test]
        fn no_message_makes_the_reader_panic(
            position in 4..BODY.len(),
            byte: u8,
            tail in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut body = BODY.to_vec();
            body[position] = byte;
            body.extend(tail);
            let _ = decode(&body, SECRET);
        }
    }
}
