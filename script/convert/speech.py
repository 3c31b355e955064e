#!/usr/bin/env python3
"""Lays out the recorded speech that the tests talk with: 16 kHz mono WAVs and what is said in them.

    python3 speech.py POCKETSPHINX_DATA MOONSHINE_ASSETS OUT_DIR

POCKETSPHINX_DATA: usr/share/pocketsphinx/test/data of Debian's pocketsphinx-testdata (BSD-2);
MOONSHINE_ASSETS: moonshine_voice/assets of the moonshine_voice wheel (MIT). Writes OUT_DIR/*.wav and
OUT_DIR/transcripts.json: [{"file", "seconds", "text", "set"}], `text` in lower-case words without
punctuation, `set` one of
    phrases    single sentences and short commands: what a word error rate is taken over
    long       several sentences in one file, up to the whole 44 s passage
Needs numpy. The cuts fall into pauses of the recordings, at least 0.1 s from any speech.
"""
import json
import pathlib
import sys
import wave

import numpy as np

RATE_HZ = 16_000

# A Tale of Two Cities, first sentence: start and end in seconds of two_cities.wav.
TWO_CITIES = [
    (1.10, 2.80, "it was the best of times"),
    (2.85, 4.50, "it was the worst of times"),
    (4.90, 6.40, "it was the age of wisdom"),
    (6.55, 8.10, "it was the age of foolishness"),
    (8.65, 10.40, "it was the epoch of belief"),
    (10.60, 13.00, "it was the epoch of incredulity"),
    (13.35, 14.90, "it was the season of light"),
    (15.00, 16.70, "it was the season of darkness"),
    (17.40, 18.80, "it was the spring of hope"),
    (18.85, 20.75, "it was the winter of despair"),
    (21.10, 24.10, "we had everything before us we had nothing before us"),
    (24.50, 26.30, "we were all going direct to heaven"),
    (26.45, 28.40, "we were all going direct the other way"),
    (29.00, 32.50, "in short the period was so far like the present period"),
    (32.65, 36.75, "that some of its noisiest authorities insisted on its being received"),
    (36.85, 38.50, "for good or for evil"),
    (38.55, 41.90, "in the superlative degree of comparison only"),
]
BECKETT = [
    (0.15, 4.40, "ever tried ever failed no matter"),
    (4.40, 9.96, "try again fail again fail better"),
]
COMMANDS = {"goforward": "go forward ten meters", "something": "go somewhere and do something"}


def read_wav(path):
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth()) != (1, 2):
            sys.exit(f"{path}: expected 16-bit mono")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
        rate = file.getframerate()
    if rate % RATE_HZ:
        sys.exit(f"{path}: {rate} Hz is no multiple of {RATE_HZ}")
    return decimate(samples, rate // RATE_HZ)


def decimate(samples, factor):
    if factor == 1:
        return samples
    at = np.arange(-64 * factor, 64 * factor + 1)
    # Pass band to 0.45 of the new rate; Blackman keeps what folds back below -70 dB.
    taps = np.sinc(0.9 * at / factor) * np.blackman(len(at))
    return np.convolve(samples, taps / taps.sum(), "same")[::factor]


def cut(samples, start_s, stop_s):
    return samples[round(start_s * RATE_HZ) : round(stop_s * RATE_HZ)]


def spoken(line):
    """'<s> ten of clubs  </s> (001)' -> ('001', 'ten of clubs')"""
    text, _, name = line.rpartition("(")
    return name.strip(") \n"), " ".join(text.replace("<s>", "").replace("</s>", "").split())


def clips(sphinx, moonshine):
    """(name, samples, text, set)"""
    for folder, listing, stem in (("librivox", "transcription", -4), ("cards", "cards.transcription", -3)):
        for line in (sphinx / folder / listing).read_text().splitlines():
            name, text = spoken(line)
            yield f"{folder}-{name[stem:]}", read_wav(sphinx / folder / f"{name}.wav"), text, "phrases"
    for name, text in COMMANDS.items():
        yield name, np.fromfile(sphinx / f"{name}.raw", "<i2").astype(np.float64), text, "phrases"
    cities, beckett = read_wav(moonshine / "two_cities.wav"), read_wav(moonshine / "beckett.wav")
    for number, (start, stop, text) in enumerate(TWO_CITIES):
        yield f"cities-{number:02}", cut(cities, start, stop), text, "phrases"
    for number, (start, stop, text) in enumerate(BECKETT):
        yield f"beckett-{number}", cut(beckett, start, stop), text, "phrases"
    for name, first, last in (("cities-times", 0, 3), ("cities-hope", 8, 12), ("cities-all", 0, 16)):
        text = " ".join(line[2] for line in TWO_CITIES[first : last + 1])
        yield name, cut(cities, TWO_CITIES[first][0], TWO_CITIES[last][1]), text, "long"
    yield "beckett-all", beckett, " ".join(line[2] for line in BECKETT), "long"


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sphinx, moonshine, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    listing = []
    for name, samples, text, group in clips(sphinx, moonshine):
        with wave.open(str(out / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(np.clip(np.round(samples), -32768, 32767).astype("<i2").tobytes())
        listing.append({"file": f"{name}.wav", "seconds": round(len(samples) / RATE_HZ, 3), "text": text, "set": group})
    (out / "transcripts.json").write_text(json.dumps(listing, indent=1) + "\n")
    print(f"speech: {len(listing)} files, {sum(clip['seconds'] for clip in listing):.0f} s")


if __name__ == "__main__":
    main()
