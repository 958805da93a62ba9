//! Zeros that were written come back written, and holes as holes.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use vac::extractor::ExtractOptions;
use vac::walk::holes;

use crate::round_trip::Fixture;

/// Files of every size that is treated in its own way: one block, some, many.
fn make_files(tree: &Path) {
    for size in [4096_u64, 8000, 8192, 100_000, 1 << 20, 5 << 20] {
        let zeros = vec![0; usize::try_from(size).unwrap()];
        fs::write(tree.join(format!("zeros {size}")), &zeros).unwrap();
        let mut ends = zeros.clone();
        ends[0] = 1;
        fs::write(tree.join(format!("a byte and zeros {size}")), &ends).unwrap();
        let hole = File::create(tree.join(format!("hole {size}"))).unwrap();
        hole.set_len(size).unwrap();
        let half = File::create(tree.join(format!("half {size}"))).unwrap();
        half.set_len(size).unwrap();
        half.write_all_at(&zeros[..zeros.len() / 2], 0).unwrap();
        let island = File::create(tree.join(format!("island {size}"))).unwrap();
        island.set_len(3 * size).unwrap();
        island.write_all_at(&ends, size).unwrap();
    }
}

/// Name of a file, where it has holes, and the space that it has.
type Space = (String, Option<Vec<(u64, u64)>>, u64);

fn space(directory: &Path) -> Vec<Space> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (file, stat) = (File::open(entry.path()).unwrap(), entry.metadata().unwrap());
        file.sync_all().unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        found.push((name, holes(&file, stat.size()), file.metadata().unwrap().blocks()));
    }
    found.sort();
    found
}

#[test]
fn files_have_the_space_that_they_had() {
    let fixture = Fixture::new();
    make_files(&fixture.tree());
    let before = space(&fixture.tree());
    let archive = fixture.archive();
    fixture.restore(&archive, &ExtractOptions::default());
    let restored = fixture.target().join("tree");
    assert_eq!(space(&restored), before);
    // Compared with what is there, and block by block.
    for (name, _, _) in &before {
        let file = File::options().write(true).open(restored.join(name)).unwrap();
        file.write_all_at(b"changed", 0).unwrap();
    }
    let differences = ExtractOptions { differences: true, ..ExtractOptions::default() };
    fixture.restore(&archive, &differences);
    assert_eq!(space(&restored), before);
    for (name, _, _) in &before {
        let same =
            fs::read(restored.join(name)).unwrap() == fs::read(fixture.tree().join(name)).unwrap();
        assert!(same, "{name}");
    }
}
