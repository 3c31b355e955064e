//! door: the integration tests, one binary

mod architecture;
mod front_desk;
mod browser;
mod caller;
mod kit;
mod llm;
mod rtc;
mod stt_door;
mod stt_wire;
mod tts_door;
mod tts_sentences;
mod voice_room;
mod protocol;
mod whisper;
