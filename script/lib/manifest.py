"""data: models.toml as the scripts see it, and what to say about a file that is not there."""

import pathlib
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Manifest:
    def __init__(self):
        with open(ROOT / "models.toml", "rb") as file:
            raw = tomllib.load(file)
        self.packages = {package["name"]: package for package in raw["package"]}
        self.conversions = {conversion["name"]: conversion for conversion in raw["conversion"]}
        self.files = raw["file"]
        self.inputs = raw["input"]

    def wanted(self, tests):
        """The files that a server needs and, with `tests`, those that only the tests do."""
        return [file for file in self.files if tests or file["wanted_by"] == "serve"]

    def inputs_of(self, conversion):
        return [entry for entry in self.inputs if entry["conversion"] == conversion]

    def origin(self, file):
        """Where a file comes from, in words for somebody who has to get it by other means."""
        if "package" in file:
            return f"{file['source']} of {self.package_in_words(file['package'])}"
        made = [f"made by {' '.join(self.conversions[file['made_by']]['command'])} from"]
        for entry in self.inputs_of(file["made_by"]):
            made.append(f"      {entry['path']}  sha256 {entry['sha256']}")
            made.append(f"        ({entry['source']} of {self.package_in_words(entry['package'])})")
        return "\n".join(made)

    def package_in_words(self, name):
        package = self.packages[name]
        registry = {"pypi": "the Python package", "debian": "the Debian package"}[package["registry"]]
        return f"{registry} {name} {package['version']}"
