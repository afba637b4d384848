#!/usr/bin/env bash
# What a whole `gtlock run --write F -- true` costs beside its peers: flock(1), lckdo(1), setlock(8), as far
# as they are installed, and benches/floor.c, the least C that does the same system calls.
#
# Prints a Markdown table of medians. Each round times every command in turn, so that a drift of the machine
# falls on all of them; a ratio is the median of the rounds' ratios. Run it on an idle machine.
#
# usage: benches/peers.sh [ROUNDS [RUNS]]     60 rounds of 40 runs each unless told
set -euo pipefail

rounds=${1:-60}
runs=${2:-40}
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}

for tool in hyperfine jq flock cargo; do
  command -v "$tool" > /dev/null || { echo "peers.sh: $tool is needed and not installed" >&2; exit 1; }
done
echo "building gtlock" >&2
gtlock=$(cd "$root" && CARGO_TARGET_DIR=$target cargo build --quiet --release --message-format=json |
  jq -r 'select(.executable != null and .target.name == "gtlock").executable')

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
unset GTLOCK_TIMEOUT GTLOCK_HELD

names=("flock F true" "gtlock run --write F -- true") # first the one that ratios are to, then ours
commands=("flock F.flock true" "$gtlock run --write F -- true")
if command -v lckdo > /dev/null; then
  names+=("lckdo -w F true")
  commands+=("lckdo -w F.lckdo true")
fi
if command -v setlock > /dev/null; then
  names+=("setlock F true")
  commands+=("setlock F.setlock true")
fi
if command -v cc > /dev/null &&
  cc -O2 -static -w -o floor "$root/benches/floor.c" 2> cc.log; then
  names+=("the C floor")
  commands+=("./floor F true")
else
  echo "skipped: the C floor, no compiler or no static C library" >&2
fi
names+=("true alone")
commands+=("true")

for round in $(seq "$rounds"); do
  echo "round $round of $rounds" >&2
  for i in "${!commands[@]}"; do
    hyperfine -N --style none --warmup 5 --runs "$runs" --export-json "$round.$i.json" "${commands[$i]}" \
      > hyperfine.log 2>&1 || { cat hyperfine.log >&2; exit 1; }
  done
done

median() { jq -rs 'sort | .[length / 2 | floor]'; }

# The medians of one command, one per round.
of() { for round in $(seq "$rounds"); do jq '.results[0].median * 1000' "$round.$1.json"; done; }

echo "| command | median | beside flock(1) |"
echo "| --- | ---: | ---: |"
for i in "${!names[@]}"; do
  time=$(of "$i" | median)
  ratio=$(paste -d / <(of "$i") <(of 0) | awk -F / '{ print $1 / $2 }' | median)
  printf '| %s | %.2f ms | %.2f |\n' "${names[$i]}" "$time" "$ratio"
done

floor=-1
for i in "${!names[@]}"; do [ "${names[$i]}" != "the C floor" ] || floor=$i; done
if [ "$floor" -ge 0 ]; then
  ratio=$(paste -d / <(of 1) <(of "$floor") | awk -F / '{ print $1 / $2 }' | median)
  printf '\ngtlock beside the C floor: %.2f\n' "$ratio"
fi
