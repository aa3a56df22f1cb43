//! Of which words and signs does a filter consist?

use std::ops::Range;

use super::Fault;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A run of letters, digits and `_ . : / -`.
    Word(String),
    Number(f64),
    Quoted(String),
    /// One of `= != < <= > >= ~ + - * / ( )`.
    Sign(&'static str),
}

/// Longer signs before those they begin with.
const SIGNS: [(&str, &str); 15] = [
    ("==", "="),
    ("!=", "!="),
    ("<>", "!="),
    ("<=", "<="),
    (">=", ">="),
    ("=", "="),
    ("<", "<"),
    (">", ">"),
    ("~", "~"),
    ("+", "+"),
    ("-", "-"),
    ("*", "*"),
    ("/", "/"),
    ("(", "("),
    (")", ")"),
];

/// The longest text of a filter, in bytes.
const LONGEST: usize = 10_000;

/// The tokens of a text with their places.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, Fault> {
    if text.len() > LONGEST {
        return Err(Fault::new("the filter is too long", 0..1, format!("at most {LONGEST} bytes")));
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
        } else if first == '\'' || first == '"' {
            let inside = &rest[1..];
            let Some(length) = inside.find(first) else {
                return Err(Fault::new("the text in quotes does not end", at..text.len(), "a quote is missing"));
            };
            found.push((Token::Quoted(inside[..length].to_owned()), at..at + length + 2));
            at += length + 2;
        } else if let Some(length) = word(rest) {
            let word = &rest[..length];
            // `nan` and `inf` are words: nothing is compared with them.
            let numeric = word.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit() || c == '.');
            let token = match word.parse::<f64>() {
                Ok(number) if numeric && number.is_finite() => Token::Number(number),
                _ => Token::Word(word.to_owned()),
            };
            found.push((token, at..at + length));
            at += length;
        } else if let Some((sign, meaning)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            found.push((Token::Sign(meaning), at..at + sign.len()));
            at += sign.len();
        } else {
            return Err(Fault::new(
                "the filter holds a sign that means nothing",
                at..at + first.len_utf8(),
                "there are = != < <= > >= ~ + - * / and parentheses",
            ));
        }
    }
    Ok(found)
}

/// The length of the word that the text begins with; `-` and `/` alone are signs.
fn word(text: &str) -> Option<usize> {
    let belongs = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '-');
    // The exponent's sign of 1e+3.
    let mut length = 0;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let exponent = c == '+'
            && text[..length].ends_with(['e', 'E'])
            && text.starts_with(|c: char| c.is_ascii_digit())
            && characters.peek().is_some_and(char::is_ascii_digit);
        // A glob behind `~` or `=`.
        if !belongs(c) && !exponent {
            break;
        }
        length += c.len_utf8();
    }
    (length > 0 && !matches!(&text[..length], "-" | "/")).then_some(length)
}
