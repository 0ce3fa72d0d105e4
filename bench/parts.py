"""What each part of LoGo is worth, and each corrected fault of the earlier code: CIFAR-10, three seeds, at equal compute.

    python bench/hold_out.py DIR/cifar-10-binary.tar.gz HELD_OUT                                # needs numpy and Pillow
    python bench/parts.py OUT --data-dir DIR --held-out HELD_OUT [--device cuda --lanes 6]      # needs nothing

First each framework's rate is found, plain and under LoGo alike, and plain the crops too, on HELD_OUT. Then every variant is
trained with it. A sweep for each variant lies in OUT/sweeps and its runs in OUT/runs; --lanes says how many are trained at once.
The same call goes on where it was stopped. OUT/parts.md gets the tables, OUT/parts.json every figure.
"""
import argparse
import collections
import concurrent.futures
import functools
import json
import math
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
SEEDS = [0, 1, 2]
RATES = {"muon": [0.04, 0.1, 0.25], "sgd": [0.2, 0.5, 1.2]}
PRESET = "cifar10-cpu-hour"
SHARED = ["compute.precision=bf16", "eval.every=0", "eval.floors=false"]
# A plain update passes two views of 24 pixels an image, one under LoGo two of 12 besides: a quarter more.
EPOCHS = {"plain": 5, "logo": 4}
PLAIN = ["framework.logo=false"]
WIDER = PLAIN + ["views.global.area=[0.2, 1.0]"]
SGD = ["optimizer.name=sgd", "optimizer.momentum=0.9"]
FOLLOWED = ["framework.momentum.base=0.99"]
FRAMEWORKS = {
    "simsiam": ["framework.name=simsiam", "model.projector.dim=256", "model.predictor.hidden=64"],
    "moco": ["framework.name=moco", *FOLLOWED],
    "byol": ["framework.name=byol", *FOLLOWED, "framework.momentum.rises=true", "model.projector.norm=hidden",
             "model.predictor.hidden=256"],
    "simclr": [],
}
# Under SGD alone does a separate step's bound mean anything: Muon gives every step the same size.
UNDER_SGD = ["moco", "simclr"]
AUTHORS_AFFINITY = ["affinity.pairs=both-orders", "affinity.normalise=true", "affinity.noise=0.3", "affinity.depth=2",
                    "affinity.width=256"]
AUTHORS = AUTHORS_AFFINITY + ["affinity.lambda=1.0", "affinity.step=separate", "affinity.lr=0.03"]
# Such a step has weight decay and a velocity of its own: what it does where L_ll weighs nothing.
WITHOUT_LOCAL_LOCAL = AUTHORS + ["affinity.lambda=0"]
LOCAL_LOCAL = {
    "+ L_lg": ["affinity.lambda=0"],
    "+ L_ll, λ = 0.01": ["affinity.lambda=0.01"],
    "+ L_ll, λ = 0.1": ["affinity.lambda=0.1"],
    "+ L_ll, λ = 1": ["affinity.lambda=1"],
    "+ L_ll, difference, λ = 0.1": ["affinity.lambda=0.1", "affinity.objective=difference"],
    "+ L_ll, cosine, λ = 0.1": ["affinity.lambda=0.1", "affinity.form=cosine", "affinity.objective=difference"],
}
# Whether the encoder is ahead of f_d, or f_d of the encoder.
AFFINITIES = {
    "+ L_lg": ["affinity.lambda=0"],
    "+ L_ll, λ = 0.1": ["affinity.lambda=0.1"],
    "+ L_ll, λ = 0.1, f_d ten times as fast": ["affinity.lambda=0.1", "affinity.lr=1e-2"],
    "+ L_ll, λ = 0.1, the authors' f_d": AUTHORS_AFFINITY + ["affinity.lambda=0.1", "affinity.lr=1e-2"],
}
# Faults are offered under their own preset alone, which keeps its λ of 1e-4 and here gets the other runs' views, networks and
# optimiser.
FAULTY_PRESET = "cifar10-seed"
AS_THE_OTHERS = [
    "data.std=[0.2470, 0.2435, 0.2616]", "views.global.size=24", "views.global.area=[0.3, 1.0]", "views.local.size=12",
    "views.local.area=[0.08, 0.4]", "model.width=32", "model.projector.hidden=256", "framework.terms=mean",
    "affinity.objective=softplus", "affinity.lr=1e-3", "optimizer.name=muon", "optimizer.momentum=0.8",
    "optimizer.batch_size=256", "optimizer.weight_decay=5e-4", "optimizer.warmup_epochs=0.5", "optimizer.schedule_per=step",
    "eval.features=backbone", "seed_code.one_sided_global_global=false", "seed_code.leak_local_local_gradient=false",
    "seed_code.self_negatives=false", "seed_code.drop_last_bank_batch=false",
]
FAULTS = {
    "none": [],
    "L_gg in one direction": ["seed_code.one_sided_global_global=true"],
    "L_ll's gradient leaks into f_d": ["seed_code.leak_local_local_gradient=true"],
    "an image is its own negative": ["seed_code.self_negatives=true"],
    "std of each image's own": ["data.std=[0.2023, 0.1994, 0.2010]"],
    "the bank's last batch is lost": ["seed_code.drop_last_bank_batch=true"],
    "the projector's features": ["eval.features=projector"],
}


class Variant:
    """A sweep of one setting: its file, its runs, and what they reached."""

    def __init__(self, folder, group, name, settings, grid, rate_of=None, preset=PRESET):
        self.group, self.name, self.settings, self.grid = group, name, settings, grid
        # The framework and side whose rate it takes, or looks for; and what it is laid over.
        self.rate_of, self.preset = rate_of, preset
        slug = "".join(c if c.isalnum() or c in ".-" else "-" for c in f"{group}-{name}".replace("λ = ", ""))
        self.slug = "-".join(filter(None, slug.split("-")))
        self.file = folder / "sweeps" / f"{self.slug}.toml"
        self.runs = folder / "runs" / self.slug

    def write(self):
        listed = ",\n".join(f"    {json.dumps(setting)}" for setting in self.settings)
        grid = "\n".join(f'"{key}" = {values}' for key, values in self.grid.items())
        text = f'preset = "{self.preset}"\nset = [\n{listed},\n]\n\n[[variant]]\nname = "run"\n\n[grid]\n{grid}\n'
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text)

    @functools.cached_property
    def ended(self):
        """Of each run that ended: its grid's value, accuracies by k, and the means of its last epoch; read once."""
        found = {}
        for log in sorted(self.runs.glob("run-*/metrics.jsonl")):
            lines = log.read_text().splitlines()
            knn, epochs = ([json.loads(line) for line in lines if f'"kind":"{kind}"' in line] for kind in ("knn", "epoch"))
            if knn and (log.parent / "weights.safetensors").exists():
                value = float(log.parent.name.rsplit("-", 1)[1])
                found[value] = {result["k"]: 100 * result["top1"] for result in knn[-1]["results"]}, epochs[-1]
        return found

    def reached(self):
        """Of each run that ended: its grid's value, and accuracies by k."""
        return {value: accuracies for value, (accuracies, _) in self.ended.items()}

    def as_json(self):
        runs = {value: {"knn": accuracies, "last epoch": epoch} for value, (accuracies, epoch) in self.ended.items()}
        return {"preset": self.preset, "settings": self.settings, "runs": runs}


class Bench:
    """The program, and the time that it may take."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.ends = time.monotonic() + arguments.budget
        self.begun = time.monotonic()

    def train(self, variant, data_dir):
        """Whether the sweep came to its end."""
        variant.write()
        given = self.arguments
        words = [given.binary, "sweep", variant.file, "--out", variant.runs, "--data-dir", data_dir, "--device", given.device,
                 "--no-pictures", "--checkpoint-every", "1000000", "--quiet"]
        left = self.ends - time.monotonic()
        if left < 5:
            return False
        with open(variant.file.with_suffix(".log"), "a") as log:
            process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log)
            try:
                code = process.wait(left)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                code = process.wait()
        how = "done" if code == 0 else f"ended with {code}"
        print(f"[{time.monotonic() - self.begun:4.0f} s] {variant.slug}: {how}", flush=True)
        return code == 0

    def train_all(self, variants, data_dir):
        with concurrent.futures.ThreadPoolExecutor(self.arguments.lanes) as lanes:
            return all(list(lanes.map(lambda variant: self.train(variant, data_dir), variants)))


def kinds():
    """Every framework and optimiser: its name and settings."""
    for framework, settings in FRAMEWORKS.items():
        yield framework, "muon", settings
        if framework in UNDER_SGD:
            yield f"{framework}, SGD", "sgd", settings + SGD


# Settings of every run, and how many of CIFAR-10's images they train on.
SIZES = {
    "full": ([], 40_000),
    "small": (["model.width=16", "optimizer.batch_size=128"], 20_000),
    "smoke": (["model.width=8", "optimizer.batch_size=64", "data.dataset=folder"], 0),
}


def sized(size, side, limit=None):
    settings, of_size = SIZES[size]
    return SHARED + settings + [f"data.limit={of_size if limit is None else limit}", f"optimizer.epochs={EPOCHS[side]}"]


def tuning(folder, size):
    """For each kind and side, the sweeps over rates, each after the settings that go with its side."""
    sides = {"plain": ("plain", PLAIN), "plain, wider crops": ("plain", WIDER), "LoGo": ("logo", ["affinity.lambda=0"])}
    for kind, optimiser, settings in kinds():
        for name, (side, of_side) in sides.items():
            if optimiser == "sgd" and side == "plain":
                continue
            # All held-out images: a folder comes in the order of its classes, of which a limit would leave out some.
            every = sized(size, side, limit=0) + ["data.dataset=folder", "seed=7"] + settings + of_side
            grid = {"optimizer.lr": RATES[optimiser]}
            yield of_side, Variant(folder, f"tune, {kind}", name, every, grid, (kind, side))


def best(tuned, given):
    """By kind and side: the rate, the settings beside it and the accuracies, of the best at k = 20; or what is given."""
    chosen = {key: (rate, PLAIN if key[1] == "plain" else [], {}) for key, rate in given.items()}
    for of_side, variant in tuned:
        key = variant.rate_of
        for rate, accuracies in variant.reached().items():
            if key not in chosen or accuracies[20] > chosen[key][2][20]:
                chosen[key] = rate, of_side, accuracies
    return chosen


def parts(folder, chosen, size, grid):
    for kind, optimiser, settings in kinds():
        def variant(name, side, more):
            rate = chosen[kind, side][0]
            every = sized(size, side) + settings + more + [f"optimizer.lr={rate}"]
            return Variant(folder, kind, name, every, grid, (kind, side))
        if optimiser == "sgd":
            yield variant("+ L_lg", "logo", LOCAL_LOCAL["+ L_lg"])
            yield variant("+ L_ll, separate step", "logo", AUTHORS)
            yield variant("separate step without L_ll", "logo", WITHOUT_LOCAL_LOCAL)
            continue
        yield variant("plain", "plain", chosen[kind, "plain"][1])
        for name, more in LOCAL_LOCAL.items():
            yield variant(name, "logo", more)


def longer(folder, chosen, size, grid):
    """Whether what is found after few epochs stands after four times as many."""
    settings = {"plain": ("plain", chosen["simclr", "plain"][1])}
    settings |= {name: ("logo", LOCAL_LOCAL[name]) for name in ("+ L_lg", "+ L_ll, λ = 0.1")}
    for name, (side, more) in settings.items():
        rate = chosen["simclr", side][0]
        every = sized(size, side) + more
        every += [f"optimizer.epochs={4 * EPOCHS[side]}", f"optimizer.lr={rate}"]
        yield Variant(folder, "simclr, four times as long", name, every, grid, ("simclr", side))


def affinities(folder, chosen, size, grid):
    """Whether L_ll is worth more with an f_d that keeps up with the encoder."""
    for name, more in AFFINITIES.items():
        every = sized(size, "logo") + more + [f"optimizer.lr={chosen['simclr', 'logo'][0]}"]
        yield Variant(folder, "simclr, f_d", name, every, grid, ("simclr", "logo"))


def faults(folder, chosen, size, grid):
    rate = chosen["simsiam", "logo"][0]
    settings = AS_THE_OTHERS + FRAMEWORKS["simsiam"] + [f"optimizer.lr={rate}"]
    for name, more in FAULTS.items():
        every = settings + sized(size, "logo") + more
        yield Variant(folder, "faults", name, every, grid, ("simsiam", "logo"), FAULTY_PRESET)


def two_sided(t, freedom):
    """The probability of a t at least so far from 0, by Simpson's rule over the density's middle."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    steps = 2000
    width = abs(t) / steps
    density = [scale * (1 + (i * width) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(steps + 1)]
    middle = width / 3 * (density[0] + density[-1] + 4 * sum(density[1:-1:2]) + 2 * sum(density[2:-1:2]))
    return max(0.0, 1 - 2 * middle)


def paired(ours, other, k):
    """Our accuracy less the other's, seed by seed."""
    return [ours[seed][k] - other[seed][k] for seed in ours if seed in other]


def tested(differences):
    """Mean and spread of differences, and the probability of such a mean where there is none."""
    if len(differences) < 2:
        return ["", ""]
    mean, spread = statistics.mean(differences), statistics.stdev(differences)
    t = mean / (spread / math.sqrt(len(differences))) if spread else math.inf
    p = two_sided(t, len(differences) - 1) if spread else 0.0
    return [f"{mean:+.2f} ± {spread:.2f}", f"{p:.3f}" if p >= 0.001 else "< 0.001"]


def spread(values):
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} %" if len(values) > 1 else f"{values[0]:.2f} %"


def rows(head, lines):
    """A table, whose first column alone is words; nothing where it has no line."""
    return lines and "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] + ["---:"] * (len(head) - 1), *lines])


def table(variants):
    """What every variant reached."""
    found = [(variant, list(variant.reached().values())) for variant in variants]
    lines = [[f"{variant.group}: {variant.name}", str(len(runs)), *(spread([run[k] for run in runs]) for k in (1, 20, 200))]
             for variant, runs in found if runs]
    return rows(["", "seeds", "k = 1", "k = 20", "k = 200"], lines)


def beside(base, variants):
    """Every other variant of a group beside the one of that name, seed by seed."""
    found = {(variant.group, variant.name): variant.reached() for variant in variants}
    lines = []
    for (group, name), ours in found.items():
        other = found.get((group, base))
        if other and name not in (base, "plain") and len(paired(ours, other, 1)) > 1:
            cells = [cell for k in (1, 20) for cell in tested(paired(ours, other, k))]
            lines.append([f"{group}: {name}", str(len(paired(ours, other, 1))), *cells])
    return rows([f"beside {base}", "pairs", "k = 1", "p", "k = 20", "p"], lines)


def pooled(variants):
    """The same over the seeds of several frameworks: those with negatives and those without."""
    found = {(variant.group, variant.name): variant.reached() for variant in variants}
    names = list(dict.fromkeys(variant.name for variant in variants))
    lines = []
    for groups in (["simclr", "moco"], ["byol", "simsiam"]):
        for base in ("plain", "+ L_lg"):
            for name in names[names.index(base) + 1:] if base in names else []:
                pairs = [(found[group, name], found[group, base]) for group in groups if (group, name) in found]
                by_k = {k: [d for ours, others in pairs for d in paired(ours, others, k)] for k in (1, 20)}
                if len(by_k[1]) > 3:
                    cells = [cell for k in (1, 20) for cell in tested(by_k[k])]
                    lines.append([f"{' and '.join(groups)}: {name}, beside {base}", str(len(by_k[1])), *cells])
    return rows(["over two frameworks", "pairs", "k = 1", "p", "k = 20", "p"], lines)


WATCHED = {"cos_gg": "cosine of global views", "cos_ll": "cosine of local views", "affinity_same": "f_d of one image",
           "affinity_different": "f_d of two", "grad_norm": "norm of the gradient"}


def watch_table(variants):
    """What the last epoch's means say of views, f_d and gradients."""
    lines = []
    for variant in variants:
        epochs = [epoch for _, epoch in variant.ended.values()]
        if epochs:
            cells = [f"{statistics.mean(epoch[key] for epoch in epochs):.3f}" if key in epochs[0] else "" for key in WATCHED]
            lines.append([f"{variant.group}: {variant.name}", *cells])
    return rows(["the last epoch's means", *WATCHED.values()], lines)


def rates_table(tuned, chosen):
    lines = []
    for _, variant in tuned:
        for rate, accuracies in variant.reached().items():
            is_chosen = "yes" if chosen[variant.rate_of][2] == accuracies else ""
            cells = [f"{rate:g}", f"{accuracies[1]:.2f} %", f"{accuracies[20]:.2f} %", is_chosen]
            lines.append([f"{variant.rate_of[0]}: {variant.name}", *cells])
    return rows(["on the held-out images", "rate", "k = 1", "k = 20", "chosen"], lines)


# What there is to train.
GROUPS = {"parts": parts, "faults": faults, "affinities": affinities, "longer": longer}


def rates(known=()):
    """What is known by framework and side; elsewhere a placeholder, for variants that are not wanted."""
    return collections.defaultdict(lambda: (0.1, [], {}), known)


def planned(arguments, chosen):
    """The variants that are wanted, with these rates and seeds."""
    grid = {"seed": arguments.seeds}
    every = (variant for group in arguments.groups for variant in GROUPS[group](arguments.out, chosen, arguments.size, grid))
    return [variant for variant in every if arguments.only.search(variant.slug)]


def wanted(arguments, given):
    """The sweeps over rates that those variants need, but for rates that are given."""
    needed = {variant.rate_of for variant in planned(arguments, rates())} - set(given)
    return [entry for entry in tuning(arguments.out, arguments.size) if entry[1].rate_of in needed]


def known_rate(text):
    """`simclr:logo=0.1` as a kind, a side and a rate."""
    key, rate = text.rsplit("=", 1)
    kind, side = key.rsplit(":", 1)
    return (kind, side), float(rate)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--binary", type=pathlib.Path, default=HERE.parent / "target/release/logo-ssl")
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    parser.add_argument("--held-out", type=pathlib.Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--lanes", type=int, default=1, help="sweeps at once")
    parser.add_argument("--budget", type=float, default=math.inf, help="seconds; the same call then goes on")
    parser.add_argument("--size", choices=SIZES, default="full",
                        help="small: a narrower network and half of the images; smoke: HELD_OUT alone, which may be few")
    parser.add_argument("--groups", nargs="*", choices=GROUPS, default=list(GROUPS), help="what is trained [all]")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), metavar="EXPRESSION",
                        help="variants in whose folder's name it is found")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--rates", nargs="*", type=known_rate, default=[], metavar="KIND:SIDE=RATE",
                        help="rates that are known, for example simsiam:logo=0.04, and are not looked for")
    return parser.parse_args()


def main():
    arguments = read_arguments()
    out = arguments.out
    bench = Bench(arguments)
    given = dict(arguments.rates)
    tuned = wanted(arguments, given)
    if not bench.train_all([variant for _, variant in tuned], arguments.held_out):
        sys.exit("not all rates are tried: the same call goes on")
    chosen = rates(best(tuned, given))
    variants = planned(arguments, chosen)
    whole = bench.train_all(variants, arguments.held_out if arguments.size == "smoke" else arguments.data_dir)
    tables = [table(variants), *(beside(base, variants) for base in ("plain", "+ L_lg", "none")), pooled(variants),
              watch_table(variants), rates_table(tuned, chosen)]
    (out / "parts.md").write_text("\n\n".join(filter(None, tables)) + "\n")
    figures = {variant.slug: variant.as_json() for variant in [variant for _, variant in tuned] + variants}
    (out / "parts.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    print((out / "parts.md").read_text())
    if not whole:
        sys.exit("not all is trained: the same call goes on")


if __name__ == "__main__":
    main()
