//! Money in whole micro-units of a currency: sums of it are exact.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::NameError;

/// Micro-units in one unit of a currency.
const MICROS: u64 = 1_000_000;
/// Decimal places that micro-units have.
const PLACES: usize = 6;

/// Names a currency by its three capital letters (ISO 4217).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(String);

impl Currency {
    /// Checks the code of a currency.
    ///
    /// # Errors
    ///
    /// [`NameError`] unless it has three capital letters.
    pub fn new(code: impl Into<String>) -> Result<Self, NameError> {
        let code = code.into();
        if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Ok(Self(code))
        } else {
            Err(NameError::new("must be three capital letters"))
        }
    }

    /// Returns the code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Currency {
    type Error = NameError;

    fn try_from(code: String) -> Result<Self, NameError> {
        Self::new(code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.0
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Is an amount that somebody pays: never negative.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Millionths of the currency's unit.
    pub micros: u64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// Reads a decimal amount such as `5.9900`; places after the sixth are rounded half up.
    ///
    /// # Errors
    ///
    /// [`NameError`] unless it is digits, at most one point between digits, and within 64 bits of micro-units.
    pub fn from_decimal(text: &str, currency: Currency) -> Result<Self, NameError> {
        let bad = || NameError::new("must be a decimal amount such as 5.99");
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(bad());
        }
        let kept: String = fraction.chars().chain(std::iter::repeat('0')).take(PLACES).collect();
        let rounds_up = fraction.as_bytes().get(PLACES).is_some_and(|digit| *digit >= b'5');
        let whole: u64 = whole.parse().map_err(|_overflow: std::num::ParseIntError| bad())?;
        let part: u64 = kept.parse().map_err(|_overflow: std::num::ParseIntError| bad())?;
        let micros = whole.checked_mul(MICROS).and_then(|micros| micros.checked_add(part + u64::from(rounds_up)));
        Ok(Self { micros: micros.ok_or_else(bad)?, currency })
    }

    /// Adds two amounts; none if their currencies differ or the sum is too large.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Option<Self> {
        let micros = self.micros.checked_add(other.micros).filter(|_| self.currency == other.currency)?;
        Some(Self { micros, currency: self.currency.clone() })
    }
}

/// Writes as many places as the amount has, at least two: `5.99 EUR`, `0.012376 EUR`.
impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = format!("{:06}", self.micros % MICROS);
        let (cents, rest) = places.split_at(2);
        write!(formatter, "{}.{cents}{} {}", self.micros / MICROS, rest.trim_end_matches('0'), self.currency)
    }
}

/// Is a price without and with the tax that the provider adds for this account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Price {
    /// Without tax.
    pub net: Money,
    /// With tax: what is paid.
    pub gross: Money,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euros(text: &str) -> Result<Money, NameError> {
        Money::from_decimal(text, Currency::new("EUR").unwrap())
    }

    #[test]
    fn a_decimal_amount_is_read_exactly_and_rounded_half_up_after_the_sixth_place() {
        let cases = [
            ("0", 0),
            ("5.99", 5_990_000),
            ("0.0104000000", 10_400),
            ("1.0000004", 1_000_000),
            ("1.0000005", 1_000_001),
            ("0.9999999", 1_000_000),
            ("18446744073709.551615", u64::MAX),
        ];
        for (text, micros) in cases {
            assert_eq!(euros(text).unwrap().micros, micros, "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1.2.3", " 1", "18446744073709.551616", "NaN"] {
            assert!(euros(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_amount_is_written_with_its_places_and_sums_know_their_currency() {
        assert_eq!(euros("7.7231").unwrap().to_string(), "7.7231 EUR");
        assert_eq!(euros("3").unwrap().to_string(), "3.00 EUR");
        let sum = euros("0.1").unwrap().plus(&euros("0.2").unwrap()).unwrap();
        assert_eq!(sum, euros("0.3").unwrap());
        let dollar = Money { micros: 1, currency: Currency::new("USD").unwrap() };
        assert_eq!(sum.plus(&dollar), None);
        assert!(Currency::new("eur").is_err() && Currency::new("EURO").is_err());
    }
}
