//! What an evaluation found: named scores, each with the interval in which it may lie, and which classes
//! were taken for which.

use std::borrow::Cow;
use std::fmt;

use measures::interval::{self, Interval};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that an evaluation found.
///
/// As JSON it is the number, or where it has an interval an object of `value`, `low` and `high`; what is no
/// finite number is `null` and is read back as NaN.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Score {
    /// The number.
    pub value: f64,
    /// Its 95 % interval, where there is one.
    pub interval: Option<Interval>,
}

impl Score {
    /// A score with a 95 % interval.
    pub fn within(value: f64, interval: Interval) -> Self {
        Self { value, interval: Some(interval) }
    }

    /// The share that `hits` of `images` test images are, with Wilson's 95 % interval; NaN where there are
    /// no images, or fewer than hits.
    pub fn share(hits: usize, images: usize) -> Self {
        match interval::wilson(hits, images) {
            Ok(interval) if images > 0 => Self::within(hits as f64 / images as f64, interval),
            _ => Self::from(f64::NAN),
        }
    }
}

/// What has an interval is a share, in percent with the interval's ends; any other number stands as it is.
impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self { value, .. } if !value.is_finite() => "\u{2013}".to_owned(),
            Self { value, interval: Some(Interval { low, high }) } => {
                let [value, low, high] = [value, low, high].map(|share| 100.0 * share);
                format!("{value:.2} % [{low:.2}, {high:.2}]")
            }
            Self { value, .. } if value.fract() == 0.0 => format!("{value}"),
            Self { value, .. } if value.abs() < 1e-3 => format!("{value:.1e}"),
            Self { value, .. } => format!("{value:.4}"),
        };
        formatter.pad(&text)
    }
}

impl From<f64> for Score {
    fn from(value: f64) -> Self {
        Self { value, interval: None }
    }
}

/// How a score stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Within { value: Option<f64>, low: Option<f64>, high: Option<f64> },
    Number(Option<f64>),
}

impl From<Form> for Score {
    fn from(form: Form) -> Self {
        let number = |number: Option<f64>| number.unwrap_or(f64::NAN);
        match form {
            Form::Number(value) => Self::from(number(value)),
            Form::Within { value, low, high } => {
                let [low, high] = [low, high].map(number);
                Self::within(number(value), Interval { low, high })
            }
        }
    }
}

impl From<Score> for Form {
    fn from(Score { value, interval }: Score) -> Self {
        let number = |number: f64| number.is_finite().then_some(number);
        match interval {
            None => Self::Number(number(value)),
            Some(Interval { low, high }) => {
                Self::Within { value: number(value), low: number(low), high: number(high) }
            }
        }
    }
}

/// Scores by name, each name once, in the order in which they came. As JSON it is an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedScores(Vec<(Cow<'static, str>, Score)>);

impl NamedScores {
    /// The score called `name`.
    pub fn get(&self, name: &str) -> Option<Score> {
        self.iter().find(|(known, _)| *known == name).map(|(_, score)| score)
    }

    /// Adds a score, or replaces the one of that name.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, score: impl Into<Score>) {
        let (name, score) = (name.into(), score.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = score,
            None => self.0.push((name, score)),
        }
    }

    /// All names with their scores, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Score)> {
        self.0.iter().map(|(name, score)| (name.as_ref(), *score))
    }

    /// The first score: the one that tells a better encoder from a worse.
    pub fn leading(&self) -> Option<Score> {
        self.0.first().map(|(_, score)| *score)
    }
}

impl<N: Into<Cow<'static, str>>, S: Into<Score>> FromIterator<(N, S)> for NamedScores {
    /// Of two scores of one name, the later.
    fn from_iter<T: IntoIterator<Item = (N, S)>>(scores: T) -> Self {
        let mut named = Self::default();
        scores.into_iter().for_each(|(name, score)| named.set(name, score));
        named
    }
}

impl Serialize for NamedScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.iter().try_for_each(|(name, score)| map.serialize_entry(name, &score))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for NamedScores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// Reads an object's scores.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = NamedScores;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("scores by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedScores, A::Error> {
        let mut named = NamedScores::default();
        while let Some((name, score)) = map.next_entry::<String, Score>()? {
            named.set(name, score);
        }
        Ok(named)
    }
}

/// Which classes test images were taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// What the classes are called.
    pub classes: Vec<String>,
    /// `counts[class][guess]`: images of a class that were taken for another, or for itself.
    pub counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// What was counted of classes that are called so.
    pub fn named(counted: &measures::Confusion, classes: &[String]) -> Self {
        let counts = (0..counted.classes()).map(|class| counted.row(class).to_vec()).collect();
        Self { classes: classes.to_vec(), counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_come_back_as_they_were_written() {
        let mut scores = NamedScores::default();
        scores.set("top-1", Score::within(0.5, Interval { low: 0.25, high: 0.75 }));
        scores.set("alignment", 1.5);
        let json = serde_json::to_string(&scores).unwrap();
        assert_eq!(json, r#"{"top-1":{"value":0.5,"low":0.25,"high":0.75},"alignment":1.5}"#);
        assert_eq!(serde_json::from_str::<NamedScores>(&json).unwrap(), scores);
        scores.set("top-1", f64::NAN);
        let json = serde_json::to_string(&scores).unwrap();
        assert_eq!(json, r#"{"top-1":null,"alignment":1.5}"#, "replaced in its place");
        assert!(
            serde_json::from_str::<NamedScores>(&json).unwrap().leading().unwrap().value.is_nan()
        );
    }

    #[test]
    fn a_share_of_no_images_is_no_number() {
        assert!(Score::share(0, 0).value.is_nan());
        let Score { value, interval: Some(Interval { low, high }) } = Score::share(90, 100) else {
            panic!("a share has an interval")
        };
        assert!(value == 0.9 && low < 0.83 && high > 0.94, "{low} {high}");
    }

    #[test]
    fn a_share_is_shown_in_percent_and_a_number_as_it_is() {
        assert_eq!(Score::share(90, 100).to_string(), "90.00 % [82.56, 94.48]");
        let shown = |number: f64| Score::from(number).to_string();
        assert_eq!([512.0, 1.23456, 1e-5].map(shown), ["512", "1.2346", "1.0e-5"]);
        assert_eq!(shown(f64::NAN), "\u{2013}");
        assert_eq!(format!("{:>8}", Score::from(1.5)), "  1.5000");
    }
}
