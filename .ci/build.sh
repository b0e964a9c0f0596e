# Stage build: the binary that the README's first command builds and then runs.
set -euo pipefail

cargo build --locked --release
