//! Both disks behave alike, and the simulated one loses what it may lose and no more.

use super::*;

fn behaves(disk: &dyn Disk) {
    disk.create_dir("arenas").unwrap();
    disk.create_dir("arenas").unwrap();
    let file = disk.open("arenas/a", OpenMode::Create).unwrap();
    write_all_at(&*file, b"hello venti", 3).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir("arenas").unwrap();
    assert_eq!(file.len().unwrap(), 14);
    let mut buffer = [9; 5];
    read_exact_at(&*file, &mut buffer, 1).unwrap();
    assert_eq!(&buffer, b"\0\0hel");
    let past_end = read_exact_at(&*file, &mut buffer, 10).unwrap_err();
    assert_eq!(past_end.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(
        past_end.to_string(),
        "read arenas/a at offset 10: the file ends after 4 of 5 bytes"
    );
    file.set_len(5).unwrap();
    assert_eq!(&*disk.map("arenas/a").unwrap(), b"\0\0\0he");
    disk.rename("arenas/a", "arenas/b").unwrap();
    assert_eq!(disk.list("arenas").unwrap(), ["b"]);
    let gone = disk.open("arenas/a", OpenMode::Read).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.list("nowhere").unwrap_err().kind(), io::ErrorKind::NotFound);
    let guard = disk.lock("lock").unwrap();
    assert_eq!(disk.lock("lock").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(guard);
    drop(disk.lock("lock").unwrap());
    assert!(!disk.is_read_only("arenas/b").unwrap());
    disk.set_read_only("arenas/b").unwrap();
    assert!(disk.is_read_only("arenas/b").unwrap());
    disk.remove("arenas/b").unwrap();
    assert!(disk.list("arenas").unwrap().is_empty());
}

#[test]
fn both_disks_behave_alike() {
    let directory = tempfile::tempdir().unwrap();
    behaves(&RealDisk::create(&directory.path().join("deep/store")).unwrap());
    behaves(&SimDisk::new(1));
}

/// A disk with 2048 synced bytes and 2048 more that are not.
fn half_synced() -> SimDisk {
    let disk = SimDisk::new(7);
    let file = disk.open("f", OpenMode::Create).unwrap();
    disk.sync_dir("").unwrap();
    write_all_at(&*file, &[1; 2048], 0).unwrap();
    file.sync_data().unwrap();
    write_all_at(&*file, &[2; 2048], 2048).unwrap();
    disk
}

#[test]
fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
    let disk = half_synced();
    let images: std::collections::BTreeSet<Vec<u8>> =
        (0..200).map(|seed| disk.crash(seed).contents("f").unwrap()).collect();
    assert!(images.iter().all(|image| image.len() >= 2048 && image[..2048] == [1; 2048]));
    assert!(images.contains(&vec![1; 2048]));
    assert!(images.iter().any(|image| image.len() == 4096 && image[2048..] == [2; 2048]));
    assert!(images.len() > 20, "only {} different images", images.len());
    assert_eq!(disk.kill().contents("f").unwrap().len(), 4096);
}

#[test]
fn a_failed_sync_marks_pages_clean_that_are_not_durable() {
    let disk = half_synced();
    let file = disk.open("f", OpenMode::Write).unwrap();
    disk.set_faults(Some(FaultPlan { after: 0, fault: Fault::Io, forever: false }));
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(disk.contents("f").unwrap().len(), 4096);
    let after = disk.crash(0).contents("f").unwrap();
    assert!((1..20).all(|seed| disk.crash(seed).contents("f").unwrap() == after));
    assert_ne!(after, disk.contents("f").unwrap(), "seed 7 loses something");
}

#[test]
fn names_are_lost_unless_their_directory_is_synced() {
    let disk = SimDisk::new(3);
    let file = disk.open("new", OpenMode::Create).unwrap();
    file.sync_data().unwrap();
    let found = (0..50).filter(|seed| disk.crash(*seed).contents("new").is_some()).count();
    assert!((1..50).contains(&found));
    disk.sync_dir("").unwrap();
    assert!((0..50).all(|seed| disk.crash(seed).contents("new").is_some()));
}

#[test]
fn faults_strike_the_call_they_are_planned_for() {
    let disk = half_synced();
    let file = disk.open("f", OpenMode::Write).unwrap();
    for fault in [Fault::Short, Fault::Interrupted] {
        disk.set_faults(Some(FaultPlan { after: 0, fault, forever: false }));
        write_all_at(&*file, &[3; 100], 0).unwrap();
        assert_eq!(disk.contents("f").unwrap()[..100], [3; 100]);
        assert_eq!(disk.calls(), 2);
    }
    disk.set_faults(Some(FaultPlan { after: 1, fault: Fault::Full, forever: true }));
    let mut buffer = [0; 4];
    read_exact_at(&*file, &mut buffer, 0).unwrap();
    assert!(write_all_at(&*file, &[4; 100], 0).unwrap_err().is_full());
    assert!(write_all_at(&*file, &[4; 100], 0).unwrap_err().is_full());
    disk.set_faults(Some(FaultPlan { after: 0, fault: Fault::Interrupted, forever: true }));
    let endless = read_exact_at(&*file, &mut buffer, 0).unwrap_err();
    assert_eq!(endless.kind(), io::ErrorKind::Interrupted);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = half_synced();
    disk.set_capacity(Some(4100));
    let file = disk.open("f", OpenMode::Write).unwrap();
    assert!(write_all_at(&*file, &[5; 10], 4096).unwrap_err().is_full());
    assert_eq!(file.len().unwrap(), 4100);
    write_all_at(&*file, &[5; 10], 0).unwrap();
}
