#!/usr/bin/env python3
"""Fails if a file of src/ includes a header of a layer above its own, or beside it.

The layers and their order are those of docs/architecture.md. Folders on the same level do not see
each other, apart from the pairs of ALLOWED_BESIDE.
"""
import argparse
import pathlib
import re
import sys

LEVELS = {
    "base": 0,
    "sys": 1, "image": 1, "models": 1,
    "engine": 2,
    "checkpoint": 3,
    "migrate": 4,
    "protect": 5, "cluster": 5,
    "agent": 6,
    "stand": 7,
    "cli": 8,
}
ALLOWED_BESIDE = set()
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
SUFFIXES = {".cc", ".h", ".c", ".S"}


def layer_of(path):
    """The layer that a path below src/ belongs to, or None."""
    first = pathlib.PurePosixPath(path).parts[0]
    return first if first in LEVELS else None


def allowed(layer, target):
    return (layer == target or LEVELS[target] < LEVELS[layer]
            or (layer, target) in ALLOWED_BESIDE)


def violations(src):
    """Yields one line of text for each include that does not go downward, and unknown folder."""
    for folder in sorted(p.name for p in src.iterdir() if p.is_dir()):
        if folder not in LEVELS:
            yield f"src/{folder}: not a layer of docs/architecture.md"
    for path in sorted(p for p in src.rglob("*") if p.suffix in SUFFIXES):
        relative = path.relative_to(src).as_posix()
        layer = layer_of(relative)
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            target = layer_of(match.group(1))
            if layer and target and not allowed(layer, target):
                line = text.count("\n", 0, match.start(1)) + 1
                yield f"src/{relative}:{line}: {layer} must not include {match.group(1)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("src", nargs="?", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent / "src")
    found = list(violations(parser.parse_args().src))
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
