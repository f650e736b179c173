"""Runs a program for as long as the process that started it lives: ``python child.py PROGRAM ARGUMENT ...``.

Standard input is a pipe that the parent holds open and never writes to. It ends when the parent does, however that
died, on every system; then the program is ended as by SIGTERM, and killed if that does not help.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

STANDARD_INPUT = 0
PATIENCE = 5.0  # seconds that a program has to end after its parent


def end_with_parent() -> None:
    while os.read(STANDARD_INPUT, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(1)


def main() -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).parent)  # as if the program had been started by itself
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
