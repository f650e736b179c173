"""Questions to a language model: what it holds of two answers, and how it goes on by itself.

Prompts of one group begin alike, with the same examples. What they have in common is read once, its keys and values are
kept, and the prompts go on from there. Prompts of one length are read together, so that nothing is ever padded.

Shapes: B prompts, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ablation.listener import Listener

KEPT_POSITIONS = 4096  # of one batch, at most: 300 MB of keys and values of GPT-2 small
BETWEEN = "."  # what a prompt ends with, before an answer


class Reading(Protocol):
    """Sentences of one length that were read so far.

    Attributes:
        logits: (B, V) for the next token of each.
    """

    logits: Tensor

    def step(self, tokens: Tensor) -> None:
        """Read one more token (B,) of each; ``logits`` are then those of the token after it."""


class Beginning(Protocol):
    """Tokens that were read once, for all sentences that begin with them."""

    def go_on(self, endings: Tensor, further: int) -> Reading:
        """Read the tokens (B, T) with which B sentences go on; there is room for ``further`` tokens of each."""


class AskedModel(Protocol):
    """A causal language model as it is asked.

    Attributes:
        context: how many tokens it reads at most.
        end_token: what ends a text; None if nothing does.
    """

    context: int
    end_token: int | None

    def tokens(self, text: str) -> list[int]:
        """A text as the model reads it, with what it sets before every text; special tokens in it are not
        interpreted."""

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens say."""

    def read(self, tokens: Sequence[int]) -> Beginning:
        """Read the beginning of sentences, at least one token."""


@dataclass(frozen=True)
class Prompt:
    """A prompt as tokens.

    Attributes:
        group: prompts of equal groups begin alike.
        text_tokens: of how many tokens the text is that the model goes on with.
    """

    tokens: list[int]
    group: Hashable = ()
    text_tokens: int = 0


@dataclass
class Answer:
    """What the model said to a prompt.

    Attributes:
        scores: the log-probability of each answer as the next token.
        text: how it goes on by itself, each time with the likeliest token.
    """

    scores: list[float]
    text: str = ""


@dataclass
class _Group:
    numbers: list[int] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)

    def shared(self) -> int:
        """How many tokens all its prompts begin with; fewer than the shortest has.

        Raises:
            ValueError: they have none in common.
        """
        first, *others = (prompt.tokens for prompt in self.prompts)
        most = min(len(prompt.tokens) for prompt in self.prompts) - 1
        shared = next((at for at in range(most) if any(first[at] != other[at] for other in others)), most)
        if not shared:
            raise ValueError("prompts of one group begin with different tokens, or have one alone")
        return shared


class AnswersAlikeError(ValueError):
    """The model's tokenizer begins two answers with the same token, so that the next token does not tell them apart."""


def answer_tokens(model: AskedModel, answers: Iterable[str]) -> list[int]:
    """The token with which each answer begins, as it stands behind a prompt.

    Raises:
        AnswersAlikeError: two of them begin with the same.
    """
    before = model.tokens(BETWEEN)
    found = [model.tokens(f"{BETWEEN}{answer}")[len(before) :] for answer in answers]
    firsts = [tokens[0] for tokens in found]
    if len(set(firsts)) < len(firsts):
        raise AnswersAlikeError(f"its tokenizer begins {' and '.join(map(repr, answers))} with the same token")
    return firsts


class Memory(Protocol):
    """Answers that were kept."""

    def find(self, prompts: Sequence[Prompt]) -> dict[int, Answer]:
        """Those of some prompts, by their numbers, as far as there are any."""

    def add(self, prompts: Mapping[int, Prompt], said: Mapping[int, Answer]) -> None:
        """Keep some, by the numbers of their prompts."""


def ask(
    model: AskedModel,
    prompts: Sequence[Prompt],
    answers: Sequence[int],
    memory: Memory | None = None,
    listener: Listener | None = None,
) -> list[Answer]:
    """What the model answers to each prompt.

    Args:
        prompts: each no longer, with its text, than the model's context; those of one group begin alike.
        answers: the token with which each possible answer begins.
        memory: what it holds is not asked again.
        listener: told how many prompts have been answered.
    """
    listener = listener or Listener()
    found = {} if memory is None else memory.find(prompts)
    listener.work_advanced(len(found))
    groups: dict[Hashable, _Group] = {}
    for number, prompt in enumerate(prompts):
        if number in found:
            continue
        group = groups.setdefault(prompt.group, _Group())
        group.numbers.append(number)
        group.prompts.append(prompt)
    for group in groups.values():
        shared = group.shared()
        beginning = model.read(group.prompts[0].tokens[:shared])
        for batch in _batches(group):
            said = _ask_batch(model, beginning, shared, batch, answers)
            if memory is not None:
                memory.add(batch, said)
            found |= said
            listener.work_advanced(len(batch))
    return [found[number] for number in range(len(prompts))]


def _batches(group: _Group) -> Iterator[Mapping[int, Prompt]]:
    """Prompts of one length, by their numbers; the longest first, so that what is too much is so at once."""
    by_length: dict[tuple[int, int], list[tuple[int, Prompt]]] = {}
    for number, prompt in zip(group.numbers, group.prompts, strict=True):
        by_length.setdefault((len(prompt.tokens), prompt.text_tokens), []).append((number, prompt))
    for (length, further), members in sorted(by_length.items(), reverse=True):
        size = max(1, KEPT_POSITIONS // (length + further))
        for start in range(0, len(members), size):
            yield dict(members[start : start + size])


def _ask_batch(
    model: AskedModel, beginning: Beginning, shared: int, batch: Mapping[int, Prompt], answers: Sequence[int]
) -> dict[int, Answer]:
    prompts = list(batch.values())
    further = prompts[0].text_tokens
    reading = beginning.go_on(torch.tensor([prompt.tokens[shared:] for prompt in prompts]), further)
    scores = reading.logits.double().log_softmax(-1)[:, list(answers)].tolist()
    texts = _texts(model, reading, further)
    return {n: Answer(own, text) for n, own, text in zip(batch, scores, texts, strict=True)}


def _texts(model: AskedModel, reading: Reading, count: int) -> list[str]:
    """How each sentence goes on for so many tokens, or up to the token that ends a text."""
    drawn = [reading.logits.argmax(-1)] if count else []
    while drawn and len(drawn) < count and not _all_ended(drawn, model.end_token):
        reading.step(drawn[-1])
        drawn.append(reading.logits.argmax(-1))
    rows = torch.stack(drawn, 1).tolist() if drawn else [[] for _ in reading.logits]
    return [model.text(_until(row, model.end_token)) for row in rows]


def _all_ended(drawn: Sequence[Tensor], end_token: int | None) -> bool:
    return end_token is not None and bool((torch.stack(list(drawn), 1) == end_token).any(1).all())


def _until(tokens: list[int], end_token: int | None) -> list[int]:
    return tokens[: tokens.index(end_token)] if end_token in tokens else tokens
