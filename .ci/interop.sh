# Stage interop: a stock Python client of the release build.
set -euo pipefail

exec "$CARGO_TARGET_DIR/ci/interop/bin/python" -B \
    tests/interop/python/check.py "$CARGO_TARGET_DIR/release/anabranch"
