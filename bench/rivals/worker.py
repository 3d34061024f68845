"""A rival's process: loads the forms of one engine and answers JSON lines, as `penjing bench --worker` does.

usage: worker.py ENGINE SPEC
SPEC is JSON: {"model": folder, "files": folder of exported files, "threads": N, "forms": [...]}; the first reply names
the forms that work, and why others do not. Requests are those of src/cli/bench_worker.h with a "form"."""

import importlib
import json
import math
import os
import resource
import sys
import time


def mean_rows(hidden, batch):
    """Of each text's hidden states the mean, of length 1. hidden: arrays of NumPy, or lists."""
    rows = []
    for states, ids in zip(hidden, batch):
        own = states[: len(ids)]
        if hasattr(own, "mean"):
            mean = own.mean(axis=0, dtype="float64").tolist()
        else:
            mean = [sum(column) / len(own) for column in zip(*own)]
        length = math.sqrt(sum(x * x for x in mean))
        rows.append([x / length for x in mean])
    return rows


def answer(request, sessions, loaded):
    operation, form = request["op"], request.get("form")
    if operation == "load":
        session = sessions[form]
        loaded[form] = [session.prepare(batch) for batch in request["batches"]]
        rows = []
        for batch, inputs in zip(request["batches"], loaded[form]):
            rows += mean_rows(session.run(inputs), batch)
        return {"rows": rows}
    if operation == "time":
        session, until, times = sessions[form], time.perf_counter() + request["seconds"], []
        while not times or time.perf_counter() < until:
            begin = time.perf_counter()
            for inputs in loaded[form]:
                session.run(inputs)
            times.append((time.perf_counter() - begin) * 1e3)
        return {"ms": times}
    if operation == "memory":
        return {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    return {"error": f"op {operation}"}


def main():
    engine, spec = sys.argv[1], json.loads(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    module = importlib.import_module(f"engine_{engine}")
    sessions, failed = {}, {}
    for form in module.FORMS:
        if spec["forms"] and form not in spec["forms"]:
            continue
        try:
            sessions[form] = module.Session(form, spec)
        except Exception as error:  # whatever a library throws
            failed[form] = f"{type(error).__name__}: {str(error)[:300]}"
    print(json.dumps({"forms": list(sessions), "failed": failed, "version": module.version()}), file=replies, flush=True)
    loaded = {}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), sessions, loaded)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
