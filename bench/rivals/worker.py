"""A rival's process: loads the forms of one engine and answers JSON lines, as `penjing bench --worker` does.

usage: worker.py ENGINE SPEC
SPEC is JSON: {"model": folder, "files": folder of exported files, "threads": N, "forms": [...]}; the first reply names
the forms that work, and why others do not. Requests are those of src/cli/bench_worker.h with a "form"."""

import importlib
import json
import os
import resource
import sys
import time


def mean_rows(numpy, hidden, batch):
    rows = []
    for states, ids in zip(hidden, batch):
        mean = numpy.asarray(states[: len(ids)], dtype=numpy.float64).mean(axis=0)
        rows.append((mean / numpy.linalg.norm(mean)).tolist())
    return rows


def answer(request, sessions, loaded, numpy):
    operation, form = request["op"], request.get("form")
    if operation == "load":
        session = sessions[form]
        loaded[form] = [session.prepare(batch) for batch in request["batches"]]
        rows = []
        for batch, inputs in zip(request["batches"], loaded[form]):
            rows += mean_rows(numpy, session.run(inputs), batch)
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
    import numpy

    module = importlib.import_module(f"engine_{engine}")
    sessions, failed = {}, {}
    for form in spec["forms"] or module.FORMS:
        try:
            sessions[form] = module.Session(form, spec)
        except Exception as error:  # whatever a library throws
            failed[form] = f"{type(error).__name__}: {str(error)[:300]}"
    print(json.dumps({"forms": list(sessions), "failed": failed, "version": module.version()}), file=replies, flush=True)
    loaded = {}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), sessions, loaded, numpy)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
