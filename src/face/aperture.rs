//! dsp: how far the mouth is open in a picture, measured from its pixels
//!
//! For tests and measurements of what a viewer really gets: it looks at decoded frames, not at parameters.
