//! Sizes of memory as people write them: `2GiB`.

use super::fault::Fault;
use super::setting::{Kind, Setting, quoted};
use super::table::Key;
use serde::{Serialize, Serializer};
use std::fmt;
use toml::de::DeValue;

/// Units and their bytes, largest first of each kind.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A number of bytes, written with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// The bytes as this machine counts memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// At least so many bytes, in whole MiB where they are many: for messages.
    pub fn rounded_up(bytes: usize) -> Size {
        let step = if bytes < 8 << 20 { 1 << 10 } else { 1 << 20 };
        Size((bytes as u64).checked_next_multiple_of(step).unwrap_or(u64::MAX))
    }

    /// Reads `2GiB`, `1.5 GB` or a bare number of bytes; units in any case.
    pub fn parse(text: &str) -> Option<Size> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let factor = match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() => 1,
            None => return None,
        };
        let number = number.replace('_', "");
        let bytes = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(factor)?,
            Err(_) => {
                let bytes = number.parse::<f64>().ok()? * factor as f64;
                (bytes < u64::MAX as f64).then_some(bytes as u64)?
            }
        };
        (bytes > 0).then_some(Size(bytes))
    }
}

/// In the largest unit that leaves no fraction.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        let (unit, factor) = fits.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Setting for Size {
    const KIND: Kind = Kind::Size;

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        let text = match value {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str(),
            _ => return Err(key.wrong_type(value)),
        };
        Size::parse(text).ok_or_else(|| {
            let help = "write a number and KiB, MiB, GiB or TiB, as in 2GiB";
            Fault::value(format!("{} is not a size", key.path), help)
        })
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units_and_written_so_that_they_read_back() {
        let cases =
            [("2GiB", 2 << 30), ("1.5 gib", 3 << 29), ("512MB", 512_000_000), ("100", 100), ("1_000 KiB", 1_024_000)];
        for (text, bytes) in cases {
            let size = Size::parse(text).expect(text);
            assert_eq!(size, Size(bytes), "{text}");
            assert_eq!(Size::parse(&size.to_string()), Some(size), "{text} as {size}");
        }
    }

    #[test]
    fn no_number_no_unit_nothing_and_too_much_are_no_sizes() {
        for text in ["", "GiB", "0", "0GiB", "2 Gi", "-1GiB", "1e3", "inf", "99999999999TiB", "1.5.2GB", "½GiB"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }
}
