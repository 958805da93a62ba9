//! Block types as people name them on a command line.

use venti_proto::{BlockType, StreamKind};

use crate::copy::NodeKind;

/// Reads a type by name (`data`, `directory`, `root`, `pointer0` to `pointer6`) or by the number
/// that Plan 9's programs print: data 0, pointers to data 1 to 7, directory 8, pointers to
/// directories 9 to 15, root 16.
///
/// # Errors
/// A sentence for the usage message.
pub(crate) fn parse_type(text: &str) -> Result<NodeKind, String> {
    let directory = |level| (BlockType::pointer(level), StreamKind::Directory);
    let data = |level| (BlockType::pointer(level), StreamKind::Data);
    let (block_type, leaves) = match text {
        "data" | "0" => (Some(BlockType::DATA), StreamKind::Data),
        "directory" | "dir" | "8" => (Some(BlockType::DIRECTORY), StreamKind::Directory),
        "root" | "16" => (Some(BlockType::ROOT), StreamKind::Directory),
        _ => match (text.strip_prefix("pointer"), text.parse::<u8>()) {
            (Some(level), _) => data(level.parse().unwrap_or(u8::MAX)),
            (None, Ok(number @ 1..=7)) => data(number - 1),
            (None, Ok(number @ 9..=15)) => directory(number - 9),
            _ => (None, StreamKind::Data),
        },
    };
    block_type.map(|block_type| NodeKind { block_type, leaves }).ok_or_else(|| {
        "a type is data, directory, root, pointer0 to pointer6, or its number 0 to 16".to_owned()
    })
}

/// Every type, in the order of the numbers that Plan 9's programs print.
#[must_use]
pub(crate) fn all_types() -> Vec<NodeKind> {
    let names = ["data", "directory", "root"].map(str::to_owned);
    let pointers = (0..=6).map(|level| format!("pointer{level}"));
    names.into_iter().chain(pointers).filter_map(|name| parse_type(&name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same() {
        for number in (0..=16).filter(|number| !(9..=15).contains(number)) {
            let by_number = parse_type(&number.to_string()).unwrap();
            let name = by_number.block_type.to_string();
            assert_eq!(parse_type(&name), Ok(by_number), "{number} {name}");
        }
        let pointer = parse_type("9").unwrap();
        assert_eq!(pointer.block_type, BlockType::pointer(0).unwrap());
        assert_eq!(pointer.leaves, StreamKind::Directory);
        for wrong in ["", "17", "pointer7", "pointer", "Data", "-1"] {
            assert!(parse_type(wrong).is_err(), "{wrong}");
        }
        assert_eq!(all_types().len(), 10);
    }
}
