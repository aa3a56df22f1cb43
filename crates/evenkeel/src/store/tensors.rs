//! How are named tensors written to and read from safetensors files, the same bytes for the same tensors?

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, View};
use safetensors::{SafeTensorError, SafeTensors};
use serde_json::{Map, Value};

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

/// A tensor as a file holds it: a name, a shape, and row-major little-endian bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTensor {
    /// The path of the parameter, e.g. `layer2.0.conv1.weight`.
    pub name: String,
    /// The type of the elements.
    pub dtype: ElementType,
    /// The length of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, row-major, little endian.
    pub bytes: Vec<u8>,
}

impl NamedTensor {
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

impl View for &NamedTensor {
    fn dtype(&self) -> Dtype {
        self.dtype.to_safetensors()
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// What a safetensors file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorFile {
    /// The tensors, sorted by name.
    pub tensors: Vec<NamedTensor>,
    /// The `__metadata__` of the file.
    pub metadata: BTreeMap<String, String>,
}

/// Writes tensors and metadata to a safetensors file with [`write_atomically`](super::write_atomically).
///
/// The bytes depend on the tensors and the metadata alone, not on their order.
///
/// # Errors
/// When two tensors share a name, the bytes of one do not fit its shape, or the file cannot be written.
pub fn write_safetensors(path: &Path, tensors: &[NamedTensor], metadata: &BTreeMap<String, String>) -> Result<()> {
    files::write_atomically(path, &to_bytes(tensors, metadata)?)
}

/// Reads all tensors of a safetensors file, sorted by name. Memory is bounded by the size of the file.
///
/// # Errors
/// When the file cannot be read, is no whole safetensors file, or holds a type of element other than [`ElementType`].
pub fn read_safetensors(path: &Path) -> Result<TensorFile> {
    let length = std::fs::metadata(path).map_err(|error| Error::io("read the tensors", path, &error))?.len();
    from_bytes(&files::read_bounded(path, length)?).map_err(|error| error.detail("file", path.display()))
}

pub(super) fn to_bytes(tensors: &[NamedTensor], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::input("two tensors share a name").detail("tensor", pair[0]));
    }
    tensors.iter().try_for_each(NamedTensor::check)?;
    let entries = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    let wanted: Option<HashMap<String, String>> =
        (!metadata.is_empty()).then(|| metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect());
    let mut bytes = safetensors::serialize(entries, wanted)
        .map_err(|error| Error::input("cannot write the tensors as safetensors").detail("got", error))?;
    if metadata.len() > 1 {
        sort_metadata(&mut bytes, metadata)?;
    }
    Ok(bytes)
}

/// Writes the metadata in the order of its keys: the library takes the random order of a hash map.
fn sort_metadata(bytes: &mut [u8], metadata: &BTreeMap<String, String>) -> Result<()> {
    let failed = || Error::input("cannot write the tensors as safetensors").detail("got", "an unknown header");
    let length = bytes.first_chunk().map(|length| u64::from_le_bytes(*length)).ok_or_else(failed)?;
    let header = usize::try_from(length).ok().and_then(|length| bytes.get_mut(8..8 + length)).ok_or_else(failed)?;
    let mut entries: Map<String, Value> = serde_json::from_slice(header).map_err(|_| failed())?;
    let sorted: Map<String, Value> =
        metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    *entries.get_mut(METADATA).ok_or_else(failed)? = Value::Object(sorted);
    let text = Value::Object(entries).to_string();
    if text.len() > header.len() {
        return Err(failed());
    }
    header.fill(b' ');
    header[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

pub(super) fn from_bytes(bytes: &[u8]) -> Result<TensorFile> {
    let broken = |error: SafeTensorError| {
        Error::input("this is not a whole safetensors file")
            .detail("got", error)
            .hint("copy the file again from its source")
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let metadata = header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    let views = SafeTensors::deserialize(bytes).map_err(broken)?;
    let mut tensors = Vec::with_capacity(views.len());
    for (name, view) in views.tensors() {
        let dtype = ElementType::from_safetensors(view.dtype()).ok_or_else(|| {
            Error::input("a tensor has a type of element that Evenkeel does not use")
                .detail("tensor", &name)
                .detail("expected", "F32, F64 or I32")
                .detail("got", view.dtype())
        })?;
        tensors.push(NamedTensor { name, dtype, shape: view.shape().to_vec(), bytes: view.data().to_vec() });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(TensorFile { tensors, metadata })
}
