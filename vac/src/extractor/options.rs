//! What a restore is to do.

/// Which of the archive's two records of owner and group counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// The numbers where the archive has them, the names elsewhere.
    #[default]
    Numbers,
    /// The names where this system knows them, the numbers elsewhere.
    Names,
    /// Neither: everything belongs to whoever restores.
    Mine,
}

/// Bounds on what an archive can make a restore do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Directories below directories.
    pub depth: u64,
    /// Bytes of a path below the target.
    pub path: u64,
    /// Names in all, those that are restored many times counted each time.
    pub entries: u64,
    /// How often the same directories may come again, on average: a small archive can otherwise
    /// stand for more files than any disk has.
    pub copies: u64,
    /// Names before copies are counted.
    pub counted_from: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        let (depth, path) = (10_000, 256 << 10);
        Limits { depth, path, entries: u64::MAX, copies: 1000, counted_from: 1_000_000 }
    }
}

/// What a restore is to do.
#[derive(Clone, Debug)]
pub struct ExtractOptions {
    /// Compare what is there, and write only what differs.
    pub differences: bool,
    /// Remove what the archive does not have.
    pub delete: bool,
    /// Make the target itself what the root directory of the archive was, if that is known and
    /// everything is restored.
    pub root: bool,
    /// Whose the files are.
    pub owners: Owners,
    /// Set modification times, and access times where the archive has them.
    pub times: bool,
    /// Make devices, and set the bits that make programs run as someone else.
    pub special: bool,
    /// Set extended attributes and inode flags.
    pub attributes: bool,
    /// Set if the process has no umask any more, to what it was: then files get their mode when
    /// they are made.
    pub cleared_umask: Option<u32>,
    /// Threads that read and write files.
    pub workers: usize,
    /// Bounds.
    pub limits: Limits,
}

impl Default for ExtractOptions {
    fn default() -> ExtractOptions {
        ExtractOptions {
            differences: false,
            delete: false,
            root: false,
            owners: Owners::default(),
            times: true,
            special: true,
            attributes: true,
            cleared_umask: None,
            workers: 3,
            limits: Limits::default(),
        }
    }
}
