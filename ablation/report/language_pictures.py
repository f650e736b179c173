"""The pictures of what a language model gets: against one setting, and quality against diversity."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablation.config.decoding import Decoding
from ablation.report.axes import INK, OURS, PUBLISHED, VALIDATION, capital, new_figure
from ablation.report.language_comparisons import Compared
from ablation.report.language_corpus import Between
from ablation.report.language_runs import Configuration, in_order

AGAINST = ("n_heads", "n_layers", "blocks")  # settings that have a picture of their own
BLEU = (("forward_bleu", OURS), ("backward_bleu", VALIDATION), ("harmonic_bleu", "C4"))
PERPLEXITY = (("validation_perplexity", VALIDATION), ("test_perplexity", OURS))
MARKERS = "osD^vP*X"
MODELS = 4  # in the picture of forward against backward BLEU: more are not told apart


def against_setting(compared: Compared) -> tuple[Figure, str] | None:
    """Perplexity, and BLEU below, for each value of the setting."""
    sides, way = compared.sides, common_way([side for _, side in compared.sides])
    figure, grid = new_figure(3.2 if way is None else 5.2, 1, 1 if way is None else 2, sharex=True)
    beside = _draw_lines(grid[0, 0], sides, PERPLEXITY, None)
    grid[0, 0].set_ylabel("perplexity")
    if way is not None:
        beside |= _draw_lines(grid[1, 0], sides, BLEU, way)
        grid[1, 0].set_ylabel("BLEU")
    names = [value.replace(",", ", ") for value, _ in sides]
    grid[-1, 0].set_xticks(range(len(sides)), names, fontsize=9)
    grid[-1, 0].set_xlabel(compared.setting.replace("n_", "").replace("layers", "blocks"))
    for axes in grid[:, 0]:
        axes.grid(alpha=0.25)
        axes.margins(x=0.08, y=0.12)
        _legend(axes)
    spoken = "" if way is None else f", and BLEU of sentences by {way.describe()}"
    diamonds = "; diamonds: as published" if beside else ""
    return figure, f"{capital(compared.title)}: perplexity{spoken}, means over seeds with intervals{diamonds}."


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=9)


def _draw_lines(
    axes: Axes,
    sides: Sequence[tuple[str, Configuration]],
    columns: Sequence[tuple[str, str]],
    way: Decoding | None,
) -> bool:
    """A line for each figure; whether a published one stands beside."""
    beside = False
    for column, colour in columns:
        found = [side.trained(column) if way is None else side.spoken(way, column) for _, side in sides]
        points = [(place, figure) for place, figure in enumerate(found) if figure is not None]
        axes.plot([p for p, _ in points], [f.mean for _, f in points], "o-", color=colour, ms=4,
                  label=column.removesuffix("_perplexity").removesuffix("_bleu"))  # fmt: skip
        for place, figure in points:
            if figure.interval is not None:
                axes.plot([place] * 2, figure.interval, color=colour, lw=2.5, alpha=0.5)
        for place, (_, side) in enumerate(sides):
            if (published := side.published_figure(column, way)) is not None:
                axes.plot(place, published, "D", mfc="none", mec=PUBLISHED, mew=1.4, ms=7)
                beside = True
    return beside


def common_way(configurations: Sequence[Configuration]) -> Decoding | None:
    """The first way of decoding in which all of them spoke."""
    shared = set.intersection(*(set(one.ways) for one in configurations))
    return in_order(shared)[0] if shared else None


# ---- quality against diversity ---------------------------------------------------------------------------------------


def forward_backward(configurations: Sequence[Configuration], real: Between | None) -> tuple[Figure, str] | None:
    """Forward against backward BLEU: a sign for each way of decoding, its temperatures joined.

    Args:
        real: of the validation split's sentences against the test split's.
    """
    spoke = [one for one in configurations if one.ways][:MODELS]
    if not spoke:
        return None
    figure, grid = new_figure(4.6)
    axes = grid[0, 0]
    cuts = list(dict.fromkeys(_cut(way) for one in spoke for way in one.ways))
    for number, one in enumerate(spoke):
        axes.plot([], [], color=f"C{number}", lw=3, label=one.label)
        for cut in cuts:
            _draw_temperatures(axes, one, [way for way in one.ways if _cut(way) == cut],
                               f"C{number}", MARKERS[cuts.index(cut) % len(MARKERS)], named=number == 0)  # fmt: skip
    for number, cut in enumerate(cuts):
        axes.plot([], [], MARKERS[number % len(MARKERS)], color=INK, mfc="none", label=cut)
    if real is not None:
        axes.plot(real.backward, real.forward, "P", color=PUBLISHED, ms=9, label="real: validation split")
    axes.set(xlabel="backward BLEU: how much of what people say is said", ylabel="forward BLEU: how well it is said")
    axes.margins(0.12)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside upper left", ncols=2, fontsize=9)
    left_out = f" The first {MODELS} of {len(configurations)} rows." if len(configurations) > len(spoke) else ""
    caption = (
        "Quality against diversity: forward against backward BLEU on the test split. The temperatures of one way of"
        f" decoding are joined, and said of the first row; means over seeds.{left_out}"
    )
    return figure, caption


def _draw_temperatures(
    axes: Axes, one: Configuration, ways: Sequence[Decoding], colour: str, marker: str, *, named: bool
) -> None:
    """A sign for each temperature of one way of decoding, with its number if ``named``."""
    points = []
    for way in ways:
        forward, backward = one.spoken(way, "forward_bleu"), one.spoken(way, "backward_bleu")
        if forward is not None and backward is not None:
            points.append((backward.mean, forward.mean, f"{way.temperature:g}"))
    if not points:
        return
    x, y, _ = zip(*points, strict=True)
    axes.plot(x, y, marker=marker, color=colour, ms=6, lw=1, mfc="none")
    for place in points if named else []:
        axes.annotate(place[2], place[:2], xytext=(5, 3), textcoords="offset points", fontsize=7.5)


def _cut(way: Decoding) -> str:
    """A way of decoding without its temperature."""
    return way.describe().partition(" at temperature")[0]
