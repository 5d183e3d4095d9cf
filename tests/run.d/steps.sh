# Part of tests/run: the steps of a whole run, one function each.
# shellcheck shell=bash

# Seconds that each fuzz target runs on the stable compiler.
FUZZ_SECONDS=${VIP_TEST_FUZZ_SECONDS:-5}
# What the quickstart's last line must say; the requests per server differ from run to run.
QUICKSTART_LAST='^30 ordered, 20 running, 10 deleted, 0 duplicates, 0 orphans, 0 lost, [0-9.]+ API requests per server, seed [0-9]+$'

# Everything after this step runs offline: a test that needs the network fails here, not on a train.
step_fetch() {
  local manifest host
  host=$(rustc -vV | sed -n 's/^host: //p')
  for manifest in $(manifests); do
    CARGO_NET_OFFLINE=false cargo fetch --locked --target "$host" --manifest-path "$manifest"
  done
}

step_format() {
  local manifest
  for manifest in $(manifests); do
    cargo fmt --all --check --manifest-path "$manifest"
  done
}

step_lint() {
  cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
  local script
  for script in tests/run tests/run.d/*.sh tests/http/schemathesis.sh; do bash -n "$script"; done
}

# Prints cargo's own summary lines. Documentation examples are part of it.
step_test() {
  # The snippet of the README opens this file, and would follow the order of a run before, whose simulated cloud is forgotten.
  rm -f vip-adapters/vip.db*
  if ! is_skipped postgres && ! is_skipped pooler; then
    cargo test --locked --workspace --all-features --no-fail-fast
    return
  fi
  cargo test --locked --workspace --exclude vip-tests --all-features --no-fail-fast
  cargo test --locked -p vip-tests --features "$(is_skipped postgres || echo postgres)" --no-fail-fast
}

# cargo unifies features over the workspace, so a feature that only builds beside another one looks fine everywhere else.
step_features() {
  local package feature
  for package in vip-core vip-adapters vip-http; do
    cargo clippy --locked -p "$package" --lib --no-default-features -- -D warnings
    for feature in $(features_of "$package/Cargo.toml"); do
      echo "--- $package, feature $feature alone"
      cargo clippy --locked -p "$package" --lib --no-default-features --features "$feature" -- -D warnings
    done
  done
}

# What a newcomer's first command compiles: the default members with the features that they ask for, and no others.
step_first_build() {
  cargo check --locked --examples
}

# In its own folder: its `.cargo/config.toml` exports a DATABASE_URL that leads nowhere.
step_host() {
  cd tests/host
  cargo clippy --locked --all-targets -- -D warnings
  cargo test --locked
}

step_fuzz() {
  cargo clippy --locked --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings
  cargo test --locked --manifest-path fuzz/Cargo.toml
  cargo run --locked --manifest-path fuzz/Cargo.toml --bin stable -- --seconds "$FUZZ_SECONDS"
}

step_docs() {
  RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features -p vip-core -p vip-adapters -p vip-http
}

# The main job, by the command of the README: its exit status counts, and so does its last line.
step_quickstart() {
  local last
  cargo run --locked --release --example quickstart | tee "$scratch/quickstart.out"
  last=$(tail -n 1 "$scratch/quickstart.out")
  [[ $last =~ $QUICKSTART_LAST ]] || { echo "not what the last line should say: $last"; return 1; }
  interrupt_quickstart
}

# Ctrl-C in the middle: the workers end in order, the last words say so, and the exit status is not that of a success.
interrupt_quickstart() {
  local line last='' story lines interrupted=0 status=0
  # A shell lets what it starts beside itself ignore SIGINT; env sets it back.
  exec {lines}< <(exec env --default-signal=INT "${CARGO_TARGET_DIR:-target}/release/examples/quickstart" 2>&1)
  story=$!
  while read -r line <&"$lines"; do
    echo "$line"
    # The first line of progress says that work is under way.
    if [[ $interrupted == 0 && $line == *' done' ]]; then interrupted=1; kill -INT "$story"; fi
    last=$line
  done
  exec {lines}<&-
  wait "$story" || status=$?
  [[ $status -eq 1 && $last == *'interrupted; the workers finished what they had begun'* ]] ||
    { echo "Ctrl-C ended the quickstart with status $status"; return 1; }
}
