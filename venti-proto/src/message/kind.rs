//! The numbers of the messages (`venti.h`).

use std::fmt;

macro_rules! kinds {
    ($($name:ident = $number:literal),* $(,)?) => {
        /// Which message. The number is that on the wire; a reply has the number after its
        /// request's. 7 to 11 (`Rgoodbye` and the two `auth` pairs) are reserved and unused. Those
        /// from 64 on are ours.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind {
            $(
                #[doc = concat!("Number ", $number, " on the wire.")]
                $name = $number
            ),*
        }

        impl Kind {
            /// Every kind, by number.
            pub const ALL: &[Kind] = &[$(Kind::$name),*];

            /// The kind with this number on the wire, if there is one.
            #[must_use]
            pub const fn from_wire(number: u8) -> Option<Kind> {
                match number {
                    $($number => Some(Kind::$name),)*
                    _ => None,
                }
            }

            /// The name as venti(7) has it, without the `Vt`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$name => stringify!($name)),*
                }
            }
        }
    };
}

kinds! {
    Rerror = 1,
    Tping = 2,
    Rping = 3,
    Thello = 4,
    Rhello = 5,
    Tgoodbye = 6,
    Tread = 12,
    Rread = 13,
    Twrite = 14,
    Rwrite = 15,
    Tsync = 16,
    Rsync = 17,
    TrecordRoot = 64,
    RrecordRoot = 65,
    TlistRoots = 66,
    RlistRoots = 67,
    TwatchRoots = 68,
    RwatchRoots = 69,
    Tstats = 70,
    Rstats = 71,
    Tplaces = 72,
    Rplaces = 73,
}

impl Kind {
    /// The number on the wire.
    #[must_use]
    pub const fn wire(self) -> u8 {
        self as u8
    }

    /// The reply that says that a request of this kind succeeded; `None` for replies, and for
    /// goodbye, which has none.
    #[must_use]
    pub const fn reply(self) -> Option<Kind> {
        match self.wire().is_multiple_of(2) {
            true => Kind::from_wire(self.wire() + 1),
            false => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_follows_its_request() {
        let pairs: Vec<_> =
            Kind::ALL.iter().filter_map(|k| Some(format!("{k} {}", k.reply()?))).collect();
        assert_eq!(
            pairs,
            [
                "Tping Rping",
                "Thello Rhello",
                "Tread Rread",
                "Twrite Rwrite",
                "Tsync Rsync",
                "TrecordRoot RrecordRoot",
                "TlistRoots RlistRoots",
                "TwatchRoots RwatchRoots",
                "Tstats Rstats",
                "Tplaces Rplaces",
            ]
        );
    }
}
