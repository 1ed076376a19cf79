#!/bin/sh
# Build the native decoder into .venv where that can be done, and say in one line what happened. Without it everything works
# too, slower; so nothing fails here, unless TOKENTIDE_REQUIRE_NATIVE is set.
#
# Usage, in the clone's folder: sh native/install.sh UV PYTHON
set -eu
uv=$1
python=$2
least=1.85 # as `rust-version` in native/Cargo.toml

without() {
  echo "decoder: Python ($1)"
  [ -z "${TOKENTIDE_REQUIRE_NATIVE:-}" ]
  exit
}

cargo=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || true
[ -n "$cargo" ] || without "cargo is not installed; with Rust $least or newer, touch uv.lock and \`make install\` build the native one"
oldest=$(printf '%s\n%s\n' "$least" "$cargo" | sort -V | head -n 1)
[ "$oldest" = "$least" ] || without "cargo is $cargo; the native one needs $least or newer"
echo "building the native decoder with cargo $cargo (half a minute)"
log=$(mktemp)
if "$uv" sync --quiet --locked --all-extras --python "$python" 2>"$log"; then
  rm "$log"
  echo "decoder: native"
else
  without "the build of the native one failed; what it said is in $log"
fi
