"""``--to book``: the whole model in the names of the book's code, as one file, with its card beside it."""

from __future__ import annotations

from pathlib import Path

from ablation.config.padding import padded_to
from ablation.files.storage import replace_file
from ablation.results.card_parts import CARD, Use, code
from ablation.run.book_checkpoint import write_checkpoint
from ablation.run.export_folder import Trained, check_merges
from ablation.run.request_problems import checkpoint_problem

problem = checkpoint_problem


def check(trained: Trained) -> None:
    """Raises ExportError if the run's method does not merge into plain weights."""
    check_merges(trained.saved)


def write(trained: Trained, target: Path) -> list[str]:
    """Write the file, and its card.

    Raises:
        ClassifierError: the run's method does not merge.
    """
    write_checkpoint(trained.saved, trained.joined(), target)
    replace_file(target.with_name(f"{target.stem}.{CARD}"), trained.card(use(trained, target)))
    return []


def use(trained: Trained, target: Path) -> Use:
    """What the card says of using it."""
    config, padded = trained.saved.config, trained.saved.padded_length
    read = "the mean over positions" if config.average_embeddings else f"the position: {config.trainable_token_pos}"
    text = (
        f"{code(target.name)} holds the whole model under the names of the book"
        ' "Build a Large Language Model (From Scratch)": its `GPTModel` with'
        f" `out_head = torch.nn.Linear({config.shape.emb_dim}, {len(trained.saved.labels)})` loads it.\n\n"
        f"A message is {'neither padded nor cut' if padded is None else padded_to(padded, config)}; the head"
        f" reads {read}{'; no causal mask' if config.disable_causal_mask else ''}."
    )
    return Use(text)
