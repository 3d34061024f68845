"""A child process that answers one JSON line for each it is sent."""

import json
import os
import select
import subprocess


class Failed(Exception):
    pass


class Worker:
    """forms: given for Penjing's own worker, which says nothing before it is asked."""

    def __init__(self, engine, command, cpus, timeout, env=None, forms=None):
        self.engine, self.timeout, self.buffer = engine, timeout, b""
        environment = dict(os.environ, TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", **(env or {}))
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                            env=environment, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        except OSError as error:
            raise Failed(str(error)) from error
        self.alive, self.version, self.failed = True, None, {}
        self.forms = forms
        if forms is None:
            hello = self.read()
            self.forms, self.version, self.failed = hello["forms"], hello["version"], hello["failed"]

    def ask(self, request):
        if not self.alive:
            raise Failed("the process has ended")
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            self.close()
            raise Failed("the process has ended") from error
        reply = self.read()
        if "error" in reply:
            raise Failed(reply["error"])
        return reply

    def read(self):
        output = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([output], [], [], self.timeout)
            part = os.read(output, 1 << 20) if ready else None
            if not part:
                why = f"no answer in {self.timeout:g} s" if part is None else f"ended with status {self.process.wait()}"
                self.close()
                raise Failed(why)
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError as error:
            self.close()
            raise Failed(f"no JSON: {line[:80]!r}") from error

    def close(self):
        self.alive = False
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
