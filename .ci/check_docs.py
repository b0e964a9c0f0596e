"""Holds the documents against the sources, so that they stay true.

- Every relative link leads to a file.
- Every text of the error catalogue in docs/operations.md occurs in the sources. A text is what
  stands in backticks in the first column; `…` stands for a part that varies.
- Every setting of the server is in docs/operations.md as flag, variable and key.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPERATIONS = ROOT / "docs" / "operations.md"
CATALOGUE = "## Error catalogue"
# Shorter pieces between two varying parts prove nothing.
PIECE_MIN = 4


def documents():
    return [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "engine" / "FORMAT.md"]


def dead_links():
    for document in documents():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            if not (document.parent / target).exists():
                yield f"{document.relative_to(ROOT)}: no such file: {target}"


def sources():
    """All Rust sources as one text, with string literals over several lines joined."""
    files = [
        file
        for crate in ["engine", "server", "client"]
        for file in sorted((ROOT / crate / "src").rglob("*.rs"))
    ]
    text = "\n".join(file.read_text() for file in files)
    return re.sub(r"\\\n\s*", "", text).replace('\\"', '"')


def untrue_texts():
    code = sources()
    catalogue = OPERATIONS.read_text().partition(CATALOGUE)[2]
    texts = re.findall(r"^\| `([^`]+)` \|", catalogue, flags=re.MULTILINE)
    if not texts:
        yield f"docs/operations.md: nothing under {CATALOGUE}"
    for text in texts:
        for piece in text.split("…"):
            if len(piece.strip()) >= PIECE_MIN and piece.strip() not in code:
                yield f"docs/operations.md: no source says: {piece.strip()}"


def untold_settings():
    config = (ROOT / "server" / "src" / "config" / "layer.rs").read_text()
    keys = re.search(r"const KEYS: \[&str; \d+\] = \[(.*?)\]", config, flags=re.DOTALL)
    told = OPERATIONS.read_text()
    for key in re.findall(r'"(\w+)"', keys.group(1)):
        for name in [f"`--{key.replace('_', '-')}", f"`ANABRANCH_{key.upper()}`", f"`{key}`"]:
            if name not in told:
                yield f"docs/operations.md: does not tell of {name.strip('`')}"


def main():
    wrong = [*dead_links(), *untrue_texts(), *untold_settings()]
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
