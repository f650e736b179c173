"""Labels in a picture that say which configuration a point is, in a few words."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from ablation.config.methods import HEAD, LINEAR_MAPS, own_settings
from ablation.report.placement import Box, place_labels
from ablation.report.table import TableRow

# What a flag means, where its value alone does not say it; other flags are said by their value or their name.
WORDS = {
    "--trainable_layers all": "all layers",
    "--trainable_layers lora": "LoRA",
    "--trainable_token_pos first": "first token",
    "--trainable_token_pos flexible": "last real token",
    "--weights random": "random weights",
    "--context_length model_context_length": "whole context",
    "--disable_causal_mask": "no causal mask",
    "--padding_side left": "left pads",
    "--mask_padding": "masked pads",
    "--shift_positions": "shifted positions",
    "--truncation_side left": "cut at the beginning",
    "--demo": "",
    "--method lora": "LoRA",
    "--method dora": "DoRA",
    "--method dylora": "DyLoRA",
    "--method ia3": "IA3",
    "--method bitfit": "biases",
    f"--lora_targets {'+'.join(LINEAR_MAPS)}": "",
    f"--lora_targets {'+'.join((*LINEAR_MAPS, HEAD))}": "classifier too",
    "--adapter_after both": "",
    "--adapter_after feed_forward": "feed-forward alone",
}
# What a row's method says by itself; of a variant every difference is told.
TOLD_BY_THEIR_METHOD = ("--lora_rank", "--lora_alpha", "--learning_rate", *(f"--{name}" for name in own_settings()))
TOLD_BESIDE = ("--lora_targets", "--adapter_after")
FLAG = re.compile(r'(--\w+)(?: ("[^"]*"|[^-\s]\S*))?')
LINE = 20  # characters
FONT_SIZE = 8.5
BAR = 2.0  # points: the width of a line that no label may cover
MARK, GAP, NEAR = 7.0, 2.0, 9.0  # points: a sign, the room round a label, and how far a label needs no line


def in_words(row: TableRow, most: int = 2) -> str:
    """``16 last real token``: a row's number and what it changes, at most so many things."""
    if row.row and not row.row.isdecimal():
        return f"{row.row} {re.split(r' [+]|,', row.description)[0]}"
    number, _, changes = row.name.partition(" with ")
    said = []
    for flag, value in FLAG.findall(row.description if row.row else changes):
        if not row.row or flag in TOLD_BESIDE or flag not in TOLD_BY_THEIR_METHOD:
            said.append(flag_in_words(flag, value.strip('"')))
    said = list(dict.fromkeys(filter(None, said)))
    text = ", ".join(said[:most]) + (" …" if len(said) > most else "")
    return f"{number if row.row else f'({number})'} {text or 'the defaults'}"


def flag_in_words(flag: str, value: str) -> str:
    if (known := WORDS.get(f"{flag} {value}".strip())) is not None:
        return known
    name = flag.removeprefix("--").replace("_", " ")
    if not value:
        return name
    is_name = value[0].isalpha() and len(value) > 4
    return value.partition(" (")[0].replace("_", " ") if is_name else f"{name} {value}"


def label_points(
    figure: Figure,
    axes: Axes,
    places: Sequence[tuple[float, float]],
    texts: Sequence[str],
    *,
    lines_matter: bool = True,
    bars: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
) -> bool:
    """Write each text near its place, in data coordinates, so that no two overprint.

    Args:
        bars: upright lines, by their ends in data coordinates, that no text may cover.
        lines_matter: whether a line to a label may run through no other label.

    Returns:
        Whether there was room; if not, nothing is written, and the figure should be drawn larger.
    """
    figure.draw_without_rendering()  # from here on everything is where it will be
    renderer, unit = figure.canvas.get_renderer(), figure.dpi / 72  # type: ignore[attr-defined]
    at = [tuple(axes.transData.transform(place) / unit) for place in places]
    labels: list[Annotation] = []
    sizes = []
    for place, text in zip(places, texts, strict=True):
        label = axes.annotate(
            textwrap.fill(text, LINE), place, (0, 0), textcoords="offset points", fontsize=FONT_SIZE, linespacing=1.05,
            ha="center", va="center", gid=f"label-{len(labels)}",
        )  # fmt: skip
        label.set_in_layout(False)
        extent = label.get_window_extent(renderer)
        labels.append(label)
        sizes.append((extent.width / unit + GAP, extent.height / unit + GAP))
    area = axes.get_window_extent(renderer)
    frame = Box(area.x0 / unit, area.y0 / unit, area.x1 / unit, area.y1 / unit)
    ends = [axes.transData.transform(bar) / unit for bar in bars]
    taken = [Box(low[0] - BAR / 2, low[1], high[0] + BAR / 2, high[1]) for low, high in ends]
    boxes = place_labels(at, sizes, frame, MARK, lines_matter=lines_matter, taken=taken)
    if boxes is None:
        for label in labels:
            label.remove()
        return False
    for label, place, box in zip(labels, at, boxes, strict=True):
        _move(axes, label, place, box)
    return True


def _move(axes: Axes, label: Annotation, place: tuple[float, float], box: Box) -> None:
    """Put a label into its box, with a line from its point if that is not near; all in points of the page."""
    x, y = place
    label.set_position(((box.left + box.right) / 2 - x, (box.bottom + box.top) / 2 - y))
    edge = box.nearest(place)
    if math.dist(place, edge) > NEAR:
        line = {"arrowstyle": "-", "lw": 0.6, "color": "#8a8f98", "shrinkA": 0, "shrinkB": 3}
        offset = edge[0] - x, edge[1] - y
        axes.annotate("", label.xy, offset, textcoords="offset points", arrowprops=line).set_in_layout(False)
