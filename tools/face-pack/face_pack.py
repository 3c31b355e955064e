#!/usr/bin/env python3
"""Packs a baked head into one `.face` file (the format is described in src/face/asset.rs).

    face_pack.py NAME.json NAME.bin NAME.face [--still NAME.ppm]

NAME.json and NAME.bin are what the bake leaves: a header, and after each other the I420 pictures of the plate, of the
mouth and eye patches, and the warp fields as little-endian f32. The bytes stay as they are; what changes is that the
header travels in front of them, that every patch has the name by which the renderer knows it, and that what the art
decides (jaw and lid levels, where the lips part) is said in the file. Needs nothing but Python's standard library.
"""
import argparse
import json
import struct

MAGIC = b"VVFACE\r\n"
VERSION = 1

# Bake name -> name in the file. J<jaw>S<lips>: a grid of five jaw openings by four lip shapes.
LIPS = {"0": "round", "h": "half_round", "1": "neutral", "2": "wide"}
MOUTH = {f"J{jaw}S{key}": f"jaw{jaw}_{lips}" for jaw in range(5) for key, lips in LIPS.items()}
MOUTH |= {"PP": "press", "FF": "lip_to_teeth", "TH": "tongue_out", "LL": "tongue_up", "SS": "sibilant",
          "SM": "smile", "LA": "laugh"}
EYES = {"L0": "lid0", "M0": "lid1", "L1": "lid2", "M1": "lid3", "L2": "lid4", "M2": "lid5", "L3": "lid6"}
WAYS = {"L": "left", "R": "right", "U": "up", "D": "down",
        "UL": "up_left", "UR": "up_right", "DL": "down_left", "DR": "down_right"}
EYES |= {"G" + key: "look_" + way for key, way in WAYS.items()}
EYES |= {"H" + key: "glance_" + way for key, way in WAYS.items()}
WARPS = {"yaw": "yaw", "pitch": "pitch", "roll": "roll", "breath": "breath", "lean": "lean",
         "browInner": "brow_inner", "browOutL": "brow_left", "browOutR": "brow_right", "browDown": "brow_down",
         "cheek": "cheek"}

# What the bake's expressions were rendered at: opening of the jaw, closing of the lids.
JAW_LEVELS = [0.0, 0.10, 0.24, 0.42, 0.64]
LID_LEVELS = [0.0, 0.175, 0.35, 0.525, 0.70, 0.85, 1.0]


def region(bake, names):
    x0, y0, x1, y1 = bake["rect"]
    return {"rect": [x0, y0, x1 - x0, y1 - y0], "patches": [names[name] for name in bake["names"]]}


def ppm(pixels, size):
    """The plate (the first picture of the file) as a PPM: BT.601, limited range."""
    luma, quarter = size * size, size * size // 4
    out = bytearray(b"P6 %d %d 255\n" % (size, size))
    clip = lambda value: max(0, min(255, int(value + 0.5)))
    for row in range(size):
        for column in range(size):
            chroma = (row // 2) * (size // 2) + column // 2
            y = 1.164 * (pixels[row * size + column] - 16)
            u, v = pixels[luma + chroma] - 128, pixels[luma + quarter + chroma] - 128
            out += bytes((clip(y + 1.596 * v), clip(y - 0.392 * u - 0.813 * v), clip(y + 2.017 * u)))
    return bytes(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("header"), parser.add_argument("pixels"), parser.add_argument("face")
    parser.add_argument("--name", help="the person's name (default: taken from the header's file name)")
    parser.add_argument("--licence", default="CC0-1.0")
    parser.add_argument("--inner-mouth", default="196,286,120,64", help="x,y,w,h of where the lips part, in plate pixels")
    parser.add_argument("--still", help="also write the plate as a PPM picture")
    arguments = parser.parse_args()

    with open(arguments.header) as file:
        bake = json.load(file)
    with open(arguments.pixels, "rb") as file:
        pixels = file.read()
    regions = {bake_set["name"]: bake_set for bake_set in bake["sets"]}
    header = {
        "name": arguments.name or arguments.header.rsplit("/", 1)[-1].removesuffix(".json"),
        "licence": arguments.licence,
        "size": bake["n"],
        "cell": bake["cell"],
        "jaw_levels": JAW_LEVELS,
        "lid_levels": LID_LEVELS,
        "inner_mouth": [int(value) for value in arguments.inner_mouth.split(",")],
        "mouth": region(regions["mouth"], MOUTH),
        "eyes": region(regions["eyes"], EYES),
        "warps": [WARPS[name] for name in bake["basis"]],
    }
    text = json.dumps(header, indent=1).encode()
    text += b" " * (-len(text) % 4)
    with open(arguments.face, "wb") as file:
        file.write(MAGIC + struct.pack("<II", VERSION, len(text)) + text + pixels)
    if arguments.still:
        with open(arguments.still, "wb") as file:
            file.write(ppm(pixels, bake["n"]))


if __name__ == "__main__":
    main()
