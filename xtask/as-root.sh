#!/bin/sh
# Runs a command as root, through sudo where that is needed: a fabric makes network namespaces.
set -eu
[ "$(id -u)" -ne 0 ] || exec "$@"
command -v sudo >/dev/null 2>&1 || { echo "this makes network namespaces, which takes root: run it as root, or install sudo" >&2; exit 1; }
exec sudo --preserve-env=NO_COLOR,RUST_LOG,RUST_BACKTRACE env PATH="$PATH" "$@"
