"""Minutes of an epoch of a language model on the captions, beside Hugging Face's GPT-2, and the memory of each.

    python benchmarks/language_model.py --data_dir data [--steps 20] [--parts time,memory] [--record FOLDER]

GPT-2 small's widths with three blocks and a head of its own, dropout 0.1, from normal weights; batches of 32 of the
published training captions in the order of a run's first epoch. Whole updates by turns in one process, each way with a
model and a fused Adam of its own:

* packed: as ``generation_experiments.py`` trains, with positions that predict something alone;
* padded: the same model, through ``GPTModel.forward`` at all positions (``--execution naive``);
* Hugging Face: ``GPT2LMHeadModel``, padded to the same length, with the loss of the experiment on its logits. The
  padding is not looked at, as it lies behind.

Medians; the first update of each, which makes the optimizer's moments, is not counted. The epoch's time is the
median's, times the batches of an epoch; validation is not in it. Peak memory is that of a process of its own for each,
which does a few updates, with everything it has imported (VmHWM, pages of files included). Logits held are all tables
with a column or a row for each token of the vocabulary that are there at once in one more update: logits, probabilities
and gradients of them. Weights, their gradients and moments are none of these.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from ablation.allocator import keep_freed_memory  # noqa: E402
from ablation.config.generation import LanguageModelConfig  # noqa: E402
from ablation.config.shapes import ModelShape  # noqa: E402
from ablation.data.sentences import load_sentences  # noqa: E402
from ablation.execution.embedding_rows import occurring_tokens  # noqa: E402
from ablation.execution.sentence_losses import (  # noqa: E402
    losses_of_logits,
    packed_losses,
    padded,
    padded_losses,
)
from ablation.model.normal_weights import normal_weights  # noqa: E402
from ablation.run.inputs import open_tokenizer  # noqa: E402
from ablation.run.sentence_training import Losses, Sentences, order_of_epoch  # noqa: E402
from benchmarks.held import Held  # noqa: E402
from benchmarks.load_weights import megabytes  # noqa: E402
from benchmarks.machine import memory_fields, sgemm_rate  # noqa: E402
from benchmarks.record import earlier_results, markdown_table, write_record  # noqa: E402
from previous_chapters import GPTModel  # noqa: E402

Step = Callable[[Sentences], Tensor]  # one update; the loss before it
PACKED, PADDED, HUGGING_FACE = "packed", "padded", "hugging_face"
THREADS = 2
MEMORY_STEPS = 4  # the moments are there from the second on


# ---- one update of each ----------------------------------------------------------------------------------------------


def own_model(config: LanguageModelConfig) -> GPTModel:
    model = GPTModel(config.shape, dropout=config.dropout)
    model.load_state_dict(normal_weights(config.shape, config.seed))
    return model.train()


@contextmanager
def packed_step(config: LanguageModelConfig, train: Sentences, end_token: int) -> Iterator[Step]:
    """As a run has it: only the rows of tokens that occur have gradients and moments."""
    model = own_model(config)
    with occurring_tokens(model, train, end_token):
        yield updating(model, partial(own_loss, packed_losses, model, config.max_len, end_token), config)


@contextmanager
def padded_step(config: LanguageModelConfig, train: Sentences, end_token: int) -> Iterator[Step]:
    model = own_model(config)
    yield updating(model, partial(own_loss, padded_losses, model, config.max_len, end_token), config)


@contextmanager
def hugging_face_step(config: LanguageModelConfig, train: Sentences, end_token: int) -> Iterator[Step]:
    model = hugging_face_model(config.shape, config.dropout, config.seed)
    yield updating(model, partial(hugging_face_loss, model, config.max_len, end_token), config)


STEPS: dict[str, Callable[[LanguageModelConfig, Sentences, int], AbstractContextManager[Step]]] = {
    PACKED: packed_step,
    PADDED: padded_step,
    HUGGING_FACE: hugging_face_step,
}


def updating(model: nn.Module, loss: Step, config: LanguageModelConfig) -> Step:
    """Updates of all that trains by a fused Adam, as a run makes them."""
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)

    def step(sentences: Sentences) -> Tensor:
        found = loss(sentences)
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
        return found.detach()

    return step


def hugging_face_model(shape: ModelShape, dropout: float, seed: int) -> nn.Module:
    """Its head is its own, and no keys and values are kept, which training has no use for."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=shape.vocab_size, n_positions=shape.context_length, n_embd=shape.emb_dim, n_layer=shape.n_layers,
        n_head=shape.n_heads, resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout, use_cache=False,
        tie_word_embeddings=False,
    )  # fmt: skip
    return cast(nn.Module, GPT2LMHeadModel(config)).train()


def hugging_face_loss(model: nn.Module, max_len: int, end_token: int, sentences: Sentences) -> Tensor:
    """Of the start token and ``max_len`` tokens behind it, at all of which it makes logits."""
    tokens, targets = padded(sentences, max_len, end_token)
    last = torch.where(targets[:, -1:] < 0, end_token, targets[:, -1:])
    logits = model(torch.cat([tokens, last], dim=1)).logits[:, :-1]
    return losses_of_logits(logits, targets).mean


def own_loss(losses: Losses, model: GPTModel, max_len: int, end_token: int, sentences: Sentences) -> Tensor:
    return losses(model, sentences, max_len, end_token).mean


# ---- what is measured ------------------------------------------------------------------------------------------------


def first_batches(config: LanguageModelConfig, train: Sentences, count: int) -> list[Sentences]:
    order = order_of_epoch(len(train), 1, config).split(config.batch_size)
    return [[train[index] for index in batch.tolist()] for batch in order[:count]]


def measure_time(config: LanguageModelConfig, train: Sentences, end_token: int, count: int) -> dict[str, Any]:
    """Seconds of ``count`` updates of each way and one more before, by turns on the same batches."""
    seconds: dict[str, list[float]] = {name: [] for name in STEPS}
    rates = []
    with ExitStack() as ways:
        steps = {name: ways.enter_context(make(config, train, end_token)) for name, make in STEPS.items()}
        for batch in first_batches(config, train, count + 1):
            rates.append(sgemm_rate(repeats=3))
            for name, step in steps.items():
                began = time.perf_counter()
                step(batch)
                seconds[name].append(time.perf_counter() - began)
    batches = -(-len(train) // config.batch_size)
    return {"seconds": seconds, "batches_of_an_epoch": batches, "sgemm_gflop_per_s": rates}


def measure_memory(options: argparse.Namespace) -> dict[str, dict[str, int]]:
    """Bytes of each way: the peak of its process, and the logits it holds."""
    found = {}
    for name in STEPS:
        command = [sys.executable, __file__, "--child", name, "--threads", str(options.threads)]
        command += ["--data_dir", options.data_dir, "--models_dir", options.models_dir]
        found[name] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


def memory_of(name: str, config: LanguageModelConfig, train: Sentences, end_token: int) -> dict[str, int]:
    *batches, last = first_batches(config, train, MEMORY_STEPS + 1)
    with STEPS[name](config, train, end_token) as step:
        for batch in batches:
            step(batch)
        peak = memory_fields()["VmHWM"]
        with Held(partial(has_logits, shape=config.shape)) as held:
            step(last)
    return {"peak": peak, "logits": held.most}


def has_logits(tensor: Tensor, shape: ModelShape) -> bool:
    """Whether its memory is made for whole rows of logits; not that of a weight with a row for each token."""
    values = tensor.untyped_storage().nbytes() // tensor.element_size()
    return values > 0 and values % shape.vocab_size == 0 and values != shape.vocab_size * shape.emb_dim


# ---- what is made of it ----------------------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """Markdown, of whatever was measured."""
    timed, memory = results.get("time"), results.get("memory", {})
    columns = ["way", "s a step", "minutes an epoch", "÷ packed", "peak memory", "logits held"]
    medians = {} if timed is None else {name: statistics.median(own[1:]) for name, own in timed["seconds"].items()}
    rows = []
    for name in STEPS:
        cells = ["", "", ""]
        if timed is not None:
            epoch = medians[name] * timed["batches_of_an_epoch"] / 60
            cells = [f"{medians[name]:.2f}", f"{epoch:.1f}", f"{medians[name] / medians[PACKED]:.2f}"]
        held = [megabytes(memory[name][part]) for part in ("peak", "logits")] if name in memory else ["", ""]
        rows.append([name.replace("_", " "), *cells, *held])
    return markdown_table(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--models_dir", default="models", help="with the folder of GPT-2's vocabulary")
    parser.add_argument("--steps", type=int, default=20, help="updates of each way that are counted")
    parser.add_argument("--parts", default="time,memory", help="what to measure, with commas")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--record", type=Path, help="folder for the raw figures and the environment")
    parser.add_argument("--child", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    keep_freed_memory()  # as a run does; Hugging Face's model profits from it, too
    torch.set_num_threads(options.threads)
    config = LanguageModelConfig(data_dir=options.data_dir, models_dir=options.models_dir, offline=True)
    tokenizer = open_tokenizer(config)
    train, end_token = load_sentences(config, tokenizer).splits["train"].token_ids, tokenizer.eot_token
    if options.child:
        print(json.dumps(memory_of(options.child, config, train, end_token)))
        return
    results = earlier_results(options.record)
    for part in options.parts.split(","):
        measured = (
            measure_memory(options) if part == "memory" else measure_time(config, train, end_token, options.steps)
        )
        results[part] = measured
        write_record(options.record, results, table(results))
    print(table(results))


if __name__ == "__main__":
    main()
