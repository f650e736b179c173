"""Ways of choosing the next token: what the flags of decoding mean, and what such a way is called.

Temperature comes first, then the cut to the likeliest tokens, then the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GREEDY, RANDOM, TOP_K, TOP_P, TOP_K_TOP_P = "greedy", "random", "top_k", "top_p", "top_k_top_p"
WAYS = (GREEDY, RANDOM, TOP_P, TOP_K, TOP_K_TOP_P)
MEANT = {GREEDY: "argmax deterministic", RANDOM: "sample sampling multinomial ancestral pure", TOP_P: "nucleus p",
         TOP_K: "k", TOP_K_TOP_P: "top_p_top_k both"}  # fmt: skip


def short(number: float) -> str:
    """A number with as many digits as tell it from every other, so that two ways never share a name or a file."""
    return repr(number).removesuffix(".0")


@dataclass(frozen=True)
class Decoding:
    """One way of choosing the next token.

    Attributes:
        name: greedy (the likeliest), random (any), or which tokens it is drawn from.
        temperature: what the logits are divided by; 1 for greedy, where it changes nothing.
        top_k: only so many of the likeliest tokens can be drawn; None for all.
        top_p: only the likeliest tokens that together have at least this probability can be drawn, after the
            temperature and after ``top_k``; None for all.
    """

    name: str
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    @property
    def settings(self) -> dict[str, str | float | int | None]:
        """As the columns of the results have it."""
        return {
            "decoding": self.name, "temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p,
        }  # fmt: skip

    @property
    def file_stem(self) -> str:
        """What a file with its sentences is called."""
        return f"samples_{self.name}_{short(self.temperature)}"

    @property
    def cut_file_stem(self) -> str:
        """The same where another cut of the run has that name already."""
        return f"samples_{self.name}_{'_'.join(self._cuts)}_{short(self.temperature)}"

    @property
    def _cuts(self) -> list[str]:
        return [short(cut) for cut in (self.top_k, self.top_p) if cut is not None]

    def describe(self) -> str:
        """In a few words: ``top_p 0.9 at temperature 0.7``."""
        heat = "" if self.name == GREEDY else f" at temperature {short(self.temperature)}"
        return " ".join([self.name, *self._cuts]) + heat


def decodings(names: Sequence[str], temperatures: Sequence[float], top_k: int, top_p: float) -> tuple[Decoding, ...]:
    """Each of some ways at each of some temperatures; greedy has no temperature, and stands once."""
    found = []
    for name in names:
        cuts = {
            "top_k": top_k if name in (TOP_K, TOP_K_TOP_P) else None,
            "top_p": top_p if name in (TOP_P, TOP_K_TOP_P) else None,
        }
        heats = (1.0,) if name == GREEDY else temperatures
        found += [Decoding(name, heat, **cuts) for heat in heats]  # type: ignore[arg-type]
    return tuple(found)
