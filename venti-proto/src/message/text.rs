//! Messages as one readable line, and back: what transcripts in tests are written in.
//!
//! ```text
//! Twrite tag 3 type data count 12 "hello venti\n"
//! Tread tag 4 score 46bc3b9a3f81c11d49eff12f52b561d1de748d5b type data count 57344
//! Rerror tag 4 error "read only"
//! ```
//!
//! Bytes are `"quoted"` when they are printable ASCII with line feeds and tabs, `0x00*8192` when
//! sixteen or more are all the same, and `hex:0d0a` otherwise. Strings are always quoted.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Message, Tag};
use crate::roots::RootWatch;

/// The shortest run of one byte that is printed as a run.
const MIN_RUN: usize = 16;

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tag {}", self.kind(), self.tag())?;
        match self {
            Message::Rerror { error, .. } => write!(f, " error {}", Quoted(error)),
            Message::Thello { version, uid, strength, crypto, codec, .. } => {
                write!(f, " version {} uid {}", Quoted(version), Quoted(uid))?;
                write!(f, " strength {strength} crypto {}", Bytes(crypto))?;
                write!(f, " codec {}", Bytes(codec))
            }
            Message::Rhello { sid, crypto, codec, .. } => {
                write!(f, " sid {} rcrypto {crypto} rcodec {codec}", Quoted(sid))
            }
            Message::Tread { score, block_type, count, .. } => {
                write!(f, " score {score} type {block_type} count {count}")
            }
            Message::Rread { data, .. }
            | Message::TrecordRoot { data, .. }
            | Message::RrecordRoot { data, .. }
            | Message::TlistRoots { data, .. }
            | Message::RlistRoots { data, .. }
            | Message::Rstats { data, .. }
            | Message::Tplaces { data, .. }
            | Message::Rplaces { data, .. } => {
                write!(f, " count {} {}", data.len(), Bytes(data))
            }
            Message::TwatchRoots { watch, .. } => {
                write!(f, " known {} milliseconds {}", watch.known, watch.milliseconds)
            }
            Message::RwatchRoots { next, .. } => write!(f, " next {next}"),
            Message::Twrite { block_type, data, .. } => {
                write!(f, " type {block_type} count {} {}", data.len(), Bytes(data))
            }
            Message::Rwrite { score, .. } => write!(f, " score {score}"),
            Message::Tping { .. }
            | Message::Rping { .. }
            | Message::Tgoodbye { .. }
            | Message::Tsync { .. }
            | Message::Rsync { .. }
            | Message::Tstats { .. } => Ok(()),
        }
    }
}

/// A string in quotes, with everything escaped that would end it or not show.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_debug())
    }
}

/// Bytes in the shortest of the three forms that shows them.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
        match (self.0, std::str::from_utf8(self.0)) {
            ([first, rest @ ..], _)
                if rest.len() + 1 >= MIN_RUN && rest.iter().all(|byte| byte == first) =>
            {
                write!(f, "{first:#04x}*{}", self.0.len())
            }
            (bytes, Ok(text)) if bytes.iter().all(readable) => Quoted(text).fmt(f),
            (bytes, _) => {
                f.write_str("hex:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// What is wrong with a text that should be a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct ParseMessageError {
    /// What should be there.
    pub expected: String,
    /// What is there, or nothing at the end of the line.
    pub found: String,
}

impl ParseMessageError {
    fn new(expected: impl Into<String>, found: impl Into<String>) -> ParseMessageError {
        ParseMessageError { expected: expected.into(), found: found.into() }
    }
}

/// Reads what `Display` prints. The count of data must be its length.
impl FromStr for Message<'static> {
    type Err = ParseMessageError;

    fn from_str(line: &str) -> Result<Message<'static>, ParseMessageError> {
        let mut words = Words { rest: line };
        let name = words.next()?;
        let tag = Tag(words.field("tag")?);
        let message = match name {
            "Rerror" => Message::Rerror { tag, error: words.string("error")? },
            "Tping" => Message::Tping { tag },
            "Rping" => Message::Rping { tag },
            "Thello" => Message::Thello {
                tag,
                version: words.string("version")?,
                uid: words.string("uid")?,
                strength: words.field("strength")?,
                crypto: words.bytes("crypto")?,
                codec: words.bytes("codec")?,
            },
            "Rhello" => Message::Rhello {
                tag,
                sid: words.string("sid")?,
                crypto: words.field("rcrypto")?,
                codec: words.field("rcodec")?,
            },
            "Tgoodbye" => Message::Tgoodbye { tag },
            "Tread" => Message::Tread {
                tag,
                score: words.field("score")?,
                block_type: words.field("type")?,
                count: words.field("count")?,
            },
            "Rread" => Message::Rread { tag, data: words.counted()? },
            "Twrite" => {
                Message::Twrite { tag, block_type: words.field("type")?, data: words.counted()? }
            }
            "Rwrite" => Message::Rwrite { tag, score: words.field("score")? },
            "Tsync" => Message::Tsync { tag },
            "Rsync" => Message::Rsync { tag },
            "TrecordRoot" => Message::TrecordRoot { tag, data: words.counted()? },
            "RrecordRoot" => Message::RrecordRoot { tag, data: words.counted()? },
            "TlistRoots" => Message::TlistRoots { tag, data: words.counted()? },
            "RlistRoots" => Message::RlistRoots { tag, data: words.counted()? },
            "TwatchRoots" => {
                let (known, milliseconds) = (words.field("known")?, words.field("milliseconds")?);
                Message::TwatchRoots { tag, watch: RootWatch { known, milliseconds } }
            }
            "RwatchRoots" => Message::RwatchRoots { tag, next: words.field("next")? },
            "Tstats" => Message::Tstats { tag },
            "Rstats" => Message::Rstats { tag, data: words.counted()? },
            "Tplaces" => Message::Tplaces { tag, data: words.counted()? },
            "Rplaces" => Message::Rplaces { tag, data: words.counted()? },
            other => return Err(ParseMessageError::new("the name of a message", other)),
        };
        words.end()?;
        Ok(message)
    }
}

/// The words of a line that are still to be read.
struct Words<'t> {
    rest: &'t str,
}

impl<'t> Words<'t> {
    /// The next word; quotes hold a word together, and a backslash in them any character.
    fn next(&mut self) -> Result<&'t str, ParseMessageError> {
        let text = self.rest.trim_start_matches(' ');
        let (mut quoted, mut escaped) = (false, false);
        let end = text.find(|character| {
            let ends = character == ' ' && !quoted;
            quoted ^= character == '"' && !escaped;
            escaped = quoted && character == '\\' && !escaped;
            ends
        });
        if text.is_empty() || quoted {
            return Err(ParseMessageError::new(if quoted { "a quote" } else { "a word" }, text));
        }
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.rest = rest;
        Ok(word)
    }

    /// The name of a field and then its value as a word.
    fn named(&mut self, name: &str) -> Result<&'t str, ParseMessageError> {
        match self.next()? {
            word if word == name => self.next(),
            word => Err(ParseMessageError::new(name, word)),
        }
    }

    fn field<T: FromStr>(&mut self, name: &str) -> Result<T, ParseMessageError> {
        let word = self.named(name)?;
        word.parse().map_err(|_| ParseMessageError::new(format!("a {name}"), word))
    }

    fn string(&mut self, name: &str) -> Result<Cow<'static, str>, ParseMessageError> {
        unquote(self.named(name)?).map(Cow::Owned)
    }

    fn bytes(&mut self, name: &str) -> Result<Cow<'static, [u8]>, ParseMessageError> {
        parse_bytes(self.named(name)?).map(Cow::Owned)
    }

    fn counted(&mut self) -> Result<Cow<'static, [u8]>, ParseMessageError> {
        let count: usize = self.field("count")?;
        let data = parse_bytes(self.next()?)?;
        if data.len() != count {
            let expected = format!("{count} bytes of data");
            return Err(ParseMessageError::new(expected, format!("{} bytes", data.len())));
        }
        Ok(Cow::Owned(data))
    }

    fn end(&self) -> Result<(), ParseMessageError> {
        match self.rest.trim_start_matches(' ') {
            "" => Ok(()),
            rest => Err(ParseMessageError::new("the end of the line", rest)),
        }
    }
}

/// Undoes [`Quoted`].
fn unquote(word: &str) -> Result<String, ParseMessageError> {
    let wrong = || ParseMessageError::new("a quoted string", word);
    let inner = word.strip_prefix('"').and_then(|w| w.strip_suffix('"')).ok_or_else(wrong)?;
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        text.push(match rest.next().ok_or_else(wrong)? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '0' => '\0',
            'u' => {
                let (digits, after) = rest.as_str().split_once('}').ok_or_else(wrong)?;
                let digits = digits.strip_prefix('{').ok_or_else(wrong)?;
                let number = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
                rest = after.chars();
                char::from_u32(number).ok_or_else(wrong)?
            }
            other => other,
        });
    }
    Ok(text)
}

/// Undoes [`Bytes`].
fn parse_bytes(word: &str) -> Result<Vec<u8>, ParseMessageError> {
    let wrong = || ParseMessageError::new("\"text\", hex:0011, or 0x00*16", word);
    if word.starts_with('"') {
        return unquote(word).map(String::into_bytes);
    }
    if let Some(digits) = word.strip_prefix("hex:") {
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(hex_byte).collect();
        return bytes.ok_or_else(wrong);
    }
    let (byte, count) =
        word.strip_prefix("0x").ok_or_else(wrong)?.split_once('*').ok_or_else(wrong)?;
    let byte = hex_byte(byte.as_bytes()).ok_or_else(wrong)?;
    let count: usize = count.parse().map_err(|_| wrong())?;
    if count > super::MAX_MESSAGE_SIZE {
        return Err(wrong());
    }
    Ok(vec![byte; count])
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let &[high, low] = digits else { return None };
    let value = |digit| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(value(high)? << 4 | value(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockType, Score};

    #[test]
    fn lines_are_as_people_expect_them() {
        let data = Cow::Borrowed(&b"hello venti\n"[..]);
        let (tag, block_type) = (Tag(3), BlockType::DATA);
        let lines = [
            Message::Twrite { tag, block_type, data }.to_string(),
            Message::Rread { tag, data: Cow::Owned(vec![0; 8192]) }.to_string(),
            Message::Rread { tag, data: Cow::Owned(vec![0, 255]) }.to_string(),
            Message::Rwrite { tag, score: Score::ZERO }.to_string(),
            Message::Rerror { tag, error: Cow::Borrowed("read only") }.to_string(),
        ];
        let expected = [
            r#"Twrite tag 3 type data count 12 "hello venti\n""#,
            "Rread tag 3 count 8192 0x00*8192",
            "Rread tag 3 count 2 hex:00ff",
            "Rwrite tag 3 score da39a3ee5e6b4b0d3255bfef95601890afd80709",
            r#"Rerror tag 3 error "read only""#,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_wrong_line_says_where() {
        let error = |line: &str| line.parse::<Message>().unwrap_err().to_string();
        assert_eq!(error("Tfoo tag 1"), "expected the name of a message, found \"Tfoo\"");
        assert_eq!(error("Tping"), "expected a word, found \"\"");
        assert_eq!(error("Tping tag 256"), "expected a tag, found \"256\"");
        assert_eq!(error("Tping tag 1 2"), "expected the end of the line, found \"2\"");
        assert_eq!(
            error("Rread tag 1 count 2 \"a\""),
            "expected 2 bytes of data, found \"1 bytes\""
        );
        assert_eq!(error("Rerror tag 1 error \"a"), "expected a quote, found \"\\\"a\"");
    }
}
