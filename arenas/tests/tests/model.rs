//! Random sequences of everything that can happen to a store, against a map.
//!
//! `VENTI_SUITE=long` runs a million operations, the normal run a tenth.

use std::collections::BTreeMap;

use arenas::Store;
use arenas::disk::SimDisk;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use venti_proto::{BlockStore, StoreError};

use crate::support::{block, long_suite, open, read, write};

#[derive(Clone, Debug)]
enum Operation {
    /// Writes blocks with these numbers in one batch: often ones that were written before.
    Write(Vec<u8>),
    Read(Vec<u8>),
    Sync,
    /// Power fails.
    Crash(u64),
    /// The process is killed.
    Kill,
    Close,
    /// Fills the arena until it is sealed.
    Seal,
    /// Flips a bit of a file that is derived.
    FlipIndex(usize),
    Rebuild,
}

fn operation() -> impl Strategy<Value = Operation> {
    let numbers = || prop::collection::vec(any::<u8>(), 1..8);
    prop_oneof![
        8 => numbers().prop_map(Operation::Write),
        6 => numbers().prop_map(Operation::Read),
        3 => Just(Operation::Sync),
        1 => any::<u64>().prop_map(Operation::Crash),
        1 => Just(Operation::Kill),
        1 => Just(Operation::Close),
        1 => Just(Operation::Seal),
        1 => any::<usize>().prop_map(Operation::FlipIndex),
        1 => Just(Operation::Rebuild),
    ]
}

/// What the model knows of a block that was ever written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It must be there, whatever happens.
    Durable,
    /// It must be there until the power fails.
    Written,
    /// It may be there.
    Perhaps,
}

struct Model {
    disk: SimDisk,
    store: Option<Store>,
    states: BTreeMap<u16, State>,
    /// Numbers for blocks that only fill arenas.
    filler: u16,
}

const ARENA: u64 = 4 << 10;

fn numbered(number: u16) -> Vec<u8> {
    block(u64::from(number), 20 + usize::from(number) * 29 % 600)
}

impl Model {
    fn new() -> Model {
        let mut model =
            Model { disk: SimDisk::new(1), store: None, states: BTreeMap::new(), filler: 256 };
        model.reopen();
        model
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("opened")
    }

    fn reopen(&mut self) {
        self.store = None;
        let store = open(&self.disk, ARENA).expect("a store always opens");
        self.store = Some(store);
    }

    fn write(&mut self, numbers: &[u16]) {
        let blocks: Vec<Vec<u8>> = numbers.iter().map(|number| numbered(*number)).collect();
        write(self.store(), &blocks).expect("written");
        for number in numbers {
            let state = self.states.entry(*number).or_insert(State::Written);
            if *state == State::Perhaps {
                *state = State::Written;
            }
        }
    }

    fn check(&self, numbers: &[u16]) {
        let blocks: Vec<Vec<u8>> = numbers.iter().map(|number| numbered(*number)).collect();
        for ((number, block), found) in numbers.iter().zip(&blocks).zip(read(self.store(), &blocks))
        {
            match (found, self.states.get(number)) {
                (Ok(found), Some(_)) => assert!(found == *block, "block {number} is wrong"),
                (Ok(_), None) => panic!("block {number} was never written"),
                (Err(StoreError::NotFound { .. }), None | Some(State::Perhaps)) => {}
                (Err(error), state) => panic!("block {number} ({state:?}): {error}"),
            }
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Write(numbers) => {
                let numbers: Vec<u16> = numbers.iter().map(|number| u16::from(*number)).collect();
                self.write(&numbers);
            }
            Operation::Read(numbers) => {
                let numbers: Vec<u16> = numbers.iter().map(|number| u16::from(*number)).collect();
                self.check(&numbers);
            }
            Operation::Sync => {
                self.store().sync().expect("synced");
                self.now_durable();
            }
            Operation::Crash(seed) => {
                self.disk = self.disk.crash(*seed);
                for state in self.states.values_mut().filter(|state| **state == State::Written) {
                    *state = State::Perhaps;
                }
                self.reopen();
            }
            Operation::Kill => {
                self.disk = self.disk.kill();
                self.reopen();
                // Recovery makes durable what it finds.
                self.now_durable();
            }
            Operation::Close => {
                self.store().close().expect("closed");
                self.now_durable();
                self.reopen();
            }
            Operation::Seal => {
                let before = self.store().stats().sealed_arenas;
                while self.store().stats().sealed_arenas == before {
                    self.filler = self.filler.checked_add(1).unwrap_or(256);
                    let filler = self.filler;
                    self.write(&[filler]);
                }
            }
            Operation::FlipIndex(place) => {
                let names = self.disk.names();
                let derived: Vec<&String> =
                    names.iter().filter(|name| name.starts_with("index/")).collect();
                if let Some(name) = derived.get(place % derived.len().max(1)) {
                    self.disk.damage(name, |bytes| {
                        let length = bytes.len().max(1);
                        if let Some(byte) = bytes.get_mut(place % length) {
                            *byte ^= 1 << (place % 8);
                        }
                    });
                }
            }
            Operation::Rebuild => self.store().rebuild_index(&mut |_| {}).expect("rebuilt"),
        }
    }

    fn now_durable(&mut self) {
        for state in self.states.values_mut().filter(|state| **state == State::Written) {
            *state = State::Durable;
        }
    }
}

#[test]
fn any_sequence_agrees_with_a_map() {
    const LENGTH: usize = 250;
    let sequences = if long_suite() { 4_000 } else { 400 };
    let config = Config { cases: sequences, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let strategy = prop::collection::vec(operation(), LENGTH..=LENGTH);
    let outcome = runner.run(&strategy, |operations| {
        let mut model = Model::new();
        for operation in &operations {
            model.apply(operation);
        }
        let all: Vec<u16> = (0..256).chain(model.states.keys().copied()).collect();
        model.check(&all);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
