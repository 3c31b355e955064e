#!/usr/bin/env python3
"""Turns a CTranslate2 Whisper checkpoint into the two int8 ONNX graphs that `engine/stt` runs.

    python3 whisper.py MODEL_BIN CONFIG_JSON OUT_DIR

writes OUT_DIR/enc.int8.onnx and OUT_DIR/dec.int8.onnx. Needs onnx, onnxruntime and numpy; the
same input and the same versions of those give the same bytes.

Why graphs of our own and not a stock export:
  - the encoder takes any even number of mel frames, so that two seconds of speech cost two
    seconds of work and not the thirty of Whisper's window;
  - the keys and values of cross-attention leave the encoder once, not at every decoder step;
  - the decoder also returns the mean attention of the alignment heads over the encoder frames.
    A decoder on a shortened context does not see where speech ends and starts over; where it
    looks tells us (and gives the times of the words for nothing).

Encoder  mel f32[1,80,frames]  ->  per decoder layer l: cross_k_l f32[1,H,64,ctx], cross_v_l f32[1,H,ctx,64]
         with ctx = frames / 2 (20 ms each)
Decoder  tokens i64[1,n], past_k_l / past_v_l f32[1,H,past,64], cross_k_l, cross_v_l
         ->  logits f32[1,1,vocabulary] and attention f32[1,ctx], both of the last token alone,
             present_k_l / present_v_l f32[1,H,past+n,64]
"""
import json
import logging
import pathlib
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

CTRANSLATE2_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
OPSET = 20  # the first with Gelu; LayerNormalization came with 17
IR_VERSION = 9
LONGEST_TEXT = 448  # positions of Whisper's decoder


def read_checkpoint(path):
    """CTranslate2 `model.bin`, binary version 6: a header, then named tensors. Little-endian;
    a string is its length with the closing NUL (u16) and its bytes."""
    data, at = path.read_bytes(), 0

    def number(code):
        nonlocal at
        value = struct.unpack_from("<" + code, data, at)[0]
        at += struct.calcsize("<" + code)
        return value

    def string():
        nonlocal at
        length = number("H")
        value = data[at : at + length - 1].decode()
        at += length
        return value

    version, spec, _revision, count = number("I"), string(), number("I"), number("I")
    if version != 6 or spec != "WhisperSpec":
        sys.exit(f"{path}: expected a WhisperSpec checkpoint of version 6, found {spec} {version}")
    tensors = {}
    for _ in range(count):
        name, rank = string(), number("B")
        shape = [number("I") for _ in range(rank)]
        kind, size = number("B"), number("I")
        dtype = np.dtype(CTRANSLATE2_TYPES[kind])
        tensors[name] = np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)
        at += size
    for _ in range(number("I")):  # aliases: the output projection is the embedding
        string(), string()
    if at != len(data):
        sys.exit(f"{path}: {len(data) - at} bytes left over after the last tensor")
    return tensors


class Graph:
    """An ONNX graph under construction: `op` appends a node and returns the names of its outputs."""

    def __init__(self, weights, width, heads):
        self.weights, self.width, self.heads = weights, width, heads
        self.nodes, self.constants, self.inputs, self.outputs = [], {}, [], []

    def op(self, kind, inputs, outputs=1, **attributes):
        if isinstance(outputs, int):
            stem = f"{kind}_{len(self.nodes)}"
            outputs = [stem] if outputs == 1 else [f"{stem}.{i}" for i in range(outputs)]
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))
        return outputs[0] if len(outputs) == 1 else outputs

    def constant(self, name, value):
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def integers(self, *values):
        return self.constant("i64_" + "_".join(map(str, values)), np.array(values, np.int64))

    def weight(self, name):
        return self.weights[name].astype(np.float32)

    def input(self, name, kind, shape):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name, shape):
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def layer_norm(self, x, name):
        gamma = self.constant(name + ".gamma", self.weight(name + "/gamma"))
        beta = self.constant(name + ".beta", self.weight(name + "/beta"))
        return self.op("LayerNormalization", [x, gamma, beta], axis=-1, epsilon=1e-5)

    def linear(self, x, name, scaled_rows=0):
        """x·Wᵀ + b. The first `scaled_rows` output rows are the queries: they carry the
        1/sqrt(64) of attention, which costs nothing inside the weights."""
        weight, bias = self.weight(name + "/weight"), self.weight(name + "/bias")
        scale = np.ones(len(weight), np.float32)
        scale[:scaled_rows] = (self.width // self.heads) ** -0.5
        product = self.op("MatMul", [x, self.constant(name + ".weight", (weight * scale[:, None]).T)])
        return self.op("Add", [product, self.constant(name + ".bias", bias * scale)])

    def split_heads(self, x, order):
        """[1,n,width] -> [1,n,H,64], then axes in `order`."""
        shape = self.integers(0, -1, self.heads, self.width // self.heads)
        return self.op("Transpose", [self.op("Reshape", [x, shape])], perm=order)

    def attend(self, scores, values, projection):
        """softmax(scores)·values, heads merged, projected. Returns it and the softmax."""
        shares = self.op("Softmax", [scores], axis=-1)
        mixed = self.op("Transpose", [self.op("MatMul", [shares, values])], perm=[0, 2, 1, 3])
        merged = self.op("Reshape", [mixed, self.integers(0, -1, self.width)])
        return self.linear(merged, projection), shares

    def feed_forward(self, x, layer):
        inner = self.linear(self.layer_norm(x, layer + "/ffn/layer_norm"), layer + "/ffn/linear_0")
        return self.op("Add", [x, self.linear(self.op("Gelu", [inner]), layer + "/ffn/linear_1")])

    def convolution(self, x, name, stride):
        weight = self.constant(name + ".weight", self.weight(name + "/weight"))
        bias = self.constant(name + ".bias", self.weight(name + "/bias").ravel())
        return self.op("Gelu", [self.op("Conv", [x, weight, bias], pads=[1, 1], strides=[stride])])

    def model(self, name):
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return model


HEADS_FIRST = [0, 2, 1, 3]  # [1,H,n,64]
HEADS_FIRST_TRANSPOSED = [0, 2, 3, 1]  # [1,H,64,n]


def layers(weights, side):
    return sum(n.startswith(side) and n.endswith("/self_attention/linear_0/weight") for n in weights)


def self_attention(g, x, layer, store=None):
    """Queries, keys and values of one self-attention from the fused projection.
    `store(keys, values)` puts earlier ones in front (decoder)."""
    name = layer + "/self_attention"
    fused = g.linear(g.layer_norm(x, name + "/layer_norm"), name + "/linear_0", scaled_rows=g.width)
    q, k, v = g.op("Split", [fused], outputs=3, axis=-1, num_outputs=3)
    q, k, v = (g.split_heads(part, HEADS_FIRST) for part in (q, k, v))
    if store:
        k, v = store(k, v)
    scores = g.op("MatMul", [q, g.op("Transpose", [k], perm=[0, 1, 3, 2])])
    return scores, v, name + "/linear_1"


def encoder(weights, width, heads):
    g = Graph(weights, width, heads)
    x = g.input("mel", TensorProto.FLOAT, [1, 80, "frames"])
    x = g.convolution(g.convolution(x, "encoder/conv1", 1), "encoder/conv2", 2)
    x = g.op("Transpose", [x], perm=[0, 2, 1])
    length = g.op("Shape", [x], start=1, end=2)
    positions = g.constant("positions", g.weight("encoder/position_encodings/encodings"))
    x = g.op("Add", [x, g.op("Slice", [positions, g.integers(0), length, g.integers(0)])])
    for l in range(layers(weights, "encoder")):
        layer = f"encoder/layer_{l}"
        x = g.op("Add", [x, g.attend(*self_attention(g, x, layer))[0]])
        x = g.feed_forward(x, layer)
    x = g.layer_norm(x, "encoder/layer_norm")
    for l in range(layers(weights, "decoder")):
        k, v = g.op("Split", [g.linear(x, f"decoder/layer_{l}/attention/linear_1")], outputs=2, axis=-1, num_outputs=2)
        g.op("Identity", [g.split_heads(k, HEADS_FIRST_TRANSPOSED)], [f"cross_k_{l}"])
        g.op("Identity", [g.split_heads(v, HEADS_FIRST)], [f"cross_v_{l}"])
        g.output(f"cross_k_{l}", [1, heads, width // heads, "ctx"])
        g.output(f"cross_v_{l}", [1, heads, "ctx", width // heads])
    return g.model("whisper_encoder")


def decoder(weights, width, heads, alignment_heads):
    g = Graph(weights, width, heads)
    per_head, depth = width // heads, layers(weights, "decoder")
    tokens = g.input("tokens", TensorProto.INT64, [1, "n"])
    # The look-up table stays fp16, as it was published: half the size, and exact.
    table = weights["decoder/embeddings/weight"]
    x = g.op("Cast", [g.op("Gather", [g.constant("embedding", table), tokens])], to=TensorProto.FLOAT)

    new = g.op("Shape", [tokens], start=1, end=2)
    past = g.op("Shape", ["past_k_0"], start=2, end=3)
    total = g.op("Add", [past, new])
    positions = g.constant("positions", g.weight("decoder/position_encodings/encodings"))
    x = g.op("Add", [x, g.op("Slice", [positions, past, total, g.integers(0)])])
    # Row r of the mask is position r: it sees columns 0..=r.
    causal = g.constant("causal", np.triu(np.full((LONGEST_TEXT, LONGEST_TEXT), -1e9, np.float32), 1))
    first = g.op("Concat", [past, g.integers(0)], axis=0)
    last = g.op("Concat", [total, total], axis=0)
    mask = g.op("Slice", [causal, first, last, g.integers(0, 1)])

    watched = []
    for l in range(depth):
        layer = f"decoder/layer_{l}"

        def store(k, v):
            return tuple(
                g.op("Concat", [g.input(f"past_{part}_{l}", TensorProto.FLOAT, [1, heads, "past", per_head]), fresh],
                     [f"present_{part}_{l}"], axis=2)
                for part, fresh in (("k", k), ("v", v))
            )

        scores, values, projection = self_attention(g, x, layer, store)
        x = g.op("Add", [x, g.attend(g.op("Add", [scores, mask]), values, projection)[0]])

        name = layer + "/attention"
        q = g.linear(g.layer_norm(x, name + "/layer_norm"), name + "/linear_0", scaled_rows=width)
        cross_k = g.input(f"cross_k_{l}", TensorProto.FLOAT, [1, heads, per_head, "ctx"])
        cross_v = g.input(f"cross_v_{l}", TensorProto.FLOAT, [1, heads, "ctx", per_head])
        scores = g.op("MatMul", [g.split_heads(q, HEADS_FIRST), cross_k])
        heard, shares = g.attend(scores, cross_v, name + "/linear_2")
        x = g.op("Add", [x, heard])
        chosen = [head for at, head in alignment_heads if at == l]
        if chosen:
            watched.append(g.op("Gather", [shares, g.integers(*chosen)], axis=1))
        x = g.feed_forward(x, layer)
        g.output(f"present_k_{l}", [1, heads, "total", per_head])
        g.output(f"present_v_{l}", [1, heads, "total", per_head])

    end = g.integers(np.iinfo(np.int64).max)
    attention = g.op("Concat", watched, axis=1)
    attention = g.op("Slice", [attention, g.integers(-1), end, g.integers(2)])
    g.op("ReduceMean", [attention, g.integers(1, 2)], ["attention"], keepdims=0)
    g.output("attention", [1, "ctx"])
    x = g.layer_norm(g.op("Slice", [x, g.integers(-1), end, g.integers(1)]), "decoder/layer_norm")
    g.op("MatMul", [x, g.constant("unembedding", table.astype(np.float32).T)], ["logits"])
    g.output("logits", [1, 1, len(table)])
    return g.model("whisper_decoder")


def quantise(model, path):
    """Weights to int8, activations on the fly, matrix products alone: convolutions and softmax are
    a small share of the time. `reduce_range` (7 bits) because without VNNI the u8·s8 sums of AVX2
    saturate at 16 bits."""
    floats = path.with_name(path.name + ".float")
    onnx.save(model, floats)
    quantize_dynamic(floats, path, op_types_to_quantize=["MatMul"], per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
    floats.unlink()
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB", flush=True)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    checkpoint, config, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)  # the quantiser recommends a step that these graphs do not need
    weights = read_checkpoint(checkpoint)
    width = weights["decoder/embeddings/weight"].shape[1]
    heads = int(weights["decoder/num_heads"])
    print(f"{checkpoint.name}: {len(weights)} tensors, width {width}, {heads} heads", flush=True)
    alignment_heads = json.loads(config.read_text())["alignment_heads"]
    quantise(encoder(weights, width, heads), out / "enc.int8.onnx")
    quantise(decoder(weights, width, heads, alignment_heads), out / "dec.int8.onnx")


if __name__ == "__main__":
    main()
