// What went wrong, in words, and what to do next.

const WORDS = {
  "no-webrtc": [
    "This browser cannot place calls",
    "It has no WebRTC. Open this page in a current Chrome, Edge, Firefox or Safari.",
  ],
  insecure: [
    "The microphone needs a secure page",
    "Browsers give it out only to localhost and https. Open this page as http://localhost, or through https.",
  ],
  "no-microphone": [
    "No microphone was found",
    "Plug one in or switch it on, then try again.",
  ],
  blocked: [
    "The microphone is blocked",
    "Allow it for this page, with the icon beside the address, then try again.",
  ],
  "microphone-busy": [
    "The microphone cannot be opened",
    "Another program may be using it. Close that one, then try again.",
  ],
  "microphone-gone": [
    "The microphone went away",
    "It was unplugged or its permission was taken back. Connect it, then call again.",
  ],
  "server-gone": [
    "The server does not answer",
    "It may be stopped or restarting. See whether it runs, then try again.",
  ],
  unreachable: [
    "The call did not connect",
    "The server answered, but no media came through. A firewall may be closing its UDP port.",
  ],
  lost: [
    "The connection was lost",
    "Nothing has come from the server for a while. See to your network, then call again.",
  ],
  full: [
    "Everybody is in a call",
    "All lines are taken. Try again in a moment.",
  ],
  "not-ready": [
    "The server is not ready",
    "Try again in a moment.",
  ],
  token: [
    "This server asks for a token",
    "Enter the one you were given, then call again.",
  ],
  refused: [
    "The server refused the call",
    "Try again; if that does not help, its log says why.",
  ],
  odd: [
    "Something went wrong",
    "Reload the page and try again.",
  ],
};

export class Trouble extends Error {
  /** `kind` is a key of the table above; `detail` replaces its advice; `retryAfter` is in seconds. */
  constructor(kind, detail = null, retryAfter = 0) {
    const [title, advice] = WORDS[kind] ?? WORDS.odd;
    super(title);
    Object.assign(this, { kind, title, advice: detail || advice, retryAfter });
  }

  /** Any failure of placing a call. */
  static from(error) {
    if (error instanceof Trouble) return error;
    switch (error?.name) {
      case "NotAllowedError":
      case "SecurityError":
        return new Trouble("blocked");
      case "NotFoundError":
      case "OverconstrainedError":
        return new Trouble("no-microphone");
      case "NotReadableError":
      case "AbortError":
        return new Trouble("microphone-busy");
      case "TimeoutError":
      case "TypeError": // what fetch throws when nobody answers
        return new Trouble("server-gone");
      default:
        return new Trouble("odd", error?.message);
    }
  }

  /** An answer that is no answer: `{error: {message, code}}` and perhaps Retry-After. */
  static refused(response, text) {
    let error = {};
    try {
      error = JSON.parse(text).error ?? {};
    } catch {
      // Not ours: a proxy's page. The status has to do.
    }
    const retryAfter = Number(response.headers.get("Retry-After")) || 0;
    if (response.status === 401) return new Trouble("token");
    if (response.status === 503) {
      return new Trouble(error.code === "server_full" ? "full" : "not-ready", error.message, retryAfter);
    }
    return new Trouble("refused", error.message ?? `It answered ${response.status}.`, retryAfter);
  }
}
