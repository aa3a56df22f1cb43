//! Shapes of images as people write them: `28x28x1`.

use super::fault::Fault;
use super::setting::{Kind, Setting, quoted};
use super::table::Key;
use serde::{Serialize, Serializer};
use std::fmt;
use toml::de::DeValue;

/// No side of an image is longer, as no layer is wider.
const LONGEST: usize = 65_536;

/// Height, width and channels of an image, 1 to 65,536 each; written `28x28x1`, or `28x28` for one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape(pub [usize; 3]);

impl ImageShape {
    /// Reads `28x28x1` or `28x28`.
    pub fn parse(text: &str) -> Option<ImageShape> {
        let extents = text.split('x').map(|extent| {
            let is_number = extent.bytes().all(|byte| byte.is_ascii_digit());
            extent.parse().ok().filter(|extent| is_number && (1..=LONGEST).contains(extent))
        });
        match extents.collect::<Option<Vec<usize>>>()?[..] {
            [height, width] => Some(ImageShape([height, width, 1])),
            [height, width, channels] => Some(ImageShape([height, width, channels])),
            _ => None,
        }
    }

    /// The numbers of such an image, which are many where someone writes many.
    pub fn numbers(self) -> usize {
        self.0.into_iter().fold(1, usize::saturating_mul)
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width, channels] = self.0;
        write!(f, "{height}x{width}x{channels}")
    }
}

impl Serialize for ImageShape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Setting for ImageShape {
    const KIND: Kind = Kind::Shape;

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        let text = value.as_str().ok_or_else(|| key.wrong_type(value))?;
        ImageShape::parse(text).ok_or_else(|| {
            let help = "write height, width and channels, as in 28x28x1";
            Fault::value(format!("{} is not the shape of an image", key.path), help)
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
    fn shapes_are_read_with_and_without_channels_and_written_so_that_they_read_back() {
        let cases = [("28x28x1", [28, 28, 1]), ("8x16", [8, 16, 1]), ("1x2x65536", [1, 2, 65_536])];
        for (text, extents) in cases {
            let shape = ImageShape::parse(text).expect(text);
            assert_eq!(shape, ImageShape(extents), "{text}");
            assert_eq!(ImageShape::parse(&shape.to_string()), Some(shape), "{text} as {shape}");
        }
        assert_eq!(ImageShape([65_536; 3]).numbers(), 1 << 48);
    }

    #[test]
    fn other_numbers_of_extents_and_other_extents_are_no_shapes() {
        for text in ["", "x", "28", "28x", "0x28x1", "28x28x1x1", "+28x28", " 28x28", "28X28", "28×28", "65537x1x1"] {
            assert_eq!(ImageShape::parse(text), None, "{text}");
        }
    }
}
