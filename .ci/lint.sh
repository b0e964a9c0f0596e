# Stage lint: what can be said about the sources without running them.
set -euo pipefail
source .ci/readme.sh

cargo fmt --all -- --check
shellcheck="$CARGO_TARGET_DIR/ci/lint/bin/shellcheck"
"$shellcheck" --shell=bash --external-sources .ci/run .ci/*.sh
readme_block tour | "$shellcheck" --shell=bash -
python3 -B .ci/check_docs.py
cargo clippy --locked --workspace --all-targets -- --deny warnings
# What stands behind the feature is compiled nowhere else.
cargo clippy --locked --package anabranch-engine --package anabranch-tests --all-targets \
    --features anabranch-tests/mutants -- --deny warnings
