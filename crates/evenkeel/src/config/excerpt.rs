//! How a place is shown: the file and line with carets under the culprit, or the flag that carried it.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

/// The widest piece of a line that is shown; a longer line is cut around the carets.
const WIDEST: usize = 100;

/// The excerpt for a byte range of a file.
///
/// ```text
///   --> run.toml:3:9
///   3 | model = "resnet2O"
///     |         ^^^^^^^^^^ did you mean 'resnet20'?
/// ```
///
/// Columns count characters from 1. A range that goes over several lines is marked on its first line only. Any range is accepted,
/// also one outside the text or inside a character.
pub(crate) fn of_file(path: &Path, text: &str, span: Range<usize>, help: &str) -> String {
    let start = character_boundary(text, span.start);
    let end = character_boundary(text, span.end.max(start));
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let line_number = text[..line_start].matches('\n').count() + 1;
    let before = &text[line_start..start];
    let marked = &text[start..end.clamp(start, line_end)];
    let after = &text[start + marked.len()..line_end];
    let column = before.chars().count() + 1;

    let mut result = format!("  --> {}:{line_number}:{column}\n", path.display());
    mark(&mut result, &line_number.to_string(), before, marked, after, help);
    result
}

/// The excerpt for a flag: its name stands in the place of the file and line.
///
/// ```text
///   --> --lr
///     | -0.1
///     | ^^^^ must be above 0
/// ```
pub(crate) fn of_flag(origin: &str, given: &str, help: &str) -> String {
    of_part(origin, given, 0..given.len(), help)
}

/// The excerpt for a byte range of what a flag was given. Any range is accepted.
pub(crate) fn of_part(origin: &str, given: &str, span: Range<usize>, help: &str) -> String {
    let start = character_boundary(given, span.start);
    let end = character_boundary(given, span.end.max(start));
    let mut result = format!("  --> {}\n", drawn(origin));
    mark(&mut result, " ", &given[..start], &given[start..end], &given[end..], help);
    result
}

/// The excerpt for a whole file, when no place in it is known.
pub(crate) fn of_whole_file(path: &Path, help: &str) -> String {
    format!("  --> {}\n    = {help}\n", path.display())
}

fn character_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Writes the source line and, under it, carets below `marked` (one caret at least).
fn mark(result: &mut String, label: &str, before: &str, marked: &str, after: &str, help: &str) {
    let (mut before, mut marked, mut after) = (drawn(before), drawn(marked), drawn(after.trim_end_matches('\r')));
    let (left, middle) = (before.chars().count(), marked.chars().count());
    if left > WIDEST / 2 && left + middle + after.chars().count() > WIDEST {
        before = format!("…{}", before.chars().skip(left - WIDEST / 2).collect::<String>());
    }
    if middle > WIDEST {
        marked = shortened(&marked, WIDEST);
    }
    let room = WIDEST.saturating_sub(before.chars().count() + marked.chars().count());
    if after.chars().count() > room {
        after = shortened(&after, room);
    }
    let line = format!("{before}{marked}{after}");
    let margin = " ".repeat(label.chars().count());
    let indent = " ".repeat(before.chars().count());
    let carets = "^".repeat(marked.chars().count().max(1));
    // Writing to a string cannot fail.
    let _ = writeln!(result, "  {label} | {}", line.trim_end());
    let _ = writeln!(result, "  {margin} | {}", format!("{indent}{carets} {help}").trim_end());
}

fn shortened(text: &str, length: usize) -> String {
    text.chars().take(length).chain(['…']).collect()
}

/// Every character one column wide: tabs and control characters would move the carets away from what they mark.
fn drawn(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\t' => ' ',
            character if character.is_control() => char::REPLACEMENT_CHARACTER,
            character => character,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_outside_the_text_or_inside_a_character_is_shown_all_the_same() {
        for (start, end) in [(0, 0), (1, 2), (2, 1), (5, 9), (100, 200)] {
            let shown = of_file(Path::new("run.toml"), "é = 1", start..end, "here");
            assert!(shown.contains("run.toml:1:") && shown.contains('^'), "{shown}");
        }
    }

    #[test]
    fn carets_stay_below_a_value_behind_tabs_and_wide_text() {
        insta::assert_snapshot!(of_file(Path::new("run.toml"), "a = 1\r\n\tbé = \"ü\"  # note\r\nc = 2", 14..18, "here"), @r#"
          --> run.toml:2:7
          2 |  bé = "ü"  # note
            |       ^^^ here
        "#);
    }

    #[test]
    fn a_very_long_line_is_cut_on_both_sides_of_the_carets() {
        let text = format!("{} = 1 # {}", "k".repeat(300), "c".repeat(300));
        let shown = of_file(Path::new("run.toml"), &text, 303..304, "here");
        assert!(shown.lines().all(|line| line.chars().count() < 120), "{shown}");
        let (line, carets) = (shown.lines().nth(1).unwrap(), shown.lines().nth(2).unwrap());
        let column = carets.chars().position(|character| character == '^').unwrap();
        assert_eq!(line.chars().nth(column), Some('1'));
    }
}
