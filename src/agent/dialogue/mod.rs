//! door: whose turn it is and what to say
