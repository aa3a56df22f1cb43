//! Patterns of paths, as `*.weight, head.*`.

/// Whether one of the patterns, with commas between them, matches.
pub(crate) fn any_matches(patterns: &str, path: &str) -> bool {
    patterns.split(',').any(|pattern| matches(pattern.trim(), path))
}

/// Whether `path` is `pattern`, where `*` stands for any text.
fn matches(pattern: &str, path: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == path };
    let Some(path) = path.strip_prefix(start) else { return false };
    path.char_indices().map(|(at, _)| at).chain([path.len()]).any(|at| matches(rest, &path[at..]))
}

#[cfg(test)]
mod tests {
    use super::{any_matches, matches};

    #[test]
    fn a_star_stands_for_any_text_and_all_else_for_itself() {
        for (pattern, path) in
            [("*", "fc1.weight"), ("*.weight", "layer1.0.conv1.weight"), ("fc*.*t", "fc1.weight"), ("a*", "a")]
        {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [("*.weight", "fc1.bias"), ("fc1", "fc1.weight"), ("", "fc1"), ("*a*b", "ba")] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
        assert!(any_matches("*.bias, head.*", "head.weight") && !any_matches("*.bias, head.*", "fc1.weight"));
    }
}
