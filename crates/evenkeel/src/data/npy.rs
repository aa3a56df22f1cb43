//! How NumPy's files are read: a folder of `.npy` files, or one `.npz` archive of them.
//!
//! An array begins with `\x93NUMPY`, two bytes of version, the length of a text (16 bits in version 1, else 32, little-endian) and that text,
//! a dictionary as Python writes it: type, whether columns come before rows, shape. The elements follow.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::array::{Array, Element, Order};
use super::arrays::Arrays;
use super::source::{Packing, Source, check_folder, damaged, name};
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Magic and version.
const START: usize = 8;
/// A longer text describes no array of numbers.
const LONGEST_HEADER: usize = 1 << 16;
const NAMES: [&str; 4] = ["x_train", "y_train", "x_test", "y_test"];

/// A folder of `.npy` files.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Result<Self> {
        check_folder("npy", path)?;
        Ok(Folder { path: path.to_owned() })
    }
}

impl Arrays for Folder {
    const NAMES: [&'static str; 4] = NAMES;

    fn open(&mut self, name: &str) -> Result<Option<(Array, Source<'_>)>> {
        let path = self.path.join(format!("{name}.npy"));
        if !path.is_file() {
            return Ok(None);
        }
        let mut source = Source::open(&path)?;
        Ok(Some((header(&mut source)?, source)))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// An `.npz` archive, packed or not.
pub(super) struct Archive {
    path: PathBuf,
    archive: zip::ZipArchive<BufReader<File>>,
    size: u64,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io("open a data file", path, &error))?;
        let found = file.metadata().map_err(|error| Error::io("read a data file", path, &error))?;
        if !found.is_file() {
            return Err(Error::input("'npz' needs a file")
                .detail("got", path.display())
                .hint("a folder of .npy files is read by `npy:DIR`"));
        }
        let archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|error| {
            Error::input(format!("{} is not an archive of NumPy", name(path)))
                .detail("file", path.display())
                .detail("expected", "a zip archive, as `numpy.savez` writes it")
                .detail("reason", error)
                .hint("copy the file again from its source")
        })?;
        Ok(Archive { path: path.to_owned(), archive, size: found.len() })
    }
}

impl Arrays for Archive {
    const NAMES: [&'static str; 4] = NAMES;

    fn open(&mut self, name: &str) -> Result<Option<(Array, Source<'_>)>> {
        let name = format!("{name}.npy");
        let path = self.path.join(&name);
        let found = match self.archive.by_name(&name) {
            Ok(found) => found,
            Err(zip::result::ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(damaged(&path, Packing::Zip, &std::io::Error::other(error))),
        };
        let mut source = Source::part(found, path, Packing::Zip, self.size);
        Ok(Some((header(&mut source)?, source)))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads what comes before the elements.
fn header(source: &mut Source<'_>) -> Result<Array> {
    let mut start = [0; START];
    let got = source.fill(&mut start)?;
    if got < START {
        return Err(source.ends_early(START as u64, got as u64, "the start of the header"));
    }
    let wrong = |source: &Source<'_>, byte: usize, expected: &str, got: String| {
        Error::input(format!("{} is not an array of NumPy that can be read", name(source.path())))
            .detail("file", source.path().display())
            .detail("byte", byte)
            .detail("expected", expected)
            .detail("got", got)
    };
    if start[..MAGIC.len()] != MAGIC[..] {
        let got = start.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        return Err(
            wrong(source, 0, "93 4e 55 4d 50 59", got).hint("save the array with `numpy.save` or `numpy.savez`")
        );
    }
    let version = start[MAGIC.len()];
    let mut length = match version {
        1 => vec![0; 2],
        2 | 3 => vec![0; 4],
        _ => return Err(wrong(source, MAGIC.len(), "version 1, 2 or 3", version.to_string())),
    };
    let at = START + length.len();
    let got = source.fill(&mut length)?;
    if got < length.len() {
        return Err(source.ends_early(at as u64, (START + got) as u64, "the header"));
    }
    let length = length.iter().rev().fold(0_usize, |length, &byte| (length << 8) | usize::from(byte));
    if length > LONGEST_HEADER {
        return Err(wrong(source, START, "a header of at most 65,536 bytes", format!("{length} bytes")));
    }
    let mut text = Vec::new();
    source.by_ref().take(length as u64).read_to_end(&mut text).map_err(|error| source.damaged(&error))?;
    if text.len() < length {
        return Err(source.ends_early((at + length) as u64, (at + text.len()) as u64, "the header"));
    }
    let text = String::from_utf8_lossy(&text);
    let Some(described) = describe(&text) else {
        let got = text.trim().chars().take(80).collect();
        let error =
            wrong(source, at, "{'descr': '<f4', 'fortran_order': False, 'shape': (60000, 784)} or the like", got);
        return Err(error.hint("save one array of numbers, not records or objects"));
    };
    let Some((element, order)) = element(&described.kind) else {
        let expected = "a type of whole or floating-point numbers: b1, u1 to u8, i1 to i8, f4 or f8";
        return Err(wrong(source, at, expected, described.kind).hint("convert it first: `x.astype(\"float32\")`"));
    };
    if described.columns_first && described.shape.len() > 1 {
        let error = wrong(source, at, "'fortran_order': False", "'fortran_order': True".into());
        return Err(error.hint("save it row by row: `numpy.ascontiguousarray(x)`"));
    }
    Array::new(source, element, order, &described.shape, at as u64, (at + length) as u64)
}

/// A type as NumPy writes it: the order of bytes, a letter and the number of bytes.
fn element(kind: &str) -> Option<(Element, Order)> {
    let (order, kind) = kind.split_at_checked(1)?;
    let order = match order {
        "<" | "|" => Order::Little,
        ">" => Order::Big,
        _ => return None,
    };
    let element = match kind {
        "b1" => Element::Bool,
        "u1" => Element::U8,
        "i1" => Element::I8,
        "u2" => Element::U16,
        "i2" => Element::I16,
        "u4" => Element::U32,
        "i4" => Element::I32,
        "u8" => Element::U64,
        "i8" => Element::I64,
        "f4" => Element::F32,
        "f8" => Element::F64,
        _ => return None,
    };
    Some((element, order))
}

/// What the dictionary of a header says.
#[derive(Debug, PartialEq)]
struct Described {
    kind: String,
    columns_first: bool,
    shape: Vec<u64>,
}

/// Reads the dictionary: the three keys in any order, a comma allowed after the last.
fn describe(text: &str) -> Option<Described> {
    let (mut kind, mut columns_first, mut shape) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim_start();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        rest = match key {
            "descr" => {
                let (value, after) = quoted(value)?;
                kind = Some(value.to_owned());
                after
            }
            "fortran_order" => {
                let end = value.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(value.len());
                let (value, after) = value.split_at_checked(end)?;
                columns_first = Some(match value {
                    "True" => true,
                    "False" => false,
                    _ => return None,
                });
                after
            }
            "shape" => {
                let (value, after) = value.strip_prefix('(')?.split_once(')')?;
                let mut sizes: Vec<&str> = value.split(',').map(str::trim).collect();
                if sizes.last() == Some(&"") {
                    sizes.pop();
                }
                // Python 2 marked long numbers with an L.
                let size = |size: &str| size.strip_suffix('L').unwrap_or(size).parse().ok();
                shape = Some(sizes.into_iter().map(size).collect::<Option<Vec<u64>>>()?);
                after
            }
            _ => return None,
        };
        rest = rest.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(Described { kind: kind?, columns_first: columns_first?, shape: shape? })
}

/// A text in quotes at the start, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_numpy_has_written_them_over_the_years() {
        let described = |kind: &str, columns_first, shape: &[u64]| {
            Some(Described { kind: kind.into(), columns_first, shape: shape.to_vec() })
        };
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (60000, 784), }           \n";
        assert_eq!(describe(text), described("<f4", false, &[60000, 784]));
        assert_eq!(describe("{'shape': (3L,), 'fortran_order': True, 'descr': '|u1'}"), described("|u1", true, &[3]));
        assert_eq!(
            describe("{'shape': (2, 3), 'descr': '<i8', 'fortran_order': False}"),
            described("<i8", false, &[2, 3])
        );
        assert_eq!(describe("{\"descr\":\">i8\",\"fortran_order\":False,\"shape\":()}"), described(">i8", false, &[]));
        for wrong in [
            "",
            "{}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,,4)}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}",
            "{'é",
        ] {
            assert_eq!(describe(wrong), None, "{wrong}");
        }
    }
}
