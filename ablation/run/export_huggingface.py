"""``--to huggingface``: a folder for ``AutoModelForSequenceClassification`` and ``pipeline("text-classification")``."""

from __future__ import annotations

from pathlib import Path

from ablation.config.padding import RIGHT
from ablation.model.to_huggingface import FoldError, huggingface_tensors, without_bias
from ablation.results.card_parts import CARD, Use
from ablation.run.book_checkpoint import merged_state
from ablation.run.export_folder import (
    CLASSIFIER,
    ExportError,
    Reading,
    Trained,
    check_merges,
    folder_problem,
    model_files,
    new_folder,
    reading_of,
    write_files,
)

problem = folder_problem


def check(trained: Trained) -> None:
    """Raises ExportError if the run's method does not merge into plain weights, or the run cannot be read so."""
    check_merges(trained.saved)
    reading_of(trained.saved)


def write(trained: Trained, target: Path) -> list[str]:
    """Write the folder; returns what has to be said of it, one line each.

    Raises:
        ExportError, ClassifierError: the run cannot be exported so.
    """
    reading = reading_of(trained.saved)
    try:
        state = without_bias(merged_state(trained.saved, trained.joined()))
    except FoldError as error:
        raise ExportError(f"{trained.saved.folder}: its head has a bias, transformers' has none, and {error}") from None
    files = {**model_files(trained, reading, CLASSIFIER), CARD: trained.card(use(target, reading))}
    with new_folder(target) as folder:
        write_files(folder, files, huggingface_tensors(state, trained.config.shape))
    return [f"a bare pipeline(text) does not give the run's answers: call it with {reading.call}"] * (
        reading.filled_up
    )


def use(target: Path, reading: Reading) -> Use:
    """What the card says of using it."""
    name, several = target.name, reading.call if reading.filled_up else f"padding=True, {reading.call}"
    snippet = f"""```python
from transformers import pipeline

classifier = pipeline("text-classification", "{name}")
classifier("you have won a prize", {reading.call})
```

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoModelForSequenceClassification.from_pretrained("{name}")
model(**tokenizer(["you have won a prize"], return_tensors="pt", {several})).logits
```"""
    if reading.filled_up:
        how = _filled_up(reading)
        limit = f"`pipeline(text)` without these arguments does not give the run's answers: {reading.call}."
    else:
        how = (
            "The model reads the last token of a message, however much it is padded. Messages of more than"
            f" {reading.length} tokens were cut at their {_cut_at(reading)}: `truncation=True` does so.\n\n"
        )
        limit = f"Messages of more than {reading.length} tokens have to be cut: {reading.call}."
    matter = ("library_name: transformers", "pipeline_tag: text-classification")
    folded = "\n\nThe head's bias is in the final norm's shift, since transformers' head has none; logits are the same."
    return Use(how + snippet + folded, matter, (limit,))


def _filled_up(reading: Reading) -> str:
    """What the card says of messages that have to be padded to one length."""
    normally = ", normally a pad that has seen all others" if reading.padding_side == RIGHT else ""
    seen = "pads are attended to (the tokenizer makes no attention mask)"
    if reading.hides_pads:
        normally = normally.replace("others", "tokens")
        seen = "pads are not attended to (the tokenizer makes an attention mask)"
    return (
        f"The model was trained on messages padded to {reading.length} tokens on the {reading.padding_side}, or cut to"
        f" as many at their {_cut_at(reading)}, and reads the last of them{normally}. So every message has to be padded"
        f" to that length; {seen}, and the configuration names a pad id that no token has, so that the last position is"
        " read (transformers says, when it loads the model, that the id is odd).\n\n"
    )


def _cut_at(reading: Reading) -> str:
    return "end" if reading.truncation_side == RIGHT else "beginning"
