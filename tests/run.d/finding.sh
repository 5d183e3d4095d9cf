# Part of tests/run: finds what is needed, and says what helps if it is not there.
# shellcheck shell=bash

# One line for each thing that is not a crate: name | how to find it | Debian package | the suite that needs it.
# A row of `build` cannot be left out; any other row can, and then the suite skips those tests by this name.
# What no package holds (`-`) is left out by itself if it is not there, and named at the end.
# A row of `schemathesis` is looked for by the mode of that name alone.
services() {
  cat <<'TABLE'
cc       | command -v cc                            | build-essential | build
procps   | type -P kill && type -P ps               | procps          | build
postgres | ls /usr/lib/postgresql/*/bin/initdb      | postgresql      | contract
redis    | command -v redis-server                  | redis-server    | build
redis_tls | grep libssl <(ldd "$(command -v redis-server)") | -       | contract
pooler   | command -v pgbouncer                     | pgbouncer       | contract
python   | python3 -c "import ensurepip, venv"   | python3-venv    | schemathesis
openapi  | test -r "${VIP_HETZNER_OPENAPI:-}"       | -               | contract
TABLE
}

# The workspaces: ours, and those that stand apart.
manifests() {
  printf '%s\n' Cargo.toml tests/host/Cargo.toml fuzz/Cargo.toml
}

# has_target PACKAGE_FOLDER KIND NAME: does the manifest have a [[KIND]] with this name?
has_target() {
  awk -v kind="[[$2]]" -v name="name = \"$3\"" '
    /^\[/ { inside = ($0 == kind) }
    inside && $0 == name { found = 1 }
    END { exit !found }' "$1/Cargo.toml"
}

features_of() {
  awk '/^\[/ { inside = ($0 == "[features]") }
    inside && /^[a-z0-9_-]+ *=/ && $1 != "default" { print $1 }' "$1"
}

column_of_services() {
  services | awk -F' *[|] *' -v column="$1" '{ printf "%s%s", sep, $column; sep = " " }'
}

is_skipped() {
  [[ ",${VIP_TEST_SKIP:-}," == *",$1,"* ]]
}

# A misspelt name would skip nothing and say nothing.
check_skips() {
  local name optional names=${VIP_TEST_SKIP:-}
  optional=" $(services | awk -F' *[|] *' '$4 != "build" { printf "%s ", $1 }')${steps[*]} "
  for name in ${names//,/ }; do
    [[ $optional == *" $name "* ]] || fail "VIP_TEST_SKIP: '$name' cannot be left out; these can:$optional"
  done
}

check_toolchain() {
  local tool
  for tool in "cargo --version" "rustc --version" "cargo fmt --version" "cargo clippy --version"; do
    $tool >/dev/null 2>&1 ||
      fail "'$tool' does not work; Rust is installed with rustup: rustup toolchain install stable --component rustfmt,clippy"
  done
}

# check_services MODE: ends the run before anything is built if a service is missing, with the line that helps.
check_services() {
  local mode=$1 name find package suite missing=() packages=()
  while IFS='|' read -r name find package suite; do
    name=${name// /} package=${package// /} suite=${suite// /}
    if is_skipped "$name"; then continue; fi
    if [[ $suite == schemathesis && $mode != schemathesis ]]; then continue; fi
    if bash -c "$find" >/dev/null 2>&1; then continue; fi
    if [[ $package == - ]]; then absent+=("$name"); continue; fi
    missing+=("$name (for $suite)")
    packages+=("$package")
  done < <(services)
  if [[ ${#missing[@]} -eq 0 ]]; then return; fi
  local list
  printf -v list '%s, ' "${missing[@]}"
  if [[ $install == no ]]; then
    fail "missing: ${list%, }. Type: tests/run --install   (it runs: apt-get install ${packages[*]})"
  fi
  echo "missing: ${list%, }"
  install_packages "${packages[@]}"
}

install_packages() {
  local root=()
  command -v apt-get >/dev/null || fail "--install knows Debian's apt-get only; install by hand: $*"
  if [[ $(id -u) != 0 ]]; then root=(sudo); fi
  say "installing: apt-get install $*"
  "${root[@]}" apt-get update -q
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
  if [[ " $* " == *" redis-server "* && -d /run/systemd/system ]]; then "${root[@]}" systemctl disable --now redis-server; fi
}
