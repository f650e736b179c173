"""Sentences that a language model is trained, chosen and tested on: captions, messages, the demo's, or files of the
user's, as token ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ablation.config.settings import CAPTIONS
from ablation.data.demo import MESSAGES
from ablation.data.labels import DataError
from ablation.data.sentence_lines import read_every_line
from ablation.data.spam import PUBLISHED_DATA_DIGEST, SPLITS, data_digest, load_splits
from ablation.files import published
from ablation.files.fetch import fetch_captions
from ablation.files.proof import sha256_of
from ablation.files.wanted import to_stderr
from ablation.words import plural

if TYPE_CHECKING:
    import tiktoken

SMS = "sms"  # the other value of --data beside the captions


class SentenceSettings(Protocol):
    """What a configuration says about sentences.

    data: where they are from, unless files are given.
    n_train, n_validation, n_test: the first so many sentences; None for all.
    max_len: tokens of a sentence at most; longer ones are cut.
    """

    @property
    def data(self) -> str: ...
    @property
    def train_file(self) -> str | None: ...
    @property
    def validation_file(self) -> str | None: ...
    @property
    def test_file(self) -> str | None: ...
    @property
    def n_train(self) -> int | None: ...
    @property
    def n_validation(self) -> int | None: ...
    @property
    def n_test(self) -> int | None: ...
    @property
    def max_len(self) -> int: ...
    @property
    def data_dir(self) -> str: ...
    @property
    def demo(self) -> bool: ...
    @property
    def offline(self) -> bool: ...
    @property
    def trust_new_hash(self) -> bool: ...


@dataclass(frozen=True)
class Sentences:
    """Sentences of one split: plain token ids, cut, without start or end token; and the texts, uncut."""

    token_ids: list[list[int]]
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Corpus:
    """The three splits.

    Attributes:
        splits: of "train", "validation" and "test".
        digest: SHA-256 (hex) of what is trained and evaluated on: texts, their order and number, and the cut.
        published: whether the texts are from the published files, byte for byte.
        source: where they are from.
    """

    splits: Mapping[str, Sentences]
    digest: str
    published: bool
    source: str

    @property
    def tests_in_training(self) -> int:
        """How many test sentences stand in the training split, word for word."""
        training = set(self.splits["train"].texts)
        return sum(text in training for text in self.splits["test"].texts)

    def recorded_digest(self, published_digest: str) -> str:
        """What results record: of the published texts that of all of them, however many are used; which they are, the
        settings say."""
        return published_digest if self.published else self.digest

    def describe(self) -> str:
        """Where they are from, how many there are, and how many of the test are no news, in one line."""
        sizes = " / ".join(f"{len(self.splits[name]):,}" for name in SPLITS)
        known = f"{self.tests_in_training:,} of the last stand among the first"
        return f"{self.source}; {sizes} sentences to train on, to choose by, to test on; {known}"


@dataclass(frozen=True)
class _Texts:
    """All texts of each split, before any is left out."""

    splits: Mapping[str, tuple[str, ...]]
    published: bool
    source: str


def load_sentences(
    config: SentenceSettings, tokenizer: tiktoken.Encoding, report: Callable[[str], None] = to_stderr
) -> Corpus:
    """Read and encode the sentences that a configuration means. Special tokens in a text are ordinary characters.

    Args:
        report: where lines about the fetching go.

    Raises:
        DataError, DownloadError: they cannot be had or used; the faults of all files together.
    """
    if any(_own_files(config).values()):
        texts = _own_texts(config)
    elif config.demo or config.data == SMS:
        texts = _message_texts(config, report)
    elif config.data == CAPTIONS:
        texts = _caption_texts(config, report)
    else:
        raise DataError(f"--data {config.data}: no such sentences; give {CAPTIONS} or {SMS}")
    kept = _first_sentences(texts, config)
    splits = {name: _encode(kept[name], tokenizer, config.max_len) for name in SPLITS}
    content = json.dumps({"max_len": config.max_len, "splits": [kept[name] for name in SPLITS]})
    return Corpus(splits, hashlib.sha256(content.encode()).hexdigest(), texts.published, texts.source)


# ---- where they are from ---------------------------------------------------------------------------------------------


def _own_files(config: SentenceSettings) -> dict[str, str | None]:
    return {"train": config.train_file, "validation": config.validation_file, "test": config.test_file}


def _own_texts(config: SentenceSettings) -> _Texts:
    files = _own_files(config)
    if lacking := [f"--{name}_file FILE" for name, file in files.items() if not file]:
        given = " ".join(f"--{name}_file {file}" for name, file in files.items() if file)
        raise DataError(f"{given}: own sentences need three files; add {' and '.join(lacking)}")
    paths = {name: Path(str(file)) for name, file in files.items()}
    texts = read_every_line(paths, "give a file with one sentence a line")
    return _Texts(texts, published=False, source=", ".join(map(str, paths.values())))


def _caption_texts(config: SentenceSettings, report: Callable[[str], None]) -> _Texts:
    """The published captions; with ``trust_new_hash`` whatever stands in their files."""
    offline, trust = config.offline, config.trust_new_hash
    folder = fetch_captions(Path(config.data_dir), offline=offline, trust_new_hash=trust, report=report)
    files = dict(zip(SPLITS, published.CAPTIONS, strict=True))
    paths = {name: folder / file.name for name, file in files.items()}
    found = {name: sha256_of(path) for name, path in paths.items()}
    others = [paths[name] for name, file in files.items() if found[name] != file.sha256]
    if others and not trust:
        names = ", ".join(map(str, others))
        raise DataError(
            f"{names}: not the published captions, as the SHA-256 says; delete what is named to have it fetched again,"
            " or add --trust_new_hash to train on it"
        )
    texts = read_every_line(paths, "delete it to have it fetched again")
    return _Texts(texts, published=not others, source=str(folder))


def _message_texts(config: SentenceSettings, report: Callable[[str], None]) -> _Texts:
    """Texts of the spam task's splits, as they are: what it tests on is not trained on here either."""
    data_dir = Path(config.data_dir)
    trust, offline = config.trust_new_hash, config.offline
    splits = load_splits(data_dir, demo=config.demo, offline=offline, trust_new_hash=trust, report=report)
    texts = {name: tuple(split["Text"]) for name, split in splits.items()}
    source = MESSAGES if config.demo else data_dir / published.DATASET_NAME
    return _Texts(texts, data_digest(splits) == PUBLISHED_DATA_DIGEST, f"texts of {source}")


# ---- what of it is used ----------------------------------------------------------------------------------------------


def _first_sentences(texts: _Texts, config: SentenceSettings) -> dict[str, tuple[str, ...]]:
    wanted = {"train": config.n_train, "validation": config.n_validation, "test": config.n_test}
    sizes = {name: len(found) for name, found in texts.splits.items()}
    too_many = [
        f"--n_{name} {count}, but there {'is' if sizes[name] == 1 else 'are'} {plural(sizes[name], 'sentence')}"
        for name, count in wanted.items()
        if count is not None and count > sizes[name]
    ]
    if too_many:
        raise DataError(f"{texts.source}: {'; '.join(too_many)}; give fewer, or leave the flag out for all")
    return {name: texts.splits[name][:count] for name, count in wanted.items()}


def _encode(texts: tuple[str, ...], tokenizer: tiktoken.Encoding, most: int) -> Sentences:
    return Sentences([tokens[:most] for tokens in tokenizer.encode_ordinary_batch(list(texts))], texts)
