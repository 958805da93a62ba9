//! The 27 messages of 9P2000 (section 9 of the Plan 9 manual), declared once: the declaration
//! makes encoding, decoding, printing and parsing, which therefore can not disagree.

use std::fmt;
use std::str::FromStr;

use super::field::{Cursor, DecodeError, Field};
use super::text::{ParseTextError, Words};
use super::{Qid, Stat};

/// Bytes of `size[4] type[1] tag[2]`, which every message starts with.
pub const HEADER_SIZE: usize = 4 + 1 + 2;

/// Declares the messages: `/// spec line`, name = type number, fields in wire order.
macro_rules! messages {
    ($($(#[$spec:meta])* $name:ident = $number:literal { $($field:ident: $type:ty),* })*) => {
        /// A message without its tag. The line on each is its specification: `name[n]` is a
        /// field of n bytes, `name[s]` a string.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Message {
            $($(#[$spec])* $name {$(
                #[doc = concat!("`", stringify!($field), "` of the specification.")]
                $field: $type
            ),*}),*
        }

        impl Message {
            /// The type number.
            #[must_use]
            pub const fn number(&self) -> u8 {
                match self { $(Message::$name { .. } => $number),* }
            }

            fn encode_fields(&self, out: &mut Vec<u8>) {
                match self {
                    $(Message::$name { $($field),* } => { $($field.encode(out);)* let _ = &out; })*
                }
            }

            fn decode_fields(number: u8, from: &mut Cursor<'_>) -> Result<Message, DecodeError> {
                match number {
                    $($number => Ok(Message::$name { $($field: <$type>::decode(from)?),* }),)*
                    found => Err(DecodeError::Type { found }),
                }
            }

            fn print_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Message::$name { $($field),* } => {
                        $(f.write_str(concat!(" ", stringify!($field), " "))?; $field.print(f)?;)*
                    })*
                }
                Ok(())
            }

            const fn name(&self) -> &'static str {
                match self { $(Message::$name { .. } => stringify!($name)),* }
            }

            fn parse_fields(name: &str, words: &mut Words<'_>) -> Result<Message, ParseTextError> {
                match name {
                    $(stringify!($name) => Ok(Message::$name {
                        $($field: { words.keyword(stringify!($field))?; <$type>::parse(words)? }),*
                    }),)*
                    _ => Err(words.unexpected(concat!("the name of a message", " before this"))),
                }
            }
        }
    };
}

messages! {
    /// `size[4] Tversion tag[2] msize[4] version[s]`
    Tversion = 100 { msize: u32, version: String }
    /// `size[4] Rversion tag[2] msize[4] version[s]`
    Rversion = 101 { msize: u32, version: String }
    /// `size[4] Tauth tag[2] afid[4] uname[s] aname[s]`
    Tauth = 102 { afid: u32, uname: String, aname: String }
    /// `size[4] Rauth tag[2] aqid[13]`
    Rauth = 103 { aqid: Qid }
    /// `size[4] Tattach tag[2] fid[4] afid[4] uname[s] aname[s]`
    Tattach = 104 { fid: u32, afid: u32, uname: String, aname: String }
    /// `size[4] Rattach tag[2] qid[13]`
    Rattach = 105 { qid: Qid }
    /// `size[4] Rerror tag[2] ename[s]`
    Rerror = 107 { ename: String }
    /// `size[4] Tflush tag[2] oldtag[2]`
    Tflush = 108 { oldtag: u16 }
    /// `size[4] Rflush tag[2]`
    Rflush = 109 {}
    /// `size[4] Twalk tag[2] fid[4] newfid[4] nwname[2] nwname*(wname[s])`
    Twalk = 110 { fid: u32, newfid: u32, wname: Vec<String> }
    /// `size[4] Rwalk tag[2] nwqid[2] nwqid*(wqid[13])`
    Rwalk = 111 { wqid: Vec<Qid> }
    /// `size[4] Topen tag[2] fid[4] mode[1]`
    Topen = 112 { fid: u32, mode: u8 }
    /// `size[4] Ropen tag[2] qid[13] iounit[4]`
    Ropen = 113 { qid: Qid, iounit: u32 }
    /// `size[4] Tcreate tag[2] fid[4] name[s] perm[4] mode[1]`
    Tcreate = 114 { fid: u32, name: String, perm: u32, mode: u8 }
    /// `size[4] Rcreate tag[2] qid[13] iounit[4]`
    Rcreate = 115 { qid: Qid, iounit: u32 }
    /// `size[4] Tread tag[2] fid[4] offset[8] count[4]`
    Tread = 116 { fid: u32, offset: u64, count: u32 }
    /// `size[4] Rread tag[2] count[4] data[count]`
    Rread = 117 { data: Vec<u8> }
    /// `size[4] Twrite tag[2] fid[4] offset[8] count[4] data[count]`
    Twrite = 118 { fid: u32, offset: u64, data: Vec<u8> }
    /// `size[4] Rwrite tag[2] count[4]`
    Rwrite = 119 { count: u32 }
    /// `size[4] Tclunk tag[2] fid[4]`
    Tclunk = 120 { fid: u32 }
    /// `size[4] Rclunk tag[2]`
    Rclunk = 121 {}
    /// `size[4] Tremove tag[2] fid[4]`
    Tremove = 122 { fid: u32 }
    /// `size[4] Rremove tag[2]`
    Rremove = 123 {}
    /// `size[4] Tstat tag[2] fid[4]`
    Tstat = 124 { fid: u32 }
    /// `size[4] Rstat tag[2] stat[n]`
    Rstat = 125 { stat: Box<Stat> }
    /// `size[4] Twstat tag[2] fid[4] stat[n]`
    Twstat = 126 { fid: u32, stat: Box<Stat> }
    /// `size[4] Rwstat tag[2]`
    Rwstat = 127 {}
}

/// A message with the tag that joins request and reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// Chosen by the client; [`super::NO_TAG`] for Tversion.
    pub tag: u16,
    /// The message.
    pub message: Message,
}

impl Tagged {
    /// The whole frame, size included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = vec![0; 4];
        self.message.number().encode(&mut frame);
        self.tag.encode(&mut frame);
        self.message.encode_fields(&mut frame);
        let mut size = Vec::with_capacity(4);
        u32::try_from(frame.len()).unwrap_or(u32::MAX).encode(&mut size);
        frame[..4].copy_from_slice(&size);
        frame
    }

    /// Reads what follows the size of a frame.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(body: &[u8]) -> Result<Tagged, DecodeError> {
        let mut cursor = Cursor::new(body);
        let number = u8::decode(&mut cursor)?;
        let tag = u16::decode(&mut cursor)?;
        let message = Message::decode_fields(number, &mut cursor)?;
        cursor.finish()?;
        Ok(Tagged { tag, message })
    }

    /// The tag of a body that may be no message otherwise, so that an error can be sent.
    #[must_use]
    pub fn tag_of(body: &[u8]) -> Option<u16> {
        u16::decode(&mut Cursor::new(body.get(1..)?)).ok()
    }
}

/// `Twalk tag 1 fid 0 newfid 1 wname ['usr' 'rob']`
impl fmt::Display for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tag {}", self.message.name(), self.tag)?;
        self.message.print_fields(f)
    }
}

/// Reads what [`Display`](fmt::Display) prints.
impl FromStr for Tagged {
    type Err = ParseTextError;

    fn from_str(line: &str) -> Result<Tagged, ParseTextError> {
        let mut words = Words::new(line);
        let name = words.word()?;
        words.keyword("tag")?;
        let tag = words.number()?;
        let message = Message::parse_fields(name, &mut words)?;
        words.finish()?;
        Ok(Tagged { tag, message })
    }
}

/// Why a frame can not be read at all: the connection is lost with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {found} bytes, expected {HEADER_SIZE} to {limit}")]
pub struct FrameSizeError {
    /// The size found.
    pub found: u32,
    /// The most that was agreed on.
    pub limit: u32,
}

/// How many bytes follow the four of the size.
///
/// # Errors
/// [`FrameSizeError`] if no message is that short, or it is longer than `limit`.
pub fn body_size(size: [u8; 4], limit: u32) -> Result<usize, FrameSizeError> {
    let [a, b, c, d] = size.map(u32::from);
    let found = a | b << 8 | c << 16 | d << 24;
    if (found as usize) < HEADER_SIZE || found > limit {
        return Err(FrameSizeError { found, limit });
    }
    Ok(found as usize - 4)
}
