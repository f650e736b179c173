"""The parts of the documents that the code knows better: ``python -m ablation.report.documents`` writes them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ablation.config.experiment import FIELDS
from ablation.config.flags import EXPERIMENTS, typed
from ablation.config.generation_rows import GENERATION, NAMES
from ablation.config.methods import DECLARATIONS, methods
from ablation.config.rows import ROW_SETS
from ablation.config.settings import fields_of
from ablation.environment import PROJECT
from ablation.report.shipped_baselines import shipped_baselines_table
from ablation.results.published import published_figures, published_language_model, published_table, spoken_name
from ablation.results.row_list import row_flags

RECORDS = PROJECT / "benchmarks" / "records"
SHIPPED_GENERATION = PROJECT / "results" / "reference" / "generation.csv"
SHIPPED_PERPLEXITIES = {
    "validation_perplexity": "validation perplexity", "test_perplexity": "test perplexity",
    "test_token_perplexity": "test perplexity per token",
}  # fmt: skip
BLEU = ("forward_bleu", "backward_bleu", "harmonic_bleu")
OF_ALL_METHODS = ("learning_rate", "from_block", "decayed")


def replace_block(text: str, name: str, content: str) -> str:
    """The text with what stands between ``<!-- name:begin -->`` and ``<!-- name:end -->`` replaced.

    Raises:
        ValueError: the markers are not there, once each and in this order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"needs {begin} and {end}, once each and in this order; put them where the block belongs")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"


def rows_table() -> str:
    """The nineteen rows: command, what they are, published accuracies (percent), published minutes on an A100."""
    columns = (
        "row", "model_size", "weights", "trainable_token_pos", "trainable_layers", "context_length",
        "training_acc", "validation_acc", "test_acc", "training_minutes",
    )  # fmt: skip
    lines = [
        "| row | model | weights | reads | trains | context | train | val. | test | min | flags beside `--row N` |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in published_table().values():
        flags = f"`{row['flags']}`" if row["flags"] else "none: these are the defaults"
        lines.append(f"| {' | '.join([*(row[column] for column in columns), flags])} |")
    return "\n".join(lines)


# Where the learning rate of a method comes from.
RATES: Mapping[str, str] = {
    "lora": "Hu et al. 2021, GPT-2",
    "dora": "that of LoRA, which it is at first",
    "dylora": "usual in practice for LoRA on classification",
    "serial_adapter": "Houlsby et al. 2019, the middle one of three tried",
    "parallel_adapter": "He et al. 2021, classification",
    "hybrid": "He et al. 2021, classification",
    "prefix_tuning": "usual in practice where the prefix is trained directly",
    "soft_prompt": "the example of Hugging Face PEFT",
    "ia3": "Liu et al. 2022",
    "bitfit": "of the size that Ben Zaken et al. 2021 try",
    "norms": "none of its own: that of the biases",
}


def method_rows_table() -> str:
    """The rows beside the table: flags, learning rate and its source, and published accuracies where there are any."""
    figures = published_figures()
    lines = [
        "| row | flags beside `--row N` | learning rate | where the rate comes from | train | val. | test |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in ROW_SETS["methods"]:
        flags, line = row_flags(EXPERIMENTS, row), figures.get(str(row), {})
        rate = f"{flags.pop('learning_rate'):g}"
        source = line["source"].partition(";")[0] if line else RATES[flags["method"]]
        accuracies = (line.get(f"{split}_acc", "–") for split in ("training", "validation", "test"))
        lines.append(f"| {' | '.join([str(row), f'`{typed(flags)}`', rate, source, *accuracies])} |")
    return "\n".join(lines)


def padding_rows_table() -> str:
    """The rows on padding: their flags."""
    lines = ["| row | flags beside `--row N` |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {row} | `{typed(row_flags(EXPERIMENTS, row))}` |" for row in ROW_SETS["padding"])])


def flags_table() -> str:
    """What each flag of a classifier's run does, from the configuration's own fields."""
    return _flags({name: field.metadata for name, field in FIELDS.items()})


def generation_flags_table() -> str:
    """The flags of a language model's run that are not, or not so, those of a classifier's."""
    own = {name: field.metadata for name, field in fields_of(GENERATION.config_class).items()}
    shown = {
        name: metadata
        for name, metadata in own.items()
        if name not in GENERATION.config_class.OF_OTHERS
        and (name not in FIELDS or _cells(metadata) != _cells(FIELDS[name].metadata))
    }
    return _flags(shown)


def _flags(settings: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| flag | default | what it does |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| `--{name}` | {_cells(metadata)} |" for name, metadata in settings.items())])


def _cells(metadata: Mapping[str, Any]) -> str:
    """A setting's default, and what it does."""
    unset: dict[Any, str] = {None: "", False: "off"}
    usual, choices = metadata["usual"], metadata["choices"]
    among = f" ({', '.join(f'`{choice}`' for choice in choices)})" if choices else ""
    return f"{unset.get(usual, f'`{usual}`')} | {metadata['help']}{among}"


def generation_rows_table() -> str:
    """The language model's rows: their names where they were published, flags, and published test perplexity."""
    published = published_language_model()
    lines = ["| row | published as | flags beside `--row N` | test perplexity |", "| --- | --- | --- | --- |"]
    for row, name in NAMES.items():
        flags = typed(row_flags(GENERATION, row)).replace("+", ",")
        figure = published.get(str(row), {}).get("test_perplexity", "–")
        lines.append(f"| {row} | {name} | {f'`{flags}`' if flags else 'none: these are the defaults'} | {figure} |")
    return "\n".join(lines)


def shipped_language_model_table() -> str:
    """What the run of row 1 that ships says, beside the published figures."""
    published = published_language_model()["1"]
    with SHIPPED_GENERATION.open(encoding="utf-8", newline="") as lines:
        ways = [line for line in csv.DictReader(lines) if line["row"] == "1"]
    found = ["| | this run | published |", "| --- | --- | --- |"]
    for column, title in SHIPPED_PERPLEXITIES.items():
        found.append(f"| {title} | {float(ways[0][column]):.2f} | {published.get(column, '–')} |")
    for way in ways:
        decoding, temperature = way["decoding"], f"{float(way['temperature']):.1f}"
        here = " / ".join(f"{float(way[column]):.3f}" for column in BLEU)
        there = " / ".join(published[spoken_name(column, decoding, temperature)] for column in BLEU)
        found.append(f"| BLEU, {decoding} {temperature} | {here} | {there} |")
    return "\n".join(found)


def methods_table() -> str:
    """What ``--method`` takes: learning rate, settings with their defaults but those of all, and whether it merges."""
    head = "| method | learning rate | settings of its own, with their defaults | merges |"
    lines = [head, "| --- | --- | --- | --- |"]
    for name in methods():
        method, defaults = DECLARATIONS[name], dict(DECLARATIONS[name].defaults or {})
        rate = f"{defaults['learning_rate']:.0e}".replace("e-0", "e-")
        options = {option: FIELDS[option].default for option in method.options}
        own = {setting: value for setting, value in defaults.items() if setting not in OF_ALL_METHODS}
        shown = ", ".join(f"`--{setting} {value}`" for setting, value in {**options, **own}.items())
        merges = f"no: {method.cannot_merge}" if method.cannot_merge else "yes"
        lines.append(f"| `{name}` | {rate} | {shown} | {merges} |")
    return "\n".join(lines)


def recorded(record: str) -> str:
    """The table of a benchmark's record."""
    return (RECORDS / record / "table.md").read_text(encoding="utf-8")


def newest(benchmark: str) -> str:
    """The table of a benchmark's latest record, whose folder is called DATE_BENCHMARK; says so if there is none."""
    records = sorted(path.name for path in RECORDS.glob(f"????-??-??_{benchmark}"))
    return recorded(records[-1]) if records else "Not measured yet."


# Document -> its blocks, and what makes the content of each. (The README's results are the report's to write.)
BLOCKS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "docs/rows.md": {"rows": rows_table, "method_rows": method_rows_table},
    "docs/baselines.md": {"shipped_baselines": shipped_baselines_table},
    "docs/padding.md": {"padding_rows": padding_rows_table},
    "docs/flags.md": {"flags": flags_table, "generation_flags": generation_flags_table},
    "docs/language-model.md": {"generation_rows": generation_rows_table, "shipped": shipped_language_model_table},
    "docs/methods.md": {"methods": methods_table, "speed": partial(recorded, "2026-11-25_methods")},
    "docs/speed.md": {
        "speed": partial(recorded, "2026-11-21_rows"),
        "classifying": partial(recorded, "2026-11-21_classify"),
        "loading": partial(recorded, "2026-11-21_load_weights"),
        "language_model": partial(newest, "language_model"),
        "bleu": partial(newest, "bleu"),
    },
    "docs/decoding.md": {
        "token_seconds": partial(newest, "token_seconds"),
        "generation": partial(newest, "generation"),
    },
    "docs/checkpoints.md": {"kills": partial(recorded, "2026-11-25_kills")},
    "docs/memory.md": {
        "memory": partial(recorded, "2026-11-21_memory"),
        "thrift": partial(recorded, "2026-11-25_memory"),
    },
}


def renew(document: str) -> str:
    """A document's text with its blocks as the code and the benchmarks' records have them now."""
    text = (PROJECT / document).read_text(encoding="utf-8")
    for name, content in BLOCKS[document].items():
        text = replace_block(text, name, content())
    return text


if __name__ == "__main__":
    for document in BLOCKS:
        (PROJECT / document).write_text(renew(document), encoding="utf-8")
