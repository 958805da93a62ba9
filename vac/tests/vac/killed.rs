//! What is there after a restore was killed, and after the next one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Files with more than one block, and small ones between them.
fn make_tree(tree: &Path) {
    for directory in 0..4_u8 {
        let directory_path = tree.join(format!("d{directory}"));
        fs::create_dir_all(&directory_path).unwrap();
        for number in 0..40_u8 {
            let small = vec![number + 1; 100 + usize::from(number)];
            fs::write(directory_path.join(format!("small{number}")), small).unwrap();
            let content: Vec<u8> =
                (0..20_000_u32).flat_map(|n| (n * 7 + u32::from(number)).to_be_bytes()).collect();
            fs::write(directory_path.join(format!("medium{number}")), content).unwrap();
        }
        let large: Vec<u8> =
            (0..700_000_u32).flat_map(|n| (n ^ u32::from(directory)).to_be_bytes()).collect();
        fs::write(directory_path.join("large"), large).unwrap();
    }
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let list = if entry.file_type().unwrap().is_dir() { &mut waiting } else { &mut found };
            list.push(entry.path());
        }
    }
    found
}

#[test]
fn a_killed_restore_leaves_no_part_of_a_large_file_and_is_completed_by_another() {
    let place = tempfile::tempdir().unwrap();
    let (tree, out) = (place.path().join("tree"), place.path().join("out"));
    make_tree(&tree);
    let made = Command::new(env!("CARGO_BIN_EXE_vac"))
        .args(["-h", "./store", "-f", "tree.vac", "tree"])
        .current_dir(place.path())
        .env("XDG_CACHE_HOME", place.path().join("cache"))
        .status();
    assert!(made.unwrap().success());
    let unvac = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unvac"));
        command.args(["-h", "./store", "-C", "out"]).args(options).arg("tree.vac");
        command.current_dir(place.path()).stderr(Stdio::null()).stdout(Stdio::null());
        command
    };
    let mut parts = 0;
    for round in 0..16_u64 {
        let mut child = unvac(&[]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(round * 6));
        child.kill().unwrap();
        child.wait().unwrap();
        if !out.exists() {
            continue;
        }
        for path in files(&out) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let original = tree.join(path.strip_prefix(out.join("tree")).unwrap_or(&path));
            if name.starts_with(".unvac-") || !original.is_file() {
                continue;
            }
            let whole = fs::read(&path).unwrap() == fs::read(&original).unwrap();
            assert!(whole || name.starts_with("small"), "round {round}: {}", path.display());
            parts += usize::from(fs::metadata(&path).unwrap().size() > 8192);
        }
        if round % 2 == 0 {
            assert!(unvac(&["-d", "--delete"]).status().unwrap().success());
            assert!(unvac(&["--verify"]).status().unwrap().success(), "round {round}");
        }
        fs::remove_dir_all(&out).unwrap();
    }
    println!("{parts} whole files of many blocks were met");
}
