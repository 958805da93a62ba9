//! What is wrong with a store, in words and for programs.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// What a crash leaves behind and recovery puts in order. Nothing that was synced is lost.
    Recovered,
    /// Something that is derived was damaged, and was or can be made anew. No block is lost.
    Repairable,
    /// Bytes that were stored can not be read any more.
    Damaged,
}

/// One thing that is wrong, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The arena it is in, if it is in one.
    pub arena: Option<u32>,
    /// First byte of it in the arena's file.
    pub offset: Option<u64>,
    /// Bytes that it covers.
    pub length: Option<u64>,
    /// What was found, what was expected, what was done.
    pub detail: String,
}

impl Finding {
    /// A finding that concerns the store as a whole.
    #[must_use]
    pub fn of_store(severity: Severity, detail: impl Into<String>) -> Finding {
        Finding { severity, arena: None, offset: None, length: None, detail: detail.into() }
    }

    /// A finding that concerns one arena.
    #[must_use]
    pub fn of_arena(severity: Severity, arena: u32, detail: impl Into<String>) -> Finding {
        Finding { arena: Some(arena), ..Finding::of_store(severity, detail) }
    }

    /// The same, for some bytes of the arena only.
    #[must_use]
    pub fn at(self, offset: u64, length: u64) -> Finding {
        Finding { offset: Some(offset), length: Some(length), ..self }
    }
}

/// `arena 3 at offset 512 (100 bytes): what is wrong`
impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(arena) = self.arena {
            write!(f, "arena {arena}")?;
            if let (Some(offset), Some(length)) = (self.offset, self.length) {
                write!(f, " at offset {offset} ({length} bytes)")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.detail)
    }
}
