//! Samples and labels in a safetensors file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata};

use super::array::{Array, Element, Order};
use super::arrays::Arrays;
use super::source::{Packing, Source};
use crate::store::tensors;
use crate::{Error, Result};

/// A file and what its header says.
pub(super) struct Tensors {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// The byte at which the elements begin.
    start: u64,
    size: u64,
}

impl Tensors {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|error| Error::io("open a data file", path, &error))?;
        let found = file.metadata().map_err(|error| Error::io("read a data file", path, &error))?;
        if !found.is_file() {
            return Err(Error::input("'safetensors' needs a file").detail("got", path.display()));
        }
        let (metadata, start) =
            tensors::read_header(&mut file, found.len()).map_err(|error| error.detail("file", path.display()))?;
        Ok(Tensors { path: path.to_owned(), file, metadata, start, size: found.len() })
    }
}

impl Arrays for Tensors {
    const NAMES: [&'static str; 4] = ["train/x", "train/y", "test/x", "test/y"];

    fn open(&mut self, name: &str) -> Result<Option<(Array, Source<'_>)>> {
        let Some(info) = self.metadata.info(name) else { return Ok(None) };
        let path = self.path.join(name);
        let element = match info.dtype {
            Dtype::BOOL => Element::Bool,
            Dtype::U8 => Element::U8,
            Dtype::I8 => Element::I8,
            Dtype::U16 => Element::U16,
            Dtype::I16 => Element::I16,
            Dtype::U32 => Element::U32,
            Dtype::I32 => Element::I32,
            Dtype::U64 => Element::U64,
            Dtype::I64 => Element::I64,
            Dtype::F32 => Element::F32,
            Dtype::F64 => Element::F64,
            other => {
                return Err(Error::input(format!("{name} has a type of element that data cannot have"))
                    .detail("file", self.path.display())
                    .detail("expected", "BOOL, U8 to U64, I8 to I64, F32 or F64")
                    .detail("got", other)
                    .hint("convert the tensor to F32 before it is saved"));
            }
        };
        let (begin, end) = info.data_offsets;
        let start = self.start.saturating_add(begin as u64);
        self.file.seek(SeekFrom::Start(start)).map_err(|error| Error::io("read a data file", &self.path, &error))?;
        let sizes: Vec<u64> = info.shape.iter().map(|&size| size as u64).collect();
        let source = Source::part((&self.file).take((end - begin) as u64), path, Packing::Plain, self.size);
        Ok(Some((Array::new(&source, element, Order::Little, &sizes, size_of::<u64>() as u64, start)?, source)))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
