// One call: microphone, peer connection, data channel. Knows the protocol's doors, nothing of what its events mean.
//
//   const call = new Call({ person, token, onEvent, onState, onEnd });
//   await call.start();          // throws a Trouble
//   call.mute(true); await call.hangUp();

import { Trouble } from "./trouble.js";

const CONNECT_TIMEOUT_MS = 15_000;
const LOST_AFTER_MS = 5_000;
const PLACE = "/v1/realtime/calls";

export class Call {
  /** `onEvent(event)`: a server event. `onMedia(stream)`: voice and face. `onEnd(trouble | null)`: over, by them. */
  constructor({ person, token, onEvent, onMedia, onEnd }) {
    Object.assign(this, { person, token, onEvent, onMedia, onEnd });
    this.over = false;
    this.location = null;
    this.delays = new Delays();
  }

  async start() {
    try {
      await this.connect();
    } catch (error) {
      this.close();
      throw Trouble.from(error);
    }
  }

  async connect() {
    if (!window.RTCPeerConnection) throw new Trouble("no-webrtc");
    if (!navigator.mediaDevices?.getUserMedia) throw new Trouble("insecure");
    const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    this.microphone = await navigator.mediaDevices.getUserMedia({ audio });
    if (this.over) throw new Trouble("cancelled");
    const [track] = this.microphone.getAudioTracks();
    track.addEventListener("ended", () => this.end(new Trouble("microphone-gone")));

    const pc = (this.pc = new RTCPeerConnection());
    pc.addTrack(track, this.microphone);
    // Only the offering side can add a video section: without this line there is no face.
    pc.addTransceiver("video", { direction: "recvonly" });
    pc.addEventListener("track", ({ streams: [stream] }) => stream && this.onMedia(stream));
    pc.addEventListener("connectionstatechange", () => this.watch());
    const channel = (this.channel = pc.createDataChannel("oai-events"));
    channel.addEventListener("message", ({ data }) => this.receive(data));
    // The server closes the channel when it ends the call; a lost path is seen by the connection first.
    channel.addEventListener("close", () => this.end(null));
    const open = new Promise((resolve) => channel.addEventListener("open", resolve, { once: true }));

    await pc.setLocalDescription(await pc.createOffer());
    // Everything the server needs is in the offer: it learns our address from our first packet.
    const answer = await this.place(pc.localDescription.sdp);
    if (this.over) throw new Trouble("cancelled");
    await pc.setRemoteDescription({ type: "answer", sdp: answer });
    await within(CONNECT_TIMEOUT_MS, open, () => new Trouble("unreachable"));
    if (this.over) throw new Trouble("cancelled");

    this.configure();
    // A call is silent until somebody speaks: this asks for the person's greeting.
    this.send({ type: "response.create" });
    this.sampling = setInterval(() => this.delays.sample(pc), 1000);
  }

  /** Sends the offer; returns the answer. */
  async place(offer) {
    const headers = { "Content-Type": "application/sdp" };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    const signal = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
    const response = await fetch(PLACE, { method: "POST", headers, body: offer, signal });
    const text = await response.text();
    if (!response.ok) throw Trouble.refused(response, text);
    this.location = response.headers.get("Location");
    return text;
  }

  configure() {
    this.send({
      type: "session.update",
      session: {
        type: "realtime",
        audio: {
          input: { turn_detection: { type: "server_vad", silence_duration_ms: 300 } },
          output: { voice: this.person },
        },
        include: ["visavis.state", "visavis.captions", "visavis.trace"],
      },
    });
  }

  send(event) {
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify(event));
  }

  receive(data) {
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return;
    }
    if (event && typeof event.type === "string") this.onEvent(event);
  }

  watch() {
    clearTimeout(this.lost);
    const state = this.pc.connectionState;
    if (state === "failed") this.end(new Trouble("lost"));
    if (state === "disconnected") this.lost = setTimeout(() => this.end(new Trouble("lost")), LOST_AFTER_MS);
  }

  mute(muted) {
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /** The caller ends it. `keepalive`: the request outlives the page. */
  hangUp() {
    if (this.over) return;
    this.over = true;
    this.close();
  }

  /** It ended without the caller. */
  end(trouble) {
    if (this.over) return;
    this.over = true;
    this.close();
    this.onEnd(trouble);
  }

  close() {
    this.over = true;
    clearTimeout(this.lost);
    clearInterval(this.sampling);
    if (this.location) {
      const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
      fetch(this.location, { method: "DELETE", headers, keepalive: true }).catch(() => {});
      this.location = null;
    }
    this.channel?.close();
    this.pc?.close();
    for (const track of this.microphone?.getTracks() ?? []) track.stop();
  }
}

/** What the path and the browser add between a sound leaving the server and being heard, in milliseconds. */
class Delays {
  constructor() {
    this.network = 0;
    this.buffer = 0;
    this.last = null;
  }

  async sample(pc) {
    const stats = await pc.getStats().catch(() => null);
    for (const stat of stats?.values() ?? []) {
      if (stat.type === "candidate-pair" && stat.nominated && stat.currentRoundTripTime !== undefined) {
        this.network = (stat.currentRoundTripTime * 1000) / 2;
      }
      if (stat.type === "inbound-rtp" && stat.kind === "audio") this.held(stat);
    }
  }

  held({ jitterBufferDelay: delay, jitterBufferEmittedCount: count }) {
    if (delay === undefined) return;
    const { delay: before = 0, count: counted = 0 } = this.last ?? {};
    if (count > counted) this.buffer = ((delay - before) / (count - counted)) * 1000;
    this.last = { delay, count };
  }

  total() {
    return this.network + this.buffer;
  }
}

function within(ms, promise, trouble) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(trouble()), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
