//! Which runs are there, in which order, and what is worth a line of each?

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params_from_iter};
use serde::Serialize;

use super::filter::{Filter, Names, SortKey};
use super::reading::Status;
use super::{Index, failed};
use crate::Result;

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// The folder, seen from the folder of the runs.
    pub name: String,
    /// What the run is known by, wherever it is.
    pub id: String,
    /// How it stands.
    pub status: Status,
    /// The network.
    pub model: Option<String>,
    /// The data.
    pub data: Option<String>,
    /// Passes over the training data that are done.
    pub epochs: Option<f64>,
    /// And those that are wanted.
    pub epochs_wanted: Option<u64>,
    /// Steps that are done.
    pub steps: Option<u64>,
    /// The last of its values.
    pub test_accuracy: Option<f64>,
    /// The last of its values.
    pub test_loss: Option<f64>,
    /// Seconds since 1970.
    pub created: f64,
    /// When its files were written last, likewise.
    pub updated: f64,
    /// In alphabetical order.
    pub tags: BTreeSet<String>,
}

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// In which order runs are listed.
#[derive(Clone, Debug, Default)]
pub enum Order {
    /// The youngest first.
    #[default]
    Youngest,
    /// By a sum of settings and metrics; runs without it come last.
    By {
        /// What to sort by.
        key: SortKey,
        /// Whether the greatest comes first.
        descending: bool,
    },
}

impl Index {
    /// The runs that a filter leaves, at most `limit`.
    ///
    /// # Errors
    /// When filter or order name something that no run has, or the index cannot be read.
    pub fn list(&self, filter: Option<&Filter>, order: &Order, limit: Option<u64>) -> Result<Vec<Listed>> {
        let mut parameters = Vec::new();
        let metric = |name: &str| {
            let metric = self.metric(name).unwrap_or(-1);
            format!(
                "ifnull((SELECT last FROM metric_values WHERE run = r.run AND metric = {metric}),
                        (SELECT value FROM summary WHERE run = r.run AND key = '{name}' AND typeof(value) = 'real'))"
            )
        };
        let setting = |key: &str| format!("(SELECT value FROM config WHERE run = r.run AND key = '{key}')");
        let mut sql = format!(
            "SELECT r.name, r.id, r.status, {}, {}, r.epochs, {}, r.steps, {}, {}, r.created, r.updated,
                 (SELECT group_concat(tag, ' ') FROM tags WHERE run = r.run)
             FROM runs r",
            setting("model"),
            setting("data.source"),
            setting("epochs"),
            metric("test_accuracy"),
            metric("test_loss"),
        );
        if let Some(filter) = filter {
            let condition = filter.translate(self)?;
            sql.push_str(&format!(" WHERE {}", condition.sql));
            parameters.extend(condition.parameters);
        }
        match order {
            Order::Youngest => sql.push_str(" ORDER BY r.created DESC, r.name DESC"),
            Order::By { key, descending } => {
                let key = key.translate(self)?;
                let direction = if *descending { "DESC" } else { "ASC" };
                sql.push_str(&format!(" ORDER BY ({0}) IS NULL, ({0}) {direction}, r.name", key.sql));
                parameters.extend(key.parameters.iter().chain(&key.parameters).cloned());
            }
        }
        sql.push_str(" LIMIT ?");
        parameters.push(Value::Integer(limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1)));
        let read = || {
            let mut statement = self.connection.prepare(&sql)?;
            let text = |value: Value| match value {
                Value::Text(text) => Some(text),
                Value::Integer(number) => Some(number.to_string()),
                Value::Real(number) => Some(number.to_string()),
                Value::Null | Value::Blob(_) => None,
            };
            let rows = statement.query_map(params_from_iter(&parameters), |row| {
                Ok(Listed {
                    name: row.get(0)?,
                    id: row.get(1)?,
                    status: Status::of_word(&row.get::<_, String>(2)?),
                    model: text(row.get(3)?),
                    data: text(row.get(4)?),
                    epochs: row.get(5)?,
                    epochs_wanted: match row.get(6)? {
                        Value::Integer(number) => u64::try_from(number).ok(),
                        _ => None,
                    },
                    steps: row.get(7)?,
                    test_accuracy: row.get(8)?,
                    test_loss: row.get(9)?,
                    created: row.get(10)?,
                    updated: row.get(11)?,
                    tags: row
                        .get::<_, Option<String>>(12)?
                        .unwrap_or_default()
                        .split_whitespace()
                        .map(str::to_owned)
                        .collect(),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<Listed>>>()
        };
        read().map_err(|error| failed("list the runs", &self.place(), &error))
    }

    fn has(&self, sql: &str, name: &str) -> bool {
        self.connection.query_row(sql, [name], |_| Ok(())).optional().ok().flatten().is_some()
    }
}

impl Names for Index {
    fn metric(&self, name: &str) -> Option<i64> {
        let find = "SELECT metric FROM metric_names WHERE name = ?1";
        self.connection.query_row(find, [name], |row| row.get(0)).optional().ok().flatten()
    }

    fn in_summary(&self, name: &str) -> bool {
        self.has("SELECT 1 FROM summary WHERE key = ?1 LIMIT 1", name)
    }

    fn in_config(&self, name: &str) -> bool {
        self.has("SELECT 1 FROM config WHERE key = ?1 LIMIT 1", name)
    }

    fn all(&self) -> Vec<String> {
        let read = || {
            let mut statement =
                self.connection.prepare("SELECT name FROM metric_names UNION SELECT key FROM summary")?;
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        };
        // Only ever a hint's words.
        read().unwrap_or_default()
    }
}
