//! Which of a network's hidden values a term or a measurement is about.

use crate::nn::Tap;
use crate::{Error, Result, nearest};
use std::fmt;
use std::str::FromStr;

/// A choice of hidden values, see [`crate::nn::Context::tap`].
///
/// As a word: `outputs`, `all`, or names separated by commas, each a path (`layer1.0.act2`), its end (`act2`) or its beginning (`layer1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Layers {
    /// The last hidden value of each numbered block (`layer1.0`, `blocks.3`), or all of a network that has no such blocks.
    #[default]
    Outputs,
    /// All of them.
    All,
    /// Those of these names.
    Named(Vec<String>),
}

impl Layers {
    /// Those of `taps` that are chosen, in order.
    ///
    /// # Errors
    /// When there is none, or a name fits none.
    pub fn of<'g>(&self, taps: &[Tap<'g>]) -> Result<Vec<Tap<'g>>> {
        let paths: Vec<&str> = taps.iter().map(|tap| tap.path.as_str()).collect();
        Ok(self.places(&paths)?.into_iter().map(|place| taps[place].clone()).collect())
    }

    /// The places of the chosen ones among all paths.
    fn places(&self, paths: &[&str]) -> Result<Vec<usize>> {
        if paths.is_empty() {
            return Err(Error::input("the network makes no hidden value known")
                .hint("a model makes them known with `cx.tap(..)`; a deep linear network has none"));
        }
        let all = 0..paths.len();
        Ok(match self {
            Layers::All => all.collect(),
            Layers::Outputs if paths.iter().all(|path| block(path).is_none()) => all.collect(),
            Layers::Outputs => all
                .filter(|&place| {
                    let here = block(paths[place]);
                    here.is_some() && paths[place + 1..].iter().all(|later| block(later) != here)
                })
                .collect(),
            Layers::Named(names) => {
                if let Some(unknown) = names.iter().find(|name| !paths.iter().any(|path| is_named(path, name))) {
                    let error = Error::input(format!("no hidden value of the network is called '{unknown}'"))
                        .detail("expected", format!("a path, its beginning or its end: {}", paths.join(", ")))
                        .detail("got", unknown);
                    return Err(match nearest(unknown, paths.iter().copied()) {
                        Some(near) => error.hint(format!("did you mean '{near}'?")),
                        None => error,
                    });
                }
                all.filter(|&place| names.iter().any(|name| is_named(paths[place], name))).collect()
            }
        })
    }
}

/// The innermost place of a path whose name is a number: `layer1.0` of `layer1.0.act2`.
fn block(path: &str) -> Option<&str> {
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let mut place = path;
    while let Some((outer, _)) = place.rsplit_once('.') {
        if is_number(outer.rsplit('.').next().unwrap_or(outer)) {
            return Some(outer);
        }
        place = outer;
    }
    None
}

/// Whether a path is `name`, or ends or begins with it.
fn is_named(path: &str, name: &str) -> bool {
    let at_end = path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    at_end || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
}

impl FromStr for Layers {
    type Err = Error;

    fn from_str(text: &str) -> Result<Layers> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_string()).collect();
        match &names[..] {
            [only] if only == "outputs" => Ok(Layers::Outputs),
            [only] if only == "all" => Ok(Layers::All),
            _ if names.iter().any(String::is_empty) => Err(Error::input("a name of a hidden value is empty")
                .detail("expected", "outputs, all, or names separated by commas")
                .detail("got", text)),
            _ => Ok(Layers::Named(names)),
        }
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layers::Outputs => f.write_str("outputs"),
            Layers::All => f.write_str("all"),
            Layers::Named(names) => f.write_str(&names.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [&str; 3] = ["act1", "act2", "act3"];
    const BLOCKS: [&str; 5] = ["act1", "layer1.0.act1", "layer1.0.act2", "layer2.10.act1", "layer2.10.act2"];

    fn chosen(word: &str, paths: &[&str]) -> Vec<usize> {
        let layers: Layers = word.parse().unwrap();
        assert_eq!(layers.to_string().parse::<Layers>().unwrap(), layers);
        layers.places(paths).unwrap()
    }

    #[test]
    fn blocks_give_their_outputs_and_a_network_without_blocks_gives_everything() {
        assert_eq!(chosen("outputs", &BLOCKS), [2, 4]);
        assert_eq!(chosen("outputs", &PLAIN), [0, 1, 2]);
        assert_eq!(chosen("outputs", &["blocks.0.mlp.act", "blocks.0.out", "blocks.1.mlp.act"]), [1, 2]);
        assert_eq!(chosen("all", &BLOCKS), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn names_are_paths_or_their_beginning_or_end() {
        assert_eq!(chosen("act1", &BLOCKS), [0, 1, 3]);
        assert_eq!(chosen("layer1, layer2.10.act2", &BLOCKS), [1, 2, 4]);
        assert_eq!(chosen("act2", &PLAIN), [1]);
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let error = Layers::Named(vec!["act9".into()]).places(&PLAIN).unwrap_err().to_string();
        assert!(error.contains("act9") && error.contains("did you mean 'act1'?"), "{error}");
        assert!(Layers::Named(vec!["ct1".into()]).places(&PLAIN).is_err(), "names are cut at dots");
        assert!(Layers::All.places(&[]).is_err());
        assert!("act1,,act2".parse::<Layers>().is_err());
    }
}
