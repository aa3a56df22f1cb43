//! How are named tensors written to and read from safetensors files, the same bytes for the same tensors?

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{BufReader, Read};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::{Map, Value, json};

use super::files;
use crate::{Error, Result};

/// The type of the elements of a [`NamedTensor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
    /// 32-bit signed integer.
    I32,
}

impl ElementType {
    /// The bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            ElementType::F32 | ElementType::I32 => 4,
            ElementType::F64 => 8,
        }
    }

    fn to_safetensors(self) -> Dtype {
        match self {
            ElementType::F32 => Dtype::F32,
            ElementType::F64 => Dtype::F64,
            ElementType::I32 => Dtype::I32,
        }
    }

    fn from_safetensors(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(ElementType::F32),
            Dtype::F64 => Some(ElementType::F64),
            Dtype::I32 => Some(ElementType::I32),
            _ => None,
        }
    }
}

/// A tensor as a file holds it: a name, a shape, and row-major little-endian bytes, which may be borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTensor<'a> {
    /// The path of the parameter, e.g. `layer2.0.conv1.weight`.
    pub name: String,
    /// The type of the elements.
    pub dtype: ElementType,
    /// The length of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, row-major, little endian.
    pub bytes: Cow<'a, [u8]>,
}

impl NamedTensor<'_> {
    /// The same with bytes of its own.
    pub fn into_owned(self) -> NamedTensor<'static> {
        let NamedTensor { name, dtype, shape, bytes } = self;
        NamedTensor { name, dtype, shape, bytes: bytes.into_owned().into() }
    }

    fn check(&self) -> Result<()> {
        let expected = self
            .shape
            .iter()
            .try_fold(self.dtype.bytes(), |bytes, axis| bytes.checked_mul(*axis))
            .filter(|bytes| *bytes == self.bytes.len());
        if expected.is_none() {
            return Err(Error::input("the bytes of a tensor do not fit its shape")
                .detail("tensor", &self.name)
                .detail("expected", format!("{:?} × {} bytes", self.shape, self.dtype.bytes()))
                .detail("got", format!("{} bytes", self.bytes.len())));
        }
        if self.name == METADATA {
            return Err(Error::input("a tensor cannot have this name: safetensors keeps its metadata there")
                .detail("tensor", METADATA));
        }
        Ok(())
    }
}

const METADATA: &str = "__metadata__";
/// The first bytes of a file: the length of its header. Headers have a multiple of it, so that elements are aligned.
const LENGTH: usize = size_of::<u64>();
/// A longer header is refused, as the library does.
const LONGEST_HEADER: u64 = 100_000_000;

/// What a safetensors file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorFile {
    /// The tensors, sorted by name.
    pub tensors: Vec<NamedTensor<'static>>,
    /// The `__metadata__` of the file.
    pub metadata: BTreeMap<String, String>,
}

/// Writes tensors and metadata to a safetensors file with [`write_atomically`](super::write_atomically).
///
/// The bytes depend on the tensors and the metadata alone, not on their order.
///
/// # Errors
/// When two tensors share a name, the bytes of one do not fit its shape, or the file cannot be written.
pub fn write_safetensors(path: &Path, tensors: &[NamedTensor<'_>], metadata: &BTreeMap<String, String>) -> Result<()> {
    let mut bytes = header(tensors, metadata)?;
    in_order(tensors).for_each(|tensor| bytes.extend_from_slice(&tensor.bytes));
    files::write_atomically(path, &bytes)
}

/// Reads all tensors of a safetensors file, sorted by name. Memory is bounded by the size of the file.
///
/// # Errors
/// When the file cannot be read, is no whole safetensors file, or holds a type of element other than [`ElementType`].
pub fn read_safetensors(path: &Path) -> Result<TensorFile> {
    let failed = |error: std::io::Error| Error::io("read the tensors", path, &error);
    let file = files::open_regular(path)?;
    let length = file.metadata().map_err(failed)?.len();
    read(&mut BufReader::new(file), length).map_err(|error| error.detail("file", path.display()))
}

/// The tensors as they lie in a file: those of wide elements first, which keeps all of them aligned, then by name.
pub(super) fn in_order<'t, 'a>(tensors: &'t [NamedTensor<'a>]) -> impl Iterator<Item = &'t NamedTensor<'a>> {
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| (Reverse(tensor.dtype.to_safetensors()), &tensor.name));
    sorted.into_iter()
}

/// What a file begins with; the tensors follow, [`in_order`].
pub(super) fn header(tensors: &[NamedTensor<'_>], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::input("two tensors share a name").detail("tensor", pair[0]));
    }
    tensors.iter().try_for_each(NamedTensor::check)?;
    let failed = |why: &dyn Display| Error::input("cannot write the tensors as safetensors").detail("got", why);
    let mut entries = Map::new();
    if !metadata.is_empty() {
        entries.insert(METADATA.to_owned(), json!(metadata));
    }
    let mut at = 0;
    for tensor in in_order(tensors) {
        let data_offsets = (at, at + tensor.bytes.len());
        at = data_offsets.1;
        let info = TensorInfo { dtype: tensor.dtype.to_safetensors(), shape: tensor.shape.clone(), data_offsets };
        let info = serde_json::to_value(info).map_err(|error| failed(&error))?;
        entries.insert(tensor.name.clone(), info);
    }
    let mut text = Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(LENGTH), b' ');
    let length = text.len() as u64;
    if length > LONGEST_HEADER {
        return Err(failed(&"more names than a header can hold"));
    }
    Ok([&length.to_le_bytes()[..], &text].concat())
}

fn broken(why: &dyn Display) -> Error {
    Error::input("this is not a whole safetensors file").detail("got", why).hint("copy the file again from its source")
}

fn take(input: &mut dyn Read, bytes: usize) -> Result<Vec<u8>> {
    let mut taken = Vec::with_capacity(bytes);
    let read = input.take(bytes as u64).read_to_end(&mut taken).map_err(|error| broken(&error))?;
    if read == bytes { Ok(taken) } else { Err(broken(&"fewer bytes than its header tells of")) }
}

/// Reads the header of a file of `length` bytes: what tensors there are, and the byte after the header. Their sizes fit into the file.
pub(crate) fn read_header(input: &mut dyn Read, length: u64) -> Result<(Metadata, u64)> {
    let beginning = take(input, LENGTH)?;
    let header = beginning.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if header > LONGEST_HEADER || header.saturating_add(LENGTH as u64) > length {
        return Err(broken(&format!("a header of {header} bytes in a file of {length}")));
    }
    let header = take(input, header as usize)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| broken(&error))?;
    let (told, start) = (metadata.data_len() as u64, (LENGTH + header.len()) as u64);
    if told.checked_add(start) != Some(length) {
        return Err(broken(&format!("a header that tells of {told} bytes of elements in a file of {length}")));
    }
    Ok((metadata, start))
}

/// Reads a file of `length` bytes, tensor after tensor.
pub(super) fn read(input: &mut dyn Read, length: u64) -> Result<TensorFile> {
    let (metadata, _) = read_header(input, length)?;
    let mut tensors = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let dtype = ElementType::from_safetensors(info.dtype).ok_or_else(|| {
            Error::input("a tensor has a type of element that Evenkeel does not use")
                .detail("tensor", &name)
                .detail("expected", "F32, F64 or I32")
                .detail("got", info.dtype)
        })?;
        let bytes = take(input, info.data_offsets.1 - info.data_offsets.0)?;
        tensors.push(NamedTensor { name, dtype, shape: info.shape.clone(), bytes: bytes.into() });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let metadata = metadata.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(TensorFile { tensors, metadata })
}
