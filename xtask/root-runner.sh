#!/bin/sh
# Runs cargo as the user and what cargo runs as root, so that nothing in target/ ends up root's by building it.
set -eu
if [ "$(id -u)" -ne 0 ]; then
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=$PWD/xtask/as-root.sh"
fi
exec "$@"
