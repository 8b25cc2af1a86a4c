#!/bin/sh
# Installs the four programs from a release: picks the archive for this machine, checks its checksum
# and puts the programs in place. POSIX sh; needs curl or wget, tar and gzip.
#
#   install.sh [--to DIR] [--version X.Y.Z] [--from URL] [--target TARGET] [--print-target]
#
# DIR is by default ~/.local/bin. URL is a folder with the files of a release (https, http or file);
# by default GitHub's, of the newest release. TARGET is by default this machine's.
set -eu

PROGRAMS="version-watch apply-update run-migrations telec"
# A release fills in its own repository and version.
REPOSITORY=InstruktAI/TeleClaude
VERSION=

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

usage() {
    echo "install.sh: $*" >&2
    echo "usage: install.sh [--to DIR] [--version X.Y.Z] [--from URL] [--target TARGET] [--print-target]" >&2
    exit 2
}

# The name under which a release has the programs for this machine.
this_target() {
    machine=$(uname -m)
    case $machine in
        x86_64 | amd64) machine=x86_64 ;;
        arm64 | aarch64) machine=aarch64 ;;
        *) fail "there are no programs for the processor $machine: build them with \`make install\`" ;;
    esac
    case $(uname -s) in
        Linux) echo "$machine-unknown-linux-musl" ;;
        Darwin)
            # A shell that is being translated says x86_64.
            [ "$(sysctl -n hw.optional.arm64 2>/dev/null)" != 1 ] || machine=aarch64
            echo "$machine-apple-darwin"
            ;;
        *) fail "there are no programs for $(uname -s): Linux and macOS are served" ;;
    esac
}

# Fetches the file $1 of the release into $2.
fetch() {
    case $from in
        file://*) cp "${from#file://}/$1" "$2" 2>/dev/null ;;
        *)
            if command -v curl >/dev/null; then
                curl --fail --silent --show-error --location --retry 3 --output "$2" "$from/$1"
            elif command -v wget >/dev/null; then
                wget -q -O "$2" "$from/$1"
            else
                fail "curl or wget is needed"
            fi
            ;;
    esac || fail "cannot fetch $from/$1"
}

sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum <"$1"
    elif command -v shasum >/dev/null; then
        shasum -a 256 <"$1"
    else
        fail "sha256sum or shasum is needed to check what was fetched"
    fi | cut -d' ' -f1
}

# Puts the programs of the unpacked folder $1 into $to. A program that runs keeps its file: the new
# one takes the name in one step, and none does before all are there.
place() {
    mkdir -p "$to"
    new=$(mktemp -d "$to/.teleclaude-install.XXXXXX")
    for name in $PROGRAMS; do
        cp "$1/$name" "$new/$name"
        chmod 755 "$new/$name"
    done
    for name in $PROGRAMS; do
        mv -f "$new/$name" "$to/$name"
        echo "$to/$name"
    done
}

# Whether a program can be started at all. telec hands leading flags on to a checkout's own.
runs() {
    case $1 in
        */telec) "$1" version --version ;;
        *) "$1" --version ;;
    esac >/dev/null 2>&1
}

# The line of SHA256SUMS about the archive for this machine: checksum and name.
listed() {
    fetch SHA256SUMS "$work/SHA256SUMS"
    set -- "$(grep -E "^[0-9a-f]{64}  [A-Za-z0-9._+-]+-$target\.tar\.gz\$" "$work/SHA256SUMS" || true)"
    case $1 in
        '') fail "$from has no archive for $target" ;;
        *'
'*) fail "$from has more than one archive for $target" ;;
    esac
    echo "$1"
}

main() {
    to=${HOME:-}/.local/bin from='' target='' work='' new=''
    while [ $# -gt 0 ]; do
        case $1 in
            --to | --version | --from | --target)
                [ $# -gt 1 ] && [ -n "$2" ] || usage "$1 needs a value"
                case $1 in
                    --to) to=$2 ;;
                    --version) VERSION=${2#v} ;;
                    --from) from=${2%/} ;;
                    --target) target=$2 ;;
                esac
                shift 2
                ;;
            --print-target) this_target; return ;;
            --help | -h) usage "installs the programs of a release" ;;
            *) usage "there is no '$1'" ;;
        esac
    done
    [ -n "$target" ] || target=$(this_target)
    case $VERSION in
        '') : "${from:=https://github.com/$REPOSITORY/releases/latest/download}" ;;
        *) : "${from:=https://github.com/$REPOSITORY/releases/download/v$VERSION}" ;;
    esac

    trap 'rm -rf ${work:+"$work"} ${new:+"$new"}' EXIT
    trap 'exit 1' HUP INT TERM
    work=$(mktemp -d)
    line=$(listed)
    archive=${line#*  }
    fetch "$archive" "$work/$archive"
    [ "$(sha256 "$work/$archive")" = "${line%% *}" ] ||
        fail "the checksum of $archive is not the one in SHA256SUMS: nothing was installed"
    tar -xzf "$work/$archive" -C "$work" || fail "cannot unpack $archive: nothing was installed"
    unpacked=$work/${archive%.tar.gz}
    for name in $PROGRAMS; do
        runs "$unpacked/$name" || fail "$name of $archive does not run here: nothing was installed"
    done
    place "$unpacked"
    case ":$PATH:" in
        *":$to:"*) ;;
        *) echo "note: $to is not on PATH" ;;
    esac
}

# At the very end, so that half a script, cut off on its way, does nothing.
main "$@"
