"""Many sentences drawn from a language model, with kept keys and values.

Sentence n is drawn with random numbers of its own: they depend on the seed, n and the place of the token alone,
whatever the way of decoding, the batch and its order. In float64 no batch size changes a sentence; in float32 the last
digits of the logits differ, which now and then chooses another token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ablation.config.decoding import Decoding
from ablation.model.key_value_cache import KeyValueCache, check_model
from ablation.model.sampling import check_decoding, choose_tokens, uniforms
from previous_chapters import GPTModel

BATCH_SIZE = 256  # sentences at once: 51 MB of float32 logits with GPT-2's vocabulary


def sample_sentences(
    model: GPTModel,
    prompt: Sequence[int],
    count: int,
    decoding: Decoding,
    *,
    max_len: int,
    end_token: int,
    seed: int,
    first: int = 0,
    batch_size: int = BATCH_SIZE,
    advanced: Callable[[int], None] = lambda ended: None,
) -> list[list[int]]:
    """Draw sentences, each from the end token, which starts it, and the prompt.

    A sentence ends where the end token is drawn, at ``max_len`` tokens, or where it and its start fill the context.

    Args:
        model: with its vocabulary head, in evaluation mode.
        prompt: tokens with which every sentence begins; may be empty. They count towards ``max_len``.
        count: how many sentences.
        decoding: how the next token is chosen.
        max_len: tokens of a sentence at most.
        end_token: what starts and ends sentences.
        seed: of the random numbers.
        first: number of the first sentence; others go on from it.
        batch_size: sentences at once, at most; sentences that have ended leave.
        advanced: called with how many sentences have ended since the last call.

    Returns:
        ``count`` lists of token ids, with the prompt, without the tokens that start and end a sentence.

    Raises:
        ValueError: the prompt is longer than a sentence may be, a setting is wrong, or the logits are not finite.
        TypeError: one of the model's blocks does more than can be computed with kept keys and values.
    """
    check_model(model)
    check_decoding(decoding)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: give at least 1")
    context = model.pos_emb.num_embeddings
    limit = min(max_len, context - 1)
    if len(prompt) > limit:
        raise ValueError(
            f"the prompt has {len(prompt)} tokens, a sentence at most {limit} (max_len {max_len}, context {context}): "
            "shorten the prompt"
        )
    sentences: list[list[int]] = []
    for start in range(0, count, batch_size):
        size = min(batch_size, count - start)
        draws = np.stack([uniforms(seed, first + start + n, limit - len(prompt)) for n in range(size)])
        sentences += _sample_batch(model, prompt, decoding, draws, end_token, advanced)
    return sentences


@torch.no_grad()
def _sample_batch(
    model: GPTModel,
    prompt: Sequence[int],
    decoding: Decoding,
    draws: np.ndarray,
    end_token: int,
    advanced: Callable[[int], None],
) -> list[list[int]]:
    """One sentence for each row of ``draws``, which has a number for each token that may be drawn."""
    size, steps = draws.shape
    if not steps:
        advanced(size)
        return [list(prompt) for _ in range(size)]
    device = model.pos_emb.weight.device
    cache = KeyValueCache(model, [end_token, *prompt], size, limit=len(prompt) + steps)
    drawn = torch.full((size, steps), end_token, device=device)
    numbers = torch.arange(size, device=device)  # which sentences are still in the batch, in the order of its rows
    uniform = torch.from_numpy(draws).to(device)
    for step in range(steps):
        tokens = choose_tokens(cache.logits, decoding, uniform[numbers, step])
        drawn[numbers, step] = tokens
        going = tokens != end_token
        ended = len(tokens) - int(going.sum())
        if ended:
            advanced(ended)
            order = cache.keep(going)
            numbers, tokens = numbers[order], tokens[order]
        if not len(numbers):
            break
        if step + 1 < steps:
            cache.step(tokens)
    if len(numbers):
        advanced(len(numbers))
    return [[*prompt, *_until(row, end_token)] for row in drawn.tolist()]


def _until(tokens: list[int], end_token: int) -> list[int]:
    """The tokens before the first end token."""
    return tokens[: tokens.index(end_token)] if end_token in tokens else tokens
