//! Published data sets: where they are, how they are told from anything else, and how they get onto this machine.
//!
//! A file counts as fetched when its bytes have the checksum that is written here, whoever sent them.

mod download;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, Result, nearest};

/// A data set that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The name of its [`DataSpec`](super::DataSpec).
    pub name: String,
    /// The folder it goes into unless told otherwise.
    pub folder: PathBuf,
    /// Its files.
    pub files: Vec<PublishedFile>,
    /// Where they are, the first to be asked first; the name of a file follows after a slash.
    pub addresses: Vec<String>,
}

/// One file of a published data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256 checksum in hexadecimal digits.
    pub sha256: String,
}

/// How a data set is fetched.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// An address to ask in place of the published ones.
    pub from: Option<String>,
    /// How long to wait before a failed request is made again; each further time twice as long.
    pub pause: Duration,
    /// How long an answer and, a request at a time, its bytes may take; what came until then is kept, and the next request goes on from it.
    pub patience: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        FetchOptions { from: None, pause: Duration::from_secs(1), patience: Duration::from_secs(120) }
    }
}

/// What happens while files are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEvent<'a> {
    /// The file is there already, whole.
    Present {
        /// Its name.
        file: &'a str,
    },
    /// Its bytes begin to arrive.
    Started {
        /// Its name.
        file: &'a str,
        /// Where from.
        address: &'a str,
        /// Bytes that were here before.
        done: u64,
        /// Bytes of the whole file.
        total: u64,
    },
    /// More of them are here.
    Received {
        /// Bytes that are here.
        done: u64,
    },
    /// A request failed, and is made again.
    Again {
        /// The name of the file.
        file: &'a str,
        /// Why it failed.
        reason: &'a str,
    },
    /// The file is there, whole.
    Finished {
        /// Its name.
        file: &'a str,
    },
}

/// A file that is there now, with the published checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Whether it was downloaded, and not there already.
    pub downloaded: bool,
}

/// The data sets that can be fetched.
///
/// Sources of the checksums: MNIST and Fashion-MNIST: of files with the published MD5 sums; CIFAR-10: of the authors' archive, as several
/// libraries state it.
pub fn published() -> Vec<Published> {
    let set = |name: &str, folder: &str, files: &[(&str, u64, &str)], addresses: &[&str]| Published {
        name: name.to_owned(),
        folder: Path::new("data").join(folder),
        files: files
            .iter()
            .map(|&(name, bytes, sha256)| PublishedFile { name: name.to_owned(), bytes, sha256: sha256.to_owned() })
            .collect(),
        addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
    };
    vec![
        set(
            "mnist",
            "mnist",
            &[
                (
                    "train-images-idx3-ubyte.gz",
                    9_912_422,
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                ),
                (
                    "train-labels-idx1-ubyte.gz",
                    28_881,
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                ),
                (
                    "t10k-images-idx3-ubyte.gz",
                    1_648_877,
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                ),
                (
                    "t10k-labels-idx1-ubyte.gz",
                    4_542,
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                ),
            ],
            // The authors' own page often refuses downloads; the other two are the copies that PyTorch and TensorFlow take.
            &[
                "https://ossci-datasets.s3.amazonaws.com/mnist",
                "https://storage.googleapis.com/cvdf-datasets/mnist",
                "http://yann.lecun.com/exdb/mnist",
            ],
        ),
        set(
            "fashion-mnist",
            "fashion-mnist",
            &[
                (
                    "train-images-idx3-ubyte.gz",
                    26_421_880,
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                ),
                (
                    "train-labels-idx1-ubyte.gz",
                    29_515,
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                ),
                (
                    "t10k-images-idx3-ubyte.gz",
                    4_422_102,
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                ),
                (
                    "t10k-labels-idx1-ubyte.gz",
                    5_148,
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ),
            ],
            &[
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
            ],
        ),
        set(
            "cifar10",
            "cifar-10",
            &[(
                "cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            )],
            &["https://www.cs.toronto.edu/~kriz"],
        ),
    ]
}

impl Published {
    /// The data set of this name.
    ///
    /// # Errors
    /// When there is none that can be fetched.
    pub fn named(name: &str) -> Result<Published> {
        let mut sets = published();
        if let Some(place) = sets.iter().position(|set| set.name == name) {
            return Ok(sets.swap_remove(place));
        }
        let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
        let known = super::catalogue().into_iter().find(|info| info.name == name || info.form == name);
        let near = nearest(name, names.iter().copied());
        Err(Error::input(format!("'{name}' cannot be fetched"))
            .detail("expected", format!("one of {}", names.join(", ")))
            .detail("got", if name.is_empty() { "nothing" } else { name })
            .hint(match (known, near) {
                (Some(info), _) if info.form == info.name => {
                    format!("'{}' is built in: `evenkeel train --data {}`", info.name, info.name)
                }
                (Some(info), _) => format!("'{}' is data of your own; docs/data.md says how it is laid out", info.form),
                (None, Some(near)) => format!("did you mean '{near}'?"),
                (None, None) => "`evenkeel data` lists what there is".to_owned(),
            }))
    }
}

/// Sees to it that all files of a data set are in `folder`, with the published checksums; downloads those that are not there.
///
/// Bytes go to a file `NAME.part`, which a later call goes on with when this one is stopped; it gets its name when the checksum is right.
///
/// # Errors
/// When no address has the file, or what comes is not the published file; when a file of the name is there and is another one; when
/// another process is fetching into the folder, or the folder cannot be written.
pub fn fetch(
    set: &Published,
    folder: &Path,
    options: &FetchOptions,
    report: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<Vec<Fetched>> {
    let new: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(folder).map_err(|error| Error::io("make the folder", folder, &error))?;
    let download = download::Download::new(set, folder, options);
    let fetched = set.files.iter().map(|file| download.file(file, report)).collect();
    for folder in new {
        // Only an empty folder can be removed.
        let _ = fs::remove_dir(folder);
    }
    fetched
}
