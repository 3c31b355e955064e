//! door: words become speech, seconds ahead
