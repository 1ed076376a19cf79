"""Stands in for a worker: writes its addresses down, then lives, ends or crashes as BEHAVIOUR says."""

import json
import os
import signal
import sys
import time
from pathlib import Path


def say(words):
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


folder = Path(os.environ["STAND_IN_FOLDER"])
behaviour = os.environ.get("BEHAVIOUR", "")
seen = {name: value for name, value in os.environ.items() if name.startswith("TOKENTIDE_")}
(folder / f"worker-{os.getpid()}.json").write_text(json.dumps(seen))


def end(*_):
    if behaviour == "deaf":
        return
    time.sleep(0.2)  # stores what it holds
    with (folder / "ends").open("a") as ends:
        ends.write("worker stored\n")
    say("worker stored what it held")
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
say("worker lives")
if behaviour == "crashes":
    sys.exit("worker: the gate is jammed")
while True:
    time.sleep(0.05)
    if behaviour == "crashes_later" and (folder / "crash").exists():
        sys.exit("worker: the gate is jammed")
