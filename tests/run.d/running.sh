# Part of tests/run: runs one step, ends what it started, and reports.
# shellcheck shell=bash

# Lines in the table of the slowest parts.
SLOWEST_SHOWN=12

say() { printf '\n=== %s\n' "$*"; }

fail() {
  echo "tests/run: $*" >&2
  exit 2
}

# Every process of a step carries this mark in its environment, so that it is found wherever it went.
mark="VIP_TEST_RUN=$$.$RANDOM$RANDOM"
install=no
failed=()
skipped=()
absent=()
scratch=""

marked_processes() {
  local file
  { grep -lzxF "$mark" /proc/[0-9]*/environ 2>/dev/null || true; } | while IFS=/ read -r _ _ file _; do echo "$file"; done
}

# Ends the group of the running step, and whatever left that group.
end_processes() {
  local group pids
  group=$(cat "$scratch/group" 2>/dev/null || true)
  if [[ -n $group ]]; then kill -KILL -- "-$group" 2>/dev/null || true; fi
  pids=$(marked_processes)
  # shellcheck disable=SC2086  # one word for each process
  if [[ -n $pids ]]; then kill -KILL $pids 2>/dev/null || true; fi
}

# Of a server that was killed some processes may be about to end, and still write.
remove_scratch() {
  rm -rf "$scratch" 2>/dev/null || { sleep 1; rm -rf "$scratch"; }
}

# No trap runs when this script is killed with SIGKILL. The guard reads from a pipe that only this script holds open,
# so it notices any end. It stands in a group of its own, where Ctrl-C does not reach it.
start_guard() {
  scratch=$(mktemp -d)
  # What the steps put into it goes with the run. PostgreSQL runs as another user, and has its folders there, too.
  chmod 711 "$scratch"
  mkdir -m 1777 "$scratch/tmp"
  set -m
  exec {life}> >(cat >/dev/null; end_processes; remove_scratch)
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  trap end_processes EXIT
}

# A step that leaves a process behind fails: what it started was not joined.
check_leftovers() {
  local attempt pids=""
  for attempt in 1 2 3; do
    pids=$(marked_processes)
    if [[ -z $pids ]]; then return 0; fi
    if [[ $attempt -lt 3 ]]; then sleep 1; fi
  done
  # shellcheck disable=SC2086
  echo "left behind: $(ps -o pid=,args= -p ${pids//$'\n'/,} | head -n 5)"
  # shellcheck disable=SC2086
  kill -KILL $pids 2>/dev/null || true
  return 1
}

# run_step NAME COMMAND...: runs it in a group of its own, shows and keeps what it prints, notes its time and how it ended.
run_step() {
  local name=$1 began=$SECONDS code=0 log=$scratch/$1.log
  shift
  say "$name"
  {
    exec {life}>&-
    {
      set +e
      (set -e; export "${mark?}" TMPDIR="$scratch/tmp"; "$@")
      code=$?
      check_leftovers || code=1
      exit "$code"
    } 2>&1 | tee "$log"
  } &
  echo $! >"$scratch/group"
  wait $! || code=$?
  : >"$scratch/group"
  printf '%d\tstep %s\n' $((SECONDS - began)) "$name" >>"$scratch/times"
  if [[ $code -ne 0 ]]; then
    failed+=("$name")
    echo "=== $name: failed (exit status $code)"
  fi
}

# Test programs by their own lines: "Running tests/x.rs (target/debug/deps/x-0123)", then "test result: … finished in 1.23s".
program_times() {
  awk '/^ +Running / { name = $NF; sub(/^.*\//, "", name); sub(/-[0-9a-f]+\)$/, "", name) }
    /^ +Doc-tests / { name = "doctests of " $2 }
    /^test result:/ { sub(/s$/, "", $NF); if ($NF >= 1) printf "%.0f\ttests in %s\n", $NF, name }' "$scratch"/*.log
}

report() {
  say "slowest parts"
  { cat "$scratch/times"; program_times; } | sort -rn | head -n "$SLOWEST_SHOWN" |
    awk -F'\t' '{ printf "%5d s  %s\n", $1, $2 }'
  awk '/^test result:/ { passed += $4; bad += $6 }
    END { printf "\n%d tests passed, %d failed", passed, bad }' "$scratch"/*.log
  printf ', %d s in all\n' "$SECONDS"
  if [[ ${#skipped[@]} -gt 0 ]]; then echo "SKIPPED by VIP_TEST_SKIP: ${skipped[*]}"; fi
  if [[ ${#absent[@]} -gt 0 ]]; then echo "SKIPPED because it is not there: ${absent[*]}"; fi
  if [[ ${#failed[@]} -gt 0 ]]; then
    echo "FAILED: ${failed[*]}"
    exit 1
  fi
  echo "all good"
}

run_everything() {
  local step
  for step in "${steps[@]}"; do
    if is_skipped "$step"; then continue; fi
    run_step "$step" "step_$step"
    # Without the crates nothing else can say anything.
    if [[ $step == fetch ]]; then
      if [[ ${#failed[@]} -gt 0 ]]; then break; fi
      export CARGO_NET_OFFLINE=true
    fi
  done
}
