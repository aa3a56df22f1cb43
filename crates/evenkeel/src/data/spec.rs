//! Which data a user can name, and how the name is written.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use crate::{Error, Result, nearest};

/// A data set and where its files are: `digits`, or a name, a colon and a file or folder, as [`catalogue`] lists them.
///
/// ```
/// use evenkeel::data::DataSpec;
/// let spec: DataSpec = "mnist:data/mnist".parse()?;
/// assert_eq!(spec.to_string(), "mnist:data/mnist");
/// # Ok::<(), evenkeel::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DataSpec {
    /// 1,797 handwritten digits of 8×8 pixels, inside the binary.
    Digits,
    /// MNIST, from a folder with its four IDX files.
    Mnist(PathBuf),
    /// Fashion-MNIST, from a folder with its four IDX files.
    FashionMnist(PathBuf),
    /// CIFAR-10, from a folder with the binary archive or the files it holds.
    Cifar10(PathBuf),
    /// A table of features and labels, from a file or the `train.csv` and `test.csv` of a folder.
    Csv(PathBuf),
    /// A folder with NumPy's `x_train.npy`, `y_train.npy`, `x_test.npy` and `y_test.npy`.
    Npy(PathBuf),
    /// The same arrays in one `.npz` archive.
    Npz(PathBuf),
    /// The tensors `train/x`, `train/y`, `test/x` and `test/y` of a safetensors file.
    Safetensors(PathBuf),
    /// Pictures, from a folder with a folder for each class.
    Images(PathBuf),
    /// The characters of a text, from a file or the `.txt` files of a folder.
    Text(PathBuf),
}

type FromPath = (&'static str, fn(PathBuf) -> DataSpec);

/// The data that is read from a file or folder, by name.
const FROM_PATHS: [FromPath; 9] = [
    ("mnist", DataSpec::Mnist),
    ("fashion-mnist", DataSpec::FashionMnist),
    ("cifar10", DataSpec::Cifar10),
    ("csv", DataSpec::Csv),
    ("npy", DataSpec::Npy),
    ("npz", DataSpec::Npz),
    ("safetensors", DataSpec::Safetensors),
    ("images", DataSpec::Images),
    ("text", DataSpec::Text),
];

impl DataSpec {
    /// The name without the folder.
    pub fn name(&self) -> &'static str {
        match self {
            DataSpec::Digits => "digits",
            DataSpec::Mnist(_) => "mnist",
            DataSpec::FashionMnist(_) => "fashion-mnist",
            DataSpec::Cifar10(_) => "cifar10",
            DataSpec::Csv(_) => "csv",
            DataSpec::Npy(_) => "npy",
            DataSpec::Npz(_) => "npz",
            DataSpec::Safetensors(_) => "safetensors",
            DataSpec::Images(_) => "images",
            DataSpec::Text(_) => "text",
        }
    }

    /// The folder or file, for data that is read from one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            DataSpec::Digits => None,
            DataSpec::Mnist(folder)
            | DataSpec::FashionMnist(folder)
            | DataSpec::Cifar10(folder)
            | DataSpec::Csv(folder)
            | DataSpec::Npy(folder)
            | DataSpec::Npz(folder)
            | DataSpec::Safetensors(folder)
            | DataSpec::Images(folder)
            | DataSpec::Text(folder) => Some(folder),
        }
    }
}

impl fmt::Display for DataSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.folder() {
            None => write!(f, "{}", self.name()),
            Some(folder) => write!(f, "{}:{}", self.name(), folder.display()),
        }
    }
}

impl FromStr for DataSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, folder) = match text.split_once(':') {
            Some((name, folder)) => (name, Some(folder)),
            None => (text, None),
        };
        let Some(info) = catalogue().into_iter().find(|info| info.name == name) else {
            return Err(unknown(name));
        };
        let of_path = FROM_PATHS.into_iter().find(|(known, _)| *known == name);
        match (of_path, folder) {
            (None, None) => Ok(DataSpec::Digits),
            (None, Some(_)) => Err(Error::input(format!("'{name}' is built in and takes no folder"))
                .detail("expected", name)
                .detail("got", text)
                .hint("leave out everything after the name")),
            (Some((_, of)), Some(path)) if !path.is_empty() => Ok(of(path.into())),
            (Some(_), _) => {
                let file = info.form.ends_with("FILE");
                let (needs, what) = if file { ("a file", "file") } else { ("the folder of its files", "folder") };
                let end = match (file, name) {
                    (false, _) => "",
                    (true, "text") => ".txt",
                    (true, _) => &format!(".{name}"),
                };
                let example = format!("{name}:data/{name}{end}");
                Err(Error::input(format!("'{name}' needs {needs}"))
                    .detail("expected", info.form)
                    .detail("got", if text.is_empty() { "nothing" } else { text })
                    .hint(format!("write the {what} after a colon, e.g. `{example}`")))
            }
        }
    }
}

fn unknown(name: &str) -> Error {
    let catalogue = catalogue();
    let forms: Vec<&str> = catalogue.iter().map(|info| info.form).collect();
    let error = Error::input(format!("data set '{name}' is not known"))
        .detail("expected", forms.join(", "))
        .detail("got", if name.is_empty() { "nothing" } else { name });
    let near = nearest(name, catalogue.iter().map(|info| info.name))
        .and_then(|near| catalogue.iter().find(|info| info.name == near));
    match near {
        Some(info) => {
            error.hint(format!("did you mean '{}'? `evenkeel data` lists all {}", info.form, catalogue.len()))
        }
        None => error.hint(format!("`evenkeel data` lists all {}", catalogue.len())),
    }
}

/// One data set that can be named, as the command `evenkeel data` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DataInfo {
    /// The name, e.g. `mnist`.
    pub name: &'static str,
    /// How it is written, e.g. `mnist:DIR`.
    pub form: &'static str,
    /// The number of classes; like the three below `None` where it depends on the file.
    pub classes: Option<usize>,
    /// Height, width and channels of the published images.
    pub image_shape: Option<[usize; 3]>,
    /// The number of training samples.
    pub train: Option<usize>,
    /// The number of test samples.
    pub test: Option<usize>,
    /// The licence, as known.
    pub licence: &'static str,
    /// What it shows, and which files are read.
    pub description: &'static str,
}

/// Every data set that can be named, the built-in one first.
pub fn catalogue() -> Vec<DataInfo> {
    vec![
        DataInfo {
            name: "digits",
            form: "digits",
            classes: Some(10),
            image_shape: Some([8, 8, 1]),
            train: Some(1438),
            test: Some(359),
            licence: "CC BY 4.0 (E. Alpaydin, C. Kaynak, UCI, 1998)",
            description: "handwritten digits, built in; a fifth is drawn for the test unless told otherwise",
        },
        DataInfo {
            name: "mnist",
            form: "mnist:DIR",
            classes: Some(10),
            image_shape: Some([28, 28, 1]),
            train: Some(60_000),
            test: Some(10_000),
            licence: "commonly given as CC BY-SA 3.0 (Y. LeCun, C. Cortes)",
            description: "handwritten digits; DIR holds train-images-idx3-ubyte and the other three, with or without .gz",
        },
        DataInfo {
            name: "fashion-mnist",
            form: "fashion-mnist:DIR",
            classes: Some(10),
            image_shape: Some([28, 28, 1]),
            train: Some(60_000),
            test: Some(10_000),
            licence: "MIT (Zalando SE, 2017)",
            description: "clothing; DIR holds files named as those of MNIST",
        },
        DataInfo {
            name: "cifar10",
            form: "cifar10:DIR",
            classes: Some(10),
            image_shape: Some([32, 32, 3]),
            train: Some(50_000),
            test: Some(10_000),
            licence: "none stated; cite A. Krizhevsky, 2009",
            description: "photographs; DIR holds cifar-10-binary.tar.gz or the .bin files unpacked from it",
        },
        own(
            "csv",
            "csv:FILE",
            "a table of numbers and a column of labels, or of what is predicted; FILE may be packed, or a folder with train.csv and test.csv",
        ),
        own("npy", "npy:DIR", "NumPy's arrays; DIR holds x_train.npy, y_train.npy, x_test.npy and y_test.npy"),
        own("npz", "npz:FILE", "the same arrays in one archive of NumPy, as Keras' mnist.npz has them"),
        own("safetensors", "safetensors:FILE", "the tensors train/x, train/y, test/x and test/y"),
        own(
            "images",
            "images:DIR",
            "PNG and JPEG pictures of one size; DIR holds train/CLASS/ and test/CLASS/, or CLASS/ alone",
        ),
        DataInfo {
            name: "text",
            form: "text:FILE",
            classes: None,
            image_shape: None,
            train: None,
            test: None,
            licence: "that of the text",
            description: "each character of a text in UTF-8 and the one after it; FILE may be packed, or a folder of .txt files",
        },
    ]
}

/// Data of a user's own.
const fn own(name: &'static str, form: &'static str, description: &'static str) -> DataInfo {
    let licence = "that of the data";
    DataInfo { name, form, classes: None, image_shape: None, train: None, test: None, licence, description }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_catalogue_parses_and_prints_as_it_was_written() {
        for info in catalogue() {
            let spec: DataSpec = info.form.parse().unwrap();
            assert_eq!(spec.to_string(), info.form);
            assert_eq!(spec.name(), info.name);
        }
    }

    #[test]
    fn a_folder_may_hold_colons_and_spaces() {
        let spec: DataSpec = "cifar10:C:\\my data".parse().unwrap();
        assert_eq!(spec, DataSpec::Cifar10("C:\\my data".into()));
        assert_eq!(spec.to_string(), "cifar10:C:\\my data");
    }

    #[test]
    fn an_unknown_name_is_told_its_nearest_and_where_the_list_is() {
        let error = "mnits:data".parse::<DataSpec>().unwrap_err().to_string();
        assert!(error.starts_with("data set 'mnits' is not known"), "{error}");
        assert!(error.contains("hint: did you mean 'mnist:DIR'? `evenkeel data` lists all 10"), "{error}");
        let error = "imagenet".parse::<DataSpec>().unwrap_err().to_string();
        assert!(error.contains("hint: `evenkeel data` lists all 10"), "{error}");
        assert!("".parse::<DataSpec>().unwrap_err().to_string().contains("nothing"));
    }

    #[test]
    fn a_missing_folder_is_told_the_form() {
        for text in ["mnist", "mnist:"] {
            let error = text.parse::<DataSpec>().unwrap_err().to_string();
            assert!(error.starts_with("'mnist' needs the folder of its files"), "{error}");
            assert!(error.contains("expected  mnist:DIR"), "{error}");
        }
    }

    #[test]
    fn digits_takes_no_folder() {
        let error = "digits:data".parse::<DataSpec>().unwrap_err().to_string();
        assert!(error.contains("takes no folder"), "{error}");
    }
}
