"""Tests of check_layers.py on small trees, and that the documented layers are the checked ones."""
import pathlib
import re
import tempfile
import unittest

import check_layers

ROOT = pathlib.Path(__file__).resolve().parent.parent


def violations_of(files):
    with tempfile.TemporaryDirectory() as folder:
        src = pathlib.Path(folder)
        for name, text in files.items():
            (src / name).parent.mkdir(parents=True, exist_ok=True)
            (src / name).write_text(text)
        return list(check_layers.violations(src))


class CheckLayers(unittest.TestCase):
    def test_downward_include_passes(self):
        self.assertEqual(violations_of({"engine/a.cc": '#include "sys/ptrace.h"\n'}), [])

    def test_upward_include_is_found_with_its_line(self):
        found = violations_of({"sys/deep/a.h": '#pragma once\n  # include "engine/context.h"\n'})
        self.assertEqual(found, ["src/sys/deep/a.h:2: sys must not include engine/context.h"])

    def test_include_beside_is_found(self):
        self.assertEqual(len(violations_of({"image/a.cc": '#include "sys/fd.h"\n'})), 1)

    def test_system_headers_and_own_layer_pass(self):
        text = '#include <sys/ptrace.h>\n#include "agent/run.h"\n#include "run.h"\n'
        self.assertEqual(violations_of({"agent/a.cc": text}), [])

    def test_unknown_folder_is_found(self):
        self.assertEqual(len(violations_of({"misc/a.cc": ""})), 1)

    def test_architecture_document_lists_the_same_layers(self):
        text = (ROOT / "docs/architecture.md").read_text()
        documented = {}
        for level, folders in re.findall(r"^\| (\d) \| ([^|]+)\|", text, re.MULTILINE):
            for folder in re.findall(r"`src/(\w+)/`", folders):
                documented[folder] = int(level)
        self.assertEqual(documented, check_layers.LEVELS)


if __name__ == "__main__":
    unittest.main()
