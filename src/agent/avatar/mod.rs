//! door: the face of a session: speech it has learnt and cues become pictures
