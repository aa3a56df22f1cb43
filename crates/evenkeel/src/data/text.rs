//! Texts: each character is a token, and the one after it is its label.

use super::source::{Source, grouped, name};
use super::split::{Pixels, Split};
use crate::{Error, Result};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes read at a time.
const PIECE: usize = 1 << 18;

/// The different characters of a text in the order of their code points; a character's token is its place among them.
///
/// ```
/// use evenkeel::data::Vocabulary;
/// let vocabulary = Vocabulary::of("to be or not to be");
/// let tokens = vocabulary.encode("not")?;
/// assert_eq!(tokens, [3, 4, 6]);
/// assert_eq!(vocabulary.decode(&tokens), "not");
/// # Ok::<(), evenkeel::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    characters: Vec<char>,
}

impl Vocabulary {
    /// The characters of a text.
    pub fn of(text: &str) -> Self {
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort_unstable();
        characters.dedup();
        Vocabulary { characters }
    }

    /// The vocabulary of a data set: the characters that its classes are named after.
    ///
    /// # Errors
    /// When its classes are no characters.
    pub fn of_classes(names: &[String]) -> Result<Self> {
        let one = |name: &String| {
            let mut characters = name.chars();
            characters.next().filter(|_| characters.next().is_none())
        };
        let characters: Option<Vec<char>> = names.iter().map(one).collect();
        match characters {
            Some(characters) if characters.is_sorted_by(|a, b| a < b) => Ok(Vocabulary { characters }),
            _ => Err(Error::input("the classes of this data set are not the characters of a text")),
        }
    }

    /// How many characters there are.
    pub fn len(&self) -> usize {
        self.characters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// At the first character that is not in the vocabulary.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>> {
        let token = |(place, character): (usize, char)| match self.characters.binary_search(&character) {
            Ok(token) => Ok(token as i32),
            Err(_) => {
                Err(Error::input(format!("the text has a character that is not in the vocabulary: {character:?}"))
                    .detail("position", format!("character {}", place + 1))
                    .detail("expected", format!("one of {} characters", self.len()))
                    .detail("got", character.escape_unicode()))
            }
        };
        text.chars().enumerate().map(token).collect()
    }

    /// The text of tokens; what is no token becomes U+FFFD.
    pub fn decode(&self, tokens: &[i32]) -> String {
        let character =
            |&token: &i32| usize::try_from(token).ok().and_then(|token| self.characters.get(token)).copied();
        tokens.iter().map(|token| character(token).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }
}

/// Tokens as narrow as their vocabulary allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tokens {
    Narrow(Vec<u8>),
    Wide(Vec<u16>),
}

impl Tokens {
    pub(super) fn len(&self) -> usize {
        match self {
            Tokens::Narrow(tokens) => tokens.len(),
            Tokens::Wide(tokens) => tokens.len(),
        }
    }

    /// Bytes of one.
    pub(super) fn size(&self) -> usize {
        match self {
            Tokens::Narrow(_) => size_of::<u8>(),
            Tokens::Wide(_) => size_of::<u16>(),
        }
    }

    pub(super) fn at(&self, place: usize) -> i32 {
        match self {
            Tokens::Narrow(tokens) => i32::from(tokens[place]),
            Tokens::Wide(tokens) => i32::from(tokens[place]),
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        match self {
            Tokens::Narrow(tokens) => {
                tokens.truncate(len);
                tokens.shrink_to_fit();
            }
            Tokens::Wide(tokens) => {
                tokens.truncate(len);
                tokens.shrink_to_fit();
            }
        }
    }

    fn push(&mut self, token: u16) {
        match (&mut *self, u8::try_from(token)) {
            (Tokens::Narrow(tokens), Ok(token)) => tokens.push(token),
            (Tokens::Narrow(tokens), Err(_)) => {
                *self = Tokens::Wide(tokens.iter().map(|&token| u16::from(token)).chain([token]).collect());
            }
            (Tokens::Wide(tokens), _) => tokens.push(token),
        }
    }

    fn split_off(&mut self, at: usize) -> Tokens {
        match self {
            Tokens::Narrow(tokens) => Tokens::Narrow(tokens.split_off(at)),
            Tokens::Wide(tokens) => Tokens::Wide(tokens.split_off(at)),
        }
    }

    /// Gives tokens other numbers: number n becomes `to[n]`.
    fn rename(&mut self, to: &[u16]) {
        match self {
            // What fits into a byte still does: there are no more numbers than before.
            Tokens::Narrow(tokens) => tokens.iter_mut().for_each(|token| *token = to[usize::from(*token)] as u8),
            Tokens::Wide(tokens) => tokens.iter_mut().for_each(|token| *token = to[usize::from(*token)]),
        }
    }
}

/// Reads a file, or the `.txt` files of a folder in the order of their names, as samples of `length` characters that follow each other;
/// the last `test_fraction` of the characters are for the test. Memory: a byte a character, two where there are more than 256 different
/// ones.
pub(super) fn load(path: &Path, length: usize, test_fraction: f64) -> Result<(Split, Split, Vec<String>)> {
    let mut reader = Reader::default();
    for file in files(path)? {
        reader.read(&file)?;
    }
    let (mut train, characters) = reader.finish();
    let count = train.len();
    let test = ((count as f64 * test_fraction).round() as usize).min(count);
    // Each part needs a label for its last character.
    if length == 0 || count - test <= length || test <= length {
        let least = length.max(1).saturating_add(1);
        return Err(Error::input(match count {
            0 => "the text is empty".to_owned(),
            _ => format!("the text is too short for samples of {length} characters"),
        })
        .detail("file", path.display())
        .detail("expected", format!("at least {} characters to train on and as many to test on", grouped(least as u64)))
        .detail("got", format!("{} and {}", grouped((count - test) as u64), grouped(test as u64)))
        .hint("take a longer text, or shorter samples with `--set data.tokens=N`"));
    }
    let test = train.split_off(count - test);
    let names = characters.into_iter().map(String::from).collect();
    let split = |tokens| Split::new(Pixels::Text(tokens), vec![], vec![length], 1.0);
    Ok((split(train)?, split(test)?, names))
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let found = fs::metadata(path).map_err(|error| {
        Error::io("look for a text", path, &error).hint("name a text file, or a folder of `.txt` files, after `text:`")
    })?;
    if !found.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| Error::io("look into the folder of a text", path, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| Error::io("look into the folder of a text", path, &error))?.path();
        if file.extension().is_some_and(|extension| extension == "txt") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::input("the folder holds no text")
            .detail("folder", path.display())
            .detail("expected", "files whose names end in .txt")
            .hint("name a text file after `text:`"));
    }
    Ok(files)
}

/// Characters as they come, numbered in the order in which they were first seen.
struct Reader {
    tokens: Tokens,
    characters: Vec<char>,
    numbers: HashMap<char, u16>,
}

impl Default for Reader {
    fn default() -> Self {
        Reader { tokens: Tokens::Narrow(vec![]), characters: vec![], numbers: HashMap::new() }
    }
}

impl Reader {
    fn read(&mut self, path: &Path) -> Result<()> {
        let mut source = Source::open(path)?;
        let mut piece = vec![0; PIECE];
        // Bytes of a character whose end is in the next piece.
        let mut begun = 0;
        let mut before = 0_u64;
        loop {
            let filled = source.fill(&mut piece[begun..])?;
            let bytes = &piece[..begun + filled];
            let whole = match std::str::from_utf8(bytes) {
                Ok(_) => bytes.len(),
                Err(error) if error.error_len().is_none() && filled > 0 => error.valid_up_to(),
                Err(error) => return Err(not_a_text(path, before + error.valid_up_to() as u64)),
            };
            let text = std::str::from_utf8(&bytes[..whole]).map_err(|_| not_a_text(path, before))?;
            // Some editors mark the start of a file.
            let text = if before == 0 { text.trim_start_matches('\u{feff}') } else { text };
            for character in text.chars() {
                self.push(character, path)?;
            }
            let len = bytes.len();
            if filled == 0 {
                return source.finish(before, "text");
            }
            piece.copy_within(whole..len, 0);
            begun = len - whole;
            before += whole as u64;
        }
    }

    fn push(&mut self, character: char, path: &Path) -> Result<()> {
        let number = match self.numbers.get(&character) {
            Some(&number) => number,
            None => {
                let number = u16::try_from(self.characters.len()).map_err(|_| {
                    Error::input("the text has too many different characters")
                        .detail("file", path.display())
                        .detail("expected", format!("at most {}", grouped(1_u64 << 16)))
                        .hint(format!("is {} a text?", name(path)))
                })?;
                self.numbers.insert(character, number);
                self.characters.push(character);
                number
            }
        };
        self.tokens.push(number);
        Ok(())
    }

    /// The tokens, numbered by the order of the characters' code points.
    fn finish(mut self) -> (Tokens, Vec<char>) {
        let mut sorted = self.characters.clone();
        sorted.sort_unstable();
        let mut to = vec![0; sorted.len()];
        for (place, character) in sorted.iter().enumerate() {
            if let Some(&number) = self.numbers.get(character) {
                to[usize::from(number)] = place as u16;
            }
        }
        self.tokens.rename(&to);
        (self.tokens, sorted)
    }
}

fn not_a_text(path: &Path, byte: u64) -> Error {
    Error::input(format!("{} is not a text in UTF-8", name(path)))
        .detail("file", path.display())
        .detail("byte", grouped(byte))
        .hint("save it as UTF-8")
}
