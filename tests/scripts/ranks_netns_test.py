"""`penjing finetune` on ranks of different hosts: three network namespaces joined by a bridge. They give the loss curve
and the weights of one process; when the network of one is cut (nothing is closed, packets are just lost), the others
stop within the timeout and name it, and the run goes on with another number of hosts. Needs root and ip (iproute2)."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from program import skip
from rank_runs import Run, compare, require_gloo, write_inputs

STEPS = 50
LONG = ("--max-steps", 4 * STEPS, "--no-eval", "--save-steps", 10)
NETWORK = "10.231.77"


class Hosts:
    """Namespaces; the first has the bridge that joins them."""

    def __init__(self, count):
        self.names = [f"pj{os.getpid()}h{i}" for i in range(count)]

    def address(self, i):
        return f"{NETWORK}.{i + 1}"

    def prefix(self, i):
        return ["ip", "netns", "exec", self.names[i]]

    def run(self, *command):
        done = subprocess.run(["ip", *command], capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError(f"ip {' '.join(command)}: {done.stderr.strip()}")

    def inside(self, i, *command):
        self.run("-n", self.names[i], *command)

    def make(self):
        for name in self.names:
            self.run("netns", "add", name)
        for i in range(len(self.names)):
            self.inside(i, "link", "set", "lo", "up")
        self.inside(0, "link", "add", "bridge0", "type", "bridge")
        self.inside(0, "addr", "add", f"{self.address(0)}/24", "dev", "bridge0")
        self.inside(0, "link", "set", "bridge0", "up")
        for i in range(1, len(self.names)):
            self.run("link", "add", f"port{i}", "netns", self.names[0], "type", "veth", "peer", "name", "wire0", "netns",
                     self.names[i])
            self.inside(0, "link", "set", f"port{i}", "master", "bridge0", "up")
            self.inside(i, "addr", "add", f"{self.address(i)}/24", "dev", "wire0")
            self.inside(i, "link", "set", "wire0", "up")

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def same_curve(work, hosts):
    one = Run(work, "one", 1, "--max-steps", STEPS, "--no-eval")
    wanted = one.finish()
    prefixes = [hosts.prefix(i) for i in range(3)]
    run = Run(work, "hosts", 3, "--max-steps", STEPS, "--no-eval", "--bucket-mb", 0.02, hosts=prefixes,
              address=hosts.address(0))
    compare("3 hosts", run.out, run.finish(), one.out, wanted)
    interfaces = {0: {"GLOO_SOCKET_IFNAME": "bridge0"}, 1: {"GLOO_SOCKET_IFNAME": "wire0"}}
    run = Run(work, "interfaces", 2, "--max-steps", STEPS, "--no-eval", hosts=prefixes, address=hosts.address(0),
              environment=interfaces)
    compare("2 hosts, interfaces named", run.out, run.finish(), one.out, wanted)


def cut(work, hosts):
    whole = Run(work, "whole", 1, *LONG)
    wanted = whole.finish()
    prefixes = [hosts.prefix(i) for i in range(3)]
    timeout = 6
    run = Run(work, "cut", 3, *LONG, "--timeout", timeout, hosts=prefixes, address=hosts.address(0))
    run.wait_for_checkpoint(10)
    hosts.inside(0, "link", "set", "port2", "down")
    begin = time.monotonic()
    results = run.wait(120)
    for rank, name in ((0, "rank 2 ("), (1, "rank 2 ("), (2, "rank 0 (")):
        status, _, messages = results[rank]
        if status != 6 or name not in messages:
            sys.exit(f"cut: rank {rank}: exit status {status}, wanted 6 and \"{name}\":\n{messages}")
    print(f"cut: all stopped {time.monotonic() - begin:.1f} s after, timeout {timeout} s: {results[1][2].strip()}")
    run = Run(work, "cut", 2, *LONG, "--resume", hosts=prefixes, address=hosts.address(0))
    report = run.finish()
    if report["first_step"] < 10:
        sys.exit(f"cut: resumed at step {report['first_step']}, wanted that of a checkpoint")
    compare(f"cut, resumed at {report['first_step']} on 2 hosts", run.out, report, whole.out, wanted)


def main():
    if os.geteuid() != 0 or shutil.which("ip") is None:
        skip("network namespaces need root and ip (iproute2)")
    hosts = Hosts(3)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        write_inputs(work)
        require_gloo()
        try:
            try:
                hosts.make()
            except OSError as error:
                skip(f"no network namespaces here: {error}")
            same_curve(work, hosts)
            cut(work, hosts)
        finally:
            hosts.remove()


if __name__ == "__main__":
    main()
