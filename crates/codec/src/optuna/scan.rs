//! JSON as Python reads it, without trees: values as slices of the text, checked while they are passed over. Bare
//! `NaN`, `Infinity` and `-Infinity` are numbers, integers may be of any length, and of equal keys the last one counts.

use std::borrow::Cow;

use crate::DecodeError;

type Result<T> = std::result::Result<T, DecodeError>;

/// A place in a JSON text.
pub(crate) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(text: &'a str) -> Scan<'a> {
        Scan { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected(&self, what: &str) -> DecodeError {
        DecodeError::Invalid { offset: self.at, what: format!("expected {what}") }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.expected(what));
        }
        self.at += 1;
        Ok(())
    }

    /// The members of the object that begins here: each key and value as they are written.
    pub(crate) fn members(&mut self, mut each: impl FnMut(&'a str, &'a str) -> Result<()>) -> Result<()> {
        self.space();
        self.take(b'{', "an object")?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.take(b':', "a colon")?;
            let value = self.value()?;
            each(key, value)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.take(b'}', "a comma or a closing brace"),
            }
        }
    }

    /// The items of the array that begins here, as they are written.
    pub(crate) fn items(&mut self, mut each: impl FnMut(&'a str) -> Result<()>) -> Result<()> {
        self.space();
        self.take(b'[', "an array")?;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let value = self.value()?;
            each(value)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.take(b']', "a comma or a closing bracket"),
            }
        }
    }

    /// Nothing but space may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(DecodeError::Trailing { offset: self.at }) }
    }

    /// The value here, without the space around it.
    fn value(&mut self) -> Result<&'a str> {
        self.space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => _ = self.string()?,
            Some(b'[' | b'{') => self.nested()?,
            _ => self.scalar()?,
        }
        Ok(&self.text[start..self.at])
    }

    /// Passes over an array or object. Its nesting lies on a stack of its own, a byte for each level.
    fn nested(&mut self) -> Result<()> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(bracket @ (b'[' | b'{')) => {
                    self.at += 1;
                    self.space();
                    let close = if bracket == b'[' { b']' } else { b'}' };
                    if self.peek() != Some(close) {
                        open.push(close);
                        if close == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                Some(b'"') => _ = self.string()?,
                _ => self.scalar()?,
            }
            loop {
                let Some(&close) = open.last() else { return Ok(()) };
                self.space();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if close == b'}' {
                            self.space();
                            self.key()?;
                        }
                        break;
                    }
                    Some(byte) if byte == close => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(self.expected("a comma or a closing bracket")),
                }
            }
        }
    }

    fn key(&mut self) -> Result<()> {
        self.string()?;
        self.space();
        self.take(b':', "a colon")
    }

    /// The string here, between its quotes, as it is written.
    fn string(&mut self) -> Result<&'a str> {
        self.take(b'"', "a string")?;
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            while bytes.get(self.at).is_some_and(|&byte| PLAIN[usize::from(byte)]) {
                self.at += 1;
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at - 1]);
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            let digits = bytes.get(self.at + 1..self.at + 5);
                            if !digits.is_some_and(|four| four.iter().all(u8::is_ascii_hexdigit)) {
                                return Err(self.expected("four hexadecimal digits"));
                            }
                            self.at += 5;
                        }
                        _ => return Err(self.expected("an escape")),
                    }
                }
                _ => return Err(self.expected("the rest of a string")),
            }
        }
    }

    fn scalar(&mut self) -> Result<()> {
        let rest = &self.text.as_bytes()[self.at..];
        for word in ["null", "true", "false", "NaN", "Infinity", "-Infinity"] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(());
            }
        }
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.expected("a value")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }
}

/// Bytes that stand for themselves inside a string.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

/// What marks half a surrogate pair, which Python's strings may hold and ours may not: its four hexadecimal digits follow.
pub(crate) const LONE: char = '\u{fffd}';

/// The text that a string's raw form, checked before, stands for.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        let mut used = at + 2;
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let first = unit(rest, at);
                used = at + 6;
                let second = Some(unit(rest, used)).filter(|low| (0xdc00..0xe000).contains(low));
                match (first, second) {
                    (0xd800..0xdc00, Some(low)) => {
                        let code = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
                        out.push(char::from_u32(code).unwrap_or(LONE));
                        used += 6;
                    }
                    _ => match char::from_u32(first) {
                        Some(c) => out.push(c),
                        None => out.push_str(&format!("{LONE}{first:04x}")),
                    },
                }
            }
            other => out.push(char::from(other)),
        }
        rest = rest.get(used..).unwrap_or("");
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The number of the `\uXXXX` at this place, or one that no text has.
fn unit(text: &str, at: usize) -> u32 {
    let digits = text.get(at..at + 6).and_then(|escape| escape.strip_prefix("\\u"));
    digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(u32::MAX)
}

/// The text of a value, if it is a string.
pub(crate) fn text(value: &str) -> Option<Cow<'_, str>> {
    Some(unescape(value.strip_prefix('"')?.strip_suffix('"')?))
}

/// A value as a number, if it is one or what Python takes for one. Rustuna writes infinities as strings.
pub(crate) fn float(value: &str) -> Option<f64> {
    match value.as_bytes().first()? {
        b'0'..=b'9' | b'-' if value != "-Infinity" => value.parse().ok(),
        _ => match value {
            "NaN" | "\"NaN\"" | "\"nan\"" => Some(f64::NAN),
            "Infinity" | "\"Infinity\"" | "\"inf\"" => Some(f64::INFINITY),
            "-Infinity" | "\"-Infinity\"" | "\"-inf\"" => Some(f64::NEG_INFINITY),
            "true" => Some(1.0),
            "false" => Some(0.0),
            _ => None,
        },
    }
}

/// A value as a whole number, if it is one that 64 bits hold.
pub(crate) fn integer(value: &str) -> Option<i64> {
    match value {
        "true" => return Some(1),
        "false" => return Some(0),
        _ => {}
    }
    if let Ok(number) = value.parse() {
        return Some(number);
    }
    let number: f64 = if value.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        value.parse().ok()?
    } else {
        return None;
    };
    (number.fract() == 0.0 && number.abs() < 9e18).then_some(number as i64)
}
