//! Named numbers in a fixed order: what one update reports, or the means of many.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// Learning rate of the encoder.
pub const LR: &str = "lr";
/// What the encoder minimises: L_gg + L_lg + λ L_ll.
pub const LOSS: &str = "loss";
/// L_gg, the loss between global views.
pub const GLOBAL_GLOBAL: &str = "global_global";
/// L_lg, the loss between local and global views; plain runs, without LoGo, have none.
pub const LOCAL_GLOBAL: &str = "local_global";
/// L_ll, without its λ, the affinity of local views that the encoder minimises; plain runs have none.
pub const LOCAL_LOCAL: &str = "local_local";
/// Mean of f_d over pairs of local views of one image; plain runs have none.
pub const AFFINITY_SAME: &str = "affinity_same";
/// Mean of f_d over pairs of local views of two images; plain runs have none.
pub const AFFINITY_DIFFERENT: &str = "affinity_different";
/// Ω, what f_d maximises; plain runs have none.
pub const OMEGA: &str = "omega";
/// Standard deviation over the batch of normalised embeddings, averaged over dimensions.
pub const Z_STD: &str = "z_std";
/// Embeddings whose standard deviation [`Z_STD`] is below this share of 1/√dim, what even spread gives, count
/// as collapsed.
pub const COLLAPSED: f64 = 0.1;
/// Mean cosine of an image's global embeddings.
pub const COS_GG: &str = "cos_gg";
/// Mean cosine of an image's local with its global embeddings; plain runs have none.
pub const COS_LG: &str = "cos_lg";
/// Mean cosine of an image's local embeddings; plain runs have none.
pub const COS_LL: &str = "cos_ll";
/// Norm of the encoder's gradient.
pub const GRAD_NORM: &str = "grad_norm";

/// Cross-entropy of the online probe, where there is one.
pub const PROBE_LOSS: &str = "probe_loss";
/// Share of the batch's images that the online probe classifies rightly before it learns from them, where
/// there is one.
pub const PROBE_ACCURACY: &str = "probe_accuracy";

/// The names that an update of any framework reports, in the order of a log's line. Other names come
/// behind them.
pub const STANDARD: [&str; 13] = [
    LR,
    LOSS,
    GLOBAL_GLOBAL,
    LOCAL_GLOBAL,
    LOCAL_LOCAL,
    AFFINITY_SAME,
    AFFINITY_DIFFERENT,
    OMEGA,
    Z_STD,
    COS_GG,
    COS_LG,
    COS_LL,
    GRAD_NORM,
];

/// Numbers by name, each name once: those of [`STANDARD`] first and in its order, then others as they
/// came.
///
/// As JSON it is an object. JSON has no NaN and no infinity: they are written as `null`, which is read
/// back as NaN, so that the log of a run that diverged stays readable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scalars {
    values: Vec<(Cow<'static, str>, f64)>,
}

impl Scalars {
    /// The number called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The number called `name`; NaN where there is none.
    pub fn get_or_nan(&self, name: &str) -> f64 {
        self.get(name).unwrap_or(f64::NAN)
    }

    /// Adds a number, or replaces the one of that name.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: f64) {
        let name = name.into();
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => {
                let rank = rank(&name);
                let at = self.values.partition_point(|(known, _)| self::rank(known) <= rank);
                self.values.insert(at, (name, value));
            }
        }
    }

    /// All names with their numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// The same names, each with what `f` makes of name and number.
    pub fn map(&self, f: impl Fn(&str, f64) -> f64) -> Self {
        let values = self.values.iter().map(|(name, value)| (name.clone(), f(name, *value)));
        Self { values: values.collect() }
    }
}

/// The place of a name among the standard ones; behind them for any other.
fn rank(name: &str) -> usize {
    STANDARD.iter().position(|standard| *standard == name).unwrap_or(STANDARD.len())
}

impl<N: Into<Cow<'static, str>>> FromIterator<(N, f64)> for Scalars {
    /// Of two numbers of one name, the later.
    fn from_iter<T: IntoIterator<Item = (N, f64)>>(values: T) -> Self {
        let mut scalars = Self::default();
        values.into_iter().for_each(|(name, value)| scalars.set(name, value));
        scalars
    }
}

impl Serialize for Scalars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        self.iter().try_for_each(|(name, value)| map.serialize_entry(name, &value))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Scalars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// Reads an object's numbers; entries of another type are passed over.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Scalars;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("numbers by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalars, A::Error> {
        let mut scalars = Scalars::default();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            match value {
                Value::Null => scalars.set(name, f64::NAN),
                Value::Number(number) => {
                    scalars.set(name, number.as_f64().unwrap_or(f64::NAN));
                }
                _ => {}
            }
        }
        Ok(scalars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_names_stand_in_their_order_and_others_behind_them() {
        let scalars: Scalars =
            [("mine", 1.0), (GRAD_NORM, 2.0), ("another", 3.0), (LR, 4.5), (LOSS, 5.0)]
                .into_iter()
                .collect();
        let json = r#"{"lr":4.5,"loss":5.0,"grad_norm":2.0,"mine":1.0,"another":3.0}"#;
        assert_eq!(serde_json::to_string(&scalars).unwrap(), json);
        assert_eq!(serde_json::from_str::<Scalars>(json).unwrap(), scalars);
    }

    #[test]
    fn a_number_is_replaced_in_its_place() {
        let mut scalars: Scalars = [(LOSS, 1.0), (Z_STD, 2.0)].into_iter().collect();
        scalars.set(LOSS, 3.0);
        assert_eq!(scalars.iter().collect::<Vec<_>>(), [(LOSS, 3.0), (Z_STD, 2.0)]);
        assert_eq!(scalars.get(LR), None);
        assert!(scalars.get_or_nan(LR).is_nan());
    }

    #[test]
    fn what_is_no_number_is_null_and_comes_back_as_nan() {
        let scalars: Scalars = [(LOSS, f64::NAN), (Z_STD, 0.5)].into_iter().collect();
        let json = serde_json::to_string(&scalars).unwrap();
        assert_eq!(json, r#"{"loss":null,"z_std":0.5}"#);
        let read: Scalars = serde_json::from_str(&json).unwrap();
        assert!(read.get(LOSS).unwrap().is_nan());
        let read: Scalars = serde_json::from_str(r#"{"loss":1.5,"note":"a word"}"#).unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [(LOSS, 1.5)]);
    }
}
