//! What a log is told about itself: the topic configs that concern files.

/// Of one log; the names are Kafka's topic configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment that would grow past it is rolled.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment that is older than this is rolled by the next append.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: at most so much earlier, so that logs do not roll together.
    pub segment_jitter_ms: i64,
    /// `index.interval.bytes`: an index entry after so many bytes.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: an index that reaches it rolls the segment.
    pub segment_index_bytes: u32,
    /// `retention.ms`; -1 keeps for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; -1 keeps all.
    pub retention_bytes: i64,
    /// Whether `cleanup.policy` has `delete`.
    pub is_deleted_by_retention: bool,
    /// `file.delete.delay.ms`: how long a deleted file stays under its new name.
    pub file_delete_delay_ms: i64,
    /// `preallocate`: reserve a new segment's space.
    pub preallocate: bool,
    /// Whether the log may grow when the disk is below low water: deleting needs a commit, and a commit needs space.
    pub may_use_reserve: bool,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: WEEK_MS,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            retention_ms: WEEK_MS,
            retention_bytes: -1,
            is_deleted_by_retention: true,
            file_delete_delay_ms: 60_000,
            preallocate: false,
            may_use_reserve: false,
        }
    }
}
