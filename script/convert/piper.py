"""Splits a Piper voice (VITS) into the two graphs that a streaming engine runs.

    python3 piper.py VOICE.onnx VOICE.onnx.json OUT_DIR

OUT_DIR gets
    enc.onnx     input i64[1,n], input_lengths i64[1], scales f32[3] = (noise, length, noise of the durations)
                 -> z f32[1,channels,frames], durations f32[1,1,n]: frames per id
    dec.onnx     z f32[1,channels,frames] -> audio f32[1,1,1,frames * hop]
    config.json  what the engine needs to know about both

Why split: the encoder sees a whole clause at once, but the vocoder is a stack of convolutions that sees only a few
frames around each frame. Run in pieces with `context_frames` of neighbours on both sides it gives the very samples of
one long run (checked here on every conversion), so that sound starts after the first piece.
Why the durations: they say when each phone is heard, which word times and lips are made of.

Needs onnx, numpy and onnxruntime.
"""

import json
import math
import pathlib
import sys

import numpy
import onnx
import onnxruntime

# Ten frames on each side reproduce a whole run to float noise; seven are off by 1e-4 of full scale, none click.
CONTEXT_FRAMES = 10
# The largest difference between two runs of the same arithmetic on other shapes.
TOLERANCE = 1e-4
# Piper's names: the vocoder's first convolution, and the rounded-up durations before they become a path.
VOCODER_ENTRY = "/dec/conv_pre"
DURATIONS = "/Ceil_output_0"


def main(voice, settings, out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    model = onnx.load(voice)
    settings = json.loads(pathlib.Path(settings).read_text(encoding="utf-8"))
    if settings.get("num_speakers", 1) != 1:
        sys.exit(f"{voice}: a voice of several speakers is not supported")

    latent = vocoder_input(model.graph)
    audio = model.graph.output[0].name
    extract(voice, out / "enc.onnx", ["input", "input_lengths", "scales"], {latent: "z", DURATIONS: "durations"})
    extract(voice, out / "dec.onnx", [latent], {latent: "z", audio: "audio"})
    hop = math.prod(upsampling(onnx.load(out / "dec.onnx").graph))

    inference = settings["inference"]
    config = {
        "sample_rate": settings["audio"]["sample_rate"],
        "hop": hop,
        "context_frames": CONTEXT_FRAMES,
        "espeak_voice": settings["espeak"]["voice"],
        "noise_scale": inference["noise_scale"],
        "length_scale": inference["length_scale"],
        "noise_w": inference["noise_w"],
        "ids": {symbol: ids[0] for symbol, ids in settings["phoneme_id_map"].items()},
    }
    text = json.dumps(config, ensure_ascii=False, indent=1, sort_keys=True)
    (out / "config.json").write_text(text + "\n", encoding="utf-8")
    verify(voice, out, config)


def vocoder_input(graph):
    for node in graph.node:
        if node.name.startswith(VOCODER_ENTRY) and node.op_type == "Conv":
            return node.input[0]
    sys.exit(f"no {VOCODER_ENTRY} in the graph: not a Piper VITS voice")


def extract(source, target, inputs, tensors):
    """Cuts `inputs` -> the tensors that are no input, and gives every tensor of `tensors` its new name."""
    outputs = [name for name in tensors if name not in inputs]
    onnx.utils.extract_model(str(source), str(target), inputs, outputs, check_model=False)
    part = onnx.load(target)
    for node in part.graph.node:
        node.input[:] = [tensors.get(name, name) for name in node.input]
        node.output[:] = [tensors.get(name, name) for name in node.output]
    for value in [*part.graph.input, *part.graph.output, *part.graph.value_info]:
        value.name = tensors.get(value.name, value.name)
    onnx.save(part, target)


def upsampling(graph):
    for node in graph.node:
        if node.op_type == "ConvTranspose":
            yield from (a.ints[0] for a in node.attribute if a.name == "strides")


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def verify(voice, out, config):
    """The two halves equal the whole voice, and pieces equal one long run. Without noise, so that runs can be compared."""
    whole, enc, dec = session(voice), session(out / "enc.onnx"), session(out / "dec.onnx")
    ids = config["ids"]
    line = [ids["^"], ids["_"]]
    for symbol in "ðə kwˈɪk bɹˈaʊn fˈɑːks dʒˈʌmps ˌoʊvɚ ðə lˈeɪzi dˈɑːɡ.":
        line += [ids[symbol], ids["_"]]
    line.append(ids["$"])
    feed = {
        "input": numpy.array([line], numpy.int64),
        "input_lengths": numpy.array([len(line)], numpy.int64),
        "scales": numpy.array([0, config["length_scale"], 0], numpy.float32),
    }
    expected = whole.run(None, feed)[0].ravel()
    z, durations = enc.run(["z", "durations"], feed)
    frames = z.shape[2]
    if durations.size != len(line) or int(durations.sum()) != frames:
        sys.exit(f"durations {durations.shape} sum to {durations.sum()}, not to {frames} frames")

    joined = dec.run(None, {"z": z})[0].ravel()
    pieces, start, size = [], 0, 16
    while start < frames:
        stop = min(frames, start + size)
        low, high = max(0, start - CONTEXT_FRAMES), min(frames, stop + CONTEXT_FRAMES)
        heard = dec.run(None, {"z": numpy.ascontiguousarray(z[:, :, low:high])})[0].ravel()
        pieces.append(heard[(start - low) * config["hop"] : (stop - low) * config["hop"]])
        start, size = stop, 48
    for name, got in (("the two halves", joined), ("the vocoder in pieces", numpy.concatenate(pieces))):
        if got.shape != expected.shape:
            sys.exit(f"{name}: {got.size} samples, the whole voice {expected.size}")
        worst = float(numpy.abs(got - expected).max())
        if worst > TOLERANCE:
            sys.exit(f"{name} differ from the whole voice by {worst:.6f}")
        print(f"{name} equal the whole voice: {got.size} samples, off by at most {worst:.1e}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
