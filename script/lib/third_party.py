"""task: THIRD-PARTY.md from `cargo metadata` (standard input) and models.toml."""

import json
import sys

from manifest import ROOT, Manifest

# What crates compile or link that is no crate itself.
NATIVE = [
    ("libopus", "BSD-3-Clause", "compiled in by `opusic-sys`"),
    ("libvpx", "BSD-3-Clause", "the system's static library, linked in"),
    ("AWS-LC", "Apache-2.0 OR ISC, parts OpenSSL and MIT", "compiled in by `aws-lc-sys`"),
    ("llama.cpp and ggml", "MIT", "compiled in by `llama-cpp-sys-2`"),
    ("ONNX Runtime", "MIT", "a shared library, loaded when the program starts; comes with the models"),
    ("eSpeak NG", "GPL-3.0-or-later", "a separate program that is run, never linked"),
]
# Licences that neither forbid nor ask more than to be named. A new one is looked at by a person, then added.
KNOWN = {
    "MIT", "Apache-2.0", "ISC", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Zlib", "Unlicense", "CC0-1.0", "MIT-0",
    "Unicode-3.0", "BSL-1.0", "MPL-2.0", "CDLA-Permissive-2.0", "LLVM-exception",
}  # fmt: skip


def crates(metadata):
    """(name, version, licence) of everything that is linked in or runs while building, without what only tests use."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    seen, waiting = set(), [metadata["resolve"]["root"]]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            for dependency in nodes[one]["deps"]:
                if any(kind["kind"] in (None, "build") for kind in dependency["dep_kinds"]):
                    waiting.append(dependency["pkg"])
    seen.discard(metadata["resolve"]["root"])
    for one in sorted(seen, key=lambda one: (packages[one]["name"], packages[one]["version"])):
        licence = (packages[one]["license"] or "unknown").replace("/", " OR ").replace("  ", " ")
        yield packages[one]["name"], packages[one]["version"], licence


def unknown(licence):
    words = licence.replace("(", " ").replace(")", " ").split()
    return [word for word in words if word not in KNOWN | {"OR", "AND", "WITH"} and not word.startswith("LGPL")]


def text(metadata, manifest):
    lines = [
        "# What Visavis is built from",
        "",
        "Written by `script/third-party`. Visavis itself is MIT OR Apache-2.0.",
        "",
        "## Native code",
        "",
        "| what | licence | how |",
        "|---|---|---|",
        *(f"| {name} | {licence} | {how} |" for name, licence, how in NATIVE),
        "",
        "## Models and recordings",
        "",
        "Fetched by `script/models`, never part of the repository or the binary.",
        "",
        "| file | licence | from |",
        "|---|---|---|",
    ]
    for file in manifest.files:
        package = file.get("package") or manifest.inputs_of(file["made_by"])[0]["package"]
        how = "" if "package" in file else f", converted by script/convert/{file['made_by']}.py"
        lines.append(f"| {file['path']} | {file['licence']} | {manifest.package_in_words(package)}{how} |")
    lines += ["", "## Crates", "", "| crate | version | licence |", "|---|---|---|"]
    for crate, version, licence in crates(metadata):
        if unknown(licence):
            sys.exit(f"third-party: {crate} {version} has a licence to look at: {licence}")
        lines.append(f"| {crate} | {version} | {licence} |")
    return "\n".join(lines) + "\n"


def main():
    path = ROOT / "THIRD-PARTY.md"
    wanted = text(json.load(sys.stdin), Manifest())
    if sys.argv[1:] == ["--check"]:
        if path.read_text() != wanted:
            sys.exit("third-party: THIRD-PARTY.md is out of date: run script/third-party")
    else:
        path.write_text(wanted)


if __name__ == "__main__":
    main()
