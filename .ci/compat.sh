# Stage compat: SDKs that people have, against the release build.
set -euo pipefail

exec "$CARGO_TARGET_DIR/ci/compat-python/bin/python" -B \
    tests/compat/run --binary "$CARGO_TARGET_DIR/release/anabranch" python javascript java
