"""Sentences and tokens a second, beside Hugging Face's ``generate`` with its cache; GPT-2 small's widths, 3 blocks.

    python benchmarks/generation.py [--sentences 5000] [--record benchmarks/records/DATE_generation]

Random weights would hardly ever end a sentence, and nearly all tokens would be equally likely. So some are set, which
costs no time when sentences are drawn: the head has a share by which tokens are as frequent as words are (Zipf's law),
and the end token one that grows with the position, so that sentences are about as long as captions, 13 tokens. Or give
``--weights FILE``, with three trained blocks: ``trained.safetensors`` in the folder of a run with ``--save_model``.

Hugging Face's ``GPT2LMHeadModel`` has the same weights, and generates 32 sentences at a time, the usual way: until the
last of them has ended. Both ways draw as many sentences in turn, from the same distribution, with random numbers of
their own; how long their sentences are is shown beside the speed, with the p-value of the Kolmogorov-Smirnov test that
both have the same lengths. Tokens are those of the sentences, without the ones that start and end them.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from scipy.stats import ks_2samp  # noqa: E402

from ablation.allocator import keep_freed_memory  # noqa: E402
from ablation.config.decoding import Decoding, decodings  # noqa: E402
from ablation.config.shapes import ModelShape  # noqa: E402
from ablation.model.decoding import BATCH_SIZE, sample_sentences  # noqa: E402
from ablation.model.layouts import Layout  # noqa: E402
from ablation.model.normal_weights import normal_weights  # noqa: E402
from ablation.model.to_huggingface import huggingface_tensors  # noqa: E402
from ablation.model.weights import WithoutDraws, load_into, open_weights  # noqa: E402
from benchmarks.machine import seconds_of  # noqa: E402
from benchmarks.record import markdown_table, write_record  # noqa: E402
from previous_chapters import GPTModel  # noqa: E402

SHAPE = ModelShape(vocab_size=50257, context_length=1024, emb_dim=768, n_layers=3, n_heads=12)
END, MAX_LEN, SEED = 50256, 35, 123
BATCH_OF_THE_TWIN = 32
ZIPF_OFFSET = 2.7  # Mandelbrot's: the word of rank r is as frequent as 1 / (r + 2.7)
SHIFT = 50.0  # far above what varies along the same direction
USUAL_LENGTH, END_PER_TOKEN = 16, 0.6  # where the end token is as likely as all others; how much likelier a token later
STATE = 0.75  # standard deviation of the last block's output
LANGUAGE_MODEL = Layout("huggingface", "transformer.", "transformer.h.{}.", "lm_head.weight")
WAYS = {f"{way.name}_{way.temperature:g}": way for way in decodings(("random", "top_k", "top_p"), (0.7, 1.0), 40, 0.9)}
USUAL_WAYS = "random_1,top_k_0.7,top_p_0.7"

Generate = Callable[[int, Decoding], list[list[int]]]


def speaking_model(shape: ModelShape, end: int = END) -> GPTModel:
    """Random weights with which tokens are as frequent as words, and sentences about as long as captions.

    The final norm's shift gives every position the same share of one direction u, and the head reads from it how
    frequent a token is. Position embeddings have, along another direction w, what the end token's row reads.
    """
    weights, width = normal_weights(shape, SEED), shape.emb_dim
    draw = torch.Generator().manual_seed(SEED)
    u, w = torch.linalg.qr(torch.randn(width, 2, generator=draw)).Q.T
    logits = -(torch.randperm(shape.vocab_size, generator=draw) + 1 + ZIPF_OFFSET).log()
    logits[end] = math.log(math.log(1 + shape.vocab_size / ZIPF_OFFSET))  # as much as all others have together
    weights["final_norm.shift"] = SHIFT * u
    weights["out_head.weight"] += logits[:, None] / SHIFT * u
    weights["out_head.weight"][end] += END_PER_TOKEN * w
    longer = (torch.arange(shape.context_length) - USUAL_LENGTH).clamp(-USUAL_LENGTH, USUAL_LENGTH)
    read = longer / math.sqrt(width)  # wanted of the normalised state, whose length is that root
    weights["pos_emb.weight"] += (STATE * math.sqrt(width) * read / (1 - read**2).clamp(min=0.1).sqrt())[:, None] * w
    model = GPTModel(shape)
    model.load_state_dict(weights)
    return model.eval()


def trained_model(file: Path) -> GPTModel:
    with torch.device("meta"), WithoutDraws():
        model = GPTModel(SHAPE)
    load_into(model, open_weights(file, SHAPE))
    return model.eval()


def with_kept_states(model: GPTModel, batch_size: int) -> Generate:
    def generate(count: int, decoding: Decoding) -> list[list[int]]:
        return sample_sentences(
            model, [], count, decoding, max_len=MAX_LEN, end_token=END, seed=SEED, batch_size=batch_size
        )

    return generate


def with_transformers(model: GPTModel, shape: ModelShape = SHAPE, end: int = END, max_len: int = MAX_LEN) -> Generate:
    """Hugging Face's model with the same weights."""
    import transformers

    config = transformers.GPT2Config(
        vocab_size=shape.vocab_size, n_positions=shape.context_length, n_embd=shape.emb_dim, n_layer=shape.n_layers,
        n_head=shape.n_heads, tie_word_embeddings=False, bos_token_id=end, eos_token_id=end,
    )  # fmt: skip
    twin: Any = transformers.GPT2LMHeadModel(config).eval()
    twin.load_state_dict(huggingface_tensors(model.state_dict(), shape, LANGUAGE_MODEL))
    transformers.set_seed(SEED)

    def generate(count: int, decoding: Decoding) -> list[list[int]]:
        sentences: list[list[int]] = []
        while len(sentences) < count:
            start = torch.full((min(BATCH_OF_THE_TWIN, count - len(sentences)), 1), end)
            drawn = twin.generate(
                start, attention_mask=torch.ones_like(start), do_sample=True, temperature=decoding.temperature,
                top_k=decoding.top_k or 0, top_p=decoding.top_p or 1.0, max_new_tokens=max_len, use_cache=True,
                eos_token_id=end, pad_token_id=end,
            )  # fmt: skip
            sentences += [row[: row.index(end)] if end in row else row for row in drawn[:, 1:].tolist()]
        return sentences

    return generate


def measure(generate: Generate, decoding: Decoding, count: int, clock: Callable[[], float]) -> dict[str, Any]:
    generate(BATCH_OF_THE_TWIN, decoding)  # wakes threads and memory
    start = clock()
    sentences = generate(count, decoding)
    seconds = clock() - start
    lengths = [len(sentence) for sentence in sentences]
    return {
        "seconds": seconds,
        "sentences_per_second": count / seconds,
        "tokens_per_second": sum(lengths) / seconds,
        "lengths": [lengths.count(length) for length in range(max(lengths) + 1)],  # how many sentences are so long
    }


def lengths_of(result: dict[str, Any]) -> list[int]:
    return [length for length, times in enumerate(result["lengths"]) for _ in range(times)]


def table(results: dict[str, Any]) -> str:
    columns = ["decoding", "sentences a second", "tokens a second", "Hugging Face", "", "ours ÷ theirs"]
    columns += ["tokens of a sentence, mean ± sd", "Hugging Face", "p of equal lengths"]
    rows = []
    for name, result in results.items():
        both = result["ours"], result["hugging_face"]
        rates = [f"{side[f'{what}_per_second']:,.1f}" for side in both for what in ("sentences", "tokens")]
        factor = both[0]["sentences_per_second"] / both[1]["sentences_per_second"]
        lengths = [lengths_of(side) for side in both]
        means = [f"{statistics.mean(some):.1f} ± {statistics.pstdev(some):.1f}" for some in lengths]
        p_value = ks_2samp(*lengths).pvalue
        rows.append([f"`{WAYS[name].describe()}`", *rates, f"{factor:.1f}", *means, f"{p_value:.2f}"])
    columns[3:5] = ["Hugging Face: sentences a second", "tokens a second"]
    return markdown_table(columns, rows)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Sentences a second, beside Hugging Face's generate.")
    parser.add_argument("--sentences", type=int, default=5000, help="of each way of decoding, on both sides")
    parser.add_argument("--ways", default=USUAL_WAYS, help=f"with commas between: {', '.join(WAYS)}")
    parser.add_argument("--batch_size", type=int, default=BATCH_SIZE, help="of ours")
    parser.add_argument("--weights", type=Path, help="a trained model's, with three blocks")
    parser.add_argument("--cpu_time", action="store_true", help="count time on the processor, on one thread")
    parser.add_argument("--record", type=Path, help="folder for the raw figures and the environment")
    return parser


def main() -> None:
    options = make_parser().parse_args()
    keep_freed_memory()  # as the commands do
    clock = seconds_of(options.cpu_time)
    model = trained_model(options.weights) if options.weights else speaking_model(SHAPE)
    ours, theirs = with_kept_states(model, options.batch_size), with_transformers(model)
    results: dict[str, Any] = {}
    for name in options.ways.split(","):
        results[name] = {
            "ours": measure(ours, WAYS[name], options.sentences, clock),
            "hugging_face": measure(theirs, WAYS[name], options.sentences, clock),
        }
        print(table(results).splitlines()[-1], file=sys.stderr)
    print(table(results))
    raw = {"batch_size": options.batch_size, "time": "processor, one thread" if options.cpu_time else "wall"}
    write_record(options.record, {**raw, "ways": results}, table(results))


if __name__ == "__main__":
    main()
