"""Pretrain the demo's GPT-2 as a language model on messages of the generator, none of which is in messages.csv.

    python -m demo.pretraining     writes data/demo/gpt2-nano.safetensors anew and prints the held-out perplexity

As GPT-2 was: next-token prediction over texts one after the other, each followed by the end-of-text token; weights
drawn as GPT-2's (Radford et al. 2019: standard deviation 0.02, less where residuals are added up), the vocabulary
head tied to the token embeddings. One thread, so that a repetition on the same kind of processor gives the same bytes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from ablation.config.shapes import ALL_SHAPES, NANO, ModelShape
from ablation.data.demo import WEIGHTS, load_demo_tokenizer
from demo.messages import demo_messages, write_messages
from previous_chapters import GPTModel

PRETRAINING_SEED, HELD_OUT_SEED = 3, 4
PRETRAINING_COUNTS = {"ham": 15_000, "spam": 15_000}
HELD_OUT_COUNTS = {"ham": 500, "spam": 500}
EPOCHS, BATCH_SIZE, PEAK_LEARNING_RATE, WARMUP_STEPS, WEIGHT_DECAY = 2, 8, 3e-3, 50, 0.1
STEP_FACTORS = (8, 2)  # within the blocks about 768 / 112; of the stream less, for the sake of small first logits


def token_stream(counts: dict[str, int], seed: int) -> Tensor:
    """Messages that are not the demo's own, one after the other, each behind an end-of-text token. (tokens,)"""
    tokenizer = load_demo_tokenizer()
    messages = write_messages(counts, seed, besides={text for _, text in demo_messages()})
    ids = []
    for tokens in tokenizer.encode_ordinary_batch([text for _, text in messages]):
        ids += [tokenizer.eot_token, *tokens]
    return torch.tensor([*ids, tokenizer.eot_token])


def initialise(model: GPTModel, n_layers: int) -> None:
    """Draw GPT-2's initial weights, and tie the head to the token embeddings."""
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            adds_up = name.endswith(("out_proj.weight", "ff.layers.2.weight"))
            nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * n_layers) if adds_up else 1))
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    model.out_head.weight = model.tok_emb.weight


def next_token_loss(model: GPTModel, window: Tensor) -> Tensor:
    """Mean cross-entropy of each token given those before it, for windows (B, T + 1)."""
    return F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to a tenth of the peak."""
    if step < WARMUP_STEPS:
        return PEAK_LEARNING_RATE * (step + 1) / WARMUP_STEPS
    done = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return PEAK_LEARNING_RATE * (0.55 + 0.45 * math.cos(math.pi * done))


def pretrain(shape: ModelShape, stream: Tensor, report: Callable[[str], None] = print) -> GPTModel:
    """Train a language model on windows of a token stream, the windows cut anew in each epoch."""
    torch.manual_seed(PRETRAINING_SEED)
    model = GPTModel(shape)
    initialise(model, shape.n_layers)
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.95)
    )
    span = shape.context_length
    windows = (len(stream) - 1) // span - 1
    steps = EPOCHS * (windows // BATCH_SIZE)
    started = time.perf_counter()
    for step in range(steps):
        place = step % (windows // BATCH_SIZE)
        if place == 0:
            offset = int(torch.randint(span, ()))
            order = torch.randperm(windows)
        starts = offset + span * order[place * BATCH_SIZE : (place + 1) * BATCH_SIZE]
        loss = next_token_loss(model, stream[starts[:, None] + torch.arange(span + 1)])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            report(f"step {step} of {steps}: loss {loss.item():.3f}, {time.perf_counter() - started:.0f} s")
    return model


@torch.no_grad()
def widen_steps(model: GPTModel, inner: float, stream: float) -> None:
    """Rewrite the weights so that the model computes the same and AdamW, at the same learning rate, moves it further.

    AdamW's steps have the size of the learning rate, whatever the gradient. The table's learning rate was chosen for
    width 768; a narrow model needs one larger by the ratio of the widths (Yang et al. 2022, Tensor Programs V), which
    is the same as smaller weights behind larger norms. Powers of two change no digit of a weight; the epsilon of the
    norms is all that makes a difference.

    Args:
        inner: by how much the layers behind a block's norms shrink, and these norms grow.
        stream: by how much all that is added up in the residual stream shrinks, and the final norm grows; larger
            features for the classifier mean larger logits before any training.
    """
    for name, parameter in model.named_parameters():
        if name.startswith("final_norm"):
            parameter.mul_(stream)
        elif ".norm" in name:
            parameter.mul_(inner)
        elif name.startswith(("tok_emb", "pos_emb")) or "out_proj" in name or "ff.layers.2" in name:
            parameter.div_(stream)
        elif name.endswith("weight"):
            parameter.div_(inner)


@torch.inference_mode()
def perplexity(model: GPTModel, stream: Tensor) -> float:
    """exp of the mean loss per token over consecutive windows of the model's context."""
    span = model.pos_emb.num_embeddings
    windows = stream[: (len(stream) - 1) // span * span + 1].unfold(0, span + 1, span)
    return math.exp(next_token_loss(model, windows).item())


def weights_file(model: GPTModel) -> bytes:
    """The weights as safetensors under this project's names; the tied head is not written twice."""
    return save({name: tensor for name, tensor in model.state_dict().items() if name != "out_head.weight"})


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()  # no flags; --help must not start anything
    torch.set_num_threads(1)
    stream = token_stream(PRETRAINING_COUNTS, PRETRAINING_SEED)
    print(f"{sum(PRETRAINING_COUNTS.values()):,} messages, {len(stream):,} tokens, {EPOCHS} epochs")
    model = pretrain(ALL_SHAPES[NANO], stream)
    widen_steps(model, *STEP_FACTORS)
    WEIGHTS.write_bytes(weights_file(model))
    held_out = perplexity(model, token_stream(HELD_OUT_COUNTS, HELD_OUT_SEED))
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size / 1e6:.2f} MB")
    print(f"perplexity {held_out:.2f} over {sum(HELD_OUT_COUNTS.values()):,} further messages")


if __name__ == "__main__":
    main()
