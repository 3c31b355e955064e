//! door: lays the rooms of one call in a row, and ends them
