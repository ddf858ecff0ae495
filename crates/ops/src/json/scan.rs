//! A JSON text without a tree: values as slices of it, checked while they are passed over.

use super::JsonError;

type Result<T> = std::result::Result<T, JsonError>;

/// A place in a JSON text. Bare `NaN`, `Infinity` and `-Infinity` are values, as Python writes them, and numbers may be of any length.
/// What is wrong is told by its byte offset.
#[derive(Clone, Debug)]
pub struct JsonScan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> JsonScan<'a> {
    /// The beginning of a text.
    #[must_use]
    pub fn new(text: &'a str) -> JsonScan<'a> {
        JsonScan { text, at: 0 }
    }

    /// The members of the object that begins here: each key, as it is written between its quotes, and each value. Behind the last
    /// one the place is behind the object.
    pub fn members(&mut self) -> Members<'_, 'a> {
        Members { scan: self, at: At::Begin }
    }

    /// The items of the array that begins here, as they are written. Behind the last one the place is behind the array.
    pub fn items(&mut self) -> Items<'_, 'a> {
        Items { scan: self, at: At::Begin }
    }

    /// Goes to the next part of an object or array, if there is one.
    fn more(&mut self, at: &mut At, brackets: &Brackets) -> Result<bool> {
        self.space();
        match std::mem::replace(at, At::End) {
            At::End => return Ok(false),
            At::Begin => {
                self.take(brackets.open, brackets.begin)?;
                self.space();
                if self.peek() == Some(brackets.close) {
                    self.at += 1;
                    return Ok(false);
                }
            }
            At::Within => {
                if self.peek() != Some(b',') {
                    return self.take(brackets.close, brackets.end).map(|()| false);
                }
                self.at += 1;
            }
        }
        self.space();
        *at = At::Within;
        Ok(true)
    }

    /// Nothing but space may follow.
    ///
    /// # Errors
    /// Something does.
    pub fn end(&mut self) -> Result<()> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// The value here, without the space around it, whose arrays and objects nest so deep at most. Their nesting lies on a stack of
    /// its own, a byte for each level, so that hostile text exhausts no other.
    ///
    /// # Errors
    /// It is not well-formed, or nests deeper.
    pub fn value(&mut self, depth_max: usize) -> Result<&'a str> {
        self.space();
        let start = self.at;
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(bracket @ (b'[' | b'{')) => {
                    if open.len() == depth_max {
                        return Err(self.expected("no deeper nesting"));
                    }
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
            // A value has ended: close what it ends, or go on to the next one.
            loop {
                let Some(&close) = open.last() else { return Ok(&self.text[start..self.at]) };
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

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError { offset: self.at, expected }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.expected(what));
        }
        self.at += 1;
        Ok(())
    }

    /// The key here, as it is written between its quotes, and the colon behind it.
    fn key(&mut self) -> Result<&'a str> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in quotes"));
        }
        let key = self.string()?;
        self.space();
        self.take(b':', "a colon")?;
        Ok(key)
    }

    /// The string whose quote is here, as it is written between its quotes.
    fn string(&mut self) -> Result<&'a str> {
        self.at += 1;
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

/// How far an object or array was gone through.
#[derive(Debug)]
enum At {
    Begin,
    Within,
    /// Or something is wrong.
    End,
}

struct Brackets {
    open: u8,
    close: u8,
    /// What is expected at its begin and behind a part.
    begin: &'static str,
    end: &'static str,
}

const OBJECT: Brackets =
    Brackets { open: b'{', close: b'}', begin: "an object", end: "a comma or a closing brace" };
const ARRAY: Brackets =
    Brackets { open: b'[', close: b']', begin: "an array", end: "a comma or a closing bracket" };

/// The members of an object: [`JsonScan::members`]. Ends behind the first error.
#[derive(Debug)]
pub struct Members<'s, 'a> {
    scan: &'s mut JsonScan<'a>,
    at: At,
}

impl<'a> Iterator for Members<'_, 'a> {
    type Item = Result<(&'a str, &'a str)>;

    fn next(&mut self) -> Option<Self::Item> {
        let member = match self.scan.more(&mut self.at, &OBJECT) {
            Ok(false) => return None,
            Ok(true) => self.scan.key().and_then(|key| Ok((key, self.scan.value(usize::MAX)?))),
            Err(error) => Err(error),
        };
        if member.is_err() {
            self.at = At::End;
        }
        Some(member)
    }
}

/// The items of an array: [`JsonScan::items`]. Ends behind the first error.
#[derive(Debug)]
pub struct Items<'s, 'a> {
    scan: &'s mut JsonScan<'a>,
    at: At,
}

impl<'a> Iterator for Items<'_, 'a> {
    type Item = Result<&'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = match self.scan.more(&mut self.at, &ARRAY) {
            Ok(false) => return None,
            Ok(true) => self.scan.value(usize::MAX),
            Err(error) => Err(error),
        };
        if item.is_err() {
            self.at = At::End;
        }
        Some(item)
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
