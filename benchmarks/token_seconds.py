"""Seconds that the t-th token of a sentence takes, with and without kept keys and values, and what they go to.

    python benchmarks/token_seconds.py [--record benchmarks/records/DATE_tokens] [--picture docs/token_seconds.svg]
    python benchmarks/token_seconds.py --drawn_from benchmarks/records/DATE_tokens --picture docs/token_seconds.svg

GPT-2 small with random weights, on which time does not depend; medians over ``--repeats``. Timed are the head, which is
applied to the last position alone in both ways, and attention (scores, their softmax, the mean of the values); the rest
is projections, feed-forward and what little there is beside. Next to them stand shares by the formula: with width d, B
blocks and V tokens in the vocabulary, the token at position t costs 12·B·d² multiply-adds for projections and
feed-forward, 2·B·d·t for attention and d·V for the head.

Attention's share also by width, at one place. Without kept states only one sentence at a time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from ablation.allocator import keep_freed_memory  # noqa: E402
from ablation.config.shapes import MODEL_SHAPES, ModelShape  # noqa: E402
from ablation.model.key_value_cache import KeyValueCache  # noqa: E402
from ablation.model.weights import WithoutDraws  # noqa: E402
from benchmarks.machine import seconds_of  # noqa: E402
from benchmarks.record import RAW, markdown_table, write_record  # noqa: E402
from benchmarks.token_seconds_picture import draw  # noqa: E402
from previous_chapters import GPTModel  # noqa: E402

SMALL = MODEL_SHAPES["gpt2-small (124M)"]
PLACES = (1, 10, 25, 50, 100, 200, 300, 450, 600, 800, 1000)
WIDTHS = (256, 768, 1280)
WIDTH_OF_A_HEAD = 64
PARTS = ("linear", "attention", "head")


Clock = Callable[[], float]


class Stopwatch:
    """Seconds by part; what is wrapped is timed each time it is called."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def timed(self, part: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def wrapper(*arguments: Any) -> Tensor:
            start = self.clock()
            result = function(*arguments)
            self.seconds[part] += self.clock() - start
            return result

        return wrapper

    def total(self, function: Callable[[], object]) -> dict[str, float]:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        start = self.clock()
        function()
        rest = self.clock() - start - sum(self.seconds.values())
        return {**self.seconds, "linear": rest}


class TimedCache(KeyValueCache):
    """Whose attention to kept positions and whose head are timed."""

    def __init__(self, watch: Stopwatch, model: GPTModel, beginning: Sequence[int], count: int, limit: int) -> None:
        self._watch = watch
        super().__init__(model, beginning, count, limit)

    def _attend(self, *tables: Tensor) -> Tensor:
        return self._watch.timed("attention", super()._attend)(*tables)

    def _head(self, x: Tensor) -> Tensor:
        return self._watch.timed("head", super()._head)(x)


def random_model(shape: ModelShape) -> GPTModel:
    with torch.device("meta"), WithoutDraws():
        model = GPTModel(shape)
    model = model.to_empty(device="cpu").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.02)
    return model


def median_parts(measure: Callable[[], dict[str, float]], repeats: int) -> dict[str, float]:
    measure()
    found = [measure() for _ in range(repeats)]
    return {part: statistics.median(some[part] for some in found) for part in PARTS}


def with_kept_states(model: GPTModel, place: int, sentences: int, repeats: int, clock: Clock) -> dict[str, float]:
    """The token at a place, counted from 1; those before it have been read."""
    watch, vocabulary = Stopwatch(clock), model.tok_emb.num_embeddings
    beginning = torch.arange(max(place - 1, 1)) % vocabulary
    cache = TimedCache(watch, model, beginning.tolist(), sentences, limit=len(beginning) + 1)
    tokens = torch.arange(sentences) % vocabulary

    def step() -> dict[str, float]:
        cache.length = place - 1  # the same place again
        return watch.total(lambda: cache.step(tokens))

    return median_parts(step, repeats)


@torch.no_grad()
def without(model: GPTModel, place: int, repeats: int, clock: Clock) -> dict[str, float]:
    """The whole beginning anew, and logits of its last position."""
    watch, tokens = Stopwatch(clock), torch.arange(place)[None] % model.tok_emb.num_embeddings
    attentions: list[Any] = [block.att for block in model.trf_blocks]
    for attention in attentions:
        attention.attend = watch.timed("attention", attention.attend)
    head = watch.timed("head", lambda x: model.out_head(model.final_norm(x[:, -1])))
    found = median_parts(lambda: watch.total(lambda: head(model.trf_blocks(model.embed(tokens)))), repeats)
    for attention in attentions:
        del attention.attend
    return found


def formula(shape: ModelShape, place: int) -> dict[str, float]:
    """Multiply-adds of one token with kept states."""
    return {
        "linear": 12.0 * shape.n_layers * shape.emb_dim**2,
        "attention": 2.0 * shape.n_layers * shape.emb_dim * place,
        "head": float(shape.emb_dim * shape.vocab_size),
    }


def of_width(width: int, shape: ModelShape) -> ModelShape:
    return ModelShape(shape.vocab_size, shape.context_length, width, shape.n_layers, width // WIDTH_OF_A_HEAD)


def measure(options: argparse.Namespace, shape: ModelShape = SMALL) -> dict[str, Any]:
    model, batch = random_model(shape), options.batch_size
    few, clock = max(options.repeats // 5, 1), seconds_of(options.cpu_time)
    places = [
        {
            "place": place,
            "one": with_kept_states(model, place, 1, options.repeats, clock),
            "batch": with_kept_states(model, place, batch, options.repeats, clock),
            "without": without(model, place, few, clock),
            "formula": formula(shape, place),
        }
        for place in options.places
    ]
    widths = []
    for width in options.widths:
        model = random_model(of_width(width, shape))
        for name, sentences in (("one", 1), ("batch", batch)):
            found = with_kept_states(model, options.place, sentences, options.repeats, clock)
            widths.append({"width": width, "of": name, **found})
    counted = "processor, one thread" if options.cpu_time else "wall"
    setting = {"time": counted, "batch_size": batch, "place": options.place, "width": shape.emb_dim}
    return {**setting, "places": places, "widths": widths}


def share(parts: dict[str, float], without_head: bool = False) -> float:
    """Of attention, of all or of the blocks alone."""
    return parts["attention"] / (sum(parts[part] for part in PARTS) - without_head * parts["head"])


def table(results: dict[str, Any]) -> str:
    batch = results["batch_size"]
    columns = ["token", "kept: ms", "linear + attention + head", "attention", "by the formula"]
    columns += ["without: ms", "without ÷ kept", f"kept, {batch} sentences: ms each", "attention"]
    rows = []
    for line in results["places"]:
        one, whole, several = (line[name] for name in ("one", "without", "batch"))
        total, of_all = sum(one.values()), sum(whole.values())
        parts = " + ".join(f"{1000 * one[part]:.1f}" for part in PARTS)
        rows.append([f"{line['place']:,}", f"{1000 * total:.1f}", parts, f"{share(one):.0%}"])
        rows[-1] += [f"{share(line['formula']):.0%}", f"{1000 * of_all:,.1f}", f"{of_all / total:.1f}"]
        rows[-1] += [f"{1000 * sum(several.values()) / batch:.1f}", f"{share(several):.0%}"]
    return "\n\n".join([markdown_table(columns, rows), width_table(results), verdict(results)])


def width_table(results: dict[str, Any]) -> str:
    columns = [f"width, at token {results['place']:,}", "sentences"]
    columns += ["feed-forward and projections", "attention", "head"]
    rows = []
    for line in results["widths"]:
        total = sum(line[part] for part in PARTS)
        sentences = "1" if line["of"] == "one" else str(results["batch_size"])
        rows.append([f"{line['width']:,}", sentences, *(f"{line[part] / total:.0%}" for part in PARTS)])
    return markdown_table(columns, rows)


def verdict(results: dict[str, Any]) -> str:
    """From which token on attention takes longer than projections and feed-forward."""
    said = []
    for name, sentences in (("one", "one sentence"), ("batch", f"{results['batch_size']} sentences at once")):
        longer = [line["place"] for line in results["places"] if line[name]["attention"] > line[name]["linear"]]
        last = results["places"][-1]["place"]
        when = f"from token {longer[0]:,} on" if longer else f"never up to token {last:,}"
        said.append(f"{sentences}: {when}")
    return (
        f"Time: {results['time']}. Attention takes longer than projections and feed-forward: "
        f"{'; '.join(said)} (of the places measured). "
        f"By multiply-adds it would from token 6·d = {6 * results['width']:,} on."
    )


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Seconds a token, with and without kept keys and values.")
    parser.add_argument("--places", type=int, nargs="+", default=PLACES, help="which tokens, counted from 1")
    parser.add_argument("--place", type=int, default=500, help="where widths are compared")
    parser.add_argument("--widths", type=int, nargs="*", default=WIDTHS, help=f"multiples of {WIDTH_OF_A_HEAD}")
    parser.add_argument("--batch_size", type=int, default=32, help="sentences at once, beside one")
    parser.add_argument("--repeats", type=int, default=15, help="a fifth of it without kept states")
    parser.add_argument("--cpu_time", action="store_true", help="count time on the processor, on one thread")
    parser.add_argument("--record", type=Path, help="folder for the raw figures and the environment")
    parser.add_argument("--drawn_from", type=Path, help="a record to draw again, instead of measuring")
    parser.add_argument("--picture", type=Path, help="where to draw the figures, as SVG")
    return parser


def main(arguments: list[str] | None = None) -> None:
    options = make_parser().parse_args(arguments)
    keep_freed_memory()
    if options.drawn_from:
        results = json.loads((options.drawn_from / RAW).read_text(encoding="utf-8"))
    else:
        results = measure(options)
        write_record(options.record, results, table(results))
    print(table(results))
    if options.picture:
        draw(results, options.picture)


if __name__ == "__main__":
    main()
