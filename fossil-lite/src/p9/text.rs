//! The printed form of messages, and the way back: what makes a transcript a test.
//!
//! A message is its name, then `field value` for each field. Strings are quoted as rc(1) quotes,
//! a quote inside doubled; bytes that are not printable ASCII are in hexadecimal after `0x`; lists
//! are in brackets, qids in parentheses.

use std::fmt;

/// What is wrong with a line of a transcript.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct ParseTextError {
    /// What should have been there.
    pub expected: String,
    /// The rest of the line.
    pub found: String,
}

/// Prints `text` in quotes.
pub(super) fn print_quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "'{}'", text.replace('\'', "''"))
}

/// Prints bytes in quotes if all are printable, in hexadecimal otherwise.
pub(super) fn print_bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) => print_quoted(text, f),
        _ => {
            f.write_str("0x")?;
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }
}

/// The part of a line that was not parsed yet.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    /// Starts at the beginning of `line`.
    #[must_use]
    pub fn new(line: &'a str) -> Words<'a> {
        Words { rest: line.trim() }
    }

    /// The error that says what was expected here.
    #[must_use]
    pub fn unexpected(&self, expected: &str) -> ParseTextError {
        ParseTextError { expected: expected.to_owned(), found: self.rest.to_owned() }
    }

    /// The next word: letters, digits, and what else is no bracket and no quote.
    ///
    /// # Errors
    /// If there is none.
    pub fn word(&mut self) -> Result<&'a str, ParseTextError> {
        let ends = |c: char| c.is_whitespace() || "[](){}'".contains(c);
        let (word, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        if word.is_empty() {
            return Err(self.unexpected("a word"));
        }
        self.rest = rest.trim_start();
        Ok(word)
    }

    /// Exactly this word.
    ///
    /// # Errors
    /// If something else is there.
    pub fn keyword(&mut self, expected: &str) -> Result<(), ParseTextError> {
        let before = *self;
        match self.word() {
            Ok(word) if word == expected => Ok(()),
            _ => Err(before.unexpected(expected)),
        }
    }

    /// A decimal number that fits.
    ///
    /// # Errors
    /// If something else is there.
    pub fn number<T: std::str::FromStr>(&mut self) -> Result<T, ParseTextError> {
        let before = *self;
        self.word()?.parse().map_err(|_| before.unexpected("a number in range"))
    }

    /// A number in hexadecimal without `0x`.
    ///
    /// # Errors
    /// If something else is there.
    pub fn hexadecimal(&mut self) -> Result<u64, ParseTextError> {
        let before = *self;
        u64::from_str_radix(self.word()?, 16).map_err(|_| before.unexpected("a hex number"))
    }

    /// Takes this character if it is next.
    pub fn accept(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.map_or(self.rest, str::trim_start);
        rest.is_some()
    }

    /// Takes this character, which must be next.
    ///
    /// # Errors
    /// If it is not.
    pub fn expect(&mut self, wanted: char) -> Result<(), ParseTextError> {
        if self.accept(wanted) { Ok(()) } else { Err(self.unexpected(&wanted.to_string())) }
    }

    /// A quoted string.
    ///
    /// # Errors
    /// If something else is there, or the closing quote is missing.
    pub fn quoted(&mut self) -> Result<String, ParseTextError> {
        let before = *self;
        let mut rest = self.rest.strip_prefix('\'').ok_or_else(|| self.unexpected("a quote"))?;
        let mut text = String::new();
        loop {
            let (part, after) =
                rest.split_once('\'').ok_or_else(|| before.unexpected("a closing quote"))?;
            text.push_str(part);
            let Some(more) = after.strip_prefix('\'') else {
                self.rest = after.trim_start();
                return Ok(text);
            };
            text.push('\'');
            rest = more;
        }
    }

    /// Bytes: a quoted string, or hexadecimal after `0x`.
    ///
    /// # Errors
    /// If something else is there.
    pub fn bytes(&mut self) -> Result<Vec<u8>, ParseTextError> {
        if self.rest.starts_with('\'') {
            return self.quoted().map(String::into_bytes);
        }
        let before = *self;
        let wrong = || before.unexpected("bytes in quotes or after 0x");
        let digits = self.word()?.strip_prefix("0x").ok_or_else(wrong)?;
        if !digits.is_ascii() || digits.len() % 2 != 0 {
            return Err(wrong());
        }
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong());
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    /// Checks that the line is used up.
    ///
    /// # Errors
    /// If something is left.
    pub fn finish(&self) -> Result<(), ParseTextError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.unexpected("the end of the line")) }
    }
}
