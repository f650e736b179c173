"""Which configurations of a language model are compared: those that differ in one setting alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.config.generation import ALL_BLOCKS
from ablation.report.groups import DIGESTS
from ablation.report.language_runs import Configuration
from ablation.results.read import variant_key

SIZES = ("n_heads", "n_layers", "emb_dim")  # of the model, where the configuration leaves them to its weights
TITLES = {
    "weights": "from scratch or from pretrained blocks",
    "select_by": "chosen by perplexity or by BLEU",
    "shuffle": "a new order every epoch or none",
    "blocks": "which pretrained blocks",
    "n_heads": "how many heads",
    "n_layers": "how many blocks",
}


@dataclass(frozen=True)
class Compared:
    """Configurations that differ in one setting, each with its value of it; numbers ascending."""

    setting: str
    sides: Sequence[tuple[str, Configuration]]

    @property
    def title(self) -> str:
        return TITLES.get(self.setting, self.setting.replace("_", " "))

    @property
    def name(self) -> str:
        """Part of a file's name, another one for each comparison."""
        first = min((side for _, side in self.sides), key=lambda side: side.name)
        number = first.row or "v" + "".join(filter(str.isalnum, first.name))
        return f"{self.setting}_{number}"


def comparisons(configurations: Sequence[Configuration]) -> list[Compared]:
    """All of them, in the order of the configurations' first."""
    settings = dict.fromkeys(name for one in configurations for name in one.settings if name not in DIGESTS)
    found: list[tuple[int, Compared]] = []
    for setting in settings:
        alike: dict[str, list[int]] = {}
        for place, one in enumerate(configurations):
            rest = {name: value for name, value in one.settings.items() if name != setting}
            alike.setdefault(variant_key(rest), []).append(place)
        for places in alike.values():
            if len(places) > 1:
                sides = [(setting_text(configurations[place], setting), configurations[place]) for place in places]
                found.append((places[0], Compared(setting, sorted(sides, key=by_size))))
    return [compared for _, compared in sorted(found, key=lambda one: one[0])]


def by_size(side: tuple[str, Configuration]) -> tuple[float, str]:
    """Numbers by size, 1e-05 among them, before words in the order in which they came."""
    try:
        return float(side[0]), ""
    except ValueError:
        return math.inf, ""


def setting_text(configuration: Configuration, setting: str) -> str:
    """The value that a setting has in effect, said or not."""
    config = configuration.config
    if setting in SIZES:
        return str(getattr(config.shape, setting))
    if setting == "blocks":
        blocks = config.taken_blocks
        return f"all {len(blocks)}" if config.blocks == ALL_BLOCKS else ",".join(str(block + 1) for block in blocks)
    return str(getattr(config, setting)).replace("_", " ")
