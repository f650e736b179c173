"""Answers of language models, kept from command to command: nothing is asked twice, and a run that is cut off goes on.

A file holds the answers of one model, a JSON line each. They are found by the very tokens of the prompt.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablation.baselines.asking import Answer, Prompt

FOLDER = "answers"  # below the folder of models, as features are
VERSION = 1  # another one where the same prompt would get another answer


class AnswerFile:
    """What one model has answered.

    Args:
        folder: of models.
        answers_as: a name that models share only where they answer alike.
        answers: the tokens that are scored.

    Attributes:
        reused: how many prompts were found here.
    """

    def __init__(self, folder: Path, answers_as: str, answers: Sequence[int]) -> None:
        self.path = folder / FOLDER / f"{answers_as}-{VERSION}.jsonl"
        self._answers = list(answers)
        self._known = self._read()
        self.reused = 0

    def _read(self) -> dict[str, Answer]:
        """The answers by the digests of their prompts; a file that cannot be read is as none."""
        known = {}
        try:
            content = self.path.read_bytes()
        except OSError:
            content = b""
        self._before_next = "" if content.endswith(b"\n") or not content else "\n"  # who wrote the last was cut off
        for line in content.split(b"\n"):
            try:
                key, scores, text = json.loads(line.decode("ascii"))  # as they are written: all else is escaped
                answer = Answer([float(score) for score in scores], str(text))
            except (ValueError, TypeError):  # cut short, or damaged: it is asked again
                continue
            if all(map(math.isfinite, answer.scores)):
                known[str(key)] = answer
        return known

    def find(self, prompts: Sequence[Prompt]) -> dict[int, Answer]:
        """The answers that are here, by the numbers of their prompts."""
        found = {number: self._known.get(self._key(prompt)) for number, prompt in enumerate(prompts)}
        known = {number: answer for number, answer in found.items() if answer is not None}
        self.reused += len(known)
        return known

    def add(self, prompts: Mapping[int, Prompt], said: Mapping[int, Answer]) -> None:
        """Keep what a model has just answered; where nothing can be written, nothing is kept."""
        lines = [json.dumps([self._key(prompts[n]), said[n].scores, said[n].text]) + "\n" for n in said]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(self._before_next + "".join(lines))
        except OSError:
            return
        self._before_next = ""

    def _key(self, prompt: Prompt) -> str:
        asked = json.dumps([prompt.tokens, prompt.text_tokens, self._answers])
        return hashlib.sha256(asked.encode()).hexdigest()
