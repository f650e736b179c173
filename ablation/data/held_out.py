"""Text that no training has seen, on which a language model is asked before and after what it has forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.config.classifier_settings import ClassifierSettings
from ablation.data.demo import MESSAGES, read_demo_messages
from ablation.data.sentence_lines import read_sentences
from ablation.data.spam import SPLITS, split_messages
from ablation.files import published
from ablation.files.fetch import how_to_fetch_captions
from ablation.words import plural

if TYPE_CHECKING:
    import tiktoken

CAPTIONS = published.captions_folder(Path()) / published.CAPTIONS[SPLITS.index("test")].name  # below --data_dir
MOST_TOKENS = 5_000  # that are predicted of a file; with GPT-2 small well under a minute on two cores, both times


@dataclass(frozen=True)
class HeldOutText:
    """Texts, each by itself, and where they are from; ``most_tokens`` of them are predicted, or all with None."""

    source: str
    texts: tuple[str, ...]
    most_tokens: int | None = MOST_TOKENS

    def describe(self) -> str:
        """In a few words."""
        count = plural(len(self.texts), "text")
        return f"{self.source}, " + (count if self.most_tokens is None else f"{self.most_tokens:,} tokens of {count}")


def load_held_out_text(config: ClassifierSettings) -> HeldOutText | None:
    """The text that the configuration measures forgetting on; None if it measures none.

    The user's file; else the demo's test messages, of which the miniature's pretraining had none; else captions.

    Raises:
        DataError: there is none, or it cannot be used.
    """
    if not config.measure_forgetting:
        return None
    if config.held_out_text is not None:
        return HeldOutText(config.held_out_text, read_sentences(Path(config.held_out_text), "give another file"))
    if config.demo:
        test = split_messages(read_demo_messages())["test"]
        return HeldOutText(f"{MESSAGES.name}, the test split", tuple(test["Text"]), most_tokens=None)
    data_dir = Path(config.data_dir)
    path = data_dir / CAPTIONS
    remedy = f"--measure_forgetting needs text: {how_to_fetch_captions(data_dir)}, or give --held_out_text FILE"
    return HeldOutText(str(path), read_sentences(path, remedy))


def first_sequences(text: HeldOutText, tokenizer: tiktoken.Encoding) -> list[list[int]]:
    """The first texts as token ids, an end-of-text token before each, which begins it, and one behind, which ends it;
    as many as the tokens to predict may be, at least one."""
    end, sequences, predicted = tokenizer.eot_token, list[list[int]](), 0
    for tokens in tokenizer.encode_ordinary_batch(list(text.texts)):
        predicted += len(tokens) + 1
        if sequences and text.most_tokens is not None and predicted > text.most_tokens:
            break
        sequences.append([end, *tokens, end])
    return sequences


def digest_of(sequences: Sequence[Sequence[int]]) -> str:
    """SHA-256 (hex) of what is predicted: perplexities can be compared where it is the same."""
    return hashlib.sha256("\n".join(" ".join(map(str, one)) for one in sequences).encode()).hexdigest()
