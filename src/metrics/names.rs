//! data: the names that others read back: a load run reads them out of a server's `/metrics`

/// Processor time of the server, seconds (counter).
pub const PROCESS_CPU: &str = "process_cpu_seconds_total";
/// Memory of the server, bytes (gauge).
pub const PROCESS_RESIDENT: &str = "process_resident_memory_bytes";
/// Pieces of work that a model ran at once (histogram; label `stage`).
pub const BATCH_SIZE: &str = "visavis_batch_size";
/// Words a second (histogram; label `stage`).
pub const WORDS_PER_SECOND: &str = "visavis_words_per_second";
/// Time spent / sound (histogram; label `stage`).
pub const REAL_TIME_FACTOR: &str = "visavis_engine_real_time_factor";
