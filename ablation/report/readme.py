"""The parts of README.md that the code knows better: ``python -m ablation.report.readme`` writes them."""

from __future__ import annotations

import sys
from typing import Any

from ablation.config.experiment import FIELDS
from ablation.environment import PROJECT
from ablation.results.published import published_table

README = PROJECT / "README.md"
# Block -> the table that a benchmark's record holds.
RECORDS = PROJECT / "benchmarks" / "records"
RECORDED_TABLES = {
    "loading": RECORDS / "2026-11-21_load_weights" / "table.md",
    "speed": RECORDS / "2026-11-21_rows" / "table.md",
    "classifying": RECORDS / "2026-11-21_classify" / "table.md",
    "memory": RECORDS / "2026-11-21_memory" / "table.md",
}


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
    lines = [
        "| row | model | weights | reads | trains | context | train | val. | test | min | flags beside `--row N` |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in published_table().values():
        flags = f"`{row['flags']}`" if row["flags"] else "none: these are the defaults"
        cells = [
            row["row"], row["model_size"], row["weights"], row["trainable_token_pos"],
            row["trainable_layers"], row["context_length"], row["training_acc"], row["validation_acc"],
            row["test_acc"], row["training_minutes"], flags,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def flags_table() -> str:
    """What each flag does, from the configuration's own fields."""
    lines = ["| flag | default | what it does |", "| --- | --- | --- |"]
    for name, field in FIELDS.items():
        unset: dict[Any, str] = {None: "", False: "off"}
        default = unset.get(field.default, f"`{field.default}`")
        choices = field.metadata["choices"]
        among = f" ({', '.join(f'`{choice}`' for choice in choices)})" if choices else ""
        lines.append(f"| `--{name}` | {default} | {field.metadata['help']}{among} |")
    return "\n".join(lines)


def renew(text: str) -> str:
    """The README's text with its tables as the code and the benchmarks' records have them now."""
    text = replace_block(replace_block(text, "rows", rows_table()), "flags", flags_table())
    for name, table in RECORDED_TABLES.items():
        text = replace_block(text, name, table.read_text(encoding="utf-8"))
    return text


def main() -> int:
    README.write_text(renew(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
