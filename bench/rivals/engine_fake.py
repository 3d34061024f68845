"""An engine for the test of the tool (tests/scripts/rivals_test.py): no packages; Penjing itself computes its outputs.
Its forms do what engines do to one."""

import json
import subprocess
import sys
import time

FORMS = ["right", "wrong", "raises", "missing", "int8-far", "dies", "sleeps"]


def version():
    return "fake 1"


class Session:
    def __init__(self, form, spec):
        if form == "missing":
            raise RuntimeError("no such form here")
        self.form = form
        self.penjing = subprocess.Popen([spec["penjing"], "bench", spec["model"], "--worker", "--quiet"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def prepare(self, batch):
        if self.form == "dies":
            sys.exit(3)
        self.penjing.stdin.write(json.dumps({"op": "load", "batches": [batch]}) + "\n")
        self.penjing.stdin.flush()
        rows = json.loads(self.penjing.stdout.readline())["rows"]
        if self.form == "wrong":
            rows = [[row[0]] + [-x for x in row[1:]] for row in rows]
        if self.form == "int8-far":  # a cosine of 0.95 is enough for INT8
            length = (1 / 0.95**2 - 1) ** 0.5
            rows = [[x + length * y for x, y in zip(row, across(row))] for row in rows]
        return [[row] * len(ids) for row, ids in zip(rows, batch)]

    def run(self, hidden):
        time.sleep(0.002)
        if self.form == "raises":
            raise ValueError("cannot run this")
        if self.form == "sleeps":
            time.sleep(600)
        return hidden


def across(row):
    """A vector of length 1 at a right angle to `row`, of which the first two numbers are not both zero."""
    a, b = row[0], row[1]
    length = (a * a + b * b) ** 0.5
    return [b / length, -a / length] + [0.0] * (len(row) - 2)
