// The page: its state, its buttons, and who is called.
//
// `document.body.dataset.state` is idle, connecting, listening, thinking or speaking; the style sheet does the rest.

import { Call } from "./call.js";
import { Captions } from "./captions.js";
import { Conversation } from "./conversation.js";
import { Meter } from "./meter.js";
import { Trouble } from "./trouble.js";

const $ = (id) => document.getElementById(id);
const page = {
  call: $("call"), callLabel: $("call-label"), mute: $("mute"), muteLabel: $("mute-label"), hangup: $("hangup"),
  face: $("face"), still: $("still"), status: $("status"), clock: $("clock"), log: $("log"), people: $("people"),
  trouble: $("trouble"), troubleTitle: $("trouble-title"), troubleAdvice: $("trouble-advice"),
  brain: $("brain"), brainLabel: $("brain-label"), token: $("token"), tokenField: $("token-field"),
};

const SAYS = {
  idle: "Ready",
  connecting: "Connecting …",
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
};

let people = [];
let person = null;
let call = null;
let conversation = null;
let ticking = null;
let waiting = null;
const captions = new Captions(page.log, { user: "You", agent: "" });
const meter = new Meter(page.mute);

// ---------------------------------------------------------------------------------------------------- state

function show(state) {
  document.body.dataset.state = state;
  const muted = page.mute.getAttribute("aria-pressed") === "true";
  page.status.textContent = state === "listening" && muted ? "You are muted" : SAYS[state];
  const inCall = state !== "idle";
  // The keyboard's focus goes with the button that takes the other's place.
  const pressed = [page.call, page.hangup, page.mute].includes(document.activeElement);
  page.call.hidden = inCall;
  page.hangup.hidden = !inCall;
  page.mute.hidden = !inCall || state === "connecting";
  const next = inCall ? page.hangup : page.call;
  const now = document.activeElement;
  if (pressed && (now === document.body || now.hidden)) next.focus({ preventScroll: true });
}

function fail(trouble) {
  clearInterval(waiting);
  page.troubleTitle.textContent = trouble.title;
  page.troubleAdvice.textContent = trouble.advice;
  page.trouble.dataset.kind = trouble.kind;
  page.trouble.hidden = false;
  if (trouble.kind === "token") {
    page.tokenField.hidden = false;
    page.token.focus();
  }
  label("Try again");
  if (trouble.retryAfter > 0) countDown(trouble.retryAfter);
}

/** Keeps the button from knocking before the server said it makes sense. */
function countDown(seconds) {
  let left = Math.min(seconds, 120);
  const tick = () => {
    page.call.disabled = left > 0;
    label(left > 0 ? `Try again in ${left} s` : "Try again");
    if (left-- <= 0) clearInterval(waiting);
  };
  tick();
  waiting = setInterval(tick, 1000);
}

function calm() {
  clearInterval(waiting);
  page.trouble.hidden = true;
  page.call.disabled = !person;
  label(person ? `Call ${named(person)}` : "Call");
}

function label(text) {
  page.callLabel.textContent = text;
}

// ---------------------------------------------------------------------------------------------------- the call

async function place() {
  if (call || !person) return;
  calm();
  captions.clear();
  captions.names.agent = named(person);
  setMuted(false);
  show("connecting");
  conversation = new Conversation(
    (turn) => captions.draw(turn, current.delays.total()),
    (state, complaint) => {
      if (call !== current) return;
      if (complaint) console.warn(complaint);
      show(state);
    },
  );
  const current = new Call({
    person: person.name,
    token: page.token.value.trim(),
    onMedia: play,
    onEvent: (event) => hear(current, event),
    onEnd: (trouble) => over(current, trouble),
  });
  call = current;
  try {
    await current.start();
    if (call !== current) return;
    meter.start(current.microphone);
    startClock();
    // The server's first word about its state may have come already.
    if (document.body.dataset.state === "connecting") show("listening");
  } catch (error) {
    if (call === current) over(current, Trouble.from(error));
  }
}

async function hear(current, event) {
  if (event.type === "error") console.warn("The server complains:", event.error?.message ?? event);
  // The last step of the strip is the path's: as it is now, not as it was a second ago.
  if (event.type === "visavis.trace") await current.delays.sample(current.pc);
  if (call === current) conversation.handle(event);
}

function hangUp() {
  const current = call;
  if (!current) return;
  current.hangUp();
  over(current, null);
}

/** Back to the start: hung up by somebody, or with a trouble. */
function over(current, trouble) {
  if (call !== current) return;
  call = null;
  conversation.finish();
  meter.stop();
  stopClock();
  page.face.srcObject = null;
  document.body.classList.remove("seen");
  show("idle");
  calm();
  if (trouble) fail(trouble);
}

function play(stream) {
  if (page.face.srcObject !== stream) page.face.srcObject = stream;
  page.face.play().catch(() => {
    // Sound without a gesture is blocked in some browsers; the press on "call" was one, so this is rare.
    page.status.textContent = "Press anywhere to hear";
    document.addEventListener("pointerdown", () => page.face.play().catch(() => {}), { once: true });
  });
}

page.face.addEventListener("playing", () => {
  if (page.face.videoWidth) document.body.classList.add("seen");
});
page.face.addEventListener("resize", () => {
  if (page.face.videoWidth) document.body.classList.add("seen");
});

function setMuted(muted) {
  call?.mute(muted);
  page.mute.setAttribute("aria-pressed", String(muted));
  page.muteLabel.textContent = muted ? "Unmute" : "Mute";
  if (call) show(document.body.dataset.state);
}

function startClock() {
  const began = Date.now();
  const tick = () => {
    const seconds = Math.floor((Date.now() - began) / 1000);
    page.clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  tick();
  page.clock.hidden = false;
  ticking = setInterval(tick, 1000);
}

function stopClock() {
  clearInterval(ticking);
  page.clock.hidden = true;
}

// ---------------------------------------------------------------------------------------------------- people

function named({ name }) {
  return name.charAt(0).toUpperCase() + name.slice(1).replaceAll(/[-_]/g, " ");
}

function language({ language: tag }) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(tag);
  } catch {
    return tag ?? "";
  }
}

const portrait = ({ face, portrait: url }) => url ?? (face ? `/faces/${face}.jpg` : null);

function choose(chosen) {
  person = chosen;
  const url = portrait(chosen);
  page.still.hidden = !url;
  if (url) page.still.src = url;
  page.still.alt = `Portrait of ${named(chosen)}`;
  calm();
}

function list() {
  for (const one of people) {
    const option = document.createElement("label");
    const radio = document.createElement("input");
    radio.type = "radio";
    radio.name = "person";
    radio.value = one.name;
    radio.checked = one === person;
    radio.addEventListener("change", () => choose(one));
    const name = document.createElement("b");
    name.textContent = named(one);
    const about = document.createElement("span");
    about.textContent = one.description ?? language(one);
    option.append(radio);
    const url = portrait(one);
    if (url) {
      const picture = document.createElement("img");
      Object.assign(picture, { src: url, alt: "", width: 56, height: 56 });
      option.append(picture);
    }
    option.append(name, about);
    page.people.append(option);
  }
  page.people.hidden = people.length < 2;
}

async function read(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw Trouble.refused(response, await response.text());
  return response.json();
}

async function begin() {
  show("idle");
  try {
    const [voices, about] = await Promise.all([read("/v1/voices"), read("/v1/about")]);
    people = voices;
    page.brain.hidden = !about.brain?.demo;
    page.brainLabel.textContent = about.brain?.label ? `${about.brain.label}.` : "";
    page.tokenField.hidden = !about.needs_token;
    if (people.length === 0) throw new Trouble("odd", "The server knows nobody to call: see its voices.yaml.");
    choose(people[0]);
    list();
  } catch (error) {
    fail(Trouble.from(error));
    page.call.disabled = false;
    label("Try again");
    page.call.addEventListener("click", () => location.reload(), { once: true });
    return;
  }
  if (!window.RTCPeerConnection) fail(new Trouble("no-webrtc"));
  else if (!navigator.mediaDevices) fail(new Trouble("insecure"));
}

page.call.addEventListener("click", place);
page.hangup.addEventListener("click", hangUp);
page.mute.addEventListener("click", () => setMuted(page.mute.getAttribute("aria-pressed") !== "true"));
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement;
  if (event.key.toLowerCase() === "m" && call && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    setMuted(page.mute.getAttribute("aria-pressed") !== "true");
  }
});
// A closed tab is a hung-up call.
window.addEventListener("pagehide", hangUp);

begin();
