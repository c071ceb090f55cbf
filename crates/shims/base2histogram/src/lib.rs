//! Stands in for the crate of this name, as far as openraft uses it: histograms of its batch sizes and stages. The original
//! fills lookup tables for sixteen resolutions, 26 MB, of which openraft uses the one that takes 2 KB; that was two
//! thirds of an idle broker. Knows nothing of raft. See docs/adr/0006.

use std::fmt;
use std::marker::PhantomData;

/// Of the bits behind the highest one, those that choose the bucket: values in one bucket differ by at most a quarter.
const SUB_BITS: u32 = 2;
const BUCKETS: usize = ((u64::BITS - SUB_BITS + 1) << SUB_BITS) as usize;

/// How often values of each size came. `M` is what the original lets one note beside a window of time.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram<M = ()> {
    counts: Box<[u64; BUCKETS]>,
    samples: u64,
    window: PhantomData<M>,
}

impl<M> Histogram<M> {
    /// An empty one.
    pub fn new() -> Histogram<M> {
        Histogram { counts: Box::new([0; BUCKETS]), samples: 0, window: PhantomData }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value that came `count` times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        self.counts[bucket(value)] += count;
        self.samples += count;
    }

    /// The least value of the bucket that a share of all values, between 0 and 1, does not exceed; 0 without values.
    pub fn percentile(&self, share: f64) -> u64 {
        let rank = (self.samples as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= rank
        };
        self.counts.iter().position(reaches).map_or(0, least_of)
    }

    /// The percentiles that are shown.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.samples,
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.10),
            p50: self.percentile(0.50),
            p90: self.percentile(0.90),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

impl<M> Default for Histogram<M> {
    fn default() -> Histogram<M> {
        Histogram::new()
    }
}

impl<M> fmt::Debug for Histogram<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.percentile_stats()).finish()
    }
}

fn bucket(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    let shift = bits.saturating_sub(SUB_BITS + 1);
    // While the highest bit is among those that choose, values are their own buckets.
    ((u64::from(shift) << SUB_BITS) + (value >> shift)) as usize
}

fn least_of(bucket: usize) -> u64 {
    let shift = (bucket >> SUB_BITS).saturating_sub(1);
    ((bucket - (shift << SUB_BITS)) as u64) << shift
}

/// Percentiles of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many values there are.
    pub samples: u64,
    /// The 0.1th percentile.
    pub p0_1: u64,
    /// The 1st.
    pub p1: u64,
    /// The 5th.
    pub p5: u64,
    /// The 10th.
    pub p10: u64,
    /// The median.
    pub p50: u64,
    /// The 90th.
    pub p90: u64,
    /// The 99th.
    pub p99: u64,
    /// The 99.9th.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PercentileStats { samples, p50, p90, p99, p99_9, .. } = self;
        write!(f, "samples: {samples}, p50: {p50}, p90: {p90}, p99: {p99}, p99.9: {p99_9}")
    }
}

/// Histograms under their names, as text.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart<M = ()> {
    series: Vec<(String, Histogram<M>)>,
}

impl<M> AsciiChart<M> {
    /// Without any.
    pub fn new() -> AsciiChart<M> {
        AsciiChart { series: Vec::new() }
    }

    /// With one more.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "the original's name")]
    pub fn add(mut self, name: &str, histogram: Histogram<M>) -> AsciiChart<M> {
        self.series.push((name.to_owned(), histogram));
        self
    }
}

impl<M> fmt::Display for AsciiChart<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.series
            .iter()
            .try_for_each(|(name, histogram)| writeln!(f, "{name}: {}", histogram.percentile_stats()))
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Histogram, bucket, least_of};

    #[test]
    fn every_value_has_a_bucket_that_begins_at_most_a_fifth_below_it() {
        let edges = (0..u64::BITS).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for value in edges.chain(0..5000).chain([u64::MAX]) {
            let (index, least) = (bucket(value), least_of(bucket(value)));
            assert!(index < BUCKETS && least <= value, "{value} is in {index}, from {least}");
            assert!(value - least <= value / 5 + 1, "{value} is in a bucket from {least}");
            assert_eq!(bucket(least), index);
        }
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile(0.5), 0);
        (1..=1000).for_each(|value| histogram.record(value));
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p50, stats.p90, stats.p99), (1000, 448, 896, 896));
    }

    #[test]
    fn a_histogram_takes_two_kilobytes() {
        assert!(BUCKETS * size_of::<u64>() <= 2048);
    }
}
