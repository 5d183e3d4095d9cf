# Part of tests/run: one mode for each suite that has a run of its own.
# shellcheck shell=bash

run_mode() {
  local mode=$1
  shift
  case $mode in
    simulation) simulation "$@" ;;
    kill)
      export VIP_TEST_ORDERS=${VIP_TEST_ORDERS:-2000} VIP_TEST_FAULTS=${VIP_TEST_FAULTS:-20}
      if [[ ${1:-} == --redis ]]; then suite test redis_orders "${@:2}"; return; fi
      # The name of a store, as an option, means its test alone.
      VIP_TEST_KILLS=${VIP_TEST_KILLS:-200} VIP_TEST_CRASHES=${VIP_TEST_CRASHES:-20} suite test kill "${@/#--postgres/postgres}" ;;
    bench) [[ $# -gt 0 ]] || fail "tests/run bench needs the name of a benchmark"; suite bench "$@" ;;
    schemathesis) schemathesis "$@" ;;
    *) usage >&2; exit 2 ;;
  esac
}

# A program of its own, built with all optimisations. The build with seeded bugs has a folder of its own: its flags would
# otherwise make every other build begin anew.
simulation() {
  run_step fetch step_fetch
  export CARGO_NET_OFFLINE=true
  if [[ -n ${VIP_SIMULATION_GATE:-} ]]; then
    export RUSTFLAGS="${RUSTFLAGS:-} --cfg vip_seeded_bugs" CARGO_TARGET_DIR=$CARGO_TARGET_DIR/seeded_bugs
    # What the unit tests say of the bugs is compiled in this build alone.
    run_step seeded_bugs cargo test --locked -p vip-core --all-features --lib seeded_bug
    set -- --gate "$@"
  fi
  run_step simulation cargo run --locked --release -p vip-simulation -- "$@"
}

# Runs one target of tests/Cargo.toml: `suite test NAME` or `suite bench NAME`, and what its program is to be told.
suite() {
  local kind=$1 name=$2
  shift 2
  has_target tests "$kind" "$name" || fail "no such suite yet: tests/Cargo.toml has no [[$kind]] named $name"
  run_step fetch step_fetch
  export CARGO_NET_OFFLINE=true
  local words=(cargo "$kind" --locked --workspace --all-features "--$kind" "$name" --)
  if [[ $kind == test ]]; then words+=(--nocapture); fi
  run_step "$name" "${words[@]}" "$@"
}

# What it is made of comes from Python's package index, in a folder that ends with the run.
schemathesis() {
  run_step fetch step_fetch
  export CARGO_NET_OFFLINE=true
  run_step schemathesis bash tests/http/schemathesis.sh "$scratch" "$@"
}
