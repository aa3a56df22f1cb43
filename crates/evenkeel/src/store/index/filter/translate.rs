//! How does a filter become SQL over the tables of the index?
//!
//! Names become places in tables, texts and numbers become parameters. A comparison with something that has no value is false, and its
//! negation true.

use std::ops::Range;

use rusqlite::types::Value;

use super::super::reading::Status;
use super::Fault;
use super::parse::{Condition, Function, Relation, Sum, SumKind};
use crate::config::{KEYS, Key};
use crate::nearest;

/// Which names there are beside the settings of this version.
pub(in super::super) trait Names {
    /// The number of a metric.
    fn metric(&self, name: &str) -> Option<i64>;
    /// Whether a summary has such a key.
    fn in_summary(&self, name: &str) -> bool;
    /// Whether a configuration has such a key.
    fn in_config(&self, name: &str) -> bool;
    /// All of them.
    fn all(&self) -> Vec<String>;
}

/// A piece of SQL whose table `r` is `runs`, and what its question marks stand for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Translated {
    pub(in super::super) sql: String,
    pub(in super::super) parameters: Vec<Value>,
}

/// Columns of `runs`: name, SQL, and whether it is a number.
const COLUMNS: [(&str, &str, bool); 6] = [
    ("name", "r.name", false),
    ("id", "r.id", false),
    ("status", "r.status", false),
    ("steps", "r.steps", true),
    ("epoch", "r.epochs", true),
    ("age", "((julianday('now') - 2440587.5) - r.created / 86400.0)", true),
];
const TAG: &str = "tag";

/// What a name means.
enum Meaning {
    Tag,
    Column { sql: &'static str, numeric: bool },
    Config(String),
    Metric(String),
}

struct Translator<'n> {
    names: &'n dyn Names,
    parameters: Vec<Value>,
}

pub(super) fn condition(root: &Condition, names: &dyn Names) -> Result<Translated, Fault> {
    let mut translator = Translator { names, parameters: Vec::new() };
    let sql = translator.condition(root)?;
    Ok(Translated { sql, parameters: translator.parameters })
}

/// Texts sort as texts.
pub(super) fn sort_key(root: &Sum, names: &dyn Names) -> Result<Translated, Fault> {
    let mut translator = Translator { names, parameters: Vec::new() };
    let sql = match &root.kind {
        SumKind::Name { function: Function::None, name } => {
            // A name that means two things is the metric.
            match translator.meaning(name, &root.span, true)? {
                Meaning::Tag => "(SELECT min(tag) FROM tags WHERE run = r.run)".to_owned(),
                meaning => translator.value(&meaning, Function::None, &root.span)?,
            }
        }
        SumKind::Text(_) => return Err(Fault::new("a text is no name", root.span.clone(), "write it without quotes")),
        _ => translator.number(root)?,
    };
    Ok(Translated { sql, parameters: translator.parameters })
}

impl Translator<'_> {
    fn condition(&mut self, condition: &Condition) -> Result<String, Fault> {
        let joined = |parts: Vec<String>, word: &str| format!("({})", parts.join(word));
        match condition {
            Condition::All(parts) => Ok(joined(self.each(parts)?, " AND ")),
            Condition::Any(parts) => Ok(joined(self.each(parts)?, " OR ")),
            Condition::Not(part) => Ok(format!("(NOT {})", self.condition(part)?)),
            Condition::Compare { left, relation, right } => self.comparison(left, *relation, right),
        }
    }

    fn each(&mut self, parts: &[Condition]) -> Result<Vec<String>, Fault> {
        parts.iter().map(|part| self.condition(part)).collect()
    }

    fn comparison(&mut self, left: &Sum, relation: Relation, right: &Sum) -> Result<String, Fault> {
        if let SumKind::Text(text) = &right.kind {
            return self.text_comparison(left, relation, text, right);
        }
        let sign = match relation {
            Relation::Equal => "=",
            Relation::Unequal => "IS NOT",
            Relation::Less => "<",
            Relation::AtMost => "<=",
            Relation::Greater => ">",
            Relation::AtLeast => ">=",
            Relation::Like => {
                return Err(Fault::new("~ looks into texts", right.span.clone(), "write a text here"));
            }
        };
        let (left, right) = (self.number(left)?, self.number(right)?);
        Ok(format!("(({left} {sign} {right}) IS TRUE)"))
    }

    /// A comparison with a text on its right.
    fn text_comparison(&mut self, left: &Sum, relation: Relation, text: &str, right: &Sum) -> Result<String, Fault> {
        if !matches!(relation, Relation::Equal | Relation::Unequal | Relation::Like) {
            return Err(Fault::new("only numbers are less or greater", right.span.clone(), "write a number here"));
        }
        let SumKind::Name { function, name } = &left.kind else {
            let help = "a setting, a metric, or one of name, id, status and tag";
            return Err(Fault::new("only a name is compared with a text", left.span.clone(), help));
        };
        let negated = if relation == Relation::Unequal { "NOT " } else { "" };
        let is_none = text == "none" && relation != Relation::Like;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let meaning = if *function == Function::None {
            // No setting that a metric is called like may be absent.
            self.meaning(name, &left.span, (number.is_some() || is_none) && relation != Relation::Like)?
        } else {
            self.metric(name, &left.span)?
        };
        let test = match &meaning {
            Meaning::Tag => {
                let found = if is_none { String::new() } else { format!(" AND {}", self.test("tag", relation, text)) };
                let not = if is_none { "NOT " } else { "" };
                return Ok(format!("({negated}{not}EXISTS (SELECT 1 FROM tags WHERE run = r.run{found}))"));
            }
            Meaning::Column { sql: "r.status", .. } if relation != Relation::Like => {
                let words = Status::ALL.map(Status::word);
                if !words.contains(&text) {
                    let help = nearest(text, words).map_or_else(
                        || format!("there are {}", words.join(", ")),
                        |near| format!("did you mean '{near}'?"),
                    );
                    return Err(Fault::new("there is no such status", right.span.clone(), help));
                }
                self.test("r.status", relation, text)
            }
            Meaning::Column { numeric: true, .. } | Meaning::Metric(_) if !is_none => {
                let what = format!("{name} is a number");
                return Err(Fault::new(what, right.span.clone(), "compare it with a number, or with none"));
            }
            meaning => {
                let value = self.value(meaning, *function, &left.span)?;
                match is_none {
                    // An absent setting is not in the file, or is the word.
                    true => format!("ifnull({value}, 'none') = 'none'"),
                    false => self.test(&value, relation, text),
                }
            }
        };
        Ok(format!("({negated}(({test}) IS TRUE))"))
    }

    /// A test of one value; the caller negates.
    fn test(&mut self, value: &str, relation: Relation, text: &str) -> String {
        if relation != Relation::Like {
            self.parameters.push(Value::Text(text.to_owned()));
            return format!("{value} = ?");
        }
        if text.contains(['*', '?']) {
            self.parameters.push(Value::Text(text.to_lowercase()));
            return format!("lower({value}) GLOB ?");
        }
        self.parameters.push(Value::Text(text.to_lowercase()));
        format!("instr(lower({value}), ?) > 0")
    }

    /// A sum; whatever is no number has no value.
    fn number(&mut self, sum: &Sum) -> Result<String, Fault> {
        match &sum.kind {
            SumKind::Number(number) => {
                self.parameters.push(Value::Real(*number));
                Ok("?".to_owned())
            }
            SumKind::Text(_) => Err(Fault::new("a text is no number", sum.span.clone(), "write a number or a name")),
            SumKind::Negative(inside) => Ok(format!("(-{})", self.number(inside)?)),
            SumKind::Binary { left, sign, right } => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                Ok(match *sign {
                    // Whole numbers would be divided without a rest.
                    "/" => format!("(1.0 * {left} / {right})"),
                    sign => format!("({left} {sign} {right})"),
                })
            }
            SumKind::Name { function, name } => {
                let meaning = match function {
                    Function::None => self.meaning(name, &sum.span, true)?,
                    _ => self.metric(name, &sum.span)?,
                };
                match meaning {
                    Meaning::Tag | Meaning::Column { numeric: false, .. } => {
                        let help = format!("compare it as in `{name} = x` or `{name} ~ x`");
                        Err(Fault::new(format!("{name} is no number"), sum.span.clone(), help))
                    }
                    Meaning::Config(key) => {
                        self.parameters.push(Value::Text(key));
                        Ok("(SELECT value FROM config WHERE run = r.run AND key = ? AND typeof(value) IN ('integer', 'real'))"
                            .to_owned())
                    }
                    meaning => self.value(&meaning, *function, &sum.span),
                }
            }
        }
    }

    /// The value of what a name means, of whatever type.
    fn value(&mut self, meaning: &Meaning, function: Function, span: &Range<usize>) -> Result<String, Fault> {
        match meaning {
            Meaning::Tag => Err(Fault::new("a tag has no value", span.clone(), "write `tag = x`")),
            Meaning::Column { sql, .. } => Ok((*sql).to_owned()),
            Meaning::Config(key) => {
                self.parameters.push(Value::Text(key.clone()));
                Ok("(SELECT value FROM config WHERE run = r.run AND key = ?)".to_owned())
            }
            Meaning::Metric(name) => {
                let column = match function {
                    Function::None | Function::Last => "last",
                    Function::Min => "min",
                    Function::Max => "max",
                };
                let course = self.names.metric(name).map(|metric| {
                    format!("(SELECT {column} FROM metric_values WHERE run = r.run AND metric = {metric})")
                });
                let summary = self.names.in_summary(name).then(|| {
                    self.parameters.push(Value::Text(name.clone()));
                    "(SELECT value FROM summary WHERE run = r.run AND key = ? AND typeof(value) IN ('integer', 'real'))"
                        .to_owned()
                });
                Ok(match (course, summary) {
                    (Some(course), Some(summary)) => format!("ifnull({course}, {summary})"),
                    (one, other) => one.or(other).unwrap_or_else(|| "NULL".to_owned()),
                })
            }
        }
    }

    fn metric(&self, name: &str, span: &Range<usize>) -> Result<Meaning, Fault> {
        let name = name.strip_prefix("metric.").unwrap_or(name);
        match self.names.metric(name).is_some() || self.names.in_summary(name) {
            true => Ok(Meaning::Metric(name.to_owned())),
            false => Err(self.unknown(name, span)),
        }
    }

    /// What a name means; of one that is both, `numeric` asks for the metric.
    fn meaning(&self, name: &str, span: &Range<usize>, numeric: bool) -> Result<Meaning, Fault> {
        if name == TAG {
            return Ok(Meaning::Tag);
        }
        // As the list calls it.
        let name = if name == "data" { "data.source" } else { name };
        if let Some((_, sql, numeric)) = COLUMNS.iter().find(|(column, ..)| *column == name) {
            return Ok(Meaning::Column { sql, numeric: *numeric });
        }
        let is_metric = |name: &str| self.names.metric(name).is_some() || self.names.in_summary(name);
        if let Some(name) = name.strip_prefix("metric.").filter(|name| is_metric(name)) {
            return Ok(Meaning::Metric(name.to_owned()));
        }
        let config = name.strip_prefix("config.").and_then(|key| self.setting(key)).or_else(|| self.setting(name));
        match (is_metric(name), config) {
            (true, None) => Ok(Meaning::Metric(name.to_owned())),
            (true, Some(_)) if numeric => Ok(Meaning::Metric(name.to_owned())),
            (_, Some(key)) => Ok(Meaning::Config(key)),
            (false, None) => Err(self.unknown(name, span)),
        }
    }

    /// The path of a setting: by its path, with an alias, or by a last name that only one has.
    fn setting(&self, name: &str) -> Option<String> {
        let (section, last) = name.rsplit_once('.').unwrap_or(("", name));
        if let Some(key) = KEYS.iter().find(|key| key.section == section && is_named(key, last)) {
            return Some(key.path.to_owned());
        }
        if self.names.in_config(name) {
            return Some(name.to_owned());
        }
        match alike(name).as_slice() {
            [only] => Some(only.path.to_owned()),
            _ => None,
        }
    }

    fn unknown(&self, name: &str, span: &Range<usize>) -> Fault {
        let several = alike(name);
        if several.len() > 1 {
            let paths: Vec<&str> = several.iter().map(|key| key.path).collect();
            let what = format!("more than one setting is called '{name}'");
            return Fault::new(what, span.clone(), format!("there are {}", paths.join(", ")));
        }
        let columns = COLUMNS.iter().map(|(name, ..)| (*name).to_owned());
        let settings = KEYS.iter().flat_map(|key| [key.path.to_owned(), key.name.to_owned()]);
        let mut known: Vec<String> = columns.chain([TAG.to_owned()]).chain(settings).collect();
        known.extend(self.names.all());
        let help = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean '{near}'?"),
            None if name.contains(['-', '/']) => "to subtract or divide, put spaces around the sign".to_owned(),
            None => "no run has such a setting or metric".to_owned(),
        };
        let mut fault = Fault::new(format!("there is nothing called '{name}' in the runs"), span.clone(), help);
        fault.hint = Some(
            "settings are in docs/configuration.md; metrics: `evenkeel runs sql \"SELECT DISTINCT metric FROM metrics\"`"
                .to_owned(),
        );
        fault
    }
}

/// The settings of any section that a name without one may mean.
fn alike(name: &str) -> Vec<&'static Key> {
    KEYS.iter().filter(|key| is_named(key, name)).collect()
}

fn is_named(key: &Key, name: &str) -> bool {
    key.name == name || key.aliases.contains(&name)
}
