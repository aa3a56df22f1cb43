"""The same work in Evenkeel and in PyTorch with its curvature libraries, alternating in one run: medians and ratios.

    python benches/compare/compare.py EVENKEEL_BINARY [CASE ...] [--table standard|batches|depths|threads] [--json FILE]

A CASE is a part of a case's name; without one, all of the table. `--list` names them. Ratios are Evenkeel's time over the
other's: below 1 is faster. In each round every contender runs for about `--seconds`, one after the other, Evenkeel among
them; a contender that took over twice as long as the best of PyTorch's in the first round is not run again and its first
median stands. The result is the median of the rounds' medians.

The ways to compute a product are compared with each other first, in single precision: how far each is from the first is
printed where it is more than rounding. That Evenkeel's products are right is for the golden tests.

Install what is compared with `pip install -r benches/compare/requirements.txt`.
"""

import argparse
import dataclasses
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import warnings

import torch

import cases


def timed(run, seconds):
    """Median milliseconds of a call: of as many as take so long, and at least three."""
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return statistics.median(times) * 1e3


# What takes longer to prepare is kept from round to round.
KEPT_AFTER = 3.0

# Relative distance between two ways to compute a product in single precision that is rounding.
ROUNDING = 1e-3


class Contender:
    """A way to do the work; prepared anew for every round where that is quick, so that few hold memory at a time."""

    def __init__(self, name, prepare):
        self.name, self.prepare, self.medians, self.failure = name, prepare, [], None

    def round(self, seconds):
        try:
            before = time.perf_counter()
            run = self.prepare()
            run()
            if time.perf_counter() - before > KEPT_AFTER:
                self.prepare = lambda: run
            self.medians.append(timed(run, seconds))
            getattr(run, "release", lambda: None)()
        except Exception as error:  # A way that PyTorch does not have for this network.
            self.failure = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        gc.collect()

    @property
    def median(self):
        return statistics.median(self.medians) if self.medians else None


class Evenkeel(Contender):
    """Our side, in a process of its own; its measurement repeats for about a second."""

    def __init__(self, binary, case, threads):
        super().__init__("Evenkeel", None)
        self.command = [binary, "bench", "--json", "--threads", str(threads), *case.command()]

    def round(self, seconds):
        found = subprocess.run(self.command, capture_output=True, text=True)
        if found.returncode:
            self.failure = found.stderr.splitlines()[0] if found.stderr else f"exit code {found.returncode}"
        else:
            self.measured = json.loads(found.stdout)
            self.medians.append(self.measured["median_ms"])


def is_pytorch(contender):
    return contender.name.startswith("PyTorch")


def best(contenders):
    return min((contender for contender in contenders if contender.median is not None), key=lambda c: c.median, default=None)


def check(case):
    """Tells which ways to compute a product do not agree with the first, on a small batch."""
    if case.what not in ("hvp", "ggnvp"):
        return
    small, expected = dataclasses.replace(case, batch=8), None
    for name, prepare in small.contenders().items():
        try:
            run = prepare()
            found = torch.cat([part.detach().reshape(-1).contiguous() for part in run()])
            getattr(run, "release", lambda: None)()
        except Exception:  # Told when it is timed.
            continue
        if expected is None:
            first, expected = name, found
        off = float((found - expected).norm() / expected.norm())
        if off > ROUNDING:
            print(f"{case.name}: {name} is off from {first} by {off:.1e}, with 8 samples")


def compare(case, binary, options, threads):
    """Runs all rounds of one case, prints them, and gives them back."""
    torch.set_num_threads(threads)
    ours = Evenkeel(binary, case, threads)
    theirs = [Contender(name, prepare) for name, prepare in case.contenders().items()]
    print(f"{case.name}, {threads} thread{'s' if threads > 1 else ''}", flush=True)
    for number in range(options.rounds):
        ours.round(options.seconds)
        fastest = best(filter(is_pytorch, theirs))
        for contender in theirs:
            slow = number and contender.median and fastest and contender.median > 2 * fastest.median
            if not contender.failure and not slow:
                contender.round(options.seconds)
    for contender in [ours, *theirs]:
        if contender.failure:
            print(f"  {contender.name:44}  {contender.failure}")
        else:
            ratio = f"  {ours.median / contender.median:6.2f}" if ours.median and contender is not ours else ""
            print(f"  {contender.name:44}  {contender.median:10.3f} ms{ratio}")
    fastest = best(filter(is_pytorch, theirs))
    if ours.median and fastest:
        per = f", {ours.median / cases.BLOCK:.3f} ms a direction" if case.kind == "block" else ""
        print(f"  {'ratio to PyTorch at its best':44}  {ours.median / fastest.median:10.2f}{per}")
    sys.stdout.flush()
    return {
        "case": case.name, "threads": threads, "evenkeel": getattr(ours, "measured", None), "evenkeel_ms": ours.median,
        "ms": {contender.name: contender.median for contender in theirs},
        "failures": {contender.name: contender.failure for contender in theirs if contender.failure},
        "ratio": ours.median / fastest.median if ours.median and fastest else None,
    }


def summary(results):
    """The ratios of all cases, as they stand in benches/RESULTS.md."""
    print("\n| case | threads | Evenkeel | PyTorch's best | ratio |\n|---|---|---|---|---|")
    for result in results:
        if result["ratio"]:
            theirs = result["evenkeel_ms"] / result["ratio"]
            row = [result["case"], result["threads"], f"{result['evenkeel_ms']:.3f} ms", f"{theirs:.3f} ms", f"{result['ratio']:.2f}"]
            print(f"| {' | '.join(map(str, row))} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("case", nargs="*")
    parser.add_argument("--table", choices=["standard", "batches", "depths", "threads"], default="standard")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--skip-check", action="store_true", help="do not compare the results of products first")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    table = {"batches": cases.BATCHES, "depths": cases.DEPTHS}.get(options.table, cases.TABLE)
    chosen = [case for case in table if not options.case or any(part in case.name for part in options.case)]
    if options.list or not chosen:
        print("\n".join(case.name for case in table))
        return 0 if options.list else 2
    print(f"PyTorch {torch.__version__}, f32, {options.rounds} rounds of about {options.seconds} s; ratios are Evenkeel's time over theirs")
    results = []
    for case in chosen:
        if not options.skip_check:
            check(case)
        for threads in [1, 2] if options.table == "threads" else [options.threads]:
            results.append(compare(case, options.binary, options, threads))
    summary(results)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"torch": torch.__version__, "results": results}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
