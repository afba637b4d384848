#!/usr/bin/env bash
# shellcheck shell=bash
# shellcheck disable=SC2154 # what peers.sh has set
# The section `cluster` of peers.sh, which reads this: locks that etcd keeps, beside `etcdctl lock`, of a cluster of three nodes
# on this machine; and beside `consul lock`, where CONSUL_BIN is an agent to be started.

# Starts etcd; sets `endpoints`.
start_etcd() {
  local at all=() ports=(42379 42479 42579)
  for at in 0 1 2; do all+=("n$at=http://127.0.0.1:$((ports[at] + 1))"); done
  for at in 0 1 2; do
    etcd --name "n$at" --data-dir "etcd.$at" --initial-cluster "$(IFS=,; echo "${all[*]}")" \
      --listen-client-urls "http://127.0.0.1:${ports[at]}" --advertise-client-urls "http://127.0.0.1:${ports[at]}" \
      --listen-peer-urls "http://127.0.0.1:$((ports[at] + 1))" \
      --initial-advertise-peer-urls "http://127.0.0.1:$((ports[at] + 1))" > "etcd.$at.log" 2>&1 &
    started+=($!)
  done
  endpoints=127.0.0.1:${ports[0]},127.0.0.1:${ports[1]},127.0.0.1:${ports[2]}
  export ETCDCTL_API=3
  until etcdctl --endpoints "$endpoints" endpoint health > health.log 2>&1; do sleep 0.1; done
}

# Name, and the words that come before the command.
cluster_peers() {
  echo "etcdctl lock|etcdctl --endpoints $endpoints lock peer --"
  echo "gtlock --at|$gtlock run -q --at etcd://$endpoints --write peer --"
  [ -z "${CONSUL_BIN-}" ] || echo "consul lock|$CONSUL_BIN lock peer"
}

cluster() {
  { has etcd && has etcdctl; } || { echo "skipped: cluster, no etcd or no etcdctl" >&2; return; }
  echo "building gtlock-etcd" >&2
  install "$(cd "$root" && CARGO_TARGET_DIR=$target cargo build --quiet --release -p gtlock-etcd --message-format=json |
    jq -r 'select(.executable != null and .target.name == "gtlock-etcd").executable')" "$scratch/gtlock-etcd"
  local started=() endpoints name peer
  start_etcd
  if [ -n "${CONSUL_BIN-}" ]; then
    "$CONSUL_BIN" agent -dev > consul.log 2>&1 &
    started+=($!)
    until "$CONSUL_BIN" members > health.log 2>&1; do sleep 0.1; done
  fi
  cluster_commands
  cluster_handoff
  cluster_waiters
  kill "${started[@]}"
  wait "${started[@]}" || true
}

cluster_commands() {
  cc -O2 -o race "$root/benches/race.c"
  local raced=() time ratio name peer
  while IFS='|' read -r name peer; do raced+=(0 "$peer true"); done < <(cluster_peers)
  ./race "$((rounds / 4))" "${raced[@]}" > timed
  echo "| command, 3 nodes | median | beside etcdctl |"
  echo "| --- | ---: | ---: |"
  while IFS='|' read -r name peer <&3 && read -r time ratio; do
    printf '| %s, a free lock | %s ms | %s |\n' "$name" "$time" "$ratio"
  done 3< <(cluster_peers) < timed
}

cluster_handoff() {
  make_hold
  local contenders=20 round name peer
  for round in 1 2 3 4 5; do
    echo "hand-off, round $round of 5" >&2
    while IFS='|' read -r name peer; do
      rm -f stamps
      for _ in $(seq "$contenders"); do $peer ./hold < /dev/null & done
      wait_for_jobs
      awk 'NR > 1 { print ($1 - end) * 1000 } { end = $2 }' stamps >> "gaps.$name"
    done < <(cluster_peers)
  done
  echo "| $contenders commands that hold one lock for 20 ms each, 3 nodes | from one to the next, median | longest |"
  echo "| --- | ---: | ---: |"
  while IFS='|' read -r name peer; do
    printf '| %s | %.2f ms | %.2f ms |\n' "$name" "$(median < "gaps.$name")" "$(sort -n "gaps.$name" | tail -n 1)"
  done < <(cluster_peers)
}

cluster_waiters() {
  local count=100 name peer all released
  echo "| $count waiters, 3 nodes | from the release until all are done | memory of each (PSS) |"
  echo "| --- | ---: | ---: |"
  mkfifo cluster.go
  while IFS='|' read -r name peer; do
    rm -f held
    $peer sh -c ': > held; exec cat cluster.go' &
    exec 8> cluster.go
    until [ -e held ]; do sleep 0.01; done
    all=()
    for _ in $(seq "$count"); do $peer true 8>&- & all+=($!); done
    sleep 10 # in which all of them queue; nothing shows that in the same way for all
    for pid in "${all[@]}"; do memory_of "$pid"; done |
      awk -v n="$count" '/^Pss:/ { kb += $2 } END { print kb / n }' > memory
    released=$EPOCHREALTIME
    exec 8>&-
    wait_for_jobs
    awk -v name="$name" -v a="$released" -v b="$EPOCHREALTIME" -v kb="$(cat memory)" \
      'BEGIN { printf "| %s | %.0f ms | %.0f kB |\n", name, (b - a) * 1000, kb }'
  done < <(cluster_peers)
}

memory_of() {
  local process processes
  read -ra processes < "/proc/$1/task/$1/children" || true
  for process in "$1" "${processes[@]}"; do cat "/proc/$process/smaps_rollup"; done
}

# Waits for all but what was started for all.
wait_for_jobs() {
  local job
  for job in $(jobs -p); do
    [[ " ${started[*]} " = *" $job "* ]] || wait "$job"
  done
}
