//! Sizes of memory and disks, always with a unit.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

const MIB: i64 = 1 << 20;

/// A size in bytes that was written with a unit: `512Mi`, `40Gi`, `2Ti`.
///
/// A Kubernetes quantity would take `4096` for bytes, which nobody means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Size {
    mib: i64,
}

/// Why a text is no [`Size`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no size: write a whole number and its unit (Mi, Gi or Ti), such as 4Gi")]
pub struct InvalidSize(String);

impl Size {
    /// What the schema checks; the same as [`Size::from_str`] accepts, up to [`Size::MAX_LENGTH`] characters.
    pub const PATTERN: &str = "^[1-9][0-9]*(Mi|Gi|Ti)$";
    /// So many digits stay below an i64 of bytes.
    pub const MAX_LENGTH: u32 = 8;

    /// So many mebibytes.
    pub fn of_mebibytes(mib: i64) -> Self {
        Self { mib }
    }

    /// Whether it can be written as the schema has it.
    pub fn is_writable(self) -> bool {
        self.mib > 0 && self.to_string().len() <= Self::MAX_LENGTH as usize
    }

    /// The size in mebibytes, Proxmox' unit for memory.
    pub fn mebibytes(self) -> i64 {
        self.mib
    }

    /// The size in bytes.
    pub fn bytes(self) -> i64 {
        self.mib.saturating_mul(MIB)
    }
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSize(text.to_owned());
        if text.len() > Self::MAX_LENGTH as usize {
            return Err(invalid());
        }
        let (digits, factor) = [("Mi", 1), ("Gi", 1 << 10), ("Ti", 1 << 20)]
            .into_iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
            .ok_or_else(invalid)?;
        if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let number: i64 = digits.parse().map_err(|_| invalid())?;
        Ok(Self { mib: number.checked_mul(factor).ok_or_else(invalid)? })
    }
}

impl TryFrom<String> for Size {
    type Error = InvalidSize;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mib {
            mib if mib % (1 << 20) == 0 => write!(f, "{}Ti", mib >> 20),
            mib if mib % (1 << 10) == 0 => write!(f, "{}Gi", mib >> 10),
            mib => write!(f, "{mib}Mi"),
        }
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": Self::PATTERN,
            "maxLength": Self::MAX_LENGTH,
            // The pattern alone does not say what to write.
            "x-kubernetes-validations": [{
                "rule": format!("self.matches('{}')", Self::PATTERN),
                "message": "write a whole number and its unit (Mi, Gi or Ti), such as 4Gi",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_have_a_unit() {
        for (text, mib) in [("512Mi", 512), ("4Gi", 4096), ("2Ti", 2 << 20), ("1Mi", 1)] {
            assert_eq!(text.parse::<Size>().unwrap().mebibytes(), mib, "{text}");
        }
        for text in [
            "",
            "4",
            "4096",
            "4G",
            "4GB",
            "0Gi",
            "04Gi",
            "-1Gi",
            "+1Gi",
            "1.5Gi",
            "Gi",
            " 4Gi",
            "4 Gi",
            "4Ki",
            "9999999Gi",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_size_survives_being_written_and_read(number in 1..999_999i64, unit in "(Mi|Gi|Ti)") {
            let size: Size = format!("{number}{unit}").parse().unwrap();
            prop_assert_eq!(size.to_string().parse::<Size>().unwrap(), size);
            prop_assert!(size.bytes() > 0);
        }
    }
}
