//! Names that were mistyped.

/// "did you mean `x`?" when one of `known` is close to `given`, else the list of what there is.
pub fn suggest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let nearest = known.iter().map(|name| (strsim::damerau_levenshtein(given, name), *name)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + given.len() / 3 => {
            format!("did you mean `{name}`?")
        }
        _ => format!("expected one of: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered_and_a_far_one_gets_the_list() {
        assert_eq!(suggest("cifar", ["stl10", "cifar10"]), "did you mean `cifar10`?");
        assert_eq!(suggest("imagenet", ["stl10", "cifar10"]), "expected one of: stl10, cifar10");
    }
}
