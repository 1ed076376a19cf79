//! Event time: RFC 3339 text with a zone, or a number of seconds or milliseconds since 1970, in microseconds since then.

use crate::number::to_float;
use crate::scan::Number;

/// Numbers from here on are milliseconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;
const DAY_S: i64 = 86_400;

/// Microseconds since 1970 of an RFC 3339 date-time; None for any other text. Digits below a microsecond are cut.
#[must_use]
pub fn of_text(text: &[u8]) -> Option<i64> {
    if text.len() < 20 || text[4] != b'-' || text[7] != b'-' || text[13] != b':' || text[16] != b':' {
        return None;
    }
    if !matches!(text[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..10])?);
    let (hour, minute, second) = (digits(&text[11..13])?, digits(&text[14..16])?, digits(&text[17..19])?);
    // Years that nobody means are left to the reference: at the ends of its calendar are its own rules.
    if !(1000..=9998).contains(&year) || !(1..=12).contains(&month) || day == 0 || day > days_of(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction_us, zone) = fraction(&text[19..])?;
    let seconds = days_since_1970(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - zone_s(zone)?;
    Some(seconds * 1_000_000 + fraction_us)
}

/// Microseconds since 1970 of a number; None where it cannot be a date.
#[must_use]
pub fn of_number(number: Number, text: &[u8]) -> Option<i64> {
    if number.is_integer {
        if number.is_negative || number.digits > 14 {
            return None;
        }
        let value = number.mantissa as i64;
        return Some(value * if value < MILLISECONDS_FROM { 1_000_000 } else { 1_000 });
    }
    let value = to_float(number, text);
    if !(0.0..1e14).contains(&value) {
        return None;
    }
    let factor = if value < MILLISECONDS_FROM as f64 { 1e6 } else { 1e3 };
    Some((value * factor).round_ties_even() as i64)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// Microseconds of `.123456789`, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', after @ ..] = text else { return Some((0, text)) };
    let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || count > 9 {
        return None;
    }
    let kept = count.min(6);
    let value = digits(&after[..kept])?;
    Some((value * 10_i64.pow(6 - kept as u32), &after[count..]))
}

/// Seconds that a zone is ahead of UTC.
fn zone_s(text: &[u8]) -> Option<i64> {
    match text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let ahead = hours * 3600 + minutes * 60;
            Some(if *sign == b'-' { -ahead } else { ahead })
        }
        _ => None,
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar, counted in years that begin in March (Hinnant, `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}
