"""io: which files of the models folder are what models.toml says.

A file is hashed once and then remembered by its path, size and time of change, so that a second start reads nothing but
a few directory entries.
"""

import hashlib
import json


class Checked:
    def __init__(self, folder, memory):
        self.folder = folder
        self.memory = memory
        try:
            self.seen = json.loads(memory.read_text())
        except (OSError, ValueError):
            self.seen = {}

    def sha256(self, path):
        """The hash of a file, from memory where the file has not changed since."""
        about = path.stat()
        key = str(path.resolve())
        state = [about.st_size, about.st_mtime_ns]
        if self.seen.get(key, [])[:2] != state:
            self.seen[key] = [*state, sha256(path)]
            write(self.memory, json.dumps(self.seen, indent=1))
        return self.seen[key][2]

    def complaint(self, file, conversions):
        """None where the file is right, else what is wrong with it."""
        path = self.folder / file["path"]
        if not path.is_file():
            return "missing"
        also = conversions.get(file.get("made_by"), {}).get("also_writes")
        if also and len(list(self.folder.glob(also["pattern"]))) < also["count"]:
            return f"missing {also['pattern']} beside it"
        if path.stat().st_size == 0:
            return "empty"
        found = self.sha256(path)
        if found == file["sha256"] or self.seen[str(path.resolve())][3:] == ["made here"]:
            return None
        return f"its sha256 is {found}"

    def accept(self, file):
        """Takes a file that was just made here from checked inputs, even where this machine's converter wrote other
        bytes than the project's did. Says so."""
        path = self.folder / file["path"]
        found = self.sha256(path)
        if found != file["sha256"]:
            print(f"models: note: {path} differs from the file the project was measured with (sha256 {found})")
            self.seen[str(path.resolve())].append("made here")
            write(self.memory, json.dumps(self.seen, indent=1))


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path, text):
    """Whole or not at all: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
