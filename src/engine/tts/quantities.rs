//! core: money and measures made sayable

use super::normalise::Bare;
use super::numbers::{cardinal, number, whole_number};

/// "$5.20", "£3 million", "million" behind its sum; `None` where `word` is no money.
pub fn money(word: &Bare, previous: Option<&Bare>, next: Option<&Bare>) -> Option<String> {
    // "$5" "million": the currency is said after the size.
    if SIZES.contains(&word.lower.as_str())
        && let Some((_, currency)) = previous.and_then(|previous| amount(&previous.core))
    {
        return Some(format!("{} {}", word.lower, currency.many));
    }
    let (sum, currency) = amount(&word.core)?;
    let minus = if sum.negative { "minus " } else { "" };
    if next.is_some_and(|next| SIZES.contains(&next.lower.as_str())) {
        return Some(format!("{minus}{}", number(&sum.text)?));
    }
    if let Some(size) = sum.size {
        return Some(format!("{minus}{} {size} {}", number(&sum.text)?, currency.many));
    }
    let (whole, cents) = sum.text.split_once('.').unwrap_or((&sum.text, ""));
    let whole = whole_number(whole)??;
    let units = format!("{} {}", cardinal(whole), if whole == 1 { currency.one } else { currency.many });
    let cents = match cents.len() {
        0 => 0,
        2 => cents.parse::<u64>().ok()?,
        // "$1.5" and "$0.125" are quantities, not purses.
        _ => return Some(format!("{minus}{} {}", number(&sum.text)?, currency.many)),
    };
    let small = format!("{} {}", cardinal(cents), if cents == 1 { currency.cent } else { currency.cents });
    Some(match (whole, cents) {
        (_, 0) => format!("{minus}{units}"),
        (0, _) => format!("{minus}{small}"),
        _ => format!("{minus}{units} and {small}"),
    })
}

struct Sum {
    negative: bool,
    text: String,
    size: Option<&'static str>,
}

struct Currency {
    sign: char,
    one: &'static str,
    many: &'static str,
    cent: &'static str,
    cents: &'static str,
}

fn amount(core: &str) -> Option<(Sum, &'static Currency)> {
    let (negative, rest) = unsigned(core);
    let currency = CURRENCIES.iter().find(|currency| rest.contains(currency.sign))?;
    let rest = rest.strip_prefix(currency.sign).or_else(|| rest.strip_suffix(currency.sign))?;
    let (inner, rest) = unsigned(rest);
    let rest = rest.trim_end_matches('+');
    let split = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let size = match &rest[split..].to_lowercase()[..] {
        "" => None,
        "k" => Some("thousand"),
        "m" | "mn" | "mil" => Some("million"),
        "b" | "bn" => Some("billion"),
        "t" | "tn" => Some("trillion"),
        _ => return None,
    };
    let text = rest[..split].to_owned();
    number(&text)?;
    Some((Sum { negative: negative || inner, text, size }, currency))
}

/// Whether a minus stands before it, and the rest.
pub fn unsigned(text: &str) -> (bool, &str) {
    match text.strip_prefix(['-', '−']) {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

/// Whether `word` is the name of a unit, so that a number before it is a count and no year.
pub fn is_unit(word: &Bare) -> bool {
    UNITS.iter().any(|(short, ..)| word.core == *short)
}

/// A unit of its own behind a number ("5" "kg"), or together with it ("5kg", "20°C", "50%").
pub fn unit(word: &Bare, previous: Option<&Bare>) -> Option<String> {
    if let Some((_, one, many)) = UNITS.iter().find(|(short, ..)| word.core == *short) {
        let (_, quantity) = unsigned(&previous?.core);
        number(quantity)?;
        return Some(if quantity == "1" { (*one).to_owned() } else { (*many).to_owned() });
    }
    let (negative, rest) = unsigned(&word.core);
    let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').filter(|at| *at > 0)?;
    let (quantity, short) = rest.split_at(split);
    let decade =
        short == "s" && quantity.ends_with('0') && previous.is_some_and(|p| DECADE_CUES.contains(&p.lower.as_str()));
    if decade || short == "s" && quantity.len() == 4 {
        return None;
    }
    let (_, one, many) = UNITS.iter().find(|(unit, ..)| *unit == short)?;
    let minus = if negative { "minus " } else { "" };
    Some(format!("{minus}{} {}", number(quantity)?, if quantity == "1" { one } else { many }))
}

// ------------------------------------------------------------------------------------------------ tables

const SIZES: [&str; 4] = ["thousand", "million", "billion", "trillion"];
const DECADE_CUES: [&str; 5] = ["the", "early", "mid", "late", "my"];
const CURRENCIES: [Currency; 4] = [
    Currency { sign: '$', one: "dollar", many: "dollars", cent: "cent", cents: "cents" },
    Currency { sign: '€', one: "euro", many: "euros", cent: "cent", cents: "cents" },
    Currency { sign: '£', one: "pound", many: "pounds", cent: "penny", cents: "pence" },
    Currency { sign: '¥', one: "yen", many: "yen", cent: "sen", cents: "sen" },
];
const UNITS: [(&str, &str, &str); 43] = [
    ("%", "percent", "percent"),
    ("°C", "degree Celsius", "degrees Celsius"),
    ("°F", "degree Fahrenheit", "degrees Fahrenheit"),
    ("°", "degree", "degrees"),
    ("km", "kilometer", "kilometers"),
    ("m", "meter", "meters"),
    ("cm", "centimeter", "centimeters"),
    ("mm", "millimeter", "millimeters"),
    ("mi", "mile", "miles"),
    ("ft", "foot", "feet"),
    ("yd", "yard", "yards"),
    ("kg", "kilogram", "kilograms"),
    ("g", "gram", "grams"),
    ("mg", "milligram", "milligrams"),
    ("lb", "pound", "pounds"),
    ("lbs", "pound", "pounds"),
    ("oz", "ounce", "ounces"),
    ("l", "liter", "liters"),
    ("L", "liter", "liters"),
    ("ml", "milliliter", "milliliters"),
    ("km/h", "kilometer per hour", "kilometers per hour"),
    ("mph", "mile per hour", "miles per hour"),
    ("m/s", "meter per second", "meters per second"),
    ("s", "second", "seconds"),
    ("sec", "second", "seconds"),
    ("ms", "millisecond", "milliseconds"),
    ("min", "minute", "minutes"),
    ("h", "hour", "hours"),
    ("hr", "hour", "hours"),
    ("hrs", "hour", "hours"),
    ("Hz", "hertz", "hertz"),
    ("kHz", "kilohertz", "kilohertz"),
    ("MHz", "megahertz", "megahertz"),
    ("GHz", "gigahertz", "gigahertz"),
    ("KB", "kilobyte", "kilobytes"),
    ("kB", "kilobyte", "kilobytes"),
    ("MB", "megabyte", "megabytes"),
    ("GB", "gigabyte", "gigabytes"),
    ("TB", "terabyte", "terabytes"),
    ("W", "watt", "watts"),
    ("kW", "kilowatt", "kilowatts"),
    ("V", "volt", "volts"),
    ("kWh", "kilowatt hour", "kilowatt hours"),
];
