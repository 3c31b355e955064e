// The conversation as the page shows it, built from the protocol's events. No DOM: `onChange(turn)` says what to redraw.
//
// A turn is {id, who: "user" | "agent", text, heard, done, cut, failed, segments}. `heard` is how much of an agent's
// text has been spoken, in characters.

export class Conversation {
  constructor(onChange, onState) {
    Object.assign(this, { onChange, onState });
    this.turns = new Map();
    this.itemOf = new Map(); // response id -> item id
    this.extended = false; // the server tells its state itself
  }

  /** Takes one server event. */
  handle(event) {
    switch (event.type) {
      case "input_audio_buffer.speech_started":
        this.turn(event.item_id, "user");
        return this.state("listening");
      case "input_audio_buffer.committed":
        this.turn(event.item_id, "user");
        return this.state("thinking");
      case "conversation.item.input_audio_transcription.delta":
        return this.change(this.turn(event.item_id, "user"), (turn) => (turn.text += event.delta ?? ""));
      case "conversation.item.input_audio_transcription.completed":
        return this.change(this.turn(event.item_id, "user"), (turn) => {
          turn.text = (event.transcript ?? turn.text).trim();
          turn.done = true;
        });
      case "conversation.item.input_audio_transcription.failed":
        return this.change(this.turn(event.item_id, "user"), (turn) => Object.assign(turn, { failed: true, done: true }));
      case "response.output_item.added":
        if (event.item?.type !== "message") return undefined;
        this.itemOf.set(event.response_id, event.item.id);
        return this.change(this.turn(event.item.id, "agent"), () => {});
      case "response.output_audio_transcript.delta":
        return this.change(this.turn(event.item_id, "agent"), (turn) => (turn.text += event.delta ?? ""));
      case "response.output_audio_transcript.done":
        return this.change(this.turn(event.item_id, "agent"), (turn) => (turn.text = event.transcript ?? turn.text));
      case "visavis.captions":
        return this.change(this.turn(event.item_id, "agent"), (turn) => spoken(turn, event.words ?? []));
      case "conversation.item.truncated":
        return this.change(this.turns.get(event.item_id), (turn) => Object.assign(turn, { cut: true, done: true }));
      case "output_audio_buffer.started":
        return this.state("speaking");
      case "output_audio_buffer.stopped":
      case "output_audio_buffer.cleared":
        this.change(this.turns.get(this.itemOf.get(event.response_id)), (turn) => {
          turn.done = true;
          // What was played to its end was heard to its end, whatever became of the word times.
          if (event.type.endsWith("stopped") && !turn.cut) turn.heard = turn.text.length;
        });
        return this.state("listening");
      case "response.done":
        return this.responseDone(event.response ?? {});
      case "visavis.state":
        this.extended = true;
        return this.onState(event.state === "idle" ? "listening" : event.state);
      case "visavis.trace":
        return this.change(this.turns.get(this.itemOf.get(event.response_id)), (turn) => {
          turn.segments = event.segments;
        });
      default:
        return undefined;
    }
  }

  responseDone({ id, status, status_details: details }) {
    const turn = this.turns.get(this.itemOf.get(id));
    if (status === "failed") {
      this.change(turn, (turn) => Object.assign(turn, { failed: true, done: true }));
      this.onState("listening", details?.error?.message ?? "The answer failed.");
    }
    if (status === "cancelled") this.change(turn, (turn) => Object.assign(turn, { cut: true, done: true }));
  }

  /** The call is over: what has not been said will not be. */
  finish() {
    for (const turn of this.turns.values()) {
      const unsaid = turn.who === "agent" && turn.heard < turn.text.trimEnd().length;
      if (!turn.done) this.change(turn, (turn) => Object.assign(turn, { done: true, cut: unsaid }));
    }
  }

  turn(id, who) {
    if (!this.turns.has(id)) {
      this.turns.set(id, { id, who, text: "", heard: 0, done: false, cut: false, failed: false, segments: null });
    }
    return this.turns.get(id);
  }

  change(turn, edit) {
    if (!turn) return;
    edit(turn);
    this.onChange(turn);
  }

  /** What the protocol's own events say of the state, for a server that does not tell it. */
  state(state) {
    if (!this.extended) this.onState(state);
  }
}

/** Moves `heard` behind `words`, searched from where it stands. */
function spoken(turn, words) {
  for (const { text } of words) {
    const at = turn.text.indexOf(text, turn.heard);
    // A word that is not found (the text comes later, or differs) still counts by its length.
    if (at >= 0 && at - turn.heard < 40) turn.heard = at + text.length;
  }
}
