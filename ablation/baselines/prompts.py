"""The question that a language model is asked about a message, and the examples that stand before it.

The question is that of the book "Build a Large Language Model (From Scratch)", whose GPT-2 repeats it instead of
answering.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ablation.baselines.asking import AskedModel, Prompt
from ablation.config.prompting import NEAREST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUESTION = "Is the following text '{label}'? Answer with 'yes' or 'no': '{text}' Answer with 'yes' or 'no'."
ANSWERS = (" no", " yes")  # for the first class, and for the second, which the question names
AFTER_AN_EXAMPLE = "\n\n"
ABOUT_NOTHING = ("N/A", "[MASK]", "")  # the content-free texts of Zhao et al. (2021)

Shots = tuple[int, ...]  # numbers of training messages, in the order in which they stand


class NoRoomError(ValueError):
    """A question is too long for the model; the message says by how much."""


# ---- which examples --------------------------------------------------------------------------------------------------


def drawn_shots(labels: Sequence[int], count: int, seed: int) -> Shots:
    """Training messages drawn without replacement, in a drawn order: as many of each of two classes.

    Of an odd number the class that has one more is drawn, too; where a class has too few, the other has the rest.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    classes = [generator.permutation(np.flatnonzero(np.asarray(labels) == label)) for label in (0, 1)]
    shares = [count // 2, count // 2]
    shares[int(generator.integers(2))] += count % 2
    lacking = [max(0, share - len(members)) for share, members in zip(shares, classes, strict=True)]
    chosen = [members[: share + more] for members, share, more in zip(classes, shares, lacking[::-1], strict=True)]
    return tuple(generator.permutation(np.concatenate(chosen)).tolist())


def nearest_shots(training: Sequence[str], texts: Sequence[str], count: int) -> list[list[int]]:
    """For each text all training messages that may stand before it, the most alike last, one more than wanted: a
    training message is most alike to itself.

    Likeness is the cosine of TF-IDF over 2 to 5 characters, as the baseline that counts them has it.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True)
    known = vectorizer.fit_transform(training)
    likeness: NDArray[np.float64] = (vectorizer.transform(texts) @ known.T).toarray()
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : count + 1]
    return nearest[:, ::-1].tolist()


def choose_shots(
    training: Sequence[str], labels: Sequence[int], texts: Sequence[str], own: Sequence[int | None], count: int,
    by: str, seed: int,
) -> list[Shots]:  # fmt: skip
    """Which training messages stand before each text, never a message itself.

    Args:
        own: the number of a text that is itself a training message.
    """
    if not count:
        return [() for _ in texts]
    if by == NEAREST:
        nearest = nearest_shots(training, texts, count)
        return [tuple(n for n in numbers if n != number)[-count:] for numbers, number in zip(nearest, own, strict=True)]
    drawn = drawn_shots(labels, count, seed)
    return [tuple(n for n in drawn if n != number) for number in own]


# ---- the words -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fitting:
    """A prompt as far as the model has room for it: its shots, its tokens, and whether its message was cut."""

    shots: Shots
    tokens: list[int]
    cut: bool = False


@dataclass(frozen=True)
class Wording:
    """How prompts are put together, and how much of them fits.

    Attributes:
        label: the name of the class that is asked about.
        training, labels: the messages that may be examples, and their classes.
        text_tokens: for how many tokens of the model's own there has to be room.
    """

    model: AskedModel
    label: str
    training: Sequence[str]
    labels: Sequence[int]
    text_tokens: int
    _lengths: dict[int, int] = field(default_factory=dict)

    def question(self, text: str) -> str:
        return QUESTION.format(label=self.label, text=text)

    def whole(self, shots: Sequence[int], text: str) -> str:
        return "".join(map(self.example, shots)) + self.question(text)

    def example(self, number: int) -> str:
        return f"{self.question(self.training[number])}{ANSWERS[self.labels[number]]}{AFTER_AN_EXAMPLE}"

    @property
    def room(self) -> int:
        """Tokens that a prompt may have."""
        return self.model.context - self.text_tokens

    def fitting(self, shots: Shots, text: str) -> Fitting:
        """A prompt with the shots for which there is room before a text. They are left out one by one, the first ones
        first, which are the least alike; if the question alone is too long, its text is cut.

        Raises:
            NoRoomError: there is no room for a text.
        """
        while sum(map(self._at_least, shots)) > self.room:  # so that of many the whole is not read again and again
            shots = shots[1:]
        while len(tokens := self.model.tokens(self.whole(shots, text))) > self.room and shots:
            shots = shots[1:]
        if len(tokens) <= self.room:
            return Fitting(shots, tokens)
        return Fitting((), self._cut(text), cut=True)

    def _at_least(self, number: int) -> int:
        """Tokens of an example; where it meets its neighbours one may be saved."""
        if number not in self._lengths:
            self._lengths[number] = len(self.model.tokens(self.example(number))) - len(self.model.tokens("")) - 1
        return self._lengths[number]

    def _cut(self, text: str) -> list[int]:
        self.check_room()
        own = self.model.tokens(text)
        for count in range(min(self.room, len(own)), 0, -1):
            kept = self.model.text(own[:count])
            if len(tokens := self.model.tokens(self.question(kept))) <= self.room:
                return tokens
        return self.model.tokens(self.question(""))

    def check_room(self) -> None:
        """Raises NoRoomError if a question has no room for the shortest text."""
        check_room(self.model.tokens, self.model.context, self.label, self.text_tokens)


def check_room(tokens: Callable[[str], list[int]], context: int, label: str, text_tokens: int) -> None:
    """See that a model of this context can be asked about a text.

    Raises:
        NoRoomError: not even about one of a single token.
    """
    needed = len(tokens(QUESTION.format(label=label, text=""))) + 1 + text_tokens
    if needed > context:
        raise NoRoomError(
            f"the model reads {context} tokens at most; the question about a text of a single token, and the"
            f" {text_tokens} tokens that it answers with, are {needed}: no room for a message; take a model that reads"
            " more"
        )


def about_nothing(wording: Wording, shots: Shots) -> list[Prompt]:
    """The question about each content-free text, after these shots."""
    return [Prompt(wording.model.tokens(wording.whole(shots, text)), shots) for text in ABOUT_NOTHING]
