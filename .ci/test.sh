# Stage test: the second of the README's two commands.
set -euo pipefail
source .ci/readme.sh

readme_command 'cargo test --workspace'
