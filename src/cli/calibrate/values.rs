//! What is typed after the flags of `nightlight calibrate`.

use crate::engines::calibration::{certify::Prevalence, grid};

/// More candidates than anybody compares.
const MOST_CANDIDATES: usize = 1_000_000;

/// A share strictly between 0 and 1.
pub(in crate::cli) fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "a number between 0 and 1 is needed, such as 0.99".to_owned())?;
    if value > 0.0 && value < 1.0 { Ok(value) } else { Err("it has to lie between 0 and 1, without the ends".to_owned()) }
}

/// A finite number above 0.
pub(super) fn cap(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "a number above 0 is needed".to_owned())?;
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err("it has to be a number above 0".to_owned()) }
}

/// `sample`, a share, `LOW..HIGH`, or `K/N`.
pub(super) fn prevalence(text: &str) -> Result<Prevalence, String> {
    if text == "sample" {
        return Ok(Prevalence::Sample);
    }
    if let Some((low, high)) = text.split_once("..") {
        let (low, high) = (share(low)?, share(high)?);
        return if low <= high { Ok(Prevalence::Interval(low, high)) } else { Err("the lower end comes first".to_owned()) };
    }
    if let Some((positives, items)) = text.split_once('/') {
        let number =
            |text: &str| text.parse::<u64>().map_err(|_| "K/N are whole numbers: positives among so many labelled items".to_owned());
        let (positives, items) = (number(positives)?, number(items)?);
        return match positives {
            0 => Err("without a positive item nothing is known of the prevalence's lower end".to_owned()),
            k if k > items => Err(format!("{k} of {items} cannot be")),
            _ => Ok(Prevalence::Traffic { positives, items }),
        };
    }
    share(text).map(Prevalence::Given)
}

/// Ascending thresholds; one value on the command line.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Candidates(pub Vec<f64>);

/// `START..END:N`.
pub(super) fn candidates(text: &str) -> Result<Candidates, String> {
    let wrong = || "START..END:N is needed, such as 0..0.99:100".to_owned();
    let (range, number) = text.split_once(':').ok_or_else(wrong)?;
    let (start, end) = range.split_once("..").ok_or_else(wrong)?;
    let end_of = |text: &str| text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(wrong);
    let (start, end) = (end_of(start)?, end_of(end)?);
    match number.parse() {
        Ok(number @ 2..=MOST_CANDIDATES) if start < end => Ok(Candidates(grid::linspace(start, end, number))),
        _ => Err(format!("{}, with 2 to {MOST_CANDIDATES} candidates", wrong())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_say_what_is_wrong_with_them() {
        assert_eq!(prevalence("sample"), Ok(Prevalence::Sample));
        assert_eq!(prevalence("1e-4"), Ok(Prevalence::Given(1e-4)));
        assert_eq!(prevalence("0.01..0.02"), Ok(Prevalence::Interval(0.01, 0.02)));
        assert_eq!(prevalence("31/75"), Ok(Prevalence::Traffic { positives: 31, items: 75 }));
        for wrong in ["0", "1", "x", "0.2..0.1", "0/5", "6/5", "..", "NaN"] {
            assert!(prevalence(wrong).is_err(), "{wrong}");
        }
        assert_eq!(candidates("0..0.99:100").unwrap().0[99], 0.99);
        for wrong in ["0..1", "1..0:5", "0..1:1", "0..inf:5"] {
            assert!(candidates(wrong).is_err(), "{wrong}");
        }
        assert!(share("0.99").is_ok() && share("99").is_err() && cap("0").is_err() && cap("2.5").is_ok());
    }
}
