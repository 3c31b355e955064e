//! door: the cores of the OpenAI Realtime protocol, shared by every transport
