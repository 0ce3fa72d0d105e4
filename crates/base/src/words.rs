//! Counts as a person reads them.

/// `12345` as `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `noun` as it stands behind `count`: with an s, unless it is one.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

/// `1 image`, `12,345 images`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{} {}", grouped(count as u64), plural(count, noun))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_parted_and_one_has_no_s() {
        let numbers = [0, 999, 1_000, 12_345, 1_281_167].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "12,345", "1,281,167"]);
        let counts = [0, 1, 2, 1_000].map(|count| counted(count, "image"));
        assert_eq!(counts, ["0 images", "1 image", "2 images", "1,000 images"]);
    }
}
