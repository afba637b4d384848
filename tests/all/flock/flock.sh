#!/bin/sh
# flock(1)'s command line on top of gtlock, so that what flock(1) is tested with can be run on gtlock.
#
#   flock.sh [OPTION]... FILE|DIRECTORY COMMAND [ARG]...
#   flock.sh [OPTION]... FILE|DIRECTORY -c COMMAND
#   flock.sh [OPTION]... DESCRIPTOR
set -eu

mode='write' action=run conflict=1 timeout=0
close='' fork='' verbose=-q
while [ $# -gt 0 ]; do
    case $1 in
        -s | --shared) mode='read' ;;
        -x | -e | --exclusive) mode='write' ;;
        -u | --unlock) mode=unlock ;;
        -n | --nb | --nonblock) action=try ;;
        -w | --wait | --timeout)
            timeout=$2
            [ "$timeout" != 0 ] || action=try
            shift
            ;;
        -E | --conflict-exit-code)
            conflict=$2
            shift
            ;;
        -o | --close) close=--close ;;
        -F | --no-fork) fork=--no-fork ;;
        --verbose) verbose=-v ;;
        --) shift && break ;;
        -*) echo "flock.sh: unknown option $1" >&2 && exit 64 ;;
        *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || { echo "flock.sh: needs a file, a directory or a descriptor" >&2 && exit 64; }
what=$1
shift
[ "${1-}" != -c ] || set -- "${SHELL:-/bin/sh}" -c "$2"

if [ $# -eq 0 ]; then
    set -- "--$mode-fd" "$what"
else
    set -- --direct "--$mode" "$what" $close $fork -- "$@"
fi
[ "$action" = try ] || [ "$mode" = unlock ] || set -- --timeout "$timeout" "$@"
exec gtlock "$action" "$verbose" -E "$conflict" "$@"
