# Stage build: the binary that the README's first command builds and then runs, and the program of
# stages torture and mutants, for which only our own packages are compiled again.
set -euo pipefail

cargo build --locked --release
cargo build --locked --release --package anabranch-tests --bin anabranch-tests --features mutants
# It is of a run of another program.
rm -f "$CARGO_TARGET_DIR/torture.json"
