//! door: a WebRTC endpoint without sockets, and the router that shares one port among many
