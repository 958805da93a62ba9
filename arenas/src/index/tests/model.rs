//! The index against a map, under arenas, merges, restarts and losses of power in any order.

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    /// Add the next arena with so many clumps, the first of them copied from older arenas.
    Add { clumps: u32, copies: u32 },
    /// Add an arena that became uncovered.
    AddUncovered,
    /// One step of a merge.
    Maintain,
    /// Look up known and unknown addresses, so many at once.
    LookUp { from: usize, count: usize },
    /// Close and open, after `kill -9` if this is not read-only.
    Reopen,
    /// Lose power and open; what was not synced is there in part.
    Crash { seed: u64 },
    /// Stop believing one arena.
    Invalidate { number: u32 },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0_u32..700, 0_u32..50).prop_map(|(clumps, copies)| Operation::Add { clumps, copies }),
        2 => Just(Operation::AddUncovered),
        6 => Just(Operation::Maintain),
        6 => (any::<usize>(), 1_usize..300)
            .prop_map(|(from, count)| Operation::LookUp { from, count }),
        1 => Just(Operation::Reopen),
        2 => any::<u64>().prop_map(|seed| Operation::Crash { seed }),
        1 => (1_u32..20).prop_map(|number| Operation::Invalidate { number }),
    ]
}

/// The index, and what it should say.
struct Machine {
    disk: SimDisk,
    index: Index,
    arenas: BTreeMap<SealedArena, Vec<IndexEntry>>,
    entries: Vec<IndexEntry>,
}

impl Machine {
    fn new() -> Machine {
        let disk = SimDisk::new(3);
        let index = open(&disk, &[], SMALL);
        Machine { disk, index, arenas: BTreeMap::new(), entries: Vec::new() }
    }

    fn reopen(&mut self, disk: SimDisk) {
        let sealed: Vec<_> = self.arenas.keys().copied().collect();
        self.disk = disk;
        self.index = open(&self.disk, &sealed, SMALL);
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Add { clumps, copies } => self.add(clumps, copies),
            Operation::AddUncovered => {
                if let Some(one) = self.index.uncovered().first() {
                    self.index.add_arena(*one, self.arenas[one].clone()).unwrap();
                    assert!(!self.index.uncovered().contains(one));
                }
            }
            Operation::Maintain => drop(self.index.maintain().unwrap()),
            Operation::LookUp { from, count } => self.look_up(from, count),
            Operation::Reopen => {
                let uncovered = self.index.uncovered();
                self.reopen(self.disk.kill());
                let lost: Vec<_> = self.index.uncovered();
                assert!(lost.iter().all(|one| uncovered.contains(one)), "{lost:?}");
            }
            Operation::Crash { seed } => {
                let uncovered = self.index.uncovered();
                self.reopen(self.disk.crash(seed));
                let lost: Vec<_> = self.index.uncovered();
                assert!(lost.iter().all(|one| uncovered.contains(one)), "{lost:?}");
            }
            Operation::Invalidate { number } => self.index.invalidate(number),
        }
    }

    fn add(&mut self, clumps: u32, copies: u32) {
        let number = u32::try_from(self.arenas.len()).unwrap() + 1;
        let (one, mut entries) = arena(number, clumps);
        for (entry, copied) in entries.iter_mut().zip(&self.entries).take(copies as usize) {
            (entry.score, entry.block_type) = (copied.score, copied.block_type);
        }
        self.index.add_arena(one, entries.clone()).unwrap();
        self.entries.extend_from_slice(&entries);
        self.arenas.insert(one, entries);
    }

    fn look_up(&self, from: usize, count: usize) {
        let mut asked: Vec<_> = strangers(u32::try_from(count / 2).unwrap());
        let unknown = asked.len();
        if !self.entries.is_empty() {
            let known = self.entries.iter().cycle().skip(from % self.entries.len()).take(count);
            asked.extend(known.copied());
        }
        let complete = self.index.uncovered().is_empty();
        let answers = look_up(&self.index, &asked);
        let miss = if complete { Lookup::Absent } else { Lookup::Unknown };
        assert!(answers[..unknown].iter().all(|answer| *answer == miss));
        for (entry, answer) in asked.iter().zip(&answers).skip(unknown) {
            match answer {
                Lookup::Found(found) => assert!(self.is_true(entry, *found), "{entry:?} {found:?}"),
                Lookup::Absent => panic!("{entry:?} is absent"),
                Lookup::Unknown => assert!(!complete, "{entry:?} is unknown"),
            }
        }
    }

    fn is_true(&self, entry: &IndexEntry, found: Location) -> bool {
        let same = |e: &IndexEntry| request(e) == request(entry) && location(e) == found;
        let arena = self.arenas.iter().find(|(arena, _)| arena.number == found.arena);
        arena.is_some_and(|(_, entries)| entries.iter().any(same))
    }
}

proptest! {
    #![proptest_config(Config { cases: 64, ..Config::default() })]

    #[test]
    fn behaves_like_a_map(operations in proptest::collection::vec(operation(), 1..60)) {
        let mut machine = Machine::new();
        operations.iter().for_each(|operation| machine.apply(operation));
        machine.look_up(0, 2000);
    }
}
