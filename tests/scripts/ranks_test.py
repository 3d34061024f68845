"""`penjing finetune` on several ranks of this machine: 2 and 4 give the loss curve and the weights of one; a rank that is
killed, hangs or is interrupted stops the others in time with an error that names it, and the run goes on from its
checkpoint with another number of ranks; a signal while rank 0 scores stops all too; ranks that differ are refused.
Dropout is on."""

import json
import pathlib
import signal
import sys
import tempfile
import time

from rank_runs import Run, checkpoints, compare, require_gloo, wait_for_logged_step, weights, write_inputs

STEPS = 50
CURVE = ("--max-steps", STEPS, "--no-eval")
LONG = ("--max-steps", 4 * STEPS, "--save-steps", 10, "--eval-steps", 40, "--patience", 3, "--keep-best")


def expect_stopped(what, run, lost, limit, wanted):
    """All ranks but `lost` end with status 6 and a message that holds `wanted`."""
    begin = time.monotonic()
    others = [r for r in range(len(run.ranks)) if r != lost]
    while any(run.ranks[r].poll() is None for r in others):
        if time.monotonic() - begin > limit:
            run.kill()
            sys.exit(f"{what}: not stopped after {limit} s: {run.wait(5)}")
        time.sleep(0.05)
    seconds = time.monotonic() - begin
    run.kill()
    results = run.wait(10)
    for r in others:
        status, _, messages = results[r]
        if status != 6 or wanted not in messages:
            sys.exit(f"{what}: rank {r}: exit status {status}, wanted 6 and \"{wanted}\":\n{messages}")
    print(f"{what}: stopped after {seconds:.1f} s: {results[others[0]][2].strip().splitlines()[-1]}", flush=True)


def same_curve(work):
    one = Run(work, "one", 1, *CURVE)
    reports = {1: one.finish()}
    for ranks in (2, 4):
        # Small buckets, so that there are several.
        run = Run(work, f"ranks-{ranks}", ranks, *CURVE, "--bucket-mb", 0.02)
        reports[ranks] = run.finish()
        compare(f"{ranks} ranks", run.out, reports[ranks], one.out, reports[1])
    again = Run(work, "again", 2, *CURVE, "--bucket-mb", 0.02)
    again.finish()
    if weights(again.out) != weights(work / "ranks-2"):
        sys.exit("2 ranks give other weights when run again")


def lost_ranks(work):
    whole = Run(work, "whole", 1, *LONG)
    wanted = whole.finish()
    cases = [("killed", 3, 1, signal.SIGKILL, 60, "rank 1 (", 2), ("hanging", 2, 1, signal.SIGSTOP, 60, "rank 1 (", 4),
             ("first killed", 2, 0, signal.SIGKILL, 60, "rank 0 (", 1)]
    for what, ranks, lost, how, limit, message, later in cases:
        out = what.replace(" ", "-")
        run = Run(work, out, ranks, *LONG, "--timeout", 6)
        run.wait_for_checkpoint(10)
        run.ranks[lost].send_signal(how)
        expect_stopped(what, run, lost, limit, message)
        last = checkpoints(run.out)[-1]
        if last >= 4 * STEPS:
            sys.exit(f"{what}: came too late, all was done")
        run = Run(work, out, later, *LONG, "--resume")
        report = run.finish()
        if report["first_step"] < 10:
            sys.exit(f"{what}: resumed at step {report['first_step']}, wanted that of a checkpoint")
        compare(f"{what}, {ranks} ranks resumed at {report['first_step']} with {later}", run.out, report, whole.out,
                wanted)
        if report["evaluations"] != wanted["evaluations"]:
            print(f"{what}: evaluations {report['evaluations']}, one rank: {wanted['evaluations']}")


def interrupted(work):
    run = Run(work, "interrupted", 2, *LONG)
    run.wait_for_checkpoint(10)
    run.ranks[1].send_signal(signal.SIGTERM)  # one rank alone
    for rank, (status, _, messages) in enumerate(run.wait()):
        if status != 130:
            sys.exit(f"interrupted: rank {rank}: exit status {status}, wanted 130:\n{messages}")
    if not checkpoints(run.out)[-1] > 10:
        sys.exit(f"interrupted: checkpoints {checkpoints(run.out)}, wanted one of the moment")
    run = Run(work, "interrupted", 3, *LONG, "--resume")
    report = run.finish()
    print(f"interrupted: a signal to one rank stopped both, resumed at {report['first_step']} with 3", flush=True)


def interrupted_while_scoring(work):
    """SIGTERM to either rank while rank 0 scores a held-back split that takes seconds: both stop, and the run that goes
    on ends with the bits of one that was never stopped."""
    work = work / "scoring"
    work.mkdir()
    write_inputs(work)
    dev = work / "data" / "dev.tsv"
    dev.write_text(dev.read_text(encoding="utf-8") * 100, encoding="utf-8")
    options = ("--max-steps", 30, "--eval-steps", 10)
    whole = Run(work, "whole", 2, *options)
    wanted = whole.finish()
    for signalled, stopped_at in ((0, 20), (1, 21)):  # rank 1 is heard when rank 0 has scored, in the step after
        run = Run(work, f"to-{signalled}", 2, *options)
        wait_for_logged_step(run, 20)  # logged before its scoring begins
        run.ranks[signalled].send_signal(signal.SIGTERM)
        for rank, (status, _, messages) in enumerate(run.wait()):
            if status != 130:
                sys.exit(f"scoring, signal to rank {signalled}: rank {rank}: exit status {status}, wanted 130:\n{messages}")
        if checkpoints(run.out) != [stopped_at]:
            sys.exit(f"scoring, signal to rank {signalled}: checkpoints {checkpoints(run.out)}, wanted {stopped_at}")
        state = json.loads(
            pathlib.Path(f"{run.out}.training/checkpoint-{stopped_at}/trainer_state.json").read_text())
        if state["evaluated"] != (signalled == 1):
            sys.exit(f"scoring, signal to rank {signalled}: \"evaluated\" is {state['evaluated']}")
        report = Run(work, f"to-{signalled}", 2, *options, "--resume").finish()
        if weights(run.out) != weights(whole.out) or report["evaluations"] != wanted["evaluations"]:
            sys.exit(f"scoring, signal to rank {signalled}: resumed to other weights or scores: "
                     f"{report['evaluations']}, wanted {wanted['evaluations']}")
        print(f"scoring: SIGTERM to rank {signalled} stopped both at step {stopped_at}, resumed to the same bits", flush=True)


def refused(work):
    def expect(what, run, statuses, message):
        for rank, (found, output, messages) in enumerate(run.wait()):
            if found != statuses[rank] or message not in messages:
                sys.exit(f"{what}: rank {rank}: exit status {found}, wanted {statuses[rank]} and \"{message}\":\n"
                         f"{output}{messages}")
        print(f"{what}: refused", flush=True)

    expect("a malformed variable", Run(work, "bad", 2, *CURVE, environment={0: {"RANK": "x"}, 1: {"RANK": "2"}}),
           (2, 2), "RANK")
    # Rank 0 alone looks; the others repeat what it found.
    expect("a result that is there", Run(work, "one", 2, *CURVE), (2, 6), "is there already")


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        write_inputs(work)
        require_gloo()
        same_curve(work)
        lost_ranks(work)
        interrupted(work)
        interrupted_while_scoring(work)
        refused(work)


if __name__ == "__main__":
    main()
