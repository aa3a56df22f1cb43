//! Groups of parameters with settings of their own, as people write them: `*.bias: rate=2 decay=0; head.*: rate=0.1`.

use super::fault::{Fault, Shown};
use super::setting::{Kind, Setting, quoted};
use super::table::Key;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::fmt;
use toml::de::DeValue;

/// Parameters that an optimiser treats differently.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterGroup {
    /// Patterns of their paths, with `*` for any text and commas between them.
    pub parameters: String,
    /// What the learning rate is multiplied by.
    pub rate: f64,
    /// Their weight decay, where it is not that of all.
    pub decay: Option<f64>,
}

/// Several groups; the first that matches a parameter has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterGroups(pub Vec<ParameterGroup>);

/// A setting of a group as a regular expression.
const SETTING: &str = r"(rate|decay)=\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?";

impl ParameterGroups {
    fn read_text(text: &str) -> Result<Self, Fault> {
        let groups = text.split(';').map(str::trim).filter(|group| !group.is_empty()).map(ParameterGroup::read_text);
        groups.collect::<Result<Vec<_>, _>>().map(ParameterGroups)
    }
}

impl ParameterGroup {
    fn read_text(text: &str) -> Result<Self, Fault> {
        let fault = |what: String| Fault::value(what, "groups read like '*.bias: rate=2 decay=0; head.*: rate=0.1'");
        let Some((parameters, settings)) = text.split_once(':') else {
            return Err(fault(format!("the group '{}' has no settings", Shown(text))));
        };
        let parameters = parameters.trim().to_owned();
        let mut group = ParameterGroup { parameters, rate: 1.0, decay: None };
        if group.parameters.is_empty() {
            return Err(fault("a group has no patterns".into()));
        }
        for setting in settings.split_whitespace() {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            let number = value.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
            match (name, number) {
                ("rate", Some(number)) => group.rate = number,
                ("decay", Some(number)) => group.decay = Some(number),
                ("rate" | "decay", None) => {
                    return Err(fault(format!("{name} of a group must be a number of at least 0")));
                }
                _ => return Err(fault(format!("a group has no setting '{}'", Shown(name)))),
            }
        }
        Ok(group)
    }
}

impl fmt::Display for ParameterGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, ParameterGroup { parameters, rate, decay }) in self.0.iter().enumerate() {
            write!(f, "{}{parameters}: rate={rate}", if place == 0 { "" } else { "; " })?;
            if let Some(decay) = decay {
                write!(f, " decay={decay}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for ParameterGroups {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Setting for ParameterGroups {
    const KIND: Kind = Kind::Text;

    fn read(value: &DeValue<'_>, key: &Key) -> Result<Self, Fault> {
        value.as_str().map_or_else(|| Err(key.wrong_type(value)), Self::read_text)
    }

    fn write(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }

    fn schema() -> Value {
        let group = format!(r"([^:;\s][^:;]*:\s*({SETTING}(\s+{SETTING})*)?\s*)?");
        json!({ "type": "string", "pattern": format!(r"^\s*{group}(;\s*{group})*$") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_read_back_as_they_are_written() {
        let groups = ParameterGroups::read_text(" *.bias, norm*: rate=2 decay=0 ; head.*:rate=0.1;").unwrap();
        assert_eq!(groups.to_string(), "*.bias, norm*: rate=2 decay=0; head.*: rate=0.1");
        assert_eq!(ParameterGroups::read_text(&groups.to_string()).unwrap(), groups);
        assert_eq!(ParameterGroups::read_text("").unwrap(), ParameterGroups::default());
        for wrong in ["*.bias", "\u{7}: \u{7}=1", ": rate=1", "*: speed=1", "*: rate=-1", "*: decay=NaN", "*: rate"] {
            assert!(ParameterGroups::read_text(wrong).is_err(), "{wrong}");
        }
    }
}
