# Stage tour: the first of the README's two commands, and its tour as printed.
set -euo pipefail
source .ci/readme.sh

readme_command 'cargo run --release -- demo'
grep --quiet --fixed-strings --line-regexp 'cargo run --release -- serve' README.md

# The tour names no ports and no directory, so the environment can: nothing here meets a server
# that somebody runs on the same machine, and nothing stays behind.
scratch=$(mktemp -d)
trap 'jobs -p | xargs --no-run-if-empty kill -KILL; rm -rf "$scratch"' EXIT
read -r port admin_port < <(python3 - << 'END'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in sockets))
END
)
export ANABRANCH_LISTEN="127.0.0.1:$port"
export ANABRANCH_ADMIN_LISTEN="127.0.0.1:$admin_port"
export ANABRANCH_SERVER="http://127.0.0.1:$port"
export ANABRANCH_DATA="$scratch/data"

readme_block tour > "$scratch/tour"
set -o verbose
# shellcheck source=/dev/null
source "$scratch/tour"
