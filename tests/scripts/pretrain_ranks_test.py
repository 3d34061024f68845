"""`penjing pretrain` on several ranks of this machine: 2 and 3 give the loss curve and the weights of one, and a run that a
signal to one rank stopped goes on from its checkpoint with another number of ranks. Dropout is on."""

import pathlib
import signal
import sys
import tempfile

from rank_runs import Run, checkpoints, compare, write_inputs

STEPS = 60


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        write_inputs(work)
        length = ("--steps", STEPS, "--eval-steps", STEPS // 2)
        whole = Run(work, "whole", 1, *length, command=Run.PRETRAIN)
        wanted = whole.finish()
        for ranks in (2, 3):
            run = Run(work, f"ranks-{ranks}", ranks, *length, "--bucket-mb", 0.02, command=Run.PRETRAIN)
            report = run.finish()
            compare(f"{ranks} ranks", run.out, report, whole.out, wanted)
            for found, scored in zip(report["evaluations"], wanted["evaluations"], strict=True):
                perplexity = found["scores"]["perplexity"] / scored["scores"]["perplexity"]
                if found["step"] != scored["step"] or abs(perplexity - 1) > 1e-4:
                    sys.exit(f"{ranks} ranks: scored {found}, one rank {scored}")
        long = ("--steps", 2 * STEPS, "--eval-steps", STEPS, "--save-steps", 10)
        run = Run(work, "stopped", 2, *long, command=Run.PRETRAIN)
        run.wait_for_checkpoint(10)
        run.ranks[1].send_signal(signal.SIGTERM)
        for rank, (status, _, messages) in enumerate(run.wait()):
            if status != 130:
                sys.exit(f"stopped: rank {rank}: exit status {status}, wanted 130:\n{messages}")
        at = checkpoints(run.out)[-1]
        report = Run(work, "stopped", 1, *long, "--resume", command=Run.PRETRAIN).finish()
        if report["first_step"] != at:
            sys.exit(f"resumed at {report['first_step']}, wanted {at}")
        # Sums in another order part further with every step: 1e-5 is of the first 50.
        reference = Run(work, "long", 1, *long, command=Run.PRETRAIN)
        compare(f"2 ranks stopped at {at}, resumed with 1", run.out, report, reference.out, reference.finish(), 1e-3)


if __name__ == "__main__":
    main()
