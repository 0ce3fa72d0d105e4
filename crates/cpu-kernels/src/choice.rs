//! Which level is the fastest for a precision on this processor: found by a short trial, and kept as text.

use std::fmt;

use crate::element::Element;
use crate::level::{Level, LevelError};
use crate::processor::processor;
use crate::trial::trial;

/// The version of the kernels, which a kept [`Choice`] must come from. Its last number is raised whenever the kernels change in a way
/// that may make another level the fastest.
pub const KERNELS_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+1");

/// How many times as fast another level must be to be preferred to an earlier one: more than what a
/// trial's repetitions differ by.
const MARGIN: f64 = 1.1;

/// A level that a trial has found the fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The level that was chosen.
    pub level: Level,
    /// The name of the type that activations are stored as, [`Element::NAME`].
    pub element: &'static str,
    /// All levels tried and their rates in GFLOP/s, those preferred at equal speed first.
    pub measured: Vec<(Level, f64)>,
    /// The processor it was measured on, as [`processor`] describes it.
    pub processor: String,
    /// The version of the kernels that were measured, [`KERNELS_VERSION`].
    pub kernels_version: String,
}

/// A level, and why it is used.
#[derive(Clone, Debug, PartialEq)]
pub enum Chosen {
    /// The level that [`LEVEL_VARIABLE`](crate::LEVEL_VARIABLE) names.
    Forced(Level),
    /// The only level that there is to choose from.
    Only(Level),
    /// The level that an earlier trial found the fastest.
    Kept(Choice),
    /// The level that a trial has just found the fastest. Whoever can should keep the choice's text.
    Measured(Choice),
}

impl Chosen {
    /// The level itself.
    pub fn level(&self) -> Level {
        match self {
            Chosen::Forced(level) | Chosen::Only(level) => *level,
            Chosen::Kept(choice) | Chosen::Measured(choice) => choice.level,
        }
    }

    /// The trial behind it, if there was one.
    pub fn choice(&self) -> Option<&Choice> {
        match self {
            Chosen::Forced(_) | Chosen::Only(_) => None,
            Chosen::Kept(choice) | Chosen::Measured(choice) => Some(choice),
        }
    }

    fn decide<E: Element>(forced: Option<Level>, kept: Option<&str>) -> Self {
        if let Some(level) = forced {
            return Chosen::Forced(level);
        }
        let candidates = Level::candidates::<E>();
        if let [level] = candidates[..] {
            return Chosen::Only(level);
        }
        match kept.and_then(Choice::kept::<E>) {
            Some(choice) => Chosen::Kept(choice),
            None => Chosen::Measured(Choice::of::<E>(trial::<E>(&candidates))),
        }
    }
}

impl Level {
    /// The level for activations stored as `E`: the one that [`LEVEL_VARIABLE`](crate::LEVEL_VARIABLE) names,
    /// else the one of a choice whose text was `kept`, if it was made here and by these kernels, else the
    /// fastest of a [`trial`] on rayon's threads, which takes one to four tenths of a second.
    ///
    /// # Errors
    /// If the variable names no level or one that this processor lacks.
    pub fn for_element<E: Element>(kept: Option<&str>) -> Result<Chosen, LevelError> {
        Ok(Chosen::decide::<E>(Level::forced()?, kept))
    }

    /// The levels that may be the fastest for activations stored as `E`, those preferred at equal speed
    /// first. In f32 that is the widest; in bfloat16 there are those that multiply it as it is besides.
    pub fn candidates<E: Element>() -> Vec<Level> {
        let available = Level::available();
        let native = available.iter().filter(|level| level.multiplies_bf16()).count();
        match E::IS_BF16 {
            true => available[..=native].to_vec(),
            false => available[..1].to_vec(),
        }
    }
}

/// The level to prefer among levels with their rates: the first that none of the others exceeds by a tenth. A rate
/// that is no number above zero counts for nothing.
pub fn choose(measured: &[(Level, f64)]) -> Option<Level> {
    let valid = || measured.iter().filter(|(_, rate)| rate.is_finite() && *rate > 0.0);
    let best = valid().map(|(_, rate)| *rate).reduce(f64::max)?;
    valid().find(|(_, rate)| best < rate * MARGIN).map(|(level, _)| *level)
}

impl Choice {
    /// What follows from the rates of a trial.
    ///
    /// # Panics
    /// If there are none.
    fn of<E: Element>(measured: Vec<(Level, f64)>) -> Self {
        Self {
            level: choose(&measured).expect("a trial has rates"),
            element: E::NAME,
            measured,
            processor: processor(),
            kernels_version: KERNELS_VERSION.to_owned(),
        }
    }

    /// The choice that a text holds, if it is one for activations stored as `E`, on this processor and
    /// with these kernels, and undamaged.
    pub fn kept<E: Element>(text: &str) -> Option<Self> {
        let measured = rates(text)?;
        let levels = measured.iter().map(|(level, _)| *level);
        if !levels.eq(Level::candidates::<E>()) {
            return None;
        }
        let choice = Self::of::<E>(measured);
        (choice.to_string() == text).then_some(choice)
    }
}

const RATE: &str = "gflops.";

/// The text to keep, which [`Choice::kept`] reads.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "level = {}", self.level)?;
        writeln!(f, "element = {}", self.element)?;
        for (level, rate) in &self.measured {
            writeln!(f, "{RATE}{level} = {rate}")?;
        }
        writeln!(f, "processor = {}", self.processor)?;
        writeln!(f, "kernels = {}", self.kernels_version)
    }
}

/// The rates that a text holds, of levels that this processor has.
fn rates(text: &str) -> Option<Vec<(Level, f64)>> {
    let entries = text.lines().filter_map(|line| line.strip_prefix(RATE));
    let rate = |entry: &str| -> Option<(Level, f64)> {
        let (level, rate) = entry.split_once(" = ")?;
        let rate = rate.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0)?;
        Some((level.parse().ok()?, rate))
    };
    entries.map(rate).collect()
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;
    use Level::{Amx, Avx512, Avx512Bf16};

    #[test]
    fn another_level_must_be_faster_by_a_tenth() {
        assert_eq!(choose(&[(Avx512Bf16, 100.0), (Avx512, 109.0)]), Some(Avx512Bf16));
        assert_eq!(choose(&[(Avx512Bf16, 100.0), (Avx512, 100.0)]), Some(Avx512Bf16));
        assert_eq!(choose(&[(Avx512Bf16, 100.0), (Avx512, 111.0)]), Some(Avx512));
        assert_eq!(choose(&[(Avx512Bf16, 45.0), (Avx512, 138.0)]), Some(Avx512));
        assert_eq!(choose(&[(Amx, 10.0), (Avx512Bf16, 100.0), (Avx512, 109.0)]), Some(Avx512Bf16));
        assert_eq!(choose(&[(Amx, 900.0), (Avx512Bf16, 150.0), (Avx512, 140.0)]), Some(Amx));
    }

    #[test]
    fn what_is_no_rate_is_never_chosen() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0] {
            assert_eq!(choose(&[(Amx, bad), (Avx512, 1.0)]), Some(Avx512));
            assert_eq!(choose(&[(Amx, 1.0), (Avx512, bad)]), Some(Amx));
            assert_eq!(choose(&[(Amx, bad)]), None);
        }
        assert_eq!(choose(&[]), None);
    }

    proptest! {
        /// A machine busy with other work only ever takes longer.
        #[test]
        fn five_per_cent_of_noise_change_nothing(
            noise in proptest::collection::vec(0.95..=1.0f64, 3),
        ) {
            for rates in [[100.0, 100.0, 100.0], [100.0, 104.0, 90.0], [45.0, 138.0, 100.0]] {
                let levels = [Amx, Avx512Bf16, Avx512];
                let exact: Vec<_> = levels.into_iter().zip(rates).collect();
                let noisy: Vec<_> =
                    exact.iter().zip(&noise).map(|((l, r), n)| (*l, r * n)).collect();
                prop_assert_eq!(choose(&noisy), choose(&exact));
            }
        }
    }

    /// A choice as if measured here, whatever this processor has.
    fn choice() -> Choice {
        let rates = (1..).map(|at| 100.0 / f64::from(at) + 0.1);
        Choice::of::<bf16>(Level::candidates::<bf16>().into_iter().zip(rates).collect())
    }

    #[test]
    fn a_choice_comes_back_from_its_text() {
        assert_eq!(Choice::kept::<bf16>(&choice().to_string()), Some(choice()));
    }

    #[test]
    fn text_of_another_processor_kernel_or_element_is_ignored() {
        let elsewhere = Choice { processor: "another".into(), ..choice() };
        let earlier = Choice { kernels_version: "0.0.1+1".into(), ..choice() };
        let of_f32 = Choice { element: "f32", ..choice() };
        for foreign in [elsewhere, earlier, of_f32] {
            assert_eq!(Choice::kept::<bf16>(&foreign.to_string()), None);
        }
    }

    #[test]
    fn damaged_text_is_ignored() {
        let text = choice().to_string();
        for len in 0..text.len() {
            assert_eq!(Choice::kept::<bf16>(&text[..len]), None, "the first {len} bytes");
        }
        let rate = format!("{RATE}{} = ", choice().level);
        for bad in ["NaN", "inf", "-", "", "0", "fast"] {
            let damaged = text.replace(&format!("{rate}100.1"), &format!("{rate}{bad}"));
            assert_ne!(damaged, text);
            assert_eq!(Choice::kept::<bf16>(&damaged), None, "{damaged}");
        }
        for damaged in [text.replace("level", "label"), text.repeat(2), format!("{text}\n")] {
            assert_eq!(Choice::kept::<bf16>(&damaged), None, "{damaged}");
        }
    }

    #[test]
    fn a_forced_level_wins_over_a_kept_one() {
        let text = choice().to_string();
        for level in Level::available() {
            let chosen = Chosen::decide::<bf16>(Some(level), Some(&text));
            assert_eq!(chosen, Chosen::Forced(level));
            assert_eq!(Chosen::decide::<f32>(Some(level), None).level(), level);
        }
    }

    #[test]
    fn a_kept_choice_spares_the_trial_and_a_foreign_one_does_not() {
        if Level::candidates::<bf16>().len() == 1 {
            assert!(matches!(Chosen::decide::<bf16>(None, None), Chosen::Only(_)));
            return;
        }
        let text = choice().to_string();
        assert_eq!(Chosen::decide::<bf16>(None, Some(&text)), Chosen::Kept(choice()));
        let chosen = Chosen::decide::<bf16>(None, Some("level = fast"));
        let Chosen::Measured(choice) = chosen else { panic!("{chosen:?}") };
        assert_eq!(Choice::kept::<bf16>(&choice.to_string()), Some(choice));
    }

    #[test]
    fn f32_has_nothing_to_choose() {
        assert_eq!(Chosen::decide::<f32>(None, None), Chosen::Only(Level::available()[0]));
    }
}
