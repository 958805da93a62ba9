//! The programs under test, built once a run in the profile of the tests; or, as long runs want
//! it, those that are in the directory `VENTI_PROGRAMS` already.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::workspace;

/// The path of the program `name`, built from the sources as they are now.
pub(crate) fn program(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let path = DIRECTORY.get_or_init(build_all).join(name);
    assert!(path.is_file(), "the workspace has no program {name}");
    path
}

/// `cargo test` builds the programs only of packages whose own tests ask for them.
fn build_all() -> PathBuf {
    if let Some(directory) = std::env::var_os("VENTI_PROGRAMS") {
        return PathBuf::from(directory);
    }
    let test = std::env::current_exe().expect("the path of this test");
    // TARGET/PROFILE/deps/THIS
    let profile = test.parent().and_then(Path::parent).expect("a profile's directory");
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(workspace()).args(["build", "--quiet", "--workspace", "--bins"]);
    build.env("CARGO_TARGET_DIR", profile.parent().expect("the target directory"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success(), "the programs do not build");
    profile.to_path_buf()
}
