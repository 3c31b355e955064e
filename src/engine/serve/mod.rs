//! door: the front doors of the engines: one router each, onto the same queues
