//! core: numbers as a person reads them
//! Law:   three digits that mean something, no more; what is not a finite number is a dash.

use crate::load::figure::Unit;

/// In the middle of a sentence or in a target's line: with its unit.
pub fn with_unit(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value.abs() < 0.9995 => format!("{} ms", three(value * 1000.0)),
        Unit::Seconds => format!("{} s", three(value)),
        Unit::Share => format!("{} %", percent(value)),
        Unit::Count | Unit::Ratio => three(value),
        Unit::PerSecond => format!("{} per s", three(value)),
    }
}

/// A time, with its unit.
pub fn time(seconds: f64) -> String {
    with_unit(seconds, Unit::Seconds)
}

/// A time in milliseconds: whole ones, with a decimal only below 10.
pub fn milliseconds(seconds: f64) -> String {
    let value = seconds * 1000.0;
    match value {
        _ if !value.is_finite() => DASH.to_string(),
        _ if value == 0.0 || value.abs() >= 9.95 => tidy(format!("{value:.0}")),
        _ => tidy(format!("{value:.1}")),
    }
}

/// A share in percent, without its sign.
pub fn percent(share: f64) -> String {
    three(share * 100.0)
}

/// A share that went well, in percent: rounded down, since 100 must mean all.
pub fn success(share: f64) -> String {
    if !share.is_finite() {
        return DASH.to_string();
    }
    // The product of a share such as 0.29 lies a hair below what it should be: the nudge keeps 29 % from being 28.9 %.
    let tenths = (share * 1000.0 + 1e-9).floor() / 10.0;
    match share {
        _ if tenths >= 100.0 => "100".to_string(),
        0.0 => "0".to_string(),
        _ => format!("{tenths:.1}"),
    }
}

/// About three digits: 1234, 123, 12.3, 1.23, 0.12; 0 is 0.
pub fn three(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => DASH.to_string(),
        0.0 => "0".to_string(),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.0995 => tidy(format!("{value:.2}")),
        _ => tidy(format!("{value:.3}")),
    }
}

/// Where there is no number.
pub const DASH: &str = "–";

/// −0 is 0.
fn tidy(text: String) -> String {
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => digits.to_string(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        let cases = [
            (0.0, "0"),
            (1234.6, "1235"),
            (99.96, "100"),
            (12.34, "12.3"),
            (9.999, "10.0"),
            (1.0, "1.00"),
            (0.123, "0.12"),
            (0.0123, "0.012"),
            (-0.0001, "0.000"),
            (-12.34, "-12.3"),
            (f64::NAN, DASH),
            (f64::INFINITY, DASH),
        ];
        for (value, text) in cases {
            assert_eq!(three(value), text);
        }
    }

    #[test]
    fn every_unit_is_said() {
        assert_eq!(with_unit(0.8712, Unit::Seconds), "871 ms");
        assert_eq!(with_unit(0.9996, Unit::Seconds), "1.00 s");
        assert_eq!(with_unit(0.0123, Unit::Share), "1.23 %");
        assert_eq!(with_unit(14.83, Unit::PerSecond), "14.8 per s");
        assert_eq!(with_unit(0.42, Unit::Ratio), "0.42");
        assert_eq!(
            (milliseconds(0.4996), milliseconds(0.00342), milliseconds(f64::NAN)),
            ("500".into(), "3.4".into(), DASH.into())
        );
    }

    /// One failure among ten thousand is not 100 %.
    #[test]
    fn only_all_is_a_hundred_percent() {
        assert_eq!(success(1.0), "100");
        assert_eq!(success(0.9999), "99.9");
        assert_eq!(success(0.29), "29.0");
        assert_eq!(success(0.0), "0");
    }
}
