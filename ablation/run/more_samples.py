"""More rows of a finished language model: other ways of decoding, without training again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ablation.config.decoding import Decoding
from ablation.data.sentences import Corpus, load_sentences
from ablation.environment import environment_stamp
from ablation.listener import Listener
from ablation.results.language_model import Spoken
from ablation.results.language_model_card import language_model_card
from ablation.results.language_model_record import EVALUATION_COLUMNS, INTERVALS, evaluations, intervals_of
from ablation.results.log import RUN_JSON
from ablation.results.more_rows import Further, add_rows, results_folder
from ablation.results.runs import check_writable, complete, rows_of
from ablation.results.task import Task
from ablation.run.frame import running
from ablation.run.inputs import RunError, open_tokenizer
from ablation.run.open_language_model import SavedLanguageModel, open_run
from ablation.run.speaking import speak_in
from ablation.words import plural

ADDED = "added"  # in run.json: when and where which ways of decoding were added


@dataclasses.dataclass(frozen=True)
class Additions:
    """Which ways of decoding are to be added to a run, and which it has already."""

    missing: tuple[Decoding, ...]
    there: tuple[Decoding, ...]

    def describe(self, saved: SavedLanguageModel) -> list[str]:
        """A line for each, for a person."""
        count = plural(saved.config.n_samples, "sentence")
        return [
            *(f"{way.describe()}: the run has as many sentences already, or more" for way in self.there),
            *(f"{way.describe()}: {count} to generate" for way in self.missing),
        ]


def additions(saved: SavedLanguageModel) -> Additions:
    """Hold the ways of decoding that the configuration names against those of the run."""
    return _hold_against(saved.record, saved.config.decodings, saved.config.n_samples)


def _hold_against(record: Mapping[str, Any], ways: Sequence[Decoding], count: int) -> Additions:
    most: dict[tuple[Any, ...], int] = {}
    for row in rows_of(record):
        key = tuple(row.get(column) for column in EVALUATION_COLUMNS)
        most[key] = max(most.get(key, 0), row.get("n_samples") or 0)
    there = tuple(way for way in ways if most.get(tuple(way.settings.values()), 0) >= count)
    return Additions(tuple(way for way in ways if way not in there), there)


def more_samples(task: Task, saved: SavedLanguageModel, listener: Listener) -> list[dict[str, Any]]:
    """Generate in the ways of decoding that the run lacks, measure, and append a row for each.

    Returns:
        The appended rows; none where the run has all ways already.

    Raises:
        ConfigError: the device is not there, or the results cannot be written to.
        RunError: the run's sentences are others than at hand; or out of memory.
        DataError, WeightsError, DownloadError, ResultsError: the parts cannot be had or used.
    """
    config, results_dir = saved.config, results_folder(saved.folder)
    found = additions(saved)
    for line in found.describe(saved):
        listener.message(line)
    if not found.missing:
        return []
    check_writable(results_dir, task)
    complete(results_dir, task)
    with running(config) as (device, _):
        corpus = _corpus_of(task, saved, listener)
        speaker = open_run(saved, device, listener)
        spoken = [speak_in(speaker, way, config.n_samples, corpus) for way in found.missing]
        stamp = environment_stamp(str(device))

    def further(record: Mapping[str, Any]) -> Further:
        return _further(record, spoken, {"timestamp_utc": datetime.now(UTC).isoformat(timespec="seconds"), **stamp})

    return add_rows(saved.folder, task, further, language_model_card)


def _corpus_of(task: Task, saved: SavedLanguageModel, listener: Listener) -> Corpus:
    """The sentences that the run was trained and tested on."""
    corpus = load_sentences(saved.config, open_tokenizer(saved.config), listener.message)
    if corpus.recorded_digest(task.published_data_digest) != saved.record.get("data_digest"):
        raise RunError(
            f"{saved.folder / RUN_JSON}: the run's sentences were others than {corpus.source} has now (their SHA-256"
            " differs); restore those, or say with --data_dir where they are"
        )
    return corpus


def _further(record: Mapping[str, Any], spoken: Sequence[Spoken], when: Mapping[str, Any]) -> Further:
    """What is new to the run as it is by now: another process may have added some of it."""
    new = [one for one in spoken if _hold_against(record, [one.decoding], len(one.texts)).missing]
    files = {f"{_file_stem(one.decoding, record)}.txt": "".join(f"{text}\n" for text in one.texts) for one in new}
    before = record.get(INTERVALS) or {}
    note = {**when, "evaluations": [{**one.decoding.settings, "n_samples": len(one.texts)} for one in new]}
    changed = {
        INTERVALS: {**before, **intervals_of(new).get(INTERVALS, {})},
        ADDED: [*record.get(ADDED, ()), note],
    }
    return Further(evaluations(new) if new else [], changed, files)


def _file_stem(way: Decoding, record: Mapping[str, Any]) -> str:
    """The name of a way's sentences; with its cuts where another cut of the run has the plain name already."""
    named = way.name, way.temperature
    alike = [row for row in rows_of(record) if (row.get("decoding"), row.get("temperature")) == named]
    if not alike or (alike[0].get("top_k"), alike[0].get("top_p")) == (way.top_k, way.top_p):
        return way.file_stem
    return way.cut_file_stem
