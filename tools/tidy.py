#!/usr/bin/env python3
"""Runs clang-tidy over the sources of src/ and demo/, tests and generated files apart.

A file that had no findings leaves a stamp named by a hash of everything the findings depend on:
the file, the project headers it includes, its compile command, the configuration and the version
of clang-tidy. A file with a stamp is not checked again, so that a second run takes seconds.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLANG_TIDY = "clang-tidy-19"
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def checked_files(build):
    """The compile commands, as {source: command}, of the files to check."""
    commands = json.loads((build / "compile_commands.json").read_text())
    result = {}
    for entry in commands:
        path = pathlib.Path(entry["file"])
        inside = [ROOT / "src", ROOT / "demo"]
        if (any(path.is_relative_to(folder) for folder in inside) and path.suffix == ".cc"
                and not path.name.endswith("_test.cc")):
            result[path] = entry["command"]
    return result


class Includes:
    """Finds the project headers, generated ones too, that a file includes through any number of
    steps. Keeps what it read."""

    def __init__(self, build):
        self.folders = [ROOT / "src", ROOT, build / "generated"]
        self.texts = {}

    def text(self, path):
        if path not in self.texts:
            self.texts[path] = path.read_bytes()
        return self.texts[path]

    def closure(self, source):
        seen, todo = {source}, [source]
        while todo:
            path = todo.pop()
            for name in INCLUDE.findall(self.text(path)):
                for folder in [path.parent, *self.folders]:
                    header = folder / name.decode()
                    if header.is_file():
                        if header not in seen:
                            seen.add(header)
                            todo.append(header)
                        break
        return sorted(seen)


def stamp_name(source, command, includes, version):
    digest = hashlib.sha256()
    for part in (version, (ROOT / ".clang-tidy").read_bytes(),
                 command.replace(str(ROOT), "").encode()):
        digest.update(part + b"\0")
    for path in includes.closure(source):
        digest.update(includes.text(path) + b"\0")
    return digest.hexdigest()


def check(source, build):
    """Checks one file; returns clang-tidy's findings, or None if there are none."""
    run = subprocess.run([CLANG_TIDY, "--quiet", "-p", build, source], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode == 0:
        return None
    errors = [line for line in run.stderr.splitlines() if "error" in line.lower()]
    return run.stdout + "\n".join(errors)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    stamps = cache / "martlet-tidy"
    stamps.mkdir(parents=True, exist_ok=True)
    version = subprocess.check_output([CLANG_TIDY, "--version"])
    includes = Includes(build)
    todo = {}
    for source, command in checked_files(build).items():
        stamp = stamps / stamp_name(source, command, includes, version)
        if not stamp.exists():
            todo[source] = stamp
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = pool.map(lambda source: check(source, build), todo)
        for source, finding in zip(todo, findings):
            if finding is None:
                todo[source].touch()
            else:
                failed += 1
                print(finding, flush=True)
    print(f"clang-tidy: {len(todo)} files checked, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
