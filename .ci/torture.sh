# Stage torture: every promise against its faults, in the size that CI has time for.
#
# The program is the one of stage mutants, with no mutant chosen: the question for one costs a
# read of a value that is made once, and a second build without it would cost minutes.
set -euo pipefail

# What cannot run here has not been shown.
export ANABRANCH_TORTURE_NO_SKIPS=1
unset ANABRANCH_MUTANT
exec "$CARGO_TARGET_DIR/release/anabranch-tests" torture --json "$CARGO_TARGET_DIR/torture.json"
