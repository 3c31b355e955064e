//! data: what a model must be able to do to be served
