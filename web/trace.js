// The latency strip: where the time went between the end of the user's speech and the first sound that was heard.

const STEPS = [
  ["transcript", "Transcript", "the pause was long enough to be the end, and the words are there"],
  ["token", "First token", "the language model began to answer"],
  ["sound", "First sound", "the voice had spoken its first clause"],
  ["heard", "Heard", "it left the stage, crossed the network and the browser's buffer"],
];

/** Milliseconds of each step; `pathMs` is what network and browser add. Each step begins where the last one ended. */
export function steps(segments, pathMs) {
  const ends = [
    Math.max(segments.decided_ms, segments.transcribed_ms),
    segments.first_token_ms,
    segments.first_sound_ready_ms,
    segments.first_sound_ms + pathMs,
  ];
  let before = 0;
  return STEPS.map(([key, name, why], n) => {
    const end = Math.max(before, ends[n] || 0);
    const step = { key, name, why, ms: end - before, end };
    before = end;
    return step;
  });
}

/** A `<details>` with the strip as its summary. Longer bars are slower turns: the full width is `FULL_MS`. */
export function strip(segments, pathMs) {
  const parts = steps(segments, pathMs);
  const total = parts[parts.length - 1].end;
  const details = document.createElement("details");
  details.className = "trace";
  const summary = document.createElement("summary");
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.style.width = `${Math.min(100, (total / FULL_MS) * 100)}%`;
  const list = document.createElement("dl");
  for (const { key, name, why, ms } of parts) {
    const piece = document.createElement("i");
    piece.className = `to-${key}`;
    piece.style.flexGrow = String(Math.max(ms, 1));
    bar.append(piece);
    const term = document.createElement("dt");
    term.className = `to-${key}`;
    term.textContent = name;
    term.title = why;
    const value = document.createElement("dd");
    value.textContent = `${Math.round(ms)} ms`;
    list.append(term, value);
  }
  const label = document.createElement("span");
  label.className = "total";
  label.textContent = `${(total / 1000).toFixed(2)} s`;
  const track = document.createElement("span");
  track.className = "track";
  track.append(bar);
  summary.append(track, label);
  summary.setAttribute("aria-label", `Answered after ${(total / 1000).toFixed(2)} seconds; show where the time went`);
  details.append(summary, list);
  return details;
}

/** Two seconds of silence is when people begin to wonder. */
const FULL_MS = 2000;
