//! Bytes from a peer must not make a node allocate more than in proportion to their number. A process of its
//! own, which counts what is allocated.

#![allow(unsafe_code, reason = "an allocator that counts has to be an allocator")]

mod schema;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use protocol::catalogue::codecs;
use schema::{Schema, Seed};

/// Counts for one thread, so that the test harness does not disturb it.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.get().saturating_add(layout.size());
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().saturating_sub(layout.size()));
        // SAFETY: the pointer came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many bytes `work` holds at its worst.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = LIVE.get();
    PEAK.set(before);
    work();
    PEAK.get() - before
}

/// All that one message may hold for each byte of it: a structure in memory is larger than on the wire, and a vector
/// that grows is there twice.
const HELD_PER_BYTE: usize = 256;
const INPUT_BYTES: usize = 1000;
const SAMPLES: u64 = 40;

/// Lengths as large as they get, in either encoding, and what lets a decoder get past them.
fn lie(seed: &mut Seed) -> [u8; 5] {
    match seed.below(4) {
        0 => [0x7f, 0xff, 0xff, 0xff, 0x0f],
        1 => [0xff, 0xff, 0xff, 0xff, 0x0f],
        2 => [0, 0, 0, 1, 2],
        _ => [0, 0, 0, seed.below(200) as u8, 0],
    }
}

#[test]
fn lengths_that_lie_allocate_no_more_than_in_proportion_to_what_is_there() {
    let mut worst = (0, "", 0);
    for codec in codecs() {
        for version in codec.versions.min..=codec.versions.max {
            for number in 0..SAMPLES {
                let mut seed = Seed(number);
                let input: Vec<u8> = (0..INPUT_BYTES / 5).flat_map(|_| lie(&mut seed)).collect();
                let input = Bytes::from(input);
                let peak = peak_of(|| drop((codec.round_trip)(input, version)));
                worst = worst.max((peak, codec.name, version));
                let bound = INPUT_BYTES * HELD_PER_BYTE;
                assert!(peak <= bound, "{} version {version}, seed {number}: {peak} bytes", codec.name);
            }
        }
    }
    assert!(worst.0 > INPUT_BYTES, "nothing was counted: {worst:?}");
}

#[test]
fn a_message_with_one_length_that_lies_allocates_no_more_either() {
    for codec in codecs() {
        let schema = Schema::read(codec.family, codec.name);
        for version in codec.versions.min..=codec.versions.max {
            let whole = schema.bytes(version, &mut Seed(3), true);
            for at in 0..whole.len() {
                let mut bent = whole.clone();
                let end = (at + 5).min(bent.len());
                bent[at..end].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x07][..end - at]);
                let bound = (bent.len() + 64) * HELD_PER_BYTE;
                let bent = Bytes::from(bent);
                let peak = peak_of(|| drop((codec.round_trip)(bent, version)));
                assert!(peak <= bound, "{} version {version}, byte {at}: {peak} bytes", codec.name);
            }
        }
    }
}
