//! The archive does not depend on how many threads walk ahead, and neither do the reports.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::process::Uid;
use vac::archiver::{Failure, Outcome, Problem, ProblemKind};
use vac::walk::Patterns;

use crate::support::{Bench, is_root, noise};

/// Everything that the walk has to decide about, several times over.
fn nasty_tree(bench: &mut Bench) {
    for number in 0..1500 {
        bench.write(&format!("large/{number:04}"), number.to_string());
        if number % 7 == 0 {
            bench.write(&format!("large/{number:04}.d/file"), noise(300, number));
        }
    }
    let deep = "d/".repeat(90);
    bench.write(&format!("deep/{deep}end"), "end");
    bench.write(&format!("deep/{deep}../z/behind"), "behind");
    for name in ["a", "ab", "a b", "a\n", "-"] {
        bench.write(&format!("names/{name}/{name}"), name);
    }
    let odd = bench.path("names").join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    std::fs::create_dir(odd).unwrap();
    bench.write("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
    bench.write("cache/below/file", "x");
    bench.write("left/out/file", "x");
    bench.write("left/in/file", "x");
    bench.write("marked/.nobackup", "");
    bench.write("marked/below/file", "x");
    bench.write("empty/x", "x");
    std::fs::remove_file(bench.path("empty/x")).unwrap();
    std::fs::hard_link(bench.path("left/in/file"), bench.path("large/0003.link")).unwrap();
    std::fs::hard_link(bench.path("left/in/file"), bench.path("zz")).unwrap();
    symlink("large", bench.path("link")).unwrap();
    symlink("..", bench.path("large/up")).unwrap();
    let mut patterns = Patterns::default();
    patterns.exclude_glob("out".as_ref()).unwrap();
    patterns.exclude_glob("0021.d".as_ref()).unwrap();
    bench.options.exclusions.patterns = patterns;
    bench.options.exclusions.caches = true;
    bench.options.exclusions.if_present = vec![b".nobackup".to_vec()];
}

#[test]
fn any_number_of_walkers_makes_the_same_archive() {
    let mut bench = Bench::new();
    nasty_tree(&mut bench);
    let mut runs: Vec<(Outcome, Vec<Problem>)> = Vec::new();
    for walkers in [0, 1, 2, 8, 8, 8] {
        bench.options.walkers = walkers;
        let (outcome, problems) = bench.try_archive();
        runs.push((outcome.unwrap(), problems));
    }
    let (alone, left_out) = &runs[0];
    assert!(!alone.incomplete);
    assert_eq!(left_out.len(), 4, "{left_out:?}");
    for (outcome, problems) in &runs[1..] {
        assert_eq!(outcome.root, alone.root);
        assert_eq!(outcome.counts.directories, alone.counts.directories);
        assert_eq!(problems, left_out);
    }
    bench.compare_with(alone.root);
    for walkers in [0, 8] {
        bench.options.walkers = walkers;
        let again = bench.try_archive().0.unwrap();
        assert_eq!(again.root, alone.root);
        assert_eq!(again.counts.files_unchanged, alone.counts.files());
    }
}

/// Runs as somebody who is not root: only for the thread that calls, and those that it starts.
fn as_nobody<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let unprivileged = || {
        if is_root() {
            let nobody = Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        run()
    };
    std::thread::scope(|scope| scope.spawn(unprivileged).join().unwrap())
}

#[test]
fn a_directory_that_can_not_be_read_is_named_once() {
    let mut bench = Bench::new();
    let above = bench.path("..").canonicalize().unwrap();
    std::fs::set_permissions(above, PermissionsExt::from_mode(0o755)).unwrap();
    for number in 0..40 {
        bench.write(&format!("{number:02}/secret/file"), "x");
        bench.write(&format!("{number:02}/open/file"), "x");
        let secret = bench.path(&format!("{number:02}/secret"));
        std::fs::set_permissions(secret, PermissionsExt::from_mode(0o0)).unwrap();
    }
    for walkers in [0, 1, 8] {
        bench.options.walkers = walkers;
        let (outcome, problems) = as_nobody(|| bench.try_archive());
        let outcome = outcome.unwrap();
        assert!(outcome.incomplete);
        assert_eq!(outcome.counts.failed, 40);
        assert_eq!(outcome.counts.files(), 40);
        let unreadable = ProblemKind::Failed(Failure::Unreadable(rustix::io::Errno::ACCESS));
        let expected: Vec<Problem> = (0..40)
            .map(|number| bench.path(&format!("{number:02}/secret")))
            .map(|path| (path.as_os_str().as_bytes().to_vec(), unreadable.clone()))
            .map(|(path, kind)| Problem { path, kind })
            .collect();
        assert_eq!(problems, expected, "{walkers} walkers");
    }
}
