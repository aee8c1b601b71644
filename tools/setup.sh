#!/bin/sh
# Make .venv with the tested versions, or say what was tried, what is wrong and what to do, and leave nothing half-made.
# `make setup` calls it in the repository's folder; without make, call `sh tools/setup.sh`.
python=${1:-python3}
ours=''  # whether this run made .venv

fail() {
    [ -z "$ours" ] || rm -rf .venv
    printf 'setup: %s\n' "$@" >&2
    [ -z "$ours" ] || echo 'setup: The unfinished .venv was removed.' >&2
    exit 1
}

found=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) ||
    fail "tried $python, which cannot be run." \
        "Install Python 3.11 or newer, or name the one you have: make setup PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' ||
    fail "tried $python, which is Python $found; Python 3.11 or newer is needed." \
        "Install one, or name the one you have: make setup PYTHON=/path/to/python3.11"

# A run that was killed leaves its mark.
[ ! -e .venv/.unfinished ] || rm -rf .venv
if [ ! -e .venv ]; then
    mkdir .venv || fail "tried to make .venv in $PWD." "Give yourself the right to write there, or clone elsewhere."
    ours=yes
    trap 'fail "stopped." "Run it again: nothing was kept."' INT TERM HUP
    : > .venv/.unfinished || fail "tried to write into $PWD/.venv." "Free disk, or clone elsewhere."
fi

try() {
    words=$("$@" 2>&1) && return
    printf '%s\n' "$words" | tail -n 15 >&2
    case $words in
    *'No space left'* | *'Errno 28'* | *'Disk quota'*)
        fail "tried $*." "The disk is full: $PWD has $(free .), ${TMPDIR:-/tmp} has $(free "${TMPDIR:-/tmp}")." \
            'With CUDA about 8 GiB are needed. Free some, or clone elsewhere; TMPDIR=/other/folder moves temporary files.' ;;
    *'Failed to establish'* | *'Temporary failure in name'* | *'Connection'* | *'ProxyError'* | *'timed out'*)
        fail "tried $*." 'The package index was not reached.' \
            'See to the network, to HTTPS_PROXY, or to the index that `pip config list` names, and run it again.' ;;
    *ensurepip*)
        fail "tried $*." "$python has no venv with pip." \
            "Install it (Debian: apt install python${found%.*}-venv), or name another: make setup PYTHON=/path/to/python3.11" ;;
    *)
        fail "tried $*." 'Its last lines are above. Mend what they name, and run it again.' ;;
    esac
}

free() {
    df -Pk "$1" | awk 'NR == 2 { printf "%.1f GiB free", $4 / 1048576 }'
}

rm -f .venv/.installed
echo 'setup: installing into .venv, which takes some minutes'
try "$python" -m venv .venv
try .venv/bin/python -m pip install --quiet --upgrade pip
try .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
rm -f .venv/.unfinished
: > .venv/.installed
