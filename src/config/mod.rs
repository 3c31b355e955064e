//! door: the only reader of configuration: files, environment, flags
