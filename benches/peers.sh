#!/usr/bin/env bash
# What gtlock costs beside its peers, in whole commands: flock(1), lckdo(1), setlock(8), sem(1), as far as they
# are installed, lslocks(8) and find(1). Prints Markdown tables. Run it on an idle machine.
#
# There are two builds of gtlock: as `cargo install` makes it, and as .ci/release does, for musl, where Rust has that
# target. And a program that was just written starts faster than the same read back from disk: both are measured, in
# `commands`; the other sections take the one read back.
#
# usage: benches/peers.sh [SECTION]...     all of them unless told:
#   commands   a whole `gtlock run --write F -- true`, also beside benches/floor.c, the least C that does the same
#   handoff    from the end of one command to the start of the next, each of which holds the lock for 20 ms
#   slots      the same with four at once
#   waiters    200 waiters at once: from the release until the last is done, and the memory of each
#   status     `gtlock status` of 2,000 held locks, of many processes and of one, beside lslocks
#   cluster    locks that etcd keeps, beside `etcdctl lock`
#   clean      `gtlock clean` of up to 100,000 lock files beside `find -delete`
#
# ROUNDS (400) in the environment: how often each command of `commands` is run, all of them in turn.
set -euo pipefail
export LC_ALL=C

rounds=${ROUNDS:-400}
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}

for tool in hyperfine jq flock cargo cc; do
  command -v "$tool" > /dev/null || { echo "peers.sh: $tool is needed and not installed" >&2; exit 1; }
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Builds gtlock and makes two copies, NAME/written/gtlock and NAME/read/gtlock. The second is no longer in memory.
make() {
  local name=$1 built
  shift
  echo "building gtlock: $name" >&2
  built=$(cd "$root" && CARGO_TARGET_DIR=$target cargo build --quiet --release -p gtlock --message-format=json "$@" |
    jq -r 'select(.executable != null and .target.name == "gtlock").executable')
  twice "$name" "$built"
}

twice() {
  local copy=$scratch/$1/read/${2##*/}
  install -D "$2" "$scratch/$1/written/${2##*/}"
  install -D "$2" "$copy"
  sync "$copy"
  dd if="$copy" iflag=nocache count=0 status=none # which drops it from the page cache
}

make host
builds=(host)
musl=$(rustc -vV | sed -n 's/^host: //p')
musl=${musl/%-gnu/-musl}
if [ -d "$(rustc --print sysroot)/lib/rustlib/$musl/lib" ]; then
  triple=${musl^^}
  export "CARGO_TARGET_${triple//-/_}_RUSTFLAGS=-C relocation-model=static" # as in .ci/release
  make musl --target "$musl"
  builds+=(musl)
else
  echo "skipped: the build for musl, Rust has no $musl here" >&2
fi
gtlock=$scratch/${builds[-1]}/read/gtlock
cd "$scratch"
unset GTLOCK_TIMEOUT GTLOCK_HELD

has() { command -v "$1" > /dev/null; }
median() { jq -rs 'sort | .[length / 2 | floor]'; }

# hyperfine without a word, unless it fails.
measure() { hyperfine -N --style none "$@" > hyperfine.log 2>&1 || { cat hyperfine.log >&2; exit 1; }; }

# Kilobytes of memory that a command takes at most, or ?.
peak() {
  if [ -x /usr/bin/time ]; then
    /usr/bin/time -q -f %M -o peak "$@" > /dev/null && cat peak
  else
    echo "?"
  fi
}

# The commands to be timed, each with its name and what its ratio is to.
names=() lines=() bases=()
time_also() { names+=("$1") lines+=("$2") bases+=("$3"); }

commands() {
  local build state floor
  time_also "flock F true" "flock F.flock true" 0
  cc -O2 -o race "$root/benches/race.c"
  if cc -O2 -static -w -o floor "$root/benches/floor.c" 2> cc.log; then
    floor=${#names[@]}
    twice c floor
    time_also "the C floor" "c/read/floor F.floor true" 0
  else
    echo "skipped: the C floor, no static C library" >&2
  fi
  for build in "${builds[@]}"; do
    for state in written read; do
      time_also "gtlock run --write F -- true ($build, $state)" "$build/$state/gtlock run --write F -- true" 0
    done
    [ -z "${floor-}" ] || time_also "the same, beside the C floor" "$build/read/gtlock run --write F -- true" "$floor"
  done
  time_also "flock -s F true" "flock -s F.flock true" 0
  local shared=$((${#names[@]} - 1))
  for build in "${builds[@]}"; do
    time_also "gtlock run --read F -- true ($build, read), beside flock -s" "$build/read/gtlock run --read F -- true" "$shared"
  done
  if has setlock; then
    local setlock=${#names[@]}
    time_also "setlock F true" "setlock F.setlock true" 0
    for build in "${builds[@]}"; do
      time_also "gtlock run --no-fork --write F -- true ($build, read), beside setlock" \
        "$build/read/gtlock run --no-fork --write F -- true" "$setlock"
    done
  fi
  ! has lckdo || time_also "lckdo -w F true" "lckdo -w F.lckdo true" 0
  time_also "true alone" "true" 0

  local i raced=() time ratio
  for i in "${!lines[@]}"; do raced+=("${bases[$i]}" "${lines[$i]}"); done
  echo "timing ${#lines[@]} commands in $rounds rounds" >&2
  # In a language, as people have one set: without, as in cron, flock(1) has less to load.
  LC_ALL='' LANG=${LANG:-C.UTF-8} ./race "$rounds" "${raced[@]}" > timed
  echo "| command | median | beside flock(1), unless it names another |"
  echo "| --- | ---: | ---: |"
  i=0
  while read -r time ratio; do
    printf '| %s | %s ms | %s |\n' "${names[$i]}" "$time" "$ratio"
    i=$((i + 1))
  done < timed
}

# The peers that wait for a lock: name, and the words that come before the command.
waiting_peers() {
  echo "flock|flock F.flock"
  local build
  for build in "${builds[@]}"; do echo "gtlock ($build)|$scratch/$build/read/gtlock run -q --write F --"; done
  echo "gtlock --timeout (${builds[-1]})|$gtlock run -q --timeout 5m --write F --"
  ! has lckdo || echo "lckdo|lckdo -w F.lckdo"
  ! has setlock || echo "setlock|setlock F.setlock"
  ! has sem || echo "sem|sem --fg --id $scratch"
}

# The peers that let several in at once, beside one that lets one in: how many, name, and words.
sharing_peers() {
  echo "4|gtlock --slots 4|$gtlock run -q --read F --slots 4 --"
  ! has sem || echo "4|sem -j 4|sem --fg -j 4 --id $scratch"
  echo "1|flock|flock F.flock"
}

slots() {
  make_hold
  local width name peer each=10
  for round in 1 2 3 4 5; do
    echo "slots, round $round of 5" >&2
    while IFS='|' read -r width name peer; do
      rm -f stamps
      for _ in $(seq $((each * width))); do $peer ./hold < /dev/null & done
      wait
      # Whoever is in fifth takes the place of who was out first.
      paste -d ' ' <(cut -d ' ' -f 1 stamps | sort -n | tail -n +$((width + 1))) <(cut -d ' ' -f 2 stamps | sort -n) |
        awk 'NF == 2 { print ($1 - $2) * 1000 }' >> "slots.$name"
    done < <(sharing_peers)
  done
  echo "| $each commands for each slot that hold it for 20 ms each | from one to the next, median | longest |"
  echo "| --- | ---: | ---: |"
  while IFS='|' read -r width name peer; do
    printf '| %s | %.2f ms | %.2f ms |\n' "$name" "$(median < "slots.$name")" "$(sort -n "slots.$name" | tail -n 1)"
  done < <(sharing_peers)
}

# Makes ./hold, which stays for 20 ms, and notes when it came and went.
make_hold() {
  cat > hold << 'HOLD'
#!/bin/bash
start=$EPOCHREALTIME
sleep 0.02
echo "$start $EPOCHREALTIME" >> stamps
HOLD
  chmod +x hold
}

handoff() {
  make_hold
  local name peer contenders=20
  for round in 1 2 3 4 5; do
    echo "hand-off, round $round of 5" >&2
    while IFS='|' read -r name peer; do
      rm -f stamps
      for _ in $(seq "$contenders"); do $peer ./hold < /dev/null & done
      wait
      awk 'NR > 1 { print ($1 - end) * 1000 } { end = $2 }' stamps >> "gaps.$name"
    done < <(waiting_peers)
  done
  echo "| $contenders commands that hold one lock for 20 ms each | from one to the next, median | longest |"
  echo "| --- | ---: | ---: |"
  while IFS='|' read -r name peer; do
    printf '| %s | %.2f ms | %.2f ms |\n' "$name" "$(median < "gaps.$name")" "$(sort -n "gaps.$name" | tail -n 1)"
  done < <(waiting_peers)
}

waiters() {
  local name peer count=200
  mkfifo go
  for round in 1 2 3 4 5; do
    echo "waiters, round $round of 5" >&2
    while IFS='|' read -r name peer; do
      [ "$name" != sem ] || continue # it polls: nothing shows when all of them wait
      rm -f held
      local before
      before=$(grep -c -e '->' /proc/locks || true)
      $peer sh -c ': > held; exec cat go' &
      exec 8> go
      until [ -e held ]; do sleep 0.01; done
      local all=()
      for _ in $(seq "$count"); do $peer true 8>&- & all+=($!); done
      until [ "$(grep -c -e '->' /proc/locks)" -ge $((before + count)) ]; do sleep 0.1; done
      for pid in "${all[@]}"; do grep ^Pss: "/proc/$pid/smaps_rollup"; done |
        awk -v n="$count" '{ kb += $2 } END { print kb / n }' >> "memory.$name"
      local released=$EPOCHREALTIME
      exec 8>&-
      wait
      awk -v a="$released" -v b="$EPOCHREALTIME" 'BEGIN { print (b - a) * 1000 }' >> "drained.$name"
    done < <(waiting_peers)
  done
  echo "| $count waiters | from the release until all are done, median | memory of each (PSS) |"
  echo "| --- | ---: | ---: |"
  while IFS='|' read -r name peer; do
    [ "$name" != sem ] || continue
    printf '| %s | %.0f ms | %.0f kB |\n' "$name" "$(median < "drained.$name")" "$(median < "memory.$name")"
  done < <(waiting_peers)
}

status() {
  { has lslocks && has perl; } || { echo "skipped: status, no lslocks or no perl" >&2; return; }
  echo "| held locks | gtlock status | lslocks | beside lslocks | memory |"
  echo "| --- | ---: | ---: | ---: | ---: |"
  local count=2000 each
  ulimit -n 4096
  for each in 1 10 2000; do
    rm -rf .gastown
    mkdir -p .gastown/locks
    # The processes end with their standard input.
    coproc perl -e 'use Fcntl ":flock"; $| = 1;
      my ($count, $each) = @ARGV;
      for my $first (map { $_ * $each } 0 .. $count / $each - 1) {
        next if fork;
        for ($first .. $first + $each - 1) {
          open my $lock, ">", ".gastown/locks/$_.lock" or die; flock $lock, LOCK_EX or die;
          syswrite $lock, "$$\n"; push @locks, $lock;
        }
        print "held\n"; <STDIN>; exit;
      }
      1 while wait > 0;' "$count" "$each"
    head -n $((count / each)) <&"${COPROC[0]}" > held
    measure --warmup 1 --runs "$((each < count ? 10 : 3))" --export-json status.json "$gtlock status" lslocks
    jq -r --arg n "$count, $each a process" --arg ours "$(peak "$gtlock" status)" --arg theirs "$(peak lslocks)" '
      [.results[].median * 1000] | "\($n)|\(.[0])|\(.[1])|\(.[0] / .[1])|\($ours)|\($theirs)"' status.json |
      awk -F '|' '{ printf "| %s | %.1f ms | %.1f ms | %.2f | %d kB (lslocks %d kB) |\n", $1, $2, $3, $4, $5, $6 }'
    local holder=$COPROC_PID
    eval "exec ${COPROC[1]}>&-"
    wait "$holder"
  done
}

clean() {
  echo "| lock files | gtlock clean | find -delete | beside find | memory |"
  echo "| --- | ---: | ---: | ---: | ---: |"
  local count runs
  for count in 1000 10000 100000; do
    runs=$((count < 100000 ? 10 : 3)) # to make the files takes longest
    cat > fill << FILL
rm -rf .gastown && mkdir -p .gastown/locks && cd .gastown/locks && seq -f %.0f.lock $count | xargs touch
FILL
    measure --runs "$runs" --prepare 'sh fill' --export-json clean.json \
      "$gtlock clean" "find .gastown/locks -name *.lock -delete"
    sh fill
    jq -r --arg n "$count" --arg ours "$(peak "$gtlock" clean)" '
      [.results[].median * 1000] | "\($n)|\(.[0])|\(.[1])|\(.[0] / .[1])|\($ours)"' clean.json |
      awk -F '|' '{ printf "| %s | %.0f ms | %.0f ms | %.2f | %d kB |\n", $1, $2, $3, $4, $5 }'
  done
}

# shellcheck source=benches/cluster.sh
. "$root/benches/cluster.sh"

[ $# -gt 0 ] || set -- commands handoff slots waiters status clean cluster
for section; do
  case $section in
    commands | handoff | slots | waiters | status | clean | cluster) "$section" && echo ;;
    *) echo "peers.sh: $section is no section: commands, handoff, slots, waiters, status, clean or cluster" >&2; exit 1 ;;
  esac
done
