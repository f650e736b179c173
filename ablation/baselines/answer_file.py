"""Answers of language models, kept from command to command: nothing is asked twice, and a run that is cut off goes on.

A file holds the answers of one model, a JSON line each. They are found by the very tokens of the prompt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablation.baselines.asking import Answer, Prompt

FOLDER = "answers"  # below the folder of models, as features are
VERSION = 1  # another one where the same prompt would get another answer


class AnswerFile:
    """What one model has answered.

    Args:
        folder: of models.
        weights_digest: of the model.
        answers: the tokens that are scored.

    Attributes:
        reused: how many prompts were found here.
    """

    def __init__(self, folder: Path, weights_digest: str, answers: Sequence[int]) -> None:
        self.path = folder / FOLDER / f"{weights_digest}-{VERSION}.jsonl"
        self._answers = list(answers)
        self._known = self._read()
        self.reused = 0

    def _read(self) -> dict[str, Answer]:
        known = {}
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        self._before_next = "\n" if text and not text.endswith("\n") else ""  # whoever wrote the last line was cut off
        for line in text.splitlines():
            try:
                key, scores, text = json.loads(line)
                known[str(key)] = Answer([float(score) for score in scores], str(text))
            except (ValueError, TypeError):  # cut short: it is asked again
                continue
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
