//! The only unsafe code of this crate: the step of SHA-1 in sixteen lanes at once.
//!
//! Register `i` of a state or of the message schedule holds word `i` of all sixteen lanes.

#![allow(unsafe_code, reason = "vector instructions; each use says why it is sound")]

use std::arch::x86_64::*;

/// Blocks that are hashed side by side.
pub(super) const LANES: usize = 16;

/// The five words of state of every lane.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct States([[u32; LANES]; 5]);

impl States {
    pub(super) fn set(&mut self, lane: usize, state: [u32; 5]) {
        for (words, word) in self.0.iter_mut().zip(state) {
            words[lane] = word;
        }
    }

    pub(super) fn get(&self, lane: usize) -> [u32; 5] {
        self.0.map(|words| words[lane])
    }
}

/// Whether this processor has the instructions that [`compress`] uses.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// Takes every lane `steps` steps of 64 bytes further along its run. A run that is shorter is
/// repeated from its first step: the lanes of such runs are idle.
pub(super) fn compress(states: &mut States, runs: &[&[[u8; 64]]; LANES], steps: usize) {
    assert!(is_available(), "AVX-512 is there: only then is this called");
    for step in 0..steps {
        let blocks: [&[u8; 64]; LANES] =
            std::array::from_fn(|lane| runs[lane].get(step).unwrap_or(&runs[lane][0]));
        // SAFETY: the instructions are there, which was checked above.
        unsafe { compress_step(states, &blocks) };
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn compress_step(states: &mut States, blocks: &[&[u8; 64]; LANES]) {
    let mut w = load_transposed(blocks);
    let [a0, b0, c0, d0, e0] = states.0.each_ref().map(|words| load_words(words));
    let (mut a, mut b, mut c, mut d, mut e) = (a0, b0, c0, d0, e0);
    // Macros, since the kind of function, the word and the rotated registers must be known to the
    // compiler: a loop that it does not unroll is half as fast.
    macro_rules! round {
        ($truth:literal, $k:ident, $word:literal, $from_input:literal) => {
            if !$from_input {
                w[$word] = schedule(&w, $word);
            }
            let f = _mm512_ternarylogic_epi32::<$truth>(b, c, d);
            let input = _mm512_add_epi32(_mm512_add_epi32(e, $k), w[$word]);
            let sum = _mm512_add_epi32(_mm512_add_epi32(_mm512_rol_epi32::<5>(a), f), input);
            (e, d, c, b, a) = (d, c, _mm512_rol_epi32::<30>(b), a, sum);
        };
    }
    macro_rules! rounds {
        ($truth:literal, $constant:literal, $from_input:literal, $($word:literal)*) => {
            let k = _mm512_set1_epi32(u32::cast_signed($constant));
            $(round!($truth, k, $word, $from_input);)*
        };
    }
    rounds!(0xca, 0x5a82_7999, true, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    rounds!(0xca, 0x5a82_7999, false, 0 1 2 3);
    rounds!(0x96, 0x6ed9_eba1, false, 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7);
    rounds!(0xe8, 0x8f1b_bcdc, false, 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11);
    rounds!(0x96, 0xca62_c1d6, false, 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    let sums = [(a0, a), (b0, b), (c0, c), (d0, d), (e0, e)];
    for (words, (before, after)) in states.0.iter_mut().zip(sums) {
        store_words(words, _mm512_add_epi32(before, after));
    }
}

/// The next word of the message schedule, which takes the place of `word`, from the last sixteen.
#[inline]
#[target_feature(enable = "avx512f")]
fn schedule(w: &[__m512i; 16], word: usize) -> __m512i {
    let [back3, back8, back14] = [13, 8, 2].map(|ahead| w[(word + ahead) & 15]);
    let mixed = _mm512_ternarylogic_epi32::<0x96>(back3, back8, back14);
    _mm512_rol_epi32::<1>(_mm512_xor_si512(mixed, w[word]))
}

/// Loads one step of every lane and turns it so that register `i` has word `i` of all lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_transposed(blocks: &[&[u8; 64]; LANES]) -> [__m512i; 16] {
    let swap_bytes =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    let rows = blocks.map(|block| {
        // SAFETY: the reference is to 64 readable bytes, and the load needs no alignment.
        let row = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        _mm512_shuffle_epi8(row, swap_bytes)
    });
    let mut pairs = rows;
    for i in (0..16).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    let mut quads = pairs;
    for i in (0..16).step_by(4) {
        quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    // quads[4 * g + j] holds in its 128-bit part p the words 4 * p + j of the lanes 4 * g to 4 * g + 3.
    let mut words = quads;
    for j in 0..4 {
        let low = _mm512_shuffle_i32x4::<0x88>(quads[j], quads[4 + j]);
        let high = _mm512_shuffle_i32x4::<0x88>(quads[8 + j], quads[12 + j]);
        words[j] = _mm512_shuffle_i32x4::<0x88>(low, high);
        words[8 + j] = _mm512_shuffle_i32x4::<0xdd>(low, high);
        let low = _mm512_shuffle_i32x4::<0xdd>(quads[j], quads[4 + j]);
        let high = _mm512_shuffle_i32x4::<0xdd>(quads[8 + j], quads[12 + j]);
        words[4 + j] = _mm512_shuffle_i32x4::<0x88>(low, high);
        words[12 + j] = _mm512_shuffle_i32x4::<0xdd>(low, high);
    }
    words
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_words(words: &[u32; LANES]) -> __m512i {
    // SAFETY: the reference is to 64 readable bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_words(words: &mut [u32; LANES], value: __m512i) {
    // SAFETY: the reference is to 64 writable bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), value) };
}
