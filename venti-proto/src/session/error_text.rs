//! The texts of error replies: the one place where they are made and understood.
//!
//! The first four are the original's, word for word, for its clients and ours act on them; the
//! table is in docs/protocol.md. What no rule matches is kept as the server said it.

use crate::message::MAX_STRING_SIZE;
use crate::{BlockRequest, MAX_BLOCK_SIZE, StoreError};

impl StoreError {
    /// What a client says for a server that can not know a request.
    pub(crate) fn unknown_request() -> StoreError {
        StoreError::Refused { message: UNKNOWN_REQUEST.to_owned() }
    }

    /// Whether this is how a server says that it does not know a request: the original of ping.
    #[must_use]
    pub fn is_unknown_request(&self) -> bool {
        matches!(self, StoreError::Refused { message } if message == UNKNOWN_REQUEST)
    }
}

/// A request of a kind that the server does not have.
pub(super) const UNKNOWN_REQUEST: &str = "unknown request";
const TOO_LARGE: &str = "lump too large";
const READ_ONLY: &str = "read only";
const NO_BLOCK: &str = "no block with score ";
/// The original puts a 1 before the colon if it had not the block in memory.
const TOO_SMALL: [&str; 2] = ["read too small: ", "read too small 1: "];
const COLLISION: &str = "score collision";
const DAMAGED: &str = "damaged block: ";
const IO: &str = "input/output error: ";
/// A record of a host that is not the client's.
pub(crate) const NOT_ALLOWED: &str = "not allowed: ";

/// The text that says that a block has more bytes than were asked for: `size` of them.
#[must_use]
pub fn read_too_small(count: u32, size: usize) -> String {
    format!("read too small: asked for {count} need at least {size}")
}

/// The text that a server sends for an error, cut to what fits into a message.
#[must_use]
pub fn store_error_to_text(error: &StoreError) -> String {
    let mut text = match error {
        StoreError::NotFound { score, block_type } => {
            format!("{NO_BLOCK}{score}/{} exists", block_type.modern())
        }
        StoreError::Collision { score } => format!("{COLLISION} {score}"),
        StoreError::Damaged { detail, .. } => format!("{DAMAGED}{detail}"),
        StoreError::TooLarge { .. } => TOO_LARGE.to_owned(),
        StoreError::ReadOnly { detail } if detail.is_empty() => READ_ONLY.to_owned(),
        StoreError::ReadOnly { detail } => format!("{READ_ONLY}: {detail}"),
        StoreError::Io { detail } => format!("{IO}{detail}"),
        StoreError::Connection { .. } => error.to_string(),
        StoreError::Refused { message } => message.clone(),
    };
    text.truncate(text.floor_char_boundary(MAX_STRING_SIZE));
    // A NUL can not be sent; file names in details may hold anything else.
    text.replace('\0', "?")
}

/// What a server's error on a read means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The block is there and has this many bytes, more than were asked for.
    TooSmall {
        /// Bytes in the block.
        size: usize,
    },
    /// Anything else.
    Store(StoreError),
}

impl ReadError {
    /// Reads the text of the error that `request` was answered with.
    #[must_use]
    pub fn from_text(text: &str, request: &BlockRequest) -> ReadError {
        let size = TOO_SMALL.iter().find_map(|prefix| text.strip_prefix(prefix));
        let size =
            size.and_then(|rest| rest.rsplit_once(' ')).and_then(|(_, size)| size.parse().ok());
        match size {
            Some(size) => ReadError::TooSmall { size },
            None => ReadError::Store(store_error_from_text(text, request, 0)),
        }
    }
}

/// The error that a server means by `text`, sent for `request`; `size` is that of the block if
/// the request was to write one, in bytes.
#[must_use]
pub fn store_error_from_text(text: &str, request: &BlockRequest, size: usize) -> StoreError {
    let BlockRequest { score, block_type } = *request;
    let after = |prefix: &str| text.strip_prefix(prefix).map(str::to_owned);
    if text.starts_with(NO_BLOCK) {
        StoreError::NotFound { score, block_type }
    } else if text.starts_with(COLLISION) {
        StoreError::Collision { score }
    } else if let Some(detail) = after(DAMAGED) {
        StoreError::Damaged { score, detail }
    } else if text == TOO_LARGE {
        StoreError::TooLarge { size, limit: MAX_BLOCK_SIZE }
    } else if let Some(detail) = after(READ_ONLY) {
        let detail = detail.strip_prefix(": ").map_or(text, |detail| detail).to_owned();
        StoreError::ReadOnly { detail }
    } else if let Some(detail) = after(IO) {
        StoreError::Io { detail }
    } else {
        StoreError::Refused { message: text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockType, Score};

    const REQUEST: BlockRequest =
        BlockRequest { score: Score::ZERO, block_type: BlockType::DIRECTORY };

    #[test]
    fn every_error_is_understood_on_the_other_side() {
        let BlockRequest { score, block_type } = REQUEST;
        let detail = || "arena 3, offset 4711".to_owned();
        let errors = [
            StoreError::NotFound { score, block_type },
            StoreError::Collision { score },
            StoreError::Damaged { score, detail: detail() },
            StoreError::TooLarge { size: 57345, limit: MAX_BLOCK_SIZE },
            StoreError::ReadOnly { detail: detail() },
            StoreError::Io { detail: detail() },
            StoreError::Refused { message: "unknown request".to_owned() },
        ];
        for error in errors {
            let text = store_error_to_text(&error);
            assert_eq!(store_error_from_text(&text, &REQUEST, 57345), error, "{text}");
        }
    }

    #[test]
    fn texts_are_those_of_the_original() {
        let BlockRequest { score, block_type } = REQUEST;
        let texts = [
            store_error_to_text(&StoreError::NotFound { score, block_type }),
            store_error_to_text(&StoreError::TooLarge { size: 0, limit: 0 }),
            store_error_to_text(&StoreError::ReadOnly { detail: String::new() }),
            read_too_small(5, 12),
        ];
        let expected = [
            "no block with score da39a3ee5e6b4b0d3255bfef95601890afd80709/8 exists",
            "lump too large",
            "read only",
            "read too small: asked for 5 need at least 12",
        ];
        assert_eq!(texts, expected);
        let size = ReadError::TooSmall { size: 12 };
        assert_eq!(ReadError::from_text(&texts[3], &REQUEST), size);
        let uncached = "read too small 1: asked for 5 need at least 12";
        assert_eq!(ReadError::from_text(uncached, &REQUEST), size);
        let missing = ReadError::Store(StoreError::NotFound { score, block_type });
        assert_eq!(ReadError::from_text(&texts[0], &REQUEST), missing);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let detail = "\u{e4}".repeat(600) + "\0";
        let text = store_error_to_text(&StoreError::Refused { message: detail });
        assert_eq!(text.len(), MAX_STRING_SIZE);
        let text = store_error_to_text(&StoreError::Refused { message: "a\0b".to_owned() });
        assert_eq!(text, "a?b");
    }
}
