//! Which data a user can name, and how the name is written.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use crate::{Error, Result, nearest};

/// A data set and where its files are, written `digits`, `mnist:DIR`, `fashion-mnist:DIR`, `cifar10:DIR` or `text:FILE`.
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
    /// The characters of a text, from a file or the `.txt` files of a folder.
    Text(PathBuf),
}

impl DataSpec {
    /// The name without the folder.
    pub fn name(&self) -> &'static str {
        match self {
            DataSpec::Digits => "digits",
            DataSpec::Mnist(_) => "mnist",
            DataSpec::FashionMnist(_) => "fashion-mnist",
            DataSpec::Cifar10(_) => "cifar10",
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
        match (name, folder) {
            ("digits", None) => Ok(DataSpec::Digits),
            ("digits", Some(_)) => Err(Error::input("'digits' is built in and takes no folder")
                .detail("expected", "digits")
                .detail("got", text)
                .hint("leave out everything after the name")),
            ("text", None | Some("")) => Err(Error::input("'text' needs a file")
                .detail("expected", info.form)
                .detail("got", text)
                .hint("write the file after a colon, e.g. `text:input.txt`")),
            (_, None | Some("")) => Err(Error::input(format!("'{name}' needs the folder of its files"))
                .detail("expected", info.form)
                .detail("got", if text.is_empty() { "nothing" } else { text })
                .hint(format!("write the folder after a colon, e.g. `{name}:data/{name}`"))),
            ("mnist", Some(folder)) => Ok(DataSpec::Mnist(folder.into())),
            ("fashion-mnist", Some(folder)) => Ok(DataSpec::FashionMnist(folder.into())),
            ("cifar10", Some(folder)) => Ok(DataSpec::Cifar10(folder.into())),
            ("text", Some(path)) => Ok(DataSpec::Text(path.into())),
            _ => Err(unknown(name)),
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
        assert!(error.contains("hint: did you mean 'mnist:DIR'? `evenkeel data` lists all 5"), "{error}");
        let error = "imagenet".parse::<DataSpec>().unwrap_err().to_string();
        assert!(error.contains("hint: `evenkeel data` lists all 5"), "{error}");
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
