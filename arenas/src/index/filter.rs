//! Which keys a segment surely does not hold: a binary fuse filter with eight bits a key.
//!
//! The filter is built and asked by the crate xorf; its parameters and bytes are stored in a
//! layout of our own ([`super::layout`]) with a checksum, because a flipped bit would hide blocks.
//! One in 256 keys that are not there passes. A filter that could not be built passes everything:
//! that costs reads and is never wrong.

use xorf::{BinaryFuse8, Descriptor, Filter as _};

use super::error::Damage;

/// The numbers that, with the fingerprints, are a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilterParameters {
    /// Start of the hash, found by trying.
    pub(super) seed: u64,
    /// Fingerprints in a window of the hash, a power of two.
    pub(super) window: u32,
    /// Fingerprints that the first of the three hashes reaches, a multiple of `window`.
    pub(super) reach: u32,
    /// Fingerprints in all, one byte each: `reach` and two windows; 0 when there is no filter.
    pub(super) length: u32,
}

impl FilterParameters {
    /// Parameters of the filter that passes everything.
    pub(super) const NONE: FilterParameters =
        FilterParameters { seed: 0, window: 0, reach: 0, length: 0 };

    /// Checks that no hash reaches behind the fingerprints.
    pub(super) fn check(self) -> Result<FilterParameters, Damage> {
        let whole = u64::from(self.reach) + 2 * u64::from(self.window);
        let possible = self.window.is_power_of_two()
            && self.reach != 0
            && self.reach.is_multiple_of(self.window)
            && whole == u64::from(self.length);
        if possible || self == FilterParameters::NONE {
            return Ok(self);
        }
        Err(Damage::Field { part: "filter", field: "length", found: u64::from(self.length) })
    }
}

/// A filter over the keys of one segment.
pub(super) struct Filter {
    fuse: Option<BinaryFuse8>,
}

impl Filter {
    /// Builds a filter of `keys`, which are put in order and lose their repetitions if `repeats`.
    pub(super) fn build(keys: &mut Vec<u64>, repeats: bool) -> Filter {
        if repeats {
            keys.sort_unstable();
            keys.dedup();
        }
        Filter { fuse: BinaryFuse8::try_from(keys.as_slice()).ok() }
    }

    /// Puts a filter together from checked parameters and as many fingerprints as they say.
    pub(super) fn from_parts(
        parameters: FilterParameters,
        fingerprints: &[u8],
    ) -> Result<Filter, Damage> {
        let parameters = parameters.check()?;
        if parameters == FilterParameters::NONE {
            return Ok(Filter { fuse: None });
        }
        if fingerprints.len() != parameters.length as usize {
            let found = fingerprints.len() as u64;
            return Err(Damage::Field { part: "filter", field: "fingerprints", found });
        }
        let descriptor = Descriptor {
            seed: parameters.seed,
            segment_length: parameters.window,
            segment_length_mask: parameters.window - 1,
            segment_count_length: parameters.reach,
        };
        Ok(Filter { fuse: Some(BinaryFuse8 { descriptor, fingerprints: fingerprints.into() }) })
    }

    /// The numbers to store.
    pub(super) fn parameters(&self) -> FilterParameters {
        let Some(fuse) = &self.fuse else { return FilterParameters::NONE };
        let Ok(length) = u32::try_from(fuse.fingerprints.len()) else {
            return FilterParameters::NONE;
        };
        FilterParameters {
            seed: fuse.descriptor.seed,
            window: fuse.descriptor.segment_length,
            reach: fuse.descriptor.segment_count_length,
            length,
        }
    }

    /// The bytes to store.
    pub(super) fn fingerprints(&self) -> &[u8] {
        self.fuse.as_ref().map_or(&[], |fuse| &fuse.fingerprints)
    }

    /// Whether the key may be there; `false` is certain.
    pub(super) fn may_hold(&self, key: u64) -> bool {
        self.fuse.as_ref().is_none_or(|fuse| fuse.contains(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u64) -> Vec<u64> {
        (0..count).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (i << 7)).collect()
    }

    #[test]
    fn holds_its_keys_and_few_others_after_storing() {
        for count in [1, 2, 3, 100, 5000, 100_000] {
            let all = keys(count + 10_000);
            let (inside, outside) = all.split_at(usize::try_from(count).unwrap());
            let built = Filter::build(&mut inside.to_vec(), false);
            let stored = Filter::from_parts(built.parameters(), built.fingerprints()).unwrap();
            assert!(built.parameters().length > 0, "{count} keys have a filter");
            assert!(inside.iter().all(|key| stored.may_hold(*key)), "{count}");
            let passed = outside.iter().filter(|key| stored.may_hold(**key)).count();
            assert!(passed < 100, "{passed} of 10000 strangers pass among {count}");
        }
    }

    #[test]
    fn repeated_keys_do_no_harm() {
        let mut repeated = vec![5; 1000];
        repeated.extend(keys(1000));
        repeated.extend(keys(1000));
        let filter = Filter::build(&mut repeated, true);
        assert!(filter.may_hold(5) && keys(1000).iter().all(|key| filter.may_hold(*key)));
    }

    #[test]
    fn parameters_that_would_reach_too_far_are_refused() {
        let good = Filter::build(&mut keys(5000), false);
        let parameters = good.parameters();
        let bad = [
            FilterParameters { window: parameters.window * 2, ..parameters },
            FilterParameters { window: 0, ..parameters },
            FilterParameters { reach: parameters.reach + parameters.window, ..parameters },
            FilterParameters { reach: 0, ..parameters },
            FilterParameters { reach: u32::MAX, ..parameters },
            FilterParameters { length: parameters.length - 1, ..parameters },
        ];
        for parameters in bad {
            assert!(Filter::from_parts(parameters, good.fingerprints()).is_err());
        }
        assert!(Filter::from_parts(parameters, &good.fingerprints()[1..]).is_err());
    }

    /// The words of the format document, without the crate that does it.
    fn passes_as_documented(filter: &Filter, key: u64) -> bool {
        let parameters = filter.parameters();
        let mut h = key.wrapping_add(parameters.seed);
        h = (h ^ h >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ h >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^= h >> 33;
        let (window, mask) = (u64::from(parameters.window), u64::from(parameters.window) - 1);
        let first = (u128::from(h) * u128::from(parameters.reach)) >> 64;
        let first = u64::try_from(first).unwrap();
        let second = (first + window) ^ ((h >> 18) & mask);
        let third = (first + 2 * window) ^ (h & mask);
        let at = |place: u64| filter.fingerprints()[usize::try_from(place).unwrap()];
        at(first) ^ at(second) ^ at(third) == (h ^ h >> 32).to_be_bytes()[7]
    }

    #[test]
    fn asks_as_documented() {
        let all = keys(20_000);
        let filter = Filter::build(&mut all[..10_000].to_vec(), false);
        for key in &all {
            assert_eq!(filter.may_hold(*key), passes_as_documented(&filter, *key));
        }
    }

    #[test]
    fn no_filter_passes_everything() {
        let filter = Filter::from_parts(FilterParameters::NONE, &[]).unwrap();
        assert!(filter.may_hold(1) && filter.parameters() == FilterParameters::NONE);
    }
}
