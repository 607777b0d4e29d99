# SPDX-License-Identifier: MIT
"""The README's program runs as it stands there, but for the address, and prints what it should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SANDD_BUILD_DIR", TOP / "build"))

# A daemon dials as soon as the server listens, as if somebody had typed the line of the comment.
PRELUDE = """
import sandd, sandd.testing

class Server(sandd.Server):
    def __enter__(self):
        entered = super().__enter__()
        self.daemon = sandd.testing.local_daemon(self, "worker-1", labels={"role": "worker"})
        return entered

    def __exit__(self, *why):
        self.daemon.stop()
        return super().__exit__(*why)
"""


def test_the_program_of_the_readme_runs(tmp_path: Path):
    (program,) = re.findall(r"^```python\n(.*?)^```$", (TOP / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert program.count("\n") <= 25
    program = program.replace("import PIPE, Server", "import PIPE").replace(
        '"0.0.0.0", port=8765', '"127.0.0.1", port=0'
    )
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.splitlines()[:2] == [os.uname().sysname, " oops"]
    assert "9\n10\n" in done.stdout
    assert "as it comes: 1\nas it comes: 2\nas it comes: 3\n" in done.stdout
    assert re.search(r"^worker-1 \d+$", done.stdout, re.MULTILINE)
