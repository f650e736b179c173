"""Fetches GPT-2's weights and vocabulary, the SMS Spam Collection and captions, verified, from whichever address works.

    python gpt_download.py "gpt2-small (124M)" [--source huggingface|openai] [--models_dir models]
    python gpt_download.py --dataset [--data_dir data]
    python gpt_download.py --captions [--data_dir data]
    python gpt_download.py --vocabulary
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ablation.commands import FINISHED, INTERRUPTED, WRONG_COMMAND, fail, interrupt_on_signals
from ablation.config.flags import Parser
from ablation.config.path_problems import folder_problems
from ablation.config.shapes import MODEL_SHAPES, canonical_model_size
from ablation.environment import require_packages
from ablation.files.download import DownloadError, FetchOptions
from ablation.files.fetch import (
    DATA_DIR,
    MODELS_DIR,
    SOURCES,
    fetch_captions,
    fetch_dataset,
    fetch_vocabulary,
    fetch_weights,
)
from ablation.files.wanted import to_stderr


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Fetch GPT-2's weights, its vocabulary and the data set ahead of time.", allow_abbrev=False
    )
    sizes = ", ".join(MODEL_SHAPES)
    parser.add_argument("size", nargs="?", help=f"weights to fetch: one of {sizes}, or a short form such as small")
    parser.add_argument(
        "--source", choices=SOURCES, default="huggingface", help="which weights files to try first"
    )
    parser.add_argument("--dataset", action="store_true", help="fetch the SMS Spam Collection")
    parser.add_argument(
        "--captions", action="store_true", help="fetch image captions, which language models are trained on"
    )
    parser.add_argument("--vocabulary", action="store_true", help="fetch GPT-2's vocabulary, as tiktoken caches it")
    parser.add_argument("--models_dir", type=Path, default=MODELS_DIR, help="folder of the weights (default: models)")
    parser.add_argument("--data_dir", type=Path, default=DATA_DIR, help="folder of the data set (default: data)")
    parser.add_argument("--offline", action="store_true", help="only verify what is there")
    parser.add_argument(
        "--trust_new_hash", action="store_true", help="accept files whose SHA-256 is another, and say so"
    )
    options = parser.parse_args(arguments)
    if options.size is None and not (options.dataset or options.captions or options.vocabulary):
        parser.error("nothing to fetch: name a size, --dataset, --captions or --vocabulary")
    if options.size is not None:
        try:
            options.size = canonical_model_size(options.size)
        except ValueError as error:
            parser.error(f"size {options.size!r}: {error}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch what is asked for. Exit status 0, 1 for what cannot be had, 2 for a wrong command, 130 after an interrupt;
    each but the first with one line of reason."""
    wanted = parse_arguments(arguments)
    if problems := folder_problems({"models_dir": wanted.models_dir, "data_dir": wanted.data_dir}):
        return fail(problems, WRONG_COMMAND)
    require_packages()
    interrupt_on_signals()
    options = FetchOptions(offline=wanted.offline, trust_new_hash=wanted.trust_new_hash)
    try:
        if wanted.dataset:
            to_stderr(f"ready: {fetch_dataset(wanted.data_dir, **options)}")
        if wanted.captions:
            to_stderr(f"ready: {fetch_captions(wanted.data_dir, **options)}")
        if wanted.vocabulary:
            to_stderr(f"ready: {fetch_vocabulary(wanted.models_dir, **options)}")
        if wanted.size is not None:
            to_stderr(f"ready: {fetch_weights(wanted.size, wanted.models_dir, wanted.source, **options)}")
    except DownloadError as error:
        return fail([str(error)])
    except KeyboardInterrupt:
        return fail(["interrupted: repeat the command to go on from where it stopped"], INTERRUPTED)
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
