//! Where random numbers come from: the kernel, or on a thread that runs a simulation its seed.
//!
//! A thread's own, and no part of `Seams`, because openraft asks for its numbers without saying for which node.

use std::cell::Cell;
use std::convert::Infallible;

use rand_core::TryRng;
use types::Uuid;

thread_local! {
    /// The state of splitmix64 where a simulation runs.
    static SEEDED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// All random numbers that are drawn on this thread from now on follow from `seed`; without one they are the kernel's again.
pub fn seed_this_thread(seed: Option<u64>) {
    SEEDED.set(seed);
}

/// Random numbers, of the kernel or of this thread's seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chance;

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), Infallible> {
        fill(destination);
        Ok(())
    }
}

/// A random identity.
pub(crate) fn random_uuid() -> Uuid {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    Uuid::from_random(bytes)
}

/// A random positive number, for ids that need to be hard to hit by accident, not secret.
pub(crate) fn random_positive() -> i32 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    (i32::from_le_bytes(bytes) & i32::MAX).max(1)
}

fn fill(bytes: &mut [u8]) {
    match SEEDED.get() {
        Some(seed) => fill_from(seed, bytes),
        None => fill_from_kernel(bytes),
    }
}

fn fill_from(mut state: u64, bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
    }
    SEEDED.set(Some(state));
}

fn fill_from_kernel(bytes: &mut [u8]) {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())
            .expect("the kernel has randomness once it has booted");
    }
}

#[cfg(test)]
mod tests {
    use super::{random_uuid, seed_this_thread};

    #[test]
    fn a_seed_repeats_what_it_gave() {
        seed_this_thread(Some(7));
        let first = [random_uuid(), random_uuid()];
        seed_this_thread(Some(7));
        let again = [random_uuid(), random_uuid()];
        seed_this_thread(None);
        assert_eq!(first, again);
        assert_ne!(first[0], first[1]);
        assert_ne!(random_uuid(), random_uuid());
    }
}
