//! core: numbers as English says them

/// `1234567` → "one million two hundred thirty four thousand five hundred sixty seven".
pub fn cardinal(number: u64) -> String {
    if number < 20 {
        return SMALL[number as usize].to_owned();
    }
    if number < 100 {
        let tens = TENS[(number / 10) as usize];
        return if number.is_multiple_of(10) {
            tens.to_owned()
        } else {
            format!("{tens} {}", SMALL[(number % 10) as usize])
        };
    }
    let (size, name) =
        SCALES.iter().copied().find(|(size, _)| number >= *size).expect("100 is the smallest and was reached");
    let head = format!("{} {name}", cardinal(number / size));
    if number.is_multiple_of(size) { head } else { format!("{head} {}", cardinal(number % size)) }
}

/// `21` → "twenty first".
pub fn ordinal(number: u64) -> String {
    let words = cardinal(number);
    let (head, last) = words.rsplit_once(' ').map_or(("", words.as_str()), |(head, last)| (head, last));
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        tens if tens.ends_with('y') => format!("{}ieth", tens.trim_end_matches('y')),
        other => format!("{other}th"),
    };
    if head.is_empty() { last } else { format!("{head} {last}") }
}

/// `1905` → "nineteen oh five", as years and some house numbers are said.
pub fn year(number: u64) -> String {
    let (century, rest) = (number / 100, number % 100);
    match (century, rest) {
        (0..=9, _) | (_, _) if number < 1000 || number > 9999 => cardinal(number),
        (_, 0) if century.is_multiple_of(10) => cardinal(number),
        (_, 0) => format!("{} hundred", cardinal(century)),
        (20, 1..=9) => cardinal(number),
        (_, 1..=9) => format!("{} oh {}", cardinal(century), cardinal(rest)),
        _ => format!("{} {}", cardinal(century), cardinal(rest)),
    }
}

/// "nineteen ninety" → "nineteen nineties".
pub fn plural(words: &str) -> String {
    match words.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if words.ends_with(['x', 's']) => format!("{words}es"),
        None => format!("{words}s"),
    }
}

/// `007` → "zero zero seven". Anything but digits is left out.
pub fn digits(text: &str) -> String {
    text.chars().filter_map(|c| c.to_digit(10)).map(|digit| SMALL[digit as usize]).collect::<Vec<_>>().join(" ")
}

/// `1,234.50` → "one thousand two hundred thirty four point five zero"; `None` when it is no number. Commas may only stand
/// between groups of three.
pub fn number(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let whole = if whole.is_empty() && fraction.is_some() { None } else { Some(whole_number(whole)?) };
    let whole = whole.map(|number| number.map_or_else(|| digits(text.split('.').next().unwrap_or_default()), cardinal));
    match fraction {
        None => whole,
        Some(fraction) if is_digits(fraction) => {
            Some(format!("{} point {}", whole.unwrap_or_default(), digits(fraction)).trim().to_owned())
        }
        Some(_) => None,
    }
}

/// `None`: no number at all. `Some(None)`: digits that are no quantity, because they begin with 0 or are too many.
pub fn whole_number(text: &str) -> Option<Option<u64>> {
    let groups: Vec<&str> = text.split(',').collect();
    let grouped = groups.len() == 1 || groups[0].len() <= 3 && groups[1..].iter().all(|group| group.len() == 3);
    let plain: String = groups.concat();
    if !grouped || plain.is_empty() || groups[0].is_empty() || !plain.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if plain.len() > 1 && plain.starts_with('0') || plain.len() > 15 {
        return Some(None);
    }
    Some(plain.parse().ok())
}

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const SCALES: [(u64, &str); 5] = [
    (1_000_000_000_000, "trillion"),
    (1_000_000_000, "billion"),
    (1_000_000, "million"),
    (1_000, "thousand"),
    (100, "hundred"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting() {
        for (number, words) in [
            (0, "zero"),
            (13, "thirteen"),
            (40, "forty"),
            (99, "ninety nine"),
            (100, "one hundred"),
            (101, "one hundred one"),
            (1_000, "one thousand"),
            (1_234_567, "one million two hundred thirty four thousand five hundred sixty seven"),
            (2_000_000_000_001, "two trillion one"),
        ] {
            assert_eq!(cardinal(number), words);
        }
        assert!(!cardinal(u64::MAX).is_empty());
    }

    #[test]
    fn ordering() {
        for (number, words) in [
            (1, "first"),
            (2, "second"),
            (3, "third"),
            (4, "fourth"),
            (8, "eighth"),
            (12, "twelfth"),
            (20, "twentieth"),
            (21, "twenty first"),
            (100, "one hundredth"),
        ] {
            assert_eq!(ordinal(number), words);
        }
    }

    #[test]
    fn years_are_said_in_pairs() {
        for (number, words) in [
            (1066, "ten sixty six"),
            (1900, "nineteen hundred"),
            (1905, "nineteen oh five"),
            (1999, "nineteen ninety nine"),
            (2000, "two thousand"),
            (2005, "two thousand five"),
            (2026, "twenty twenty six"),
            (800, "eight hundred"),
        ] {
            assert_eq!(year(number), words);
        }
    }

    #[test]
    fn what_is_a_number() {
        assert_eq!(number("3.14").as_deref(), Some("three point one four"));
        assert_eq!(number(".5").as_deref(), Some("point five"));
        assert_eq!(number("1,000").as_deref(), Some("one thousand"));
        assert_eq!(number("007").as_deref(), Some("zero zero seven"));
        for text in ["", ".", "1,00", "1.2.3", "a", "1a", ",1", "1,"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
