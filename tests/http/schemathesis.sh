#!/usr/bin/env bash
# Tries the served description with schemathesis: schemathesis.sh SCRATCH [EXAMPLES]. Needs python3 and its package index.
set -euo pipefail
scratch=$1
shift
python3 -m venv "$scratch/python"
"$scratch/python/bin/pip" install --quiet schemathesis==4.32.5
# As the tests build it, so that nothing is built twice.
cargo build --locked --workspace --all-features --bin reference-server
"$scratch/python/bin/python" "$(dirname "${BASH_SOURCE[0]}")/try_description.py" \
  "${CARGO_TARGET_DIR:-target}/debug/reference-server" "$scratch/python/bin/schemathesis" "$@"
