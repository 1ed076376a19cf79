//! Number tokens as the values that the contract gives them.

use crate::scan::Number;

const PICODOLLARS: i64 = 1_000_000_000_000;
/// Decimals of money.
const MONEY_DIGITS: i32 = 12;
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The nearest double; infinite where it is beyond all of them. Zero has no sign.
#[inline]
#[must_use]
pub fn to_float(number: Number, text: &[u8]) -> f64 {
    // Two exact doubles, one rounding (Clinger 1990).
    if number.is_exact && number.mantissa < (1 << 53) && number.exponent.unsigned_abs() <= 22 {
        let mantissa = number.mantissa as f64;
        let power = POWERS[number.exponent.unsigned_abs() as usize];
        let value = if number.exponent < 0 { mantissa / power } else { mantissa * power };
        return if number.is_negative { 0.0 - value } else { value };
    }
    let token = &text[number.start..number.end];
    let value: f64 = std::str::from_utf8(token).ok().and_then(|t| t.parse().ok()).unwrap_or(f64::NAN);
    value + 0.0
}

/// A whole number, however it is written (`10`, `10.0`, `1e1`); None where it is none or has more than 15 digits.
#[inline]
#[must_use]
pub fn to_whole(number: Number, text: &[u8]) -> Option<i64> {
    if number.is_integer {
        if !number.is_exact || number.digits > 18 {
            return None;
        }
        let value = number.mantissa as i64;
        return Some(if number.is_negative { -value } else { value });
    }
    let value = to_float(number, text);
    (value.abs() < 1e15 && value.fract() == 0.0).then_some(value as i64)
}

/// Picodollars of an amount of USD, rounded half to even; None where it is negative or above the limit.
///
/// A JSON number with fraction or exponent is the decimal that Python prints for the double: the shortest one that is read
/// as the same double, and so the one that was written where that has no more than 15 digits.
#[must_use]
pub fn to_money(number: Number, text: &[u8], limit_usd: i64) -> Option<i64> {
    if number.is_negative && number.mantissa != 0 {
        return None;
    }
    if number.is_exact && (number.is_integer || number.digits <= 15) {
        return scaled(u128::from(number.mantissa), number.exponent, limit_usd);
    }
    if number.is_integer {
        return None;
    }
    let value = to_float(number, text);
    if !value.is_finite() {
        return None;
    }
    let (mantissa, exponent) = shortest_digits(value);
    scaled(u128::from(mantissa), exponent, limit_usd)
}

/// The same for the decimal text that the contract allows: `12`, `0.000125`, `1.25E-4`.
#[must_use]
pub fn money_of_text(text: &[u8], limit_usd: i64) -> Option<i64> {
    let mut mantissa = 0_u128;
    let mut exponent = 0_i32;
    let mut rest = text;
    let whole = take_digits(&mut rest, &mut mantissa, 40)?;
    if whole == 0 {
        return None;
    }
    if let [b'.', after @ ..] = rest {
        rest = after;
        let fraction = take_digits(&mut rest, &mut mantissa, 400)?;
        if fraction == 0 {
            return None;
        }
        exponent -= fraction as i32;
    }
    if let [b'e' | b'E', after @ ..] = rest {
        rest = after;
        let is_negative = matches!(rest.first(), Some(b'-'));
        if let [b'+' | b'-', after @ ..] = rest {
            rest = after;
        }
        let mut power = 0_u128;
        if take_digits(&mut rest, &mut power, 3)? == 0 {
            return None;
        }
        exponent += if is_negative { -(power as i32) } else { power as i32 };
    }
    if !rest.is_empty() {
        return None;
    }
    scaled(mantissa, exponent, limit_usd)
}

/// Take up to `most` digits; None where there are more, or the number gets too long.
fn take_digits(text: &mut &[u8], value: &mut u128, most: usize) -> Option<usize> {
    let mut taken = 0;
    while let [digit @ b'0'..=b'9', rest @ ..] = *text {
        *value = value.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
        *text = rest;
        taken += 1;
        if taken > most {
            return None;
        }
    }
    Some(taken)
}

/// `mantissa × 10^exponent` USD in picodollars.
fn scaled(mantissa: u128, exponent: i32, limit_usd: i64) -> Option<i64> {
    if mantissa == 0 {
        return Some(0);
    }
    let limit = (limit_usd as u128) * (PICODOLLARS as u128);
    let shift = exponent + MONEY_DIGITS;
    if shift >= 0 {
        let factor = 10_u128.checked_pow(shift as u32)?;
        let value = mantissa.checked_mul(factor)?;
        return (value <= limit).then_some(value as i64);
    }
    let Some(divisor) = 10_u128.checked_pow(shift.unsigned_abs()) else {
        // Ten to the 39th and more: the mantissa is below half of it unless it has as many digits.
        return (mantissa < 10_u128.pow(38)).then_some(0);
    };
    let (whole, rest) = (mantissa / divisor, mantissa % divisor);
    let half = divisor / 2;
    let rounded = whole + u128::from(rest > half || (rest == half && whole % 2 == 1));
    // Strictly: an amount above the limit may be rounded to the limit.
    (rounded < limit || (rounded == limit && rest == 0)).then_some(rounded as i64)
}

/// The shortest decimal that is read as this double: its digits as a whole number, and the power of ten.
#[must_use]
pub fn shortest_digits(value: f64) -> (u64, i32) {
    let printed = format!("{:e}", value.abs());
    let (digits, exponent) = printed.split_once('e').unwrap_or((&printed, "0"));
    let fraction = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let mantissa: u64 = digits.bytes().filter(u8::is_ascii_digit).fold(0, |m, d| m * 10 + u64::from(d - b'0'));
    (mantissa, exponent.parse::<i32>().unwrap_or(0) - fraction as i32)
}
