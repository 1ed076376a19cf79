//! JSON text, one token after the other: strict RFC 8259, no tree, no copies but of strings with escapes.
//!
//! Whatever is not strict JSON is [`Broken`]: its record goes to the reference path, which says what is wrong with it.
//! The text has been checked to be UTF-8.

/// Containers inside each other that are followed; deeper ones are [`Broken`]. The reference's parser gives up at 200, so
/// that what is accepted here is JSON there too.
pub const DEEPEST: u32 = 180;

/// Digits of one number. Python's integers refuse more than 4,300.
const MOST_DIGITS: usize = 1_000;

/// Not JSON as far as this scanner goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// Result of reading a token.
pub type Scanned<T> = Result<T, Broken>;

/// A position in a text.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    /// The whole text.
    pub text: &'a [u8],
    /// The next byte.
    pub at: usize,
}

/// A string token, without its quotes.
#[derive(Debug, Clone, Copy)]
pub struct RawText {
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// Whether it has escapes, and so is not its own value.
    pub is_escaped: bool,
}

/// A number token: `mantissa × 10^exponent` where `is_exact`.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// Where its text begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Begins with a minus.
    pub is_negative: bool,
    /// Has neither fraction nor exponent: Python reads it as an `int`.
    pub is_integer: bool,
    /// Its digits as one number; meaningless unless `is_exact`.
    pub mantissa: u64,
    /// Digits of the mantissa, without leading zeros.
    pub digits: u32,
    /// Power of ten that the mantissa is multiplied by; meaningless unless `is_exact`.
    pub exponent: i32,
    /// No digit had to be left out.
    pub is_exact: bool,
}

impl<'a> Cursor<'a> {
    /// At the beginning of a text.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Cursor { text, at: 0 }
    }

    /// The next byte; 0 at the end, which no token begins with.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Whether all has been read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Go over white space.
    #[inline]
    pub fn skip_white(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Take this byte.
    ///
    /// # Errors
    /// Another byte is next.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Scanned<()> {
        if self.peek() == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(Broken)
        }
    }

    /// Take this text if it is next.
    #[inline]
    pub fn take(&mut self, text: &[u8]) -> bool {
        let found = self.text[self.at.min(self.text.len())..].starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Go over `, ` and return true, or over the closing bracket and return false.
    ///
    /// # Errors
    /// Neither is next.
    #[inline]
    pub fn has_more(&mut self, closing: u8) -> Scanned<bool> {
        self.skip_white();
        let byte = self.peek();
        self.at += 1;
        match byte {
            b',' => {
                self.skip_white();
                Ok(true)
            }
            _ if byte == closing => Ok(false),
            _ => Err(Broken),
        }
    }

    /// Go over the opening bracket, and return whether anything stands before the closing one.
    ///
    /// # Errors
    /// Another byte is next.
    #[inline]
    pub fn opens(&mut self, opening: u8, closing: u8) -> Scanned<bool> {
        self.expect(opening)?;
        self.skip_white();
        if self.peek() == closing {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Go over the colon between a name and its value.
    ///
    /// # Errors
    /// There is none.
    #[inline]
    pub fn colon(&mut self) -> Scanned<()> {
        self.skip_white();
        self.expect(b':')?;
        self.skip_white();
        Ok(())
    }

    /// Read a string token. Its escapes are checked, surrogates too.
    ///
    /// # Errors
    /// It is none, is cut off, holds a control character, or an escape that JSON does not have.
    #[inline]
    pub fn string(&mut self) -> Scanned<RawText> {
        self.expect(b'"')?;
        let start = self.at;
        self.at = end_of_plain(self.text, self.at);
        let mut is_escaped = false;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(RawText { start, end, is_escaped });
                }
                Some(b'\\') => {
                    is_escaped = true;
                    self.escape()?;
                    self.at = end_of_plain(self.text, self.at);
                }
                _ => return Err(Broken),
            }
        }
    }

    /// Read one escape, and return its character.
    fn escape(&mut self) -> Scanned<char> {
        let kind = *self.text.get(self.at + 1).ok_or(Broken)?;
        self.at += 2;
        Ok(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.four_hex_digits()?;
                if (0xD800..0xDC00).contains(&unit) {
                    if !self.take(b"\\u") {
                        return Err(Broken);
                    }
                    let low = self.four_hex_digits()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return Err(Broken);
                    }
                    char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)).ok_or(Broken)?
                } else {
                    char::from_u32(unit).ok_or(Broken)?
                }
            }
            _ => return Err(Broken),
        })
    }

    fn four_hex_digits(&mut self) -> Scanned<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Broken)?;
        self.at += 4;
        digits.iter().try_fold(0, |value, digit| Ok(value * 16 + char::from(*digit).to_digit(16).ok_or(Broken)?))
    }

    /// Read a number token.
    ///
    /// # Errors
    /// It is none, or has more digits than anybody needs.
    #[inline]
    pub fn number(&mut self) -> Scanned<Number> {
        let start = self.at;
        let is_negative = self.take(b"-");
        let mut mantissa = Mantissa::default();
        let first = self.at;
        self.digits(&mut mantissa);
        let whole = self.at - first;
        if whole == 0 || (whole > 1 && self.text[first] == b'0') {
            return Err(Broken);
        }
        let mut exponent = 0_i32;
        let mut is_integer = true;
        if self.peek() == b'.' {
            self.at += 1;
            is_integer = false;
            let first = self.at;
            self.digits(&mut mantissa);
            let fraction = self.at - first;
            if fraction == 0 {
                return Err(Broken);
            }
            exponent -= fraction as i32;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            is_integer = false;
            exponent = exponent.saturating_add(self.exponent()?);
        }
        if self.at - start > MOST_DIGITS {
            return Err(Broken);
        }
        Ok(Number {
            start,
            end: self.at,
            is_negative,
            is_integer,
            mantissa: mantissa.value,
            digits: mantissa.digits,
            exponent,
            is_exact: !mantissa.is_cut,
        })
    }

    #[inline]
    fn digits(&mut self, mantissa: &mut Mantissa) {
        while let digit @ b'0'..=b'9' = self.peek() {
            mantissa.push(digit - b'0');
            self.at += 1;
        }
    }

    fn exponent(&mut self) -> Scanned<i32> {
        let is_negative = self.peek() == b'-';
        if matches!(self.peek(), b'+' | b'-') {
            self.at += 1;
        }
        let first = self.at;
        let mut value = 0_i32;
        while let digit @ b'0'..=b'9' = self.peek() {
            value = value.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
            self.at += 1;
        }
        if self.at == first {
            return Err(Broken);
        }
        Ok(if is_negative { -value } else { value })
    }

    /// Go over any value; return how many containers are inside each other in it.
    ///
    /// # Errors
    /// It is not JSON, or deeper than `DEEPEST` where `depth` containers are around it.
    pub fn skip_value(&mut self, depth: u32) -> Scanned<u32> {
        match self.peek() {
            b'"' => self.string().map(|_| 0),
            b'{' => {
                let mut inner = 0;
                let mut more = self.enter(depth, b'{', b'}')?;
                while more {
                    self.string()?;
                    self.colon()?;
                    inner = inner.max(self.skip_value(depth + 1)?);
                    more = self.has_more(b'}')?;
                }
                Ok(inner + 1)
            }
            b'[' => {
                let mut inner = 0;
                let mut more = self.enter(depth, b'[', b']')?;
                while more {
                    inner = inner.max(self.skip_value(depth + 1)?);
                    more = self.has_more(b']')?;
                }
                Ok(inner + 1)
            }
            b't' | b'f' | b'n' => self.constant().map(|()| 0),
            _ => self.number().map(|_| 0),
        }
    }

    fn enter(&mut self, depth: u32, opening: u8, closing: u8) -> Scanned<bool> {
        if depth >= DEEPEST {
            return Err(Broken);
        }
        self.opens(opening, closing)
    }

    fn constant(&mut self) -> Scanned<()> {
        if self.take(b"null") || self.take(b"true") || self.take(b"false") { Ok(()) } else { Err(Broken) }
    }

    /// Append a string's value; `write` appends the character of an escape.
    pub fn unescape(self, raw: RawText, out: &mut Vec<u8>, write: impl Fn(char, &mut Vec<u8>)) {
        let mut inner = Cursor { text: &self.text[..raw.end], at: raw.start };
        while inner.at < raw.end {
            let plain = end_of_plain(inner.text, inner.at);
            out.extend_from_slice(&inner.text[inner.at..plain]);
            inner.at = plain;
            if plain < raw.end {
                // Checked when it was read.
                write(inner.escape().unwrap_or(char::REPLACEMENT_CHARACTER), out);
            }
        }
    }
}

/// Append a character as UTF-8.
pub fn plain(character: char, out: &mut Vec<u8>) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

#[derive(Default)]
struct Mantissa {
    value: u64,
    digits: u32,
    is_cut: bool,
}

impl Mantissa {
    #[inline]
    fn push(&mut self, digit: u8) {
        if self.digits < 19 {
            self.value = self.value * 10 + u64::from(digit);
            self.digits += u32::from(self.value != 0);
        } else {
            self.is_cut = true;
        }
    }
}

/// Where the first quote, backslash or control character stands from `at` on, or the text's end. Eight bytes a step.
#[inline]
fn end_of_plain(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = text.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or([0; 8]));
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        // A byte's top bit is set where the byte is zero; above the first such byte there may be false ones.
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if found & TOPS != 0 {
            return at + ((found & TOPS).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = text.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..=0x1F) {
            break;
        }
        at += 1;
    }
    at
}
