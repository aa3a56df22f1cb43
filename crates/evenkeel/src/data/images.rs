//! How folders of pictures are read: a folder for each class, PNG and JPEG files in it.
//!
//! Classes take turns in the order of the samples, so that a limit leaves some of each. All pictures have one size. They have one channel
//! where all are gray, else three; transparency is dropped, and 16 bits become 8.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};
use rayon::prelude::*;

use super::classes::Labels;
use super::parts::{Part, Parts, Reading, hold_out};
use super::source::{check_folder, grouped, name, reserve};
use super::split::Pixels;
use super::targets::Targets;
use super::{LoadOptions, wanted};
use crate::{Error, Result};

const READ: [&str; 3] = ["png", "jpg", "jpeg"];
/// Pictures that would be missed if they were passed over.
const NOT_READ: [&str; 9] = ["bmp", "gif", "tif", "tiff", "webp", "avif", "heic", "ppm", "pgm"];
/// What a part to test on may be called.
const TEST: [&str; 2] = ["test", "val"];
/// No picture has more pixels than so many times the bytes of its file, which is as far as either format packs, and a few.
const PACKED: u64 = 1100;
const FEW: u64 = 1 << 16;
/// Pictures that are unpacked before they are put together.
const TOGETHER: usize = 256;

/// Reads `train/CLASS/` and `test/CLASS/`, or `CLASS/`, of which a part is drawn for the test.
pub(super) fn load(folder: &Path, options: &LoadOptions, reading: Reading) -> Result<Parts> {
    check_folder("images", folder)?;
    let train_folder = folder.join("train");
    let (mut train, mut test) = if train_folder.is_dir() {
        let test_folder = TEST.map(|name| folder.join(name)).into_iter().find(|folder| folder.is_dir());
        (Listed::of(&train_folder)?, test_folder.map(|folder| Listed::of(&folder)).transpose()?)
    } else if folder.join(TEST[0]).is_dir() {
        return Err(Error::input("the images lack a folder to train on")
            .detail("folder", folder.display())
            .detail("expected", "train/CLASS/ beside test/CLASS/")
            .hint("add the folder `train`, or name the folder of the classes itself"));
    } else {
        (Listed::of(folder)?, None)
    };
    if test.is_none() {
        let (rows, held) = hold_out("the images", train.files.len(), options)?;
        test = Some(train.select(&held));
        train = train.select(&rows);
    }
    let Some(mut test) = test else { return Err(Error::input("the images lack a part to test on")) };
    for (option, limit, part) in [("limit", options.first(), &mut train), ("test_limit", options.test_limit, &mut test)]
    {
        let wanted = wanted(option, limit, part.files.len())? as u32;
        *part = part.select(&(0..wanted).collect::<Vec<_>>());
    }
    let kind = Kind::of(&[&train, &test])?;
    let part = |listed: Listed| -> Result<Part> {
        let pixels = match reading {
            Reading::Samples => Pixels::Bytes(kind.pixels(&listed.files)?),
            Reading::Sizes => {
                Pixels::Unread { len: listed.files.len().saturating_mul(kind.len()), size: size_of::<u8>() }
            }
        };
        Ok(Part { pixels, targets: Targets::Classes(listed.labels), shape: kind.shape() })
    };
    Ok(Parts { train: part(train)?, test: Some(part(test)?) })
}

/// The pictures of a part and the class of each.
struct Listed {
    files: Vec<PathBuf>,
    labels: Labels,
}

impl Listed {
    fn of(folder: &Path) -> Result<Self> {
        let mut classes = Vec::new();
        for class in visible(folder)?.into_iter().filter(|path| path.is_dir()) {
            classes.push((name(&class), pictures(&class)?));
        }
        if classes.is_empty() {
            return Err(Error::input("the folder holds no folders of classes")
                .detail("folder", folder.display())
                .detail("expected", "a folder for each class, with its pictures in it")
                .hint("put the pictures of each class into a folder that is called as the class"));
        }
        let (mut files, mut labels) = (Vec::new(), Labels::default());
        let longest = classes.iter().map(|(_, pictures)| pictures.len()).max().unwrap_or(0);
        for turn in 0..longest {
            for (class, picture) in classes.iter().filter_map(|(class, pictures)| Some((class, pictures.get(turn)?))) {
                files.push(picture.clone());
                labels.push(class, folder)?;
            }
        }
        Ok(Listed { files, labels })
    }

    fn select(&self, rows: &[u32]) -> Self {
        let files = rows.iter().map(|&row| self.files[row as usize].clone()).collect();
        Listed { files, labels: self.labels.select(rows) }
    }
}

/// What is in a folder and not hidden, in the order of the names.
fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| Error::io("look into a folder of images", folder, &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn pictures(class: &Path) -> Result<Vec<PathBuf>> {
    let extension = |path: &Path| path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
    let files = visible(class)?;
    if let Some(other) = files.iter().find(|file| NOT_READ.contains(&extension(file).as_str())) {
        return Err(Error::input("a picture is neither PNG nor JPEG")
            .detail("file", other.display())
            .hint("convert it, or move it away"));
    }
    let read = |file: &PathBuf| READ.contains(&extension(file).as_str()) && file.is_file();
    let files: Vec<PathBuf> = files.into_iter().filter(read).collect();
    if files.is_empty() {
        return Err(Error::input("the folder of a class holds no pictures")
            .detail("folder", class.display())
            .detail("expected", "files whose names end in .png, .jpg or .jpeg")
            .hint("add some, or remove the folder"));
    }
    Ok(files)
}

/// What all pictures have in common.
#[derive(Clone, Copy)]
struct Kind {
    width: u32,
    height: u32,
    gray: bool,
}

impl Kind {
    /// Looks at the start of every file.
    fn of(parts: &[&Listed]) -> Result<Self> {
        let files: Vec<&PathBuf> = parts.iter().flat_map(|part| &part.files).collect();
        let looked: Vec<Result<Kind>> = files.par_iter().map(|file| Kind::of_file(file)).collect();
        let kinds = looked.into_iter().collect::<Result<Vec<Kind>>>()?;
        let size = |kind: &Kind| (kind.width, kind.height);
        let mut sizes: Vec<(u32, u32)> = kinds.iter().map(size).collect();
        sizes.sort_unstable();
        let usual = sizes.chunk_by(|a, b| a == b).max_by_key(|same| same.len()).map(|same| (same[0], same.len()));
        let Some(((width, height), count)) = usual else { return Err(Error::input("there are no pictures")) };
        if let Some((kind, file)) = kinds.iter().zip(&files).find(|(kind, _)| size(kind) != (width, height)) {
            return Err(Error::input("the images differ in size")
                .detail("file", file.display())
                .detail(
                    "expected",
                    format!("{height}×{width}, as {} of {} images", grouped(count as u64), grouped(kinds.len() as u64)),
                )
                .detail("got", format!("{}×{} (height×width)", kind.height, kind.width))
                .hint(format!(
                    "bring all of them to one size first, e.g. `mogrify -resize {width}x{height}! FILES` of ImageMagick"
                )));
        }
        Ok(Kind { width, height, gray: kinds.iter().all(|kind| kind.gray) })
    }

    fn of_file(path: &Path) -> Result<Self> {
        let decoder = open(path)?;
        let (width, height) = decoder.dimensions();
        Ok(Kind { width, height, gray: !decoder.color_type().has_color() })
    }

    fn shape(&self) -> [usize; 3] {
        [self.height as usize, self.width as usize, if self.gray { 1 } else { 3 }]
    }

    fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// The pixels of all files, row by row, channels last. On all threads.
    fn pixels(&self, files: &[PathBuf]) -> Result<Vec<u8>> {
        let mut pixels = Vec::new();
        for files in files.chunks(TOGETHER) {
            let unpacked: Vec<Result<Vec<u8>>> = files.par_iter().map(|file| self.unpack(file)).collect();
            for (image, file) in unpacked.into_iter().zip(files) {
                reserve(&mut pixels, self.len(), file)?;
                pixels.extend(image?);
            }
        }
        Ok(pixels)
    }

    fn unpack(&self, path: &Path) -> Result<Vec<u8>> {
        let image = DynamicImage::from_decoder(open(path)?).map_err(|error| damaged(path, &error))?;
        let pixels = if self.gray { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() };
        if pixels.len() != self.len() {
            return Err(Error::input("a picture changed while it was read").detail("file", path.display()));
        }
        Ok(pixels)
    }
}

/// Reads the start of a picture, whose format is seen from its first bytes, not from its name.
fn open(path: &Path) -> Result<impl ImageDecoder> {
    let failed = |error: std::io::Error| Error::io("read a picture", path, &error);
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let most = bytes.saturating_mul(PACKED).saturating_add(FEW);
    let mut reader = ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(failed)?;
    let mut limits = Limits::no_limits();
    // What decoders take beside the pixels, of at most 8 bytes each.
    limits.max_alloc = Some(most.saturating_mul(8));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| damaged(path, &error))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height) * u64::from(decoder.color_type().channel_count());
    if pixels == 0 || pixels > most {
        return Err(Error::input(format!("{} promises more than can be in it", name(path)))
            .detail("file", path.display())
            .detail("expected", format!("a picture that fits into {} bytes", grouped(bytes)))
            .detail("got", format!("{height}×{width} (height×width)"))
            .hint("copy the file again from its source"));
    }
    Ok(decoder)
}

fn damaged(path: &Path, error: &ImageError) -> Error {
    let error = error.to_string();
    Error::input(format!("{} cannot be read as a picture", name(path)))
        .detail("file", path.display())
        .detail("expected", "a PNG or JPEG file")
        .detail("reason", error.lines().next().unwrap_or_default())
        .hint("copy the file again from its source, or remove it")
}
