# Stage mutants: each known mistake is made on purpose, and the check named for it has to fail.
#
# That the checks hold without a mistake stage torture has shown, with the same program. Where it
# has not run, or a check did not hold in it, the check shows it here.
set -euo pipefail

report="$CARGO_TARGET_DIR/torture.json"
held=()
[[ ! -e "$report" ]] || held=(--held "$report")
exec "$CARGO_TARGET_DIR/release/anabranch-tests" mutants "${held[@]}" \
    --json "$CARGO_TARGET_DIR/mutants.json"
