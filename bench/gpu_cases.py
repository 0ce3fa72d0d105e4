"""What gpu_jax.py and gpu_torch.py share: how a case is read, timed and told."""
import json
import statistics
import sys
import time

WARM_UP, GROUPS, STEPS = 3, 5, 6


def timed(run, count):
    """Seconds that each of `count` steps takes, and the last loss."""
    start = time.perf_counter()
    loss = run(count)
    return (time.perf_counter() - start) / count, loss.item()


def measure(case, prepare, peak_memory):
    """How fast the case's steps are. `prepare` makes a function that takes so many of them, waits and returns the last loss."""
    net, width, side, batch, mode = case.split(":")
    width, batch, sides = int(width), int(batch), [int(side) for side in side.split("/")]
    start = time.perf_counter()
    run = prepare(net, width, sides, batch, mode)
    timed(run, WARM_UP)
    warm_up = time.perf_counter() - start
    times, losses = zip(*(timed(run, STEPS) for _ in range(GROUPS)))
    seconds, peak = statistics.median(times), peak_memory()
    return {
        "images_per_second": batch / seconds,
        "ms": 1e3 * seconds,
        "warm_up_seconds": warm_up,
        "loss": losses[-1],
        "peak_memory_mib": peak / 2**20 if peak else None,
    }


def main(prepare, peak_memory, place, clean_up=lambda: None):
    """Measures the cases named on the command line, and prints one JSON line for each."""
    failed = False
    for case in sys.argv[1:]:
        try:
            found = measure(case, prepare, peak_memory)
        except Exception as error:  # The other cases are still worth their time.
            found, failed = {"error": f"{type(error).__name__}: {error}"[:500]}, True
        print(json.dumps({"case": case, **found, **place()}), flush=True)
        clean_up()
    sys.exit(failed)
