//! data: the names that others read back: a load run reads them out of a server's `/metrics`

/// Processor time of the server, seconds (counter).
pub const PROCESS_CPU: &str = "process_cpu_seconds_total";
/// Memory of the server, bytes (gauge).
pub const PROCESS_RESIDENT: &str = "process_resident_memory_bytes";
/// Pieces of work that a model ran at once (histogram; label `stage`).
pub const BATCH_SIZE: &str = "visavis_batch_size";
