"""The pictures of a language model's training: losses and validation BLEU of what is compared, on shared axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablation.report.axes import INK, capital, new_figure
from ablation.report.language_comparisons import Compared
from ablation.report.language_runs import Configuration, Training

HARMONIC = "validation_harmonic_bleu"
SMOOTHED = 20  # parts of an epoch, each of which gives its mean
HEADROOM = 1.15  # of the highest validation loss: the first batches lie far above


def curves(compared: Compared) -> tuple[Figure, str] | None:
    """Training and validation loss of each side, and BLEU below where any measured it."""
    return draw_curves([(f"{value} (row {side.row})" if side.row else value, side) for value, side in compared.sides],
                       capital(compared.title))  # fmt: skip


def draw_curves(sides: Sequence[tuple[str, Configuration]], title: str) -> tuple[Figure, str] | None:
    """The picture; None where no side kept its losses."""
    sides = [(name, side) for name, side in sides if any(training.epochs is not None for training in side.trainings)]
    if not sides:
        return None
    with_bleu = any(_has_bleu(training) for _, side in sides for training in side.trainings)
    rows = 2 if with_bleu else 1
    figure, grid = new_figure(3.6 + 1.8 * (rows - 1) + 0.2 * ((len(sides) + 1) // 2), 1, rows, sharex=True)
    for number, (name, side) in enumerate(sides):
        colour = f"C{number % 10}"
        for training in side.trainings:
            _draw_training(list(grid[:, 0]), training, colour)
        grid[0, 0].plot([], [], color=colour, label=name)
    top = _highest([training for _, side in sides for training in side.trainings])
    if top is not None:
        grid[0, 0].set_ylim(top=top * HEADROOM)
    grid[0, 0].set_ylabel("loss")
    if with_bleu:
        grid[1, 0].set_ylabel("validation BLEU,\nharmonic")
    grid[-1, 0].set_xlabel("batches")
    for axes in grid[:, 0]:
        axes.grid(alpha=0.25)
    _keys(grid[0, 0], with_bleu=with_bleu)
    figure.legend(loc="outside upper left", ncols=2, fontsize=9)
    several = any(len(side.trainings) > 1 for _, side in sides)
    caption = (
        f"{title}: training loss (thin, means of a twentieth of an epoch) and validation loss after each epoch (dots)"
        f"{', with validation BLEU below' if with_bleu else ''}; a line for each {'seed' if several else 'run'}. The"
        " first batches lie above the frame."
    )
    return figure, caption


def _highest(trainings: Sequence[Training]) -> float | None:
    """The highest validation loss of all; None without a finite one."""
    tables = [training.epochs for training in trainings if training.epochs is not None]
    losses = np.concatenate([table["validation_loss"].to_numpy() for table in tables])
    finite = losses[np.isfinite(losses)]
    return float(finite.max()) if len(finite) else None


def _has_bleu(training: Training) -> bool:
    return training.epochs is not None and bool(np.isfinite(training.epochs[HARMONIC]).any())


def _keys(axes: Axes, *, with_bleu: bool) -> None:
    axes.plot([], [], "o", color=INK, mfc="none", ms=8, label="epoch that was kept")
    axes.plot([], [], "*", color=INK, ms=9, ls="", label="lowest loss, best BLEU" if with_bleu else "lowest loss")


def _draw_training(grid: Sequence[Axes], training: Training, colour: str) -> None:
    if training.losses is not None:
        smooth = smoothed(training.losses)
        grid[0].plot(smooth["step"], smooth["train_loss"], color=colour, lw=0.8, alpha=0.6)
    if training.epochs is None:
        return
    ends = epoch_ends(training)
    _draw_epochs(grid[0], training, ends, training.epochs["validation_loss"].to_numpy(), colour, best=np.nanargmin)
    if len(grid) > 1 and _has_bleu(training):
        _draw_epochs(grid[1], training, ends, training.epochs[HARMONIC].to_numpy(), colour, best=np.nanargmax)


def _draw_epochs(
    axes: Axes, training: Training, ends: np.ndarray, values: np.ndarray, colour: str, best: Callable[[np.ndarray], int]
) -> None:
    """A dot for each epoch, a ring around the one that was kept, a star on the best."""
    if not np.isfinite(values).any():
        return
    axes.plot(ends, values, "o-", color=colour, ms=3, lw=1.4)
    place = int(best(values))
    axes.plot(ends[place], values[place], "*", color=colour, ms=9)
    if 0 < training.epoch <= len(values) and np.isfinite(values[training.epoch - 1]):
        axes.plot(ends[training.epoch - 1], values[training.epoch - 1], "o", color=colour, mfc="none", ms=10)


def smoothed(losses: pd.DataFrame) -> pd.DataFrame:
    """``step``, ``train_loss``: means over a twentieth of an epoch, in none of which two epochs meet, so that a jump
    where an epoch begins stays one."""
    within = losses.groupby("epoch").cumcount()
    length = max(1, int(losses.groupby("epoch").size().max()) // SMOOTHED)
    return losses.groupby(["epoch", within // length], as_index=False)[["step", "train_loss"]].mean()


def epoch_ends(training: Training) -> np.ndarray:
    """Batches until the end of each epoch (E,); numbers of epochs where the run kept no losses."""
    assert training.epochs is not None
    numbers = training.epochs["epoch"].to_numpy()
    if training.losses is None:
        return numbers
    ends = training.losses.groupby("epoch")["step"].max() + 1
    return ends.reindex(numbers).to_numpy()
