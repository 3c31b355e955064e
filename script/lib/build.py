"""io: runs a cargo build and says how far it is and how long it will still take.

    build.py cargo build --release ...

Cargo knows how many units there are, not how long each takes, and two of five hundred take half of the time. So units
are weighed by what they cost where it was measured; the unit counts come from Cargo's own progress bar, the finished
ones from its messages. A build with nothing to do prints nothing.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time

# CPU-seconds of the units that cost much, measured (release, 2 cores); every other unit costs about OTHER.
HEAVY = {
    ("llama-cpp-sys-2", "run"): 336.0,
    ("aws-lc-sys", "run"): 82.0,
    ("str0m", "lib"): 96.0,
    ("axum", "lib"): 17.0,
    ("opusic-sys", "run"): 13.0,
    ("serde-saphyr", "lib"): 13.0,
    ("visavis", "lib"): 60.0,
    ("visavis", "bin"): 10.0,
    ("visavis", "test"): 60.0,
}
OTHER = 0.9
SECONDS_BETWEEN_LINES = 15
BAR = re.compile(r"Building \[.*?\] (\d+)/(\d+)")


class Progress:
    """Guarded by `lock`: two threads read the two outputs of Cargo."""

    def __init__(self, heavy):
        self.lock = threading.Lock()
        self.heavy = dict(heavy)
        self.light_units = 0
        self.units, self.all_units = 0, 0
        self.done = 0.0
        self.worked = False
        self.start = time.monotonic()
        self.last_line = self.start
        self.terminal = sys.stderr.isatty()

    def finished(self, message):
        unit = unit_of(message)
        if unit is None:
            return
        with self.lock:
            weight = self.heavy.pop(unit, None)
            if message.get("fresh"):
                return  # found done: neither part of the work nor of its time
            self.worked = True
            if weight is None:
                self.light_units += 1
                weight = OTHER
            self.done += weight

    def bar(self, units, all_units):
        with self.lock:
            self.units, self.all_units = units, all_units
            self.show()

    def show(self):
        elapsed = time.monotonic() - self.start
        left_units = max(self.all_units - self.units - len(self.heavy), 0)
        left = left_units * OTHER + sum(self.heavy.values())
        share = self.done / max(self.done + left, 1.0)
        text = f"building: {self.units} of {self.all_units} parts, {share:.0%}"
        if elapsed > 10 and share > 0.02:
            text += f", about {spoken(elapsed * (1 - share) / share)} left"
        if self.terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def clear(self):
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def unit_of(message):
    """("crate", what of it) for a message about a finished unit."""
    name = re.search(r"([A-Za-z0-9_-]+)[@#][0-9][^#]*$", message.get("package_id", ""))
    if not name:
        return None
    if message["reason"] == "build-script-executed":
        return name.group(1), "run"
    if message["reason"] == "compiler-artifact":
        if message["profile"]["test"]:
            return name.group(1), "test"
        return name.group(1), "bin" if "bin" in message["target"]["kind"] else "lib"
    return None


def spoken(seconds):
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


def read_errors(stream, progress):
    """Cargo's words to people: its bar is read, its list of what it compiles dropped, everything else passed on."""
    pending = b""
    while chunk := stream.read1(4096):
        *lines, pending = re.split(rb"[\r\n]+", pending + chunk)
        for line in lines:
            text = line.decode(errors="replace").removeprefix("\x1b[K")
            found = BAR.search(text)
            if found:
                progress.bar(int(found.group(1)), int(found.group(2)))
            elif text.strip() and not re.match(r"\s*(Compiling|Finished|Fresh|Downloading|Downloaded|Blocking)\b", text):
                progress.clear()
                print(text, file=sys.stderr, flush=True)


def main():
    heavy = HEAVY if "--all-targets" in sys.argv else {unit: cost for unit, cost in HEAVY.items() if unit[1] != "test"}
    progress = Progress(heavy)
    environment = os.environ | {"CARGO_TERM_PROGRESS_WHEN": "always", "CARGO_TERM_PROGRESS_WIDTH": "120"}
    command = [*sys.argv[1:], "--message-format=json-render-diagnostics"]
    build = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    errors = threading.Thread(target=read_errors, args=(build.stderr, progress))
    errors.start()
    for line in build.stdout:
        progress.finished(json.loads(line))
    errors.join()
    progress.clear()
    if build.wait() == 0 and progress.worked:
        print(f"built in {spoken(time.monotonic() - progress.start)}", file=sys.stderr)
    return build.returncode


if __name__ == "__main__":
    sys.exit(main())
