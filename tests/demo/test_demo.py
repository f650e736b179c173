"""The embedded miniature: what its files are, how they come about, and that the whole experiment runs on it."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import math
import statistics
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from ablation.config.experiment import DEMO_RESULTS_DIR, ConfigError, ExperimentConfig, config_hash, variant_settings
from ablation.config.flags import EXPERIMENTS
from ablation.config.rows import ROWS, find_row, row_config
from ablation.config.shapes import ALL_SHAPES, NANO
from ablation.data.demo import (
    END_OF_TEXT,
    MESSAGES,
    VOCABULARY,
    WEIGHTS,
    WORD_PATTERN,
    load_demo_tokenizer,
    read_demo_messages,
    vocabulary_digest,
)
from ablation.data.labels import DataError
from ablation.data.spam import split_messages
from ablation.listener import Listener
from ablation.run.experiment import run_experiment
from ablation.run.inputs import open_weights
from ablation.run.kinds import save_result
from ablation.run.trained_classifier import ClassifierError, read_saved_run
from ablation.tasks.spam import SPAM
from demo import messages as generator
from demo.pretraining import (
    HELD_OUT_COUNTS,
    HELD_OUT_SEED,
    PRETRAINING_COUNTS,
    PRETRAINING_SEED,
    STEP_FACTORS,
    initialise,
    next_token_loss,
    perplexity,
    pretrain,
    token_stream,
    weights_file,
    widen_steps,
)
from demo.vocabulary import demo_vocabulary, merged, train_vocabulary
from previous_chapters import GPTModel
from tests.support.tiny import few_demo_messages

README_PERPLEXITY = 21.8  # of the committed weights, as docs/demo.md has it


class Lines(Listener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, line: str) -> None:
        self.lines.append(line)


# ---- messages -------------------------------------------------------------------------------------------------------


def test_the_committed_messages_are_the_generators() -> None:
    with MESSAGES.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["Label", "Text"]
    assert [tuple(row) for row in rows] == generator.demo_messages()


def test_messages_are_distinct_and_of_the_right_number_and_length() -> None:
    messages = read_demo_messages()
    assert messages["Label"].value_counts().to_dict() == {"ham": 803, "spam": 747}
    assert messages["Text"].is_unique
    splits = split_messages(messages)
    assert {name: len(split) for name, split in splits.items()} == {"train": 1045, "validation": 149, "test": 300}
    lengths = [len(ids) for ids in load_demo_tokenizer().encode_ordinary_batch(list(messages["Text"]))]
    assert 28 < statistics.mean(lengths) < 36
    assert 100 < max(lengths) <= 120
    assert sum(length < 20 for length in lengths) > 0.1 * len(lengths)


def test_no_simple_sign_tells_ham_from_spam() -> None:
    """Much spam has no digit and no link, much ham has; and both talk of the same things."""
    messages = read_demo_messages()
    signs = messages["Text"].str.contains(r"[0-9]|\.example").groupby(messages["Label"]).mean()
    assert signs["spam"] < 0.6 and signs["ham"] > 0.25
    for word in ("prize", "free", "won", "money", "account", "parcel", "call", "pounds", "love"):
        shares = messages["Text"].str.contains(word, case=False).groupby(messages["Label"]).sum()
        assert min(shares) >= 3, (word, shares.to_dict())


def test_a_bag_of_words_gets_some_way_but_not_all() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    splits = split_messages(read_demo_messages())
    vectorizer = CountVectorizer()
    features = vectorizer.fit_transform(splits["train"]["Text"])
    model = LogisticRegression(max_iter=1000).fit(features, splits["train"]["Label"])
    for split in ("validation", "test"):
        accuracy = model.score(vectorizer.transform(splits[split]["Text"]), splits[split]["Label"])
        assert 0.85 <= accuracy <= 0.93, split


def test_the_generator_depends_on_its_seed_alone() -> None:
    counts = {"ham": 5, "spam": 5}
    first = generator.write_messages(counts, 7)
    assert first == generator.write_messages(counts, 7) != generator.write_messages(counts, 8)
    left_out = first[0][1]
    assert left_out not in {text for _, text in generator.write_messages(counts, 7, besides={left_out})}


def test_every_template_can_be_filled_in() -> None:
    """No slot without words, no bracket left over."""
    import random

    draw = random.Random(0)
    for name in ("ham", "spam", "smalltalk", "words"):
        for topic, templates in generator.texts(name).items():
            for template in templates:
                filled = generator.expand(template.replace("{quoted}", ""), draw)
                assert not set("[]{}|") & set(filled), (topic, template)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Text,Label\nhi,ham\n", r"columns \['Text', 'Label'\], expected"),
        ("Label,Text\nham,hi\njunk,hi\n", "message 2: .*expected ham or spam"),
        ("Label,Text\nham,hi,there\n", "message 1"),
        ("", "cannot be read"),
        ('Label,Text\nham,"' + "a quotation without an end " * 10_000, "cannot be read"),
    ],
    ids=["columns", "label", "fields", "empty", "endless"],
)
def test_damaged_messages(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "messages.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_demo_messages(tmp_path / "messages.csv")
    with pytest.raises(DataError, match=r"nowhere.*demo\.messages"):
        read_demo_messages(tmp_path / "nowhere.csv")


# ---- vocabulary -----------------------------------------------------------------------------------------------------


def test_byte_pairs_by_hand() -> None:
    """"ab" stands three times, then "abc" twice; of equally frequent pairs the smaller comes first."""
    tokens = train_vocabulary(["abc abc ab"], 260)
    assert tokens[256:258] == [b"ab", b" ab"] or tokens[256:258] == [b"ab", b"abc"]
    assert merged([b"a", b"a", b"a"], (b"a", b"a")) == [b"aa", b"a"]
    assert merged([b"x", b"a", b"b", b"a", b"b"], (b"a", b"b")) == [b"x", b"ab", b"ab"]


def test_the_vocabulary_in_use() -> None:
    tokenizer = load_demo_tokenizer()
    assert (tokenizer.n_vocab, tokenizer.eot_token) == (ALL_SHAPES[NANO].vocab_size, 1999)
    for text in ["You have won £250!", "naïve 🙂 \x00\t\n  x", END_OF_TEXT, *read_demo_messages()["Text"][:20]]:
        ids = tokenizer.encode_ordinary(text)
        assert tokenizer.decode(ids) == text and tokenizer.eot_token not in ids
    assert len(tokenizer.encode_ordinary(" parcel")) == 1


def test_merging_by_rank_gives_tiktokens_tokens() -> None:
    """The file means what tiktoken makes of it: lowest rank first, within the words of the pattern."""
    import re

    lines = VOCABULARY.read_text().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(str.split, lines)}
    tokenizer = load_demo_tokenizer()
    for text in read_demo_messages()["Text"][:30]:
        expected: list[int] = []
        for word in re.findall(WORD_PATTERN, text):
            parts = [bytes([byte]) for byte in word.encode()]
            while len(parts) > 1:
                pair = min(pairwise(parts), key=lambda pair: ranks.get(pair[0] + pair[1], math.inf))
                if pair[0] + pair[1] not in ranks:
                    break
                parts = merged(parts, pair)
            expected += [ranks[part] for part in parts]
        assert tokenizer.encode_ordinary(text) == expected


def test_a_damaged_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.tiktoken"
    for content in ("no numbers\n", "YQ== 0\nYg== 0\n", "YQ== 0\n", "YQ== x\n"):
        path.write_text(content)
        with pytest.raises(DataError, match=r"vocabulary.tiktoken: .*demo.vocabulary"):
            load_demo_tokenizer(path)


# ---- language model -------------------------------------------------------------------------------------------------


def held_out_perplexity() -> float:
    model = GPTModel(ALL_SHAPES[NANO])
    source = open_weights(ExperimentConfig(demo=True), Listener())
    state = {name: source.tensor(name) for name in model.state_dict() if name != "out_head.weight"}
    model.load_state_dict({**state, "out_head.weight": state["tok_emb.weight"]})
    return perplexity(model, token_stream(HELD_OUT_COUNTS, HELD_OUT_SEED))


def test_the_committed_weights_have_the_readmes_perplexity() -> None:
    assert held_out_perplexity() == pytest.approx(README_PERPLEXITY, abs=0.1)
    assert 2e6 < WEIGHTS.stat().st_size < 3.5e6


def test_wider_steps_change_nothing_that_the_model_computes() -> None:
    torch.manual_seed(0)
    model = GPTModel(ALL_SHAPES[NANO])
    initialise(model, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.rand(parameter.shape))  # biases and shifts, too, are something
    tokens = torch.randint(2000, (2, 50))
    with torch.no_grad():
        before = model(tokens)
        widen_steps(model, 8, 2)
        after = model(tokens)
    assert (before - after).abs().max() < 0.003 * before.std()  # the norms' epsilon
    assert model.out_head.weight is model.tok_emb.weight


def test_pretraining_learns_and_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.pretraining.EPOCHS", 1)
    monkeypatch.setattr("demo.pretraining.WARMUP_STEPS", 3)
    stream = token_stream({"ham": 100, "spam": 100}, 9)
    shape = dataclasses.replace(ALL_SHAPES[NANO], context_length=32, n_layers=1, emb_dim=32, n_heads=2)
    first, again = (pretrain(shape, stream, lambda line: None) for _ in range(2))
    assert weights_file(first) == weights_file(again)
    with torch.no_grad():
        assert float(next_token_loss(first, stream[None, :33])) < 7 < math.log(2000)


# ---- the experiment on it -------------------------------------------------------------------------------------------


def test_a_demo_is_its_row_but_not_the_same_experiment() -> None:
    for row in ROWS:
        demo, real = row_config(row, demo=True), row_config(row)
        assert find_row(ROWS, demo) == find_row(ROWS, real) == row
        assert demo.shape == ALL_SHAPES[NANO]
        assert config_hash(demo) != config_hash(real)
        assert variant_settings(demo) == {**variant_settings(real), "demo": True}
        assert (demo.results_dir, real.results_dir) == (DEMO_RESULTS_DIR, "results")
    assert config_hash(ExperimentConfig(demo=True, model_size=NANO)) == config_hash(ExperimentConfig(demo=True))


def test_the_nano_model_by_its_name() -> None:
    for name in (NANO, "gpt2-nano", "demo"):
        config, _ = EXPERIMENTS.configure({"model_size": name})
        assert (config.model_size, config.shape, config.demo) == (NANO, ALL_SHAPES[NANO], False)
    assert find_row(ROWS, config) is None
    with pytest.raises(ConfigError, match="the model has 256 positions"):
        ExperimentConfig(demo=True, context_length=257)
    _, warnings = EXPERIMENTS.configure({"demo": True, "model_size": "gpt2-xl"})
    assert warnings == [f"--model_size has no effect with --demo, which uses {NANO}"]


def test_the_models_context_and_padding() -> None:
    splits = SPAM.load(row_config(13, demo=True), Listener()).splits
    assert {split.tokens.shape[1] for split in splits.values()} == {256}
    assert int(splits["test"].tokens[0, -1]) == 1999


@pytest.mark.parametrize("row", ROWS)
def test_every_row_runs(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of it, on cut messages. A row of a larger size says what takes its place."""
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    listener = Lines()
    result = run_experiment(SPAM, row_config(row, demo=True, max_steps=1, eval_iter=1, context_length=16), listener)
    assert {name: count.total for name, count in result.answers.counts.items()}["test"] == 24
    assert any("in its place" in line for line in listener.lines) == (row in (6, 7, 8, 9, 12))
    assert sum("not the SMS Spam Collection" in line for line in listener.lines) == 1


@pytest.mark.parametrize(
    "overrides",
    [{"weights": "random", "n_layers": 1, "emb_dim": 32, "n_heads": 2}, {"precision": "bf16"}, {"execution": "naive"}],
    ids=str,
)
def test_other_settings_run(overrides: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    config = ExperimentConfig(demo=True, max_steps=1, eval_iter=1, context_length=16, **overrides)
    assert run_experiment(SPAM, config).answers.counts["test"].total == 24


def test_a_model_trained_with_another_vocabulary_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 5 trains everything, so that no base weights tell which miniature it came from."""
    monkeypatch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
    short = {"max_steps": 1, "eval_iter": 1, "context_length": 16}
    config = row_config(5, demo=True, save_model=True, results_dir=str(tmp_path), **short)
    folders = []
    for digest in (vocabulary_digest(), "c" * 64):
        monkeypatch.setattr("ablation.results.run_folder.vocabulary_digest", lambda digest=digest: digest)
        (row,) = save_result(SPAM, run_experiment(SPAM, config))
        folders.append(tmp_path / "runs" / row["run_id"])
    assert read_saved_run(folders[0]).config.demo
    with pytest.raises(ClassifierError, match=r"another vocabulary\.tiktoken than today's; train the run anew"):
        read_saved_run(folders[1])


# ---- the long ones --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_vocabulary_is_made_again_to_the_byte() -> None:
    assert demo_vocabulary() == VOCABULARY.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_weights_are_made_again() -> None:
    """To the byte on the kind of processor they were made on; elsewhere roundings grow to some per cent of it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = pretrain(ALL_SHAPES[NANO], token_stream(PRETRAINING_COUNTS, PRETRAINING_SEED), lambda line: None)
    finally:
        torch.set_num_threads(threads)
    widen_steps(model, *STEP_FACTORS)
    same = hashlib.sha256(weights_file(model)).digest() == hashlib.sha256(WEIGHTS.read_bytes()).digest()
    again = perplexity(model, token_stream(HELD_OUT_COUNTS, HELD_OUT_SEED))
    assert same or again == pytest.approx(held_out_perplexity(), rel=0.15)


def mean_test_accuracy(row: int) -> float:
    """In percent, over three seeds."""
    results = [run_experiment(SPAM, row_config(row, demo=True, seed=seed)) for seed in (123, 124, 125)]
    return 100 * statistics.mean(result.answers.counts["test"].accuracy for result in results)


@pytest.mark.slow
def test_the_readout_and_the_last_block_matter() -> None:
    assert mean_test_accuracy(1) >= mean_test_accuracy(2) + 5


@pytest.mark.slow
def test_what_trains_and_pretraining_matter() -> None:
    everything = mean_test_accuracy(5)
    assert everything >= mean_test_accuracy(3) + 5
    assert everything >= mean_test_accuracy(10) + 3


@pytest.mark.parametrize("module", ["messages", "vocabulary", "pretraining"])
@pytest.mark.parametrize(("flag", "status"), [("--help", 0), ("--output", 2)])
def test_flags_of_the_makers_start_nothing(module: str, flag: str, status: int) -> None:
    """Pretraining takes minutes, and each of them writes over a file of the repository."""
    before = [path.stat().st_mtime_ns for path in (MESSAGES, VOCABULARY, WEIGHTS)]
    command = [sys.executable, "-m", f"demo.{module}", flag]
    done = subprocess.run(command, cwd=MESSAGES.parents[2], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert [path.stat().st_mtime_ns for path in (MESSAGES, VOCABULARY, WEIGHTS)] == before
