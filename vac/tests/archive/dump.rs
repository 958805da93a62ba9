//! The hierarchy of `vac -a`: days side by side, none ever lost.

use vac::archiver::{DumpDay, OldArchive, Trust};
use vac::walk::Moment;
use venti_proto::Score;

use crate::support::{Bench, Tree, noise, read_tree};

fn day(year: u16, month: u8, day: u8) -> DumpDay {
    DumpDay { year, month, day, modified: Moment { seconds: 1_100_000_000, nanoseconds: 0 } }
}

fn add_day(bench: &mut Bench, old: Option<Score>, day: DumpDay) -> vac::archiver::Outcome {
    bench.options.dump = Some(day);
    bench.options.old = old.map(|root| OldArchive { root, trust: Trust::Attributes });
    bench.archive()
}

fn files(tree: &Tree) -> Vec<String> {
    let is_file = |(path, found): (&String, &crate::support::Found)| {
        (!found.content.is_empty()).then(|| path.clone())
    };
    tree.iter().filter_map(is_file).collect()
}

#[test]
fn days_are_added_and_compared_with_the_latest() {
    let mut bench = Bench::new();
    bench.write("large", noise(300_000, 1));
    bench.write("file", "first");
    let first = add_day(&mut bench, None, day(2004, 6, 11));
    bench.write("file", "second");
    let second = add_day(&mut bench, Some(first.root), day(2004, 6, 12));
    assert_eq!((second.counts.files_changed, second.counts.files_unchanged), (1, 1));
    assert_eq!(second.counts.bytes_read, 6);
    let again = add_day(&mut bench, Some(second.root), day(2004, 6, 12));
    assert_eq!(again.counts.bytes_read, 0);
    let next_year = add_day(&mut bench, Some(again.root), day(2005, 1, 2));
    assert_eq!(next_year.counts.files_unchanged, 2, "compared with a day of the year before");
    let tree = read_tree(&*bench.store, next_year.root);
    let expected: Vec<String> = ["2004/0611", "2004/0612.1", "2004/0612", "2005/0102"]
        .iter()
        .flat_map(|day| [format!("/{day}/tree/file"), format!("/{day}/tree/large")])
        .collect();
    assert_eq!(files(&tree), expected);
    assert_eq!(tree["/2004/0611/tree/file"].content, b"first");
    assert_eq!(tree["/2004/0612.1/tree/file"].content, b"second");
    assert!(tree["/2005/0102/tree/large"].content == noise(300_000, 1));
}

#[test]
fn earlier_days_keep_even_what_does_not_fit_an_entry() {
    let mut bench = Bench::new();
    let path = bench.write("file", "x");
    let value = noise(3000, 3);
    for name in ["user.one", "user.two"] {
        let flags = rustix::fs::XattrFlags::empty();
        if let Err(errno) = rustix::fs::setxattr(&path, name, &value[..1500], flags) {
            println!("skipped: no extended attributes here ({errno})");
            return;
        }
    }
    bench.options.block_size = 2048;
    let first = add_day(&mut bench, None, day(2004, 6, 11));
    let second = add_day(&mut bench, Some(first.root), day(2004, 6, 12));
    let tree = read_tree(&*bench.store, second.root);
    for day in ["0611", "0612"] {
        let unix = tree[&format!("/2004/{day}/tree/file")].dir.unix.as_ref().unwrap();
        assert!(unix.external.is_some() || unix.xattrs.len() == 2, "{day}");
    }
}
