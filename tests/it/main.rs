//! door: the integration tests, one binary

mod allocations;
mod architecture;
mod browser;
mod caller;
mod calls;
mod command_line;
mod conversation;
mod front_desk;
mod house;
mod kit;
mod llm;
mod load_dialling;
mod load_self_test;
mod measure;
mod metrics;
mod own_voice;
mod page;
mod protocol;
mod rtc;
mod score;
mod stt_door;
mod stt_wire;
mod tts_door;
mod tts_sentences;
mod voice_room;
mod whisper;
