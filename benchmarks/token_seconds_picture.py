"""The picture of ``token_seconds.py``: time of a token, attention's share by place, and by width."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from ablation.report.axes import INK, OURS, PUBLISHED, STYLE, VALIDATION, new_figure

PARTS = {"linear": ("projections, feed-forward", OURS), "attention": ("attention", PUBLISHED),
         "head": ("head", VALIDATION)}  # fmt: skip


def draw(results: dict[str, Any], path: Path) -> None:
    """Write it as SVG on white, so that it can be read on a dark page, too."""
    with plt.rc_context(STYLE):
        figure, axes = new_figure(9.5, rows=3)
        draw_seconds(axes[0, 0], results)
        draw_shares(axes[1, 0], results)
        draw_widths(axes[2, 0], results)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
        plt.close(figure)
    path.write_text("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n", encoding="utf-8")


def draw_seconds(axes: Axes, results: dict[str, Any]) -> None:
    places = [line["place"] for line in results["places"]]
    axes.plot(places, [1000 * sum(line["without"].values()) for line in results["places"]], color=INK, linestyle="--",
              marker="o", markersize=3, label="all, without kept states")  # fmt: skip
    axes.plot(places, [1000 * sum(line["one"].values()) for line in results["places"]], color=INK, marker="o",
              markersize=3, label="all, with kept states")  # fmt: skip
    for part, (label, color) in PARTS.items():
        seconds = [1000 * line["one"][part] for line in results["places"]]
        axes.plot(places, seconds, color=color, label=f"of these, {label}")
    axes.set(yscale="log", xlabel="token of the sentence, t", ylabel="milliseconds (log scale)",
             title="One token, one sentence")  # fmt: skip
    axes.set_ylim(top=150 * axes.get_ylim()[1])  # room for the legend
    axes.legend(fontsize=8, loc="upper left")


def draw_shares(axes: Axes, results: dict[str, Any]) -> None:
    places = [line["place"] for line in results["places"]]
    kinds = {
        "batch": (f"{results['batch_size']} sentences at once", PUBLISHED, "-"),
        "one": ("one sentence", OURS, "-"),
        "formula": ("multiply-adds, t / (t + 6d)", INK, ":"),
    }
    for kind, (label, color, style) in kinds.items():
        parts = [line[kind] for line in results["places"]]
        shares = [100 * some["attention"] / (some["attention"] + some["linear"]) for some in parts]
        axes.plot(places, shares, color=color, linestyle=style, label=label)
    axes.axhline(50, color=INK, linewidth=0.6)
    axes.set(ylim=(0, 100), xlabel="token of the sentence, t", ylabel="attention, % of the blocks' time",
             title="Above the line, attention dominates")  # fmt: skip
    axes.legend(fontsize=8, loc="upper left")


def draw_widths(axes: Axes, results: dict[str, Any]) -> None:
    """Stacked bars, a pair a width."""
    names = []
    for at, line in enumerate(results["widths"]):
        total, bottom = sum(line[part] for part in PARTS), 0.0
        for part, (label, color) in PARTS.items():
            percent = 100 * line[part] / total
            axes.bar(at, percent, bottom=bottom, color=color, width=0.7, label="" if at else label)
            bottom += percent
        names.append(f"d = {line['width']:,}\n× {1 if line['of'] == 'one' else results['batch_size']}")
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set(ylim=(0, 130), yticks=(0, 25, 50, 75, 100), ylabel="% of a token's time",
             title=f"By width, at token {results['place']:,}, × sentences at once")  # fmt: skip
    axes.legend(fontsize=8, loc="upper center", ncols=3)
