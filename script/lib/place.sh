# Where things go on this machine; read by every script. Nothing is written inside the checkout.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export VISAVIS_CACHE="${VISAVIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/visavis}"
# One target folder for every checkout and for server and tests alike: llama.cpp is built once.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$VISAVIS_CACHE/target}"
# rustup puts cargo here, and a shell that has not been restarted since does not know.
PATH="$PATH:$HOME/.cargo/bin"

say() { printf '%s\n' "$*"; }
# Sysexits: 64 usage, 66 a missing input, 69 something this machine lacks, 70 a fault of ours.
give_up() { local code=$1; shift; printf '%s\n' "$*" >&2; exit "$code"; }

# Where the static libvpx lies: asked of the compiler, because Debian's vpx.pc names a folder that it is not in.
libvpx_folder() {
  local found
  found=$(cc -print-file-name=libvpx.a 2>/dev/null) && [ -e "$found" ] && dirname "$(realpath "$found")"
}
# Names the libvpx of this system to the build, where it is not the one in .cargo/config.toml. Set only when different:
# Cargo takes the step from "not set" to the same value for a change, and builds again.
name_libvpx() {
  local folder version
  folder=$(libvpx_folder) && version=$(pkg-config --modversion vpx) || return 0
  grep -q "^VPX_LIB_DIR = \"$folder\"" "$ROOT/.cargo/config.toml" || export VPX_LIB_DIR="$folder"
  grep -q "^VPX_VERSION = \"$version\"" "$ROOT/.cargo/config.toml" || export VPX_VERSION="$version"
}

# The browser that the tests drive: $CHROME, or the first of the usual names.
browser() {
  if [ -n "${CHROME:-}" ]; then
    command -v "$CHROME" || give_up 69 "CHROME=$CHROME is no program"
  else
    command -v chromium || command -v google-chrome || command -v google-chrome-stable || command -v chromium-browser
  fi
}

# The one build that server and tests share. Always all targets: a build without the tests takes other features of a
# few dependencies, and whatever differs would be compiled twice.
build_all() {
  name_libvpx
  (cd "$ROOT" && python3 -B script/lib/build.py cargo build --locked --release --all-targets) || give_up 70 "The build failed; its last words are above."
}
