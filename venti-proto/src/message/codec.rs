//! Messages to bytes and back.

use std::borrow::Cow;

use super::{FrameTooLarge, Kind, MAX_MESSAGE_SIZE, MAX_STRING_SIZE, Message, Tag, Version};
use crate::roots::RootWatch;
use crate::{BlockType, Score};

/// Why a message can not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string, or one of the two ignored fields of the hello, is too long.
    #[error("{field} has {length} bytes, at most {limit} are allowed")]
    FieldTooLong {
        /// Its name in the spec line.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A string holds a NUL, which venti(7) forbids.
    #[error("{field} holds a NUL")]
    Nul {
        /// Its name in the spec line.
        field: &'static str,
    },
    /// The data is too long.
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not even a type and a tag.
    #[error("a message has at least 2 bytes, type and tag, and this one has {found}")]
    NoHeader {
        /// Bytes in the message.
        found: usize,
    },
    /// The first byte is the number of no message.
    #[error("unknown message type {number}")]
    UnknownKind {
        /// The number found.
        number: u8,
        /// The byte after it.
        tag: Tag,
    },
    /// The message ends inside a field.
    #[error("{kind} ends inside its {field}: {needed} bytes expected, {found} found")]
    Short {
        /// Which message.
        kind: Kind,
        /// The name of the field in the spec line.
        field: &'static str,
        /// Bytes that the field has.
        needed: usize,
        /// Bytes that are left.
        found: usize,
    },
    /// The message goes on after its last field.
    #[error("{kind} has {extra} bytes after its last field")]
    Trailing {
        /// Which message.
        kind: Kind,
        /// Bytes too many.
        extra: usize,
    },
    /// A string is longer than the protocol allows.
    #[error("{field} of {kind} has {length} bytes, at most {MAX_STRING_SIZE} are allowed")]
    StringTooLong {
        /// Which message.
        kind: Kind,
        /// The name of the field in the spec line.
        field: &'static str,
        /// The length found.
        length: usize,
    },
    /// A string holds a NUL, which venti(7) forbids.
    #[error("{field} of {kind} holds a NUL")]
    Nul {
        /// Which message.
        kind: Kind,
        /// The name of the field in the spec line.
        field: &'static str,
    },
}

impl Message<'_> {
    /// Appends the message to `output`, length field included.
    ///
    /// # Errors
    /// [`EncodeError`]; `output` is then as it was.
    pub fn encode(&self, version: Version, output: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check()?;
        let size = 2 + self.body_size();
        if size > MAX_MESSAGE_SIZE {
            return Err(FrameTooLarge { size }.into());
        }
        version.put_length(size, output);
        output.extend_from_slice(&[self.kind().wire(), self.tag().0]);
        self.put_body(output);
        Ok(())
    }

    fn check(&self) -> Result<(), EncodeError> {
        match self {
            Message::Rerror { error, .. } => check_string("error", error),
            Message::Rhello { sid, .. } => check_string("sid", sid),
            Message::Thello { version, uid, crypto, codec, .. } => {
                check_string("version", version)?;
                check_string("uid", uid)?;
                check_length("crypto", crypto.len(), u8::MAX.into())?;
                check_length("codec", codec.len(), u8::MAX.into())
            }
            _ => Ok(()),
        }
    }

    /// Bytes after the tag.
    fn body_size(&self) -> usize {
        match self {
            Message::Rerror { error, .. } => 2 + error.len(),
            Message::Thello { version, uid, crypto, codec, .. } => {
                2 + version.len() + 2 + uid.len() + 1 + 1 + crypto.len() + 1 + codec.len()
            }
            Message::Rhello { sid, .. } => 2 + sid.len() + 1 + 1,
            Message::Tread { count, .. } if u16::try_from(*count).is_ok() => {
                Score::SIZE + 1 + 1 + 2
            }
            Message::Tread { .. } => Score::SIZE + 1 + 1 + 4,
            Message::Rread { data, .. }
            | Message::TrecordRoot { data, .. }
            | Message::RrecordRoot { data, .. }
            | Message::TlistRoots { data, .. }
            | Message::RlistRoots { data, .. }
            | Message::Rstats { data, .. }
            | Message::Tplaces { data, .. }
            | Message::Rplaces { data, .. } => data.len(),
            Message::TwatchRoots { .. } => 8 + 4,
            Message::RwatchRoots { .. } => 8,
            Message::Twrite { data, .. } => 1 + 3 + data.len(),
            Message::Rwrite { .. } => Score::SIZE,
            Message::Tping { .. }
            | Message::Rping { .. }
            | Message::Tgoodbye { .. }
            | Message::Tsync { .. }
            | Message::Rsync { .. }
            | Message::Tstats { .. } => 0,
        }
    }

    fn put_body(&self, output: &mut Vec<u8>) {
        match self {
            Message::Rerror { error, .. } => put_string(error, output),
            Message::Thello { version, uid, strength, crypto, codec, .. } => {
                put_string(version, output);
                put_string(uid, output);
                output.push(*strength);
                put_counted(crypto, output);
                put_counted(codec, output);
            }
            Message::Rhello { sid, crypto, codec, .. } => {
                put_string(sid, output);
                output.extend_from_slice(&[*crypto, *codec]);
            }
            Message::Tread { score, block_type, count, .. } => {
                output.extend_from_slice(score.as_bytes());
                output.extend_from_slice(&[block_type.wire(), 0]);
                match u16::try_from(*count) {
                    Ok(count) => output.extend_from_slice(&count.to_be_bytes()),
                    Err(_) => output.extend_from_slice(&count.to_be_bytes()),
                }
            }
            Message::Rread { data, .. }
            | Message::TrecordRoot { data, .. }
            | Message::RrecordRoot { data, .. }
            | Message::TlistRoots { data, .. }
            | Message::RlistRoots { data, .. }
            | Message::Rstats { data, .. }
            | Message::Tplaces { data, .. }
            | Message::Rplaces { data, .. } => output.extend_from_slice(data),
            Message::TwatchRoots { watch, .. } => {
                output.extend_from_slice(&watch.known.to_be_bytes());
                output.extend_from_slice(&watch.milliseconds.to_be_bytes());
            }
            Message::RwatchRoots { next, .. } => output.extend_from_slice(&next.to_be_bytes()),
            Message::Twrite { block_type, data, .. } => {
                output.extend_from_slice(&[block_type.wire(), 0, 0, 0]);
                output.extend_from_slice(data);
            }
            Message::Rwrite { score, .. } => output.extend_from_slice(score.as_bytes()),
            Message::Tping { .. }
            | Message::Rping { .. }
            | Message::Tgoodbye { .. }
            | Message::Tsync { .. }
            | Message::Rsync { .. }
            | Message::Tstats { .. } => {}
        }
    }
}

impl<'a> Message<'a> {
    /// Reads a message from its bytes, without the length field. Data and strings are borrowed;
    /// a string that is not UTF-8 gets replacement characters, as only people read it.
    ///
    /// # Errors
    /// [`DecodeError`] unless every byte belongs to the message.
    pub fn decode(body: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let &[number, tag, ref rest @ ..] = body else {
            return Err(DecodeError::NoHeader { found: body.len() });
        };
        let tag = Tag(tag);
        let kind = Kind::from_wire(number).ok_or(DecodeError::UnknownKind { number, tag })?;
        let mut fields = Fields { kind, rest };
        let message = fields.message(tag)?;
        match fields.rest.len() {
            0 => Ok(message),
            extra => Err(DecodeError::Trailing { kind, extra }),
        }
    }
}

/// What is left of a message that is being decoded.
struct Fields<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn message(&mut self, tag: Tag) -> Result<Message<'a>, DecodeError> {
        Ok(match self.kind {
            Kind::Rerror => Message::Rerror { tag, error: self.string("error")? },
            Kind::Tping => Message::Tping { tag },
            Kind::Rping => Message::Rping { tag },
            Kind::Thello => Message::Thello {
                tag,
                version: self.string("version")?,
                uid: self.string("uid")?,
                strength: self.byte("strength")?,
                crypto: self.counted("crypto")?,
                codec: self.counted("codec")?,
            },
            Kind::Rhello => Message::Rhello {
                tag,
                sid: self.string("sid")?,
                crypto: self.byte("rcrypto")?,
                codec: self.byte("rcodec")?,
            },
            Kind::Tgoodbye => Message::Tgoodbye { tag },
            Kind::Tread => Message::Tread {
                tag,
                score: self.score()?,
                block_type: self.block_type_and_pad::<1>()?,
                count: self.count()?,
            },
            Kind::Rread => Message::Rread { tag, data: self.all() },
            Kind::Twrite => Message::Twrite {
                tag,
                block_type: self.block_type_and_pad::<3>()?,
                data: self.all(),
            },
            Kind::Rwrite => Message::Rwrite { tag, score: self.score()? },
            Kind::Tsync => Message::Tsync { tag },
            Kind::Rsync => Message::Rsync { tag },
            Kind::TrecordRoot => Message::TrecordRoot { tag, data: self.all() },
            Kind::RrecordRoot => Message::RrecordRoot { tag, data: self.all() },
            Kind::TlistRoots => Message::TlistRoots { tag, data: self.all() },
            Kind::RlistRoots => Message::RlistRoots { tag, data: self.all() },
            Kind::TwatchRoots => {
                let known = u64::from_be_bytes(self.array("known")?);
                let milliseconds = u32::from_be_bytes(self.array("milliseconds")?);
                Message::TwatchRoots { tag, watch: RootWatch { known, milliseconds } }
            }
            Kind::RwatchRoots => {
                Message::RwatchRoots { tag, next: u64::from_be_bytes(self.array("next")?) }
            }
            Kind::Tstats => Message::Tstats { tag },
            Kind::Rstats => Message::Rstats { tag, data: self.all() },
            Kind::Tplaces => Message::Tplaces { tag, data: self.all() },
            Kind::Rplaces => Message::Rplaces { tag, data: self.all() },
        })
    }

    fn take(&mut self, field: &'static str, needed: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(needed).ok_or(DecodeError::Short {
            kind: self.kind,
            field,
            needed,
            found: self.rest.len(),
        })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(field, N)?);
        Ok(array)
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let [byte] = self.array(field)?;
        Ok(byte)
    }

    fn string(&mut self, field: &'static str) -> Result<Cow<'a, str>, DecodeError> {
        let kind = self.kind;
        let length = u16::from_be_bytes(self.array(field)?).into();
        if length > MAX_STRING_SIZE {
            return Err(DecodeError::StringTooLong { kind, field, length });
        }
        let bytes = self.take(field, length)?;
        if bytes.contains(&0) {
            return Err(DecodeError::Nul { kind, field });
        }
        Ok(String::from_utf8_lossy(bytes))
    }

    fn counted(&mut self, field: &'static str) -> Result<Cow<'a, [u8]>, DecodeError> {
        let length = self.byte(field)?;
        self.take(field, length.into()).map(Cow::Borrowed)
    }

    fn score(&mut self) -> Result<Score, DecodeError> {
        self.array("score").map(Score::from_bytes)
    }

    /// The original ignores the padding, and takes any number as a type.
    fn block_type_and_pad<const PAD: usize>(&mut self) -> Result<BlockType, DecodeError> {
        let number = self.byte("type")?;
        self.take("pad", PAD)?;
        Ok(BlockType::from_wire_or_unknown(number))
    }

    /// 2 or 4 bytes in any version, told apart by the length of the message.
    fn count(&mut self) -> Result<u32, DecodeError> {
        match self.rest.len() {
            4.. => self.array("count").map(u32::from_be_bytes),
            _ => self.array("count").map(u16::from_be_bytes).map(u32::from),
        }
    }

    fn all(&mut self) -> Cow<'a, [u8]> {
        Cow::Borrowed(std::mem::take(&mut self.rest))
    }
}

fn check_length(field: &'static str, length: usize, limit: usize) -> Result<(), EncodeError> {
    if length > limit {
        return Err(EncodeError::FieldTooLong { field, length, limit });
    }
    Ok(())
}

fn check_string(field: &'static str, text: &str) -> Result<(), EncodeError> {
    check_length(field, text.len(), MAX_STRING_SIZE)?;
    if text.contains('\0') { Err(EncodeError::Nul { field }) } else { Ok(()) }
}

/// The caller has checked that the length fits.
#[expect(clippy::cast_possible_truncation, reason = "at most MAX_STRING_SIZE")]
fn put_string(text: &str, output: &mut Vec<u8>) {
    output.extend_from_slice(&(text.len() as u16).to_be_bytes());
    output.extend_from_slice(text.as_bytes());
}

/// The caller has checked that the length fits.
#[expect(clippy::cast_possible_truncation, reason = "at most 255")]
fn put_counted(bytes: &[u8], output: &mut Vec<u8>) {
    output.push(bytes.len() as u8);
    output.extend_from_slice(bytes);
}
