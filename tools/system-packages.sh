#!/bin/sh
# Installs what llmos needs from the system: bubblewrap, for the sandbox. Only as root, only where it is missing.
set -eu
command -v bwrap >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing bubblewrap for the sandbox …"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq bubblewrap >/dev/null
else
    echo "No bubblewrap here: llmos works, but runs no foreign code (sudo apt-get install bubblewrap)." >&2
fi
