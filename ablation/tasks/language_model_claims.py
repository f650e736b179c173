"""What is claimed of the published language model's table, and which figures of our rows tell it.

The claims are the lines of the table ``language model`` in ``data/published_claims.csv``. One that compares ways of
decoding is asked of each published model that spoke in all of them: rows 1 to 4. Judged is what the file's relation
says, and where the words say a second thing as plainly, that, too (L7: training loss jumps; L10: backward BLEU). What
holds “on the whole” or “nearly always”, and “converges faster” beside a perplexity, is not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablation.config.decoding import RANDOM, TOP_K, TOP_P, Decoding, decodings
from ablation.config.generation import LanguageModelConfig
from ablation.config.generation_rows import GENERATION_ROWS
from ablation.results.claims import Claim, Part, Relation, read_claims
from ablation.results.published import published_language_model, spoken_name
from ablation.results.quantities import BestEpochs, Curve, Figure, LossJump, Quantity
from ablation.results.questions import Family, Side, Variant

# Differences up to these serve a reader equally well. Two trainings of one row that differ in the seed alone differ by
# about as much.
PERPLEXITY, LOSS, BLEU, SHARE = 0.2, 0.02, 0.01, 0.01
EPOCH_STEPS = 469  # 15,000 sentences in batches of 32: perplexity is looked at as seldom
CLAIMS = Family("Published claims", BLEU)

HARMONIC = Figure("harmonic BLEU", "harmonic_bleu", 3, BLEU, alike=("n_samples",))
FORWARD = Figure("forward BLEU", "forward_bleu", 3, BLEU, alike=("n_samples",))
BACKWARD = Figure("backward BLEU", "backward_bleu", 3, BLEU, alike=("n_samples",))
JUMP = LossJump("jump of the training loss where an epoch begins", 3, LOSS, batches=10)
QUANTITIES: Mapping[str, Quantity] = {
    "test_perplexity": Figure("test perplexity", "test_perplexity", 2, PERPLEXITY),
    "steps to a perplexity": Figure(
        "steps to a validation perplexity of 20", "steps_to_20", 0, EPOCH_STEPS, grain=EPOCH_STEPS
    ),
    "harmonic_bleu random 0.7": HARMONIC,
    "harmonic_bleu random 1.0": HARMONIC,
    "harmonic_bleu": HARMONIC,
    "forward_bleu": FORWARD,
    "epoch": BestEpochs(
        "epoch of the lowest validation perplexity, and of the highest BLEU",
        "validation_perplexity",
        "validation_harmonic_bleu",
    ),
    "validation_loss": Figure("validation loss", "validation_loss", 3, LOSS),
    "validation_perplexity curve": Curve(
        "validation perplexity, epoch by epoch", "validation_perplexity", "validation_perplexity", 2, PERPLEXITY
    ),
    "share of sentences that begin with an article": Figure(
        "share of sentences that begin with an article", "begins_with_article", 3, SHARE, alike=("n_samples",)
    ),
}
_SPEED = "python benchmarks/token_seconds.py, whose record is in docs/decoding.md, tells"
# Sides that are none of our rows: why, and what tells.
REASONS: Mapping[str, str] = {
    "train-dev / train-test / dev-test": "it is about the captions, not about runs; a test computes the three figures",
    "with cache": f"rows always keep keys and values; {_SPEED}",
    "long sequences": f"rows do not time attention by itself; {_SPEED}",
}

MODELS = ("1", "2", "3", "4")  # that spoke in all ways
COLD, HOT = "0.7", "1.0"
TEMPERATURES = (COLD, HOT)


def spoken(row: str, decoding: str, temperature: str) -> Variant:
    """A row's sentences of one way of decoding, cut as published."""
    usual = LanguageModelConfig()
    (way,) = decodings([decoding], [float(temperature)], usual.top_k, usual.top_p)
    return Variant(row, {}, _columns(way), way.describe())


def _columns(way: Decoding) -> dict[str, str]:
    """What tells its rows of the results from others, as they are written there."""
    return {name: str(value) for name, value in way.settings.items() if value is not None}


def language_model_claims() -> tuple[Claim, ...]:
    """See :func:`ablation.results.claims.read_claims`."""
    return read_claims("language model", CLAIMS, GENERATION_ROWS, QUANTITIES, REASONS, parts=_parts())


def _parts() -> Mapping[str, Sequence[Part]]:
    heated = [(row, decoding) for row in MODELS for decoding in (RANDOM, TOP_P, TOP_K)]
    cut = [(row, heat) for row in MODELS for heat in TEMPERATURES]
    by_heat = [(spoken(*one, COLD), spoken(*one, HOT)) for one in heated]
    best_heat = [(hot, cold) if "top_p" in hot.evaluation else (cold, hot) for cold, hot in by_heat]
    table = _Table(published_language_model())
    return {
        "L3": table.parts("harmonic_bleu", [(spoken("2", RANDOM, HOT), spoken("1", RANDOM, HOT))]),
        "L4": table.parts("harmonic_bleu", [(spoken("4", RANDOM, HOT), spoken("3", RANDOM, HOT))]),
        "L5": [  # of the rows that measure BLEU after each epoch
            Part(Variant(row, {}, evaluated="best perplexity"), Variant(row, {}, evaluated="best BLEU"))
            for row in ("3", "4")
        ],
        "L7": [*table.parts("validation_loss", [("2", "5")]), Part("2", "5", quantity=JUMP)],
        "L8": table.parts(
            "forward_bleu",
            [(spoken(row, RANDOM, heat), spoken(row, other, heat)) for row, heat in cut for other in (TOP_P, TOP_K)],
        ),
        "L9": table.parts("forward_bleu", [(spoken(row, TOP_P, heat), spoken(row, TOP_K, heat)) for row, heat in cut]),
        "L10": [
            *table.parts("forward_bleu", by_heat),
            *table.parts("backward_bleu", by_heat, BACKWARD, "<"),
        ],
        "L11": table.parts("harmonic_bleu", best_heat),
        "L13": table.parts("harmonic_bleu", [(spoken("6", RANDOM, COLD), spoken("2", RANDOM, COLD))]),
        "L14": table.parts("test_perplexity", [("9", row) for row in ("2", "7", "8")]),
        "L15": table.parts("validation_perplexity", [(row, "1") for row in ("7", "8")]),
        "L16": table.parts("test_perplexity", [("11", row) for row in ("1", "10", "12", "13", "14", "15", "16")]),
        "L17": table.parts(
            "harmonic_bleu", [(spoken("13", RANDOM, COLD), spoken(row, RANDOM, COLD)) for row in ("10", "16")]
        ),
        "L18": table.parts("begins_with_article", by_heat),
    }


@dataclass(frozen=True)
class _Table:
    """The published figures by row."""

    figures: Mapping[str, Mapping[str, str]]

    def parts(
        self,
        column: str,
        pairs: Iterable[tuple[Side, Side]],
        quantity: Quantity | None = None,
        relation: Relation | None = None,
    ) -> list[Part]:
        """Pairs with what is published of each."""
        return [
            Part(first, second, self._figure(column, first), self._figure(column, second), quantity, relation)
            for first, second in pairs
        ]

    def _figure(self, column: str, side: Side) -> str:
        row, way = (side.row, side.evaluation) if isinstance(side, Variant) else (side, {})
        name = spoken_name(column, way.get("decoding", ""), way.get("temperature", ""))
        return self.figures.get(row, {}).get(name, "")
