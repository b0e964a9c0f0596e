# Takes commands out of README.md. Sourced by the stages that run them, so that what is tested is
# what is printed.

# readme_command COMMAND: runs a command, if it is a line of its own in the README.
readme_command() {
    if ! grep --quiet --fixed-strings --line-regexp -- "$1" README.md; then
        echo "README.md has no line: $1" >&2
        return 1
    fi
    echo "\$ $1"
    eval "$1"
}

# readme_block NAME: prints the code that follows the comment `<!-- NAME: ... -->`.
readme_block() {
    awk -v begin="<!-- $1:" '
        index($0, begin) == 1 { wanted = 1; next }
        wanted && /^```/ { if (inside) { done = 1; exit } inside = 1; next }
        inside { print; lines++ }
        END { if (!done || !lines) { print "README.md has no block " begin > "/dev/stderr"; exit 1 } }
    ' README.md
}
