//! Messages as JSON text, to the byte as the reference writes them: no white space, escapes only where JSON asks for
//! them, numbers as Python prints them. Tokens are counted from this text.

use crate::number::{shortest_digits, to_float};
use crate::scan::{Broken, Cursor, Number, Scanned, plain};

/// Names of one object that are compared with each other; objects with more go to the reference.
const MOST_NAMES: usize = 64;

/// What a list of messages was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// An empty list.
    None,
    /// Its text was written.
    Plain,
    /// The reference has to judge it. What was written means nothing.
    Odd,
}

struct Writer<'a, 'b> {
    out: &'a mut Vec<u8>,
    cursor: &'a mut Cursor<'b>,
    most: u32,
    is_odd: bool,
}

/// Write the list at the cursor, which is itself the `depth`th container; more than `most` are too deep.
///
/// # Errors
/// It is not JSON.
pub fn messages(cursor: &mut Cursor, depth: u32, most: u32, out: &mut Vec<u8>) -> Scanned<Messages> {
    let mut writer = Writer { out, cursor, most, is_odd: false };
    writer.out.push(b'[');
    let mut more = writer.cursor.opens(b'[', b']')?;
    if !more {
        return Ok(Messages::None);
    }
    while more {
        writer.is_odd |= writer.cursor.peek() != b'{';
        writer.value(depth + 1)?;
        more = writer.cursor.has_more(b']')?;
        writer.out.push(if more { b',' } else { b']' });
    }
    Ok(if writer.is_odd { Messages::Odd } else { Messages::Plain })
}

impl Writer<'_, '_> {
    /// Write a value; a container is the `depth`th.
    fn value(&mut self, depth: u32) -> Scanned<()> {
        match self.cursor.peek() {
            b'"' => self.string(),
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b't' | b'f' | b'n' => {
                let start = self.cursor.at;
                self.cursor.skip_value(depth)?;
                self.copy(start);
                Ok(())
            }
            _ => {
                let number = self.cursor.number()?;
                self.number(number);
                Ok(())
            }
        }
    }

    fn enter(&mut self, depth: u32) -> Scanned<()> {
        if depth > crate::scan::DEEPEST {
            return Err(Broken);
        }
        self.is_odd |= depth > self.most;
        Ok(())
    }

    fn list(&mut self, depth: u32) -> Scanned<()> {
        self.enter(depth)?;
        self.out.push(b'[');
        let mut more = self.cursor.opens(b'[', b']')?;
        if !more {
            self.out.push(b']');
        }
        while more {
            self.value(depth + 1)?;
            more = self.cursor.has_more(b']')?;
            self.out.push(if more { b',' } else { b']' });
        }
        Ok(())
    }

    fn object(&mut self, depth: u32) -> Scanned<()> {
        self.enter(depth)?;
        self.out.push(b'{');
        let mut more = self.cursor.opens(b'{', b'}')?;
        if !more {
            self.out.push(b'}');
        }
        let mut names = [(0, 0); MOST_NAMES];
        let mut count = 0;
        while more {
            let start = self.out.len();
            self.string()?;
            let name = (start, self.out.len());
            // A name given twice: the last value counts, at the place of the first.
            let is_known = names[..count].iter().any(|(a, b)| self.out[*a..*b] == self.out[name.0..name.1]);
            if is_known || count == MOST_NAMES {
                self.is_odd = true;
            } else {
                names[count] = name;
                count += 1;
            }
            self.out.push(b':');
            self.cursor.colon()?;
            self.value(depth + 1)?;
            more = self.cursor.has_more(b'}')?;
            self.out.push(if more { b',' } else { b'}' });
        }
        Ok(())
    }

    fn copy(&mut self, start: usize) {
        self.out.extend_from_slice(&self.cursor.text[start..self.cursor.at]);
    }

    fn string(&mut self) -> Scanned<()> {
        let start = self.cursor.at;
        let token = self.cursor.string()?;
        if !token.is_escaped {
            self.copy(start);
            return Ok(());
        }
        self.out.push(b'"');
        self.cursor.unescape(token, self.out, escaped);
        self.out.push(b'"');
        Ok(())
    }

    fn number(&mut self, number: Number) {
        if number.is_integer {
            let start = self.out.len();
            self.out.extend_from_slice(&self.cursor.text[number.start..number.end]);
            if &self.out[start..] == b"-0" {
                self.out.remove(start);
            }
            return;
        }
        let value = to_float(number, self.cursor.text);
        // How very large and small ones are printed, and -0.0, is the reference's affair.
        let is_usual = value == 0.0 || (1e-4..1e16).contains(&value.abs());
        if !is_usual || (number.is_negative && value == 0.0) {
            self.is_odd = true;
            return;
        }
        let (digits, exponent) = shortest_digits(value);
        if number.is_negative {
            self.out.push(b'-');
        }
        let mut printed = digits.to_string();
        if exponent >= 0 {
            printed.extend(std::iter::repeat_n('0', exponent as usize));
            printed.push_str(".0");
        } else {
            let decimals = exponent.unsigned_abs() as usize;
            while printed.len() <= decimals {
                printed.insert(0, '0');
            }
            printed.insert(printed.len() - decimals, '.');
        }
        self.out.extend_from_slice(printed.as_bytes());
    }
}

/// Append a character as JSON has to write it.
fn escaped(character: char, out: &mut Vec<u8>) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\u{8}' => out.extend_from_slice(b"\\b"),
        '\u{c}' => out.extend_from_slice(b"\\f"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\0'..='\x1F' => out.extend_from_slice(format!("\\u{:04x}", character as u32).as_bytes()),
        _ => plain(character, out),
    }
}
