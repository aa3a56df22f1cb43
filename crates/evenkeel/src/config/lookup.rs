//! Which setting a key means, and which one was probably meant when it means none.

use super::fault::{Fault, Shown};
use super::table::{KEYS, Key, SECTIONS};
use crate::nearest;

/// The key of files that names the version that wrote them; it is read past.
pub(crate) const VERSION: &str = "version";
/// What a resumed run did otherwise before, see [`Config::to_toml_after`](super::Config::to_toml_after).
pub(crate) const CHANGES: &str = "changes";

/// The setting called `name` (or an alias of it) in `section`; the top level is the section "".
pub(crate) fn find(section: &str, name: &str) -> Option<&'static Key> {
    in_section(section).find(|key| key.is_named(name))
}

pub(crate) fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|(section, _)| *section == name)
}

/// The fault of a key that means nothing; `path` is how it was written, with dots.
pub(crate) fn unknown(path: &str) -> Fault {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let what = format!("unknown key '{}'", Shown(path));
    match meant(section, name) {
        Some(meant) if meant == path => Fault::key(what, "write it without quotes"),
        Some(meant) => Fault::key(what, format!("did you mean '{meant}'?")),
        None if section.is_empty() || is_section(section) => {
            Fault::key(what, "there is no such setting").hint(list(section))
        }
        None => Fault::key(what, "there is no such section").hint(list("")),
    }
}

/// The fault of a value given to a whole section, as in `data = "digits"`.
pub(crate) fn is_a_section(section: &str, value_is_text: bool) -> Fault {
    let what = format!("'{section}' is a section, not a setting");
    let first = in_section(section).next().filter(|key| value_is_text && key.kind.is_quoted());
    let help = match first {
        Some(key) => format!("did you mean '{}'?", key.path),
        None => "set its keys one by one".into(),
    };
    Fault::key(what, help).hint(list(section))
}

fn in_section(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

fn names(key: &'static Key) -> impl Iterator<Item = &'static str> {
    key.aliases.iter().copied().chain([key.name])
}

/// The path of the setting (or settings, joined by "or") that was probably meant.
fn meant(section: &str, name: &str) -> Option<String> {
    let path = |key: &Key| key.path.to_owned();
    // A slip of the finger in the right section.
    if let Some(near) = nearest(name, in_section(section).flat_map(names)) {
        return find(section, near).map(path);
    }
    // A section in the place of its first setting.
    if let Some(first) = in_section(name).next().filter(|_| !section.is_empty()) {
        return Some(first.path.to_owned());
    }
    // The right name in the wrong place.
    let elsewhere: Vec<_> = KEYS.iter().filter(|key| key.is_named(name)).map(|key| key.path).collect();
    if section.is_empty() && !elsewhere.is_empty() {
        return Some(elsewhere.join("' or '"));
    }
    // A slip in the name of the section itself.
    let sections = || SECTIONS.iter().map(|(section, _)| *section);
    if section.is_empty() {
        if let Some(near) = nearest(name, sections()) {
            return Some(near.to_owned());
        }
    } else if let Some(near) = nearest(section, sections()) {
        let key = nearest(name, in_section(near).flat_map(names)).and_then(|name| find(near, name));
        if section != near || key.is_some() {
            return Some(key.map_or_else(|| near.to_owned(), path));
        }
    }
    if !elsewhere.is_empty() {
        return Some(elsewhere.join("' or '"));
    }
    // Nearly the right name in the wrong place.
    let near = nearest(name, KEYS.iter().flat_map(names))?;
    KEYS.iter().find(|key| key.is_named(near)).map(path)
}

fn list(section: &str) -> String {
    let keys = in_section(section).map(|key| key.name);
    if section.is_empty() {
        let sections: Vec<_> = SECTIONS.iter().map(|(section, _)| format!("[{section}]")).collect();
        format!("there are {} and the sections {}", keys.collect::<Vec<_>>().join(", "), sections.join(", "))
    } else {
        format!("[{section}] has {}", keys.collect::<Vec<_>>().join(", "))
    }
}
