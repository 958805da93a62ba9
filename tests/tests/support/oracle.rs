//! What a client knows of the promises that a server made, and whether it keeps them.

use std::collections::BTreeMap;
use std::io;

use super::raw_client::RawClient;

/// Blocks written through one or more connections, and how far they were promised.
#[derive(Default)]
pub(crate) struct Oracle {
    /// Score and type to bytes: written before a sync that was acknowledged.
    promised: BTreeMap<(Vec<u8>, u8), Vec<u8>>,
    /// The same, acknowledged as written, and not yet covered by a sync.
    pending: BTreeMap<(Vec<u8>, u8), Vec<u8>>,
    /// State of the generator.
    seed: u64,
}

impl Oracle {
    pub(crate) fn new(seed: u64) -> Oracle {
        Oracle { seed, ..Oracle::default() }
    }

    /// A random number below `limit` (xorshift64*).
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    /// Half of it compresses, half of it does not; now and then a block that was there before.
    fn block(&mut self) -> (u8, Vec<u8>) {
        if self.below(8) == 0
            && let Some(((_, block_type), block)) = self.promised.iter().next()
        {
            return (*block_type, block.clone());
        }
        let block_type = [13, 2, 3, 1][usize::try_from(self.below(4)).expect("small")];
        let most = if self.below(4) == 0 { 57_344 } else { 8192 };
        let length = 1 + self.below(most);
        let modulus = [4, 256][usize::try_from(self.below(2)).expect("small")];
        let byte = |_| u8::try_from(self.below(modulus)).expect("a byte");
        (block_type, (0..length).map(byte).collect())
    }

    /// Writes blocks with a sync after every few until `syncs` were acknowledged.
    ///
    /// # Errors
    /// When the connection breaks: what was promised until then stays promised. An error that
    /// the server answers ends the work too, as the `Ok` text.
    pub(crate) fn work(
        &mut self,
        client: &mut RawClient,
        syncs: usize,
    ) -> io::Result<Result<(), String>> {
        for _ in 0..syncs {
            for _ in 0..=self.below(12) {
                let (block_type, block) = self.block();
                match client.write(block_type, &block)? {
                    Ok(score) => self.pending.insert((score, block_type), block),
                    Err(text) => return Ok(Err(text)),
                };
            }
            match client.sync()? {
                Ok(_) => self.promised.append(&mut self.pending),
                Err(text) => return Ok(Err(text)),
            }
        }
        Ok(Ok(()))
    }

    /// Reads back every block. What was promised must be there; what was only written may be
    /// missing; nothing may be wrong. Forgets what was not promised. Returns how many were read.
    pub(crate) fn verify(&mut self, client: &mut RawClient) -> usize {
        for ((score, block_type), block) in &self.promised {
            let answer = client.read(score, *block_type).expect("the server serves");
            assert!(
                answer.as_ref() == Ok(block),
                "a promised block is gone or wrong: {answer:.200?}"
            );
        }
        for ((score, block_type), block) in std::mem::take(&mut self.pending) {
            match client.read(&score, block_type).expect("the server serves") {
                Ok(found) => assert!(found == block, "a block came back wrong"),
                Err(text) => assert!(text.contains("no block"), "an odd refusal: {text}"),
            }
        }
        self.promised.len()
    }
}
