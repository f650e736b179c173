"""A language model asked in words whether a message is spam, with no example or with some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ablation.baselines.answer_file import AnswerFile
from ablation.baselines.asking import Answer, AnswersAlikeError, AskedModel, Prompt, answer_tokens, ask
from ablation.baselines.baseline import Asked, Fitted
from ablation.baselines.finite import check_finite
from ablation.baselines.open_asked import OpenedAsked, open_asked
from ablation.baselines.prompts import ANSWERS, Fitting, NoRoomError, Shots, Wording, about_nothing, choose_shots
from ablation.config.options import ConfigError
from ablation.run.inputs import RunError
from ablation.words import messages_cut, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Messages:
    """The messages that are asked about: of training as many as the baseline says, of the other splits all.

    Attributes:
        splits, texts: (N,) of each message.
        own: its number, where it is a training message.
    """

    splits: list[str]
    texts: list[str]
    own: list[int | None]


def prompted(asked: Asked) -> Fitted:
    """The larger of the two answers' next-token scores, as the difference of their log-probabilities.

    Raises:
        RunError: there is no room for a message, the two answers cannot be told apart, or have scores that are not
            finite.
        HubError, WeightsError, DownloadError: the model cannot be had or used.
    """
    messages = messages_of(asked)
    with open_asked(asked) as opened:
        model = opened.model
        try:
            answers = answer_tokens(model, ANSWERS)
        except AnswersAlikeError as error:
            raise RunError(f"{opened.name}: {error}; it cannot be asked") from None
        with opened.watch.part("training"):
            prompts, nothing, remarks = make_prompts(asked, model, messages)
            asked.listener.work_started("asking", len(prompts) + len(nothing), "prompts")
            memory = _memory(asked, opened, answers)
            said = ask(model, [*prompts, *nothing], answers, memory, asked.listener)
            asked.listener.work_ended()
        minutes = round(opened.watch.spent()["training"] / 60, 4)
    check_finite("scores of answers", [answer.scores for answer in said], asked.config)
    scores = calibrated(prompts, said, nothing)
    places = {split: [n for n, own in enumerate(messages.splits) if own == split] for split in asked.task.splits}
    return Fitted(
        {split: scores[numbers] for split, numbers in places.items()},
        chosen=remarks,
        columns={
            **opened.columns,
            "features": "reused" if memory is not None and memory.reused else "computed",
            "training_minutes": minutes,
        },
        beside={split: _beside([said[n] for n in numbers]) for split, numbers in places.items()},
    )


def _memory(asked: Asked, opened: OpenedAsked, answers: Sequence[int]) -> AnswerFile | None:
    """Of the miniature nothing is kept: it answers in seconds."""
    if asked.config.demo:
        return None
    return AnswerFile(Path(asked.config.models_dir), opened.answers_as, answers)


def check_messages(asked: Asked) -> None:
    """Raises ConfigError if these settings cannot be asked of these messages."""
    labels, training = asked.task.labels(asked.config), len(asked.splits["train"])
    problems = []
    if len(labels) != 2:
        problems.append(
            f"the messages have {len(labels)} labels, and the question is answered by yes or no; leave this baseline"
            " out (--rows), or give messages with two labels"
        )
    if asked.config.shots > training:
        problems.append(f"--shots {asked.config.shots}: the training split has {training} messages; give that or less")
    if problems:
        raise ConfigError(problems)


def messages_of(asked: Asked) -> Messages:
    first = asked.settings["train_messages"]
    messages = Messages([], [], [])
    for split, table in asked.splits.items():
        texts = table["Text"].tolist()[: first if split == "train" else None]
        messages.texts.extend(texts)
        messages.splits.extend([split] * len(texts))
        messages.own.extend(range(len(texts)) if split == "train" else [None] * len(texts))
    return messages


def make_prompts(
    asked: Asked, model: AskedModel, messages: Messages
) -> tuple[list[Prompt], list[Prompt], dict[str, Any]]:
    """A prompt for each message; to calibrate by, those about nothing; and what there is to say about both.

    Raises:
        RunError: there is no room for a message.
    """
    config, training = asked.config, asked.splits["train"]
    wording = Wording(
        model, asked.task.labels(config)[1], training["Text"].tolist(), training["Label"].tolist(),
        asked.settings["text_tokens"],
    )  # fmt: skip
    wanted = choose_shots(
        wording.training, wording.labels, messages.texts, messages.own, config.shots, config.shots_by, config.seed
    )
    try:
        wording.check_room()
    except NoRoomError as error:
        raise RunError(str(error)) from None
    fitted = [wording.fitting(shots, text) for shots, text in zip(wanted, messages.texts, strict=True)]
    texts = [0 if split == "train" else wording.text_tokens for split in messages.splits]  # of training none is kept
    prompts = [Prompt(own.tokens, own.shots, count) for own, count in zip(fitted, texts, strict=True)]
    nothing = [
        prompt
        for shots in dict.fromkeys(own.shots for own in fitted)
        if config.calibrate
        for prompt in about_nothing(wording, shots)
    ]
    return prompts, nothing, _remarks(asked, wording, wanted, fitted)


def _remarks(asked: Asked, wording: Wording, wanted: Sequence[Shots], fitted: Sequence[Fitting]) -> dict[str, Any]:
    """What was left out for want of room; the listener is told."""
    counts = Counter(len(own.shots) for own in fitted)
    fewer = sum(len(own.shots) < len(shots) for own, shots in zip(fitted, wanted, strict=True))
    cut, room = sum(own.cut for own in fitted), wording.model.context
    if fewer:
        found = ", ".join(f"{shots} in {plural(number, 'prompt')}" for shots, number in sorted(counts.items()))
        wished = plural(asked.config.shots, "shot")
        asked.listener.message(
            f"the model reads {room:,} tokens: {fewer} of {plural(len(fitted), 'prompt')} have no room for {wished};"
            f" the first ones are left out: {found}"
        )
    if cut:
        asked.listener.message(messages_cut(room, cut, len(fitted)))
    return {"shots": {str(shots): number for shots, number in sorted(counts.items())}, "fewer": fewer, "cut": cut}


# ---- answers ---------------------------------------------------------------------------------------------------------


def calibrated(prompts: Sequence[Prompt], said: Sequence[Answer], nothing: Sequence[Prompt]) -> NDArray[np.float64]:
    """(N,) what speaks for the second answer, as a difference of log-probabilities; with questions about nothing less
    what speaks for it there.

    Zhao et al. (2021), "Calibrate Before Use": the probabilities of the answers, which sum to 1, are divided by their
    means over the content-free questions that stand behind the same examples.
    """
    from scipy.special import log_expit, logsumexp

    margins: dict[Any, list[float]] = {}
    for prompt, answer in zip(nothing, said[len(prompts) :], strict=True):
        margins.setdefault(prompt.group, []).append(_margin(answer))
    # The means as logarithms of sums, for a share that rounds to 0 or 1 has no logarithm of its own.
    both = {group: (np.array(own), -np.array(own)) for group, own in margins.items()}
    bias = {group: logsumexp(log_expit(yes)) - logsumexp(log_expit(no)) for group, (yes, no) in both.items()}
    pairs = zip(prompts, said[: len(prompts)], strict=True)
    return np.array([_margin(answer) - bias.get(prompt.group, 0.0) for prompt, answer in pairs])


def _margin(answer: Answer) -> float:
    no, yes = answer.scores
    return yes - no


def _beside(said: Sequence[Answer]) -> dict[str, list[Any]]:
    """What the predictions have beside the logits, by column."""
    scores = {
        f"log_probability_{word.strip()}": [answer.scores[n] for answer in said] for n, word in enumerate(ANSWERS)
    }
    return {**scores, "text": [in_one_line(answer.text) for answer in said]}


def in_one_line(text: str) -> str:
    """The text with what ends lines, or cannot be printed, escaped."""
    return "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
