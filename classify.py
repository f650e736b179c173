"""Label messages with a classifier that --save_model kept.

    python classify.py                       # which models there are
    python classify.py --model latest "You are a winner ..."
    python classify.py --model results/runs/<run id> --file inbox.csv --json
    some_program | python classify.py --model latest      # line by line
    python classify.py --model latest --evaluate labelled.csv
    python classify.py --model latest --show_positions "You are a winner ..."
    python classify.py --model results/runs/<run id> --model results/runs/<another> "You are a winner ..."
    python classify.py --model latest --merge checkpoint.pth

Each message is read exactly as in the run's training: padded or cut to the
same length, read at the same position, with the same mask. A file has one
message a line, or is a CSV with a column of messages; it is never loaded
whole. A bad line is named and left out. Several models are asked together, each
message by each; what they have in common, their base weights, is loaded once.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from ablation.commands import FAILED, FINISHED, INTERRUPTED, WRONG_COMMAND, fail, say
from ablation.config.experiment import ConfigError, ExperimentConfig
from ablation.config.flags import Parser
from ablation.config.parser import argument
from ablation.config.settings import DEMO_RESULTS_DIR, RESULTS_DIR
from ablation.config.shapes import NANO
from ablation.config.values import device
from ablation.data.inbox import STANDARD_INPUT, stdin_is_piped
from ablation.data.message_table import Columns, TableError
from ablation.environment import require_packages
from ablation.run.request_problems import WORK, command_problems

if TYPE_CHECKING:
    from ablation.run.trained_classifier import SavedRun

FORMATS = ("text", "csv", "jsonl")


# ---- which model ----------------------------------------------------------------------------------------------------


def list_models(options: argparse.Namespace) -> int:
    """Show which models there are; a wrong command if one had to be named."""
    from ablation.run.saved_models import LATEST, describe_all
    from ablation.tasks.spam import SPAM

    asked = any(getattr(options, name) for name in WORK)
    if asked:
        fail([f"--model is missing: give a folder, or {LATEST}"])
    text = describe_all(options.results_dir, SPAM, shutil.get_terminal_size().columns)
    say(text, sys.stderr if asked else None)
    return WRONG_COMMAND if asked else FINISHED


def model_folder(named: Path, options: argparse.Namespace) -> Path:
    """The folder that a ``--model`` means.

    Raises:
        NoModelError: there is no latest.
    """
    from ablation.run.saved_models import LATEST, describe_model, find_folder, latest
    from ablation.tasks.spam import SPAM

    if str(named) != LATEST:
        return find_folder(named, options.results_dir, SPAM)
    model = latest(options.results_dir, SPAM)
    say(f"model: {describe_model(model, SPAM, shutil.get_terminal_size().columns)}", sys.stderr)
    return model.folder


# ---- what is done with it -------------------------------------------------------------------------------------------


def answer(runs: tuple[SavedRun, ...], configs: tuple[ExperimentConfig, ...], options: argparse.Namespace) -> int:
    """Answer messages, in one of the ways that there are; returns how many could not be answered."""
    from tqdm import tqdm

    from ablation.run import compare_models, use_model
    from ablation.run.answers import Remarks
    from ablation.tasks.spam import SPAM

    evaluated = options.evaluate is not None
    if len(runs) > 1:
        compare_models.check_together(runs)
        if options.format == "text":
            say("\n".join(compare_models.legend(runs)), sys.stderr)
    columns = Columns(runs[0].labels, options.text_column, options.label_column, labelled=evaluated)
    source, width = options.evaluate or options.file, terminal_width()
    request = use_model.Request(
        runs, configs, tuple(options.message), source, columns, options.format, options.threshold, width
    )
    if source == STANDARD_INPUT and sys.stdin.isatty():
        say("a message a line; the end of the input (Ctrl-D) ends it", sys.stderr)
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the locale, and whatever stands in a message
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    if evaluated:
        use = use_model.evaluation
    else:
        use = use_model.show_positions if options.show_positions else use_model.classify
    hidden = True if width else None  # None: where standard error is no terminal
    with tqdm(desc="classifying", unit=" messages", disable=hidden, leave=False) as bar:
        remarks = Remarks(lambda line: say(line, sys.stderr), bar.update)
        for text in use(request, SPAM, remarks):
            sys.stdout.write(text)
            if source == STANDARD_INPUT:  # whoever sends the next message may want this answer first
                sys.stdout.flush()
    sys.stdout.flush()
    return remarks.problems


def write_whole_model(saved: SavedRun, config: ExperimentConfig, target: Path) -> None:
    """The whole model, the run's method merged, as one file in the book's names."""
    from ablation.run.book_checkpoint import check_merges, write_checkpoint
    from ablation.run.open_classifier import joined_model

    check_merges(saved)
    count = write_checkpoint(saved, joined_model(saved, config), target)
    say(f"{target}: {count} tensors, {target.stat().st_size / 1e6:.1f} MB", sys.stderr)


def terminal_width() -> int | None:
    """Columns of the terminal that the answers go to; None if they go elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# ---- command line ---------------------------------------------------------------------------------------------------


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("message", nargs="*", help="messages to label")
    parser.add_argument(
        "--model", type=Path, metavar="FOLDER", action="append",
        help="a run's folder, results/runs/<id>, or its id; latest: the newest that kept a model; given several times,"
        " each of them answers; if not given, those that there are are listed",
    )  # fmt: skip
    parser.add_argument(
        "--results_dir", type=Path, metavar="FOLDER",
        help=f"where to look for kept models; default: {RESULTS_DIR} and {DEMO_RESULTS_DIR}",
    )  # fmt: skip
    parser.add_argument(
        "--file", metavar="FILE",
        help="a message a line, or a CSV with a column of messages; - for standard input (a pipe needs no flag)",
    )  # fmt: skip
    parser.add_argument("--text_column", metavar="NAME", help="of the messages in a CSV; default: text, message or sms")
    parser.add_argument(
        "--evaluate", metavar="FILE",
        help="labelled messages, a CSV or lines of label, tab, message: how many are answered rightly, and which not",
    )  # fmt: skip
    parser.add_argument("--label_column", metavar="NAME", help="of --evaluate; default: label, category or class")
    parser.add_argument(
        "--threshold", type=float, metavar="P",
        help="answer spam from this spam_probability on (of two other labels: the second); default: the likelier label",
    )  # fmt: skip
    parser.add_argument(
        "--show_positions", action="store_true", help="token ids, tokens, and the probability at every position"
    )
    parser.add_argument(
        "--format", choices=FORMATS,
        help="of the output; default: text. In csv a message that a spreadsheet would run (it begins with =, +, -, @, a"
        " tab or a carriage return) stands behind an apostrophe; jsonl keeps every message as it is",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="as --format jsonl: a JSON object a line")
    parser.add_argument(
        "--merge", "--merge_lora", metavar="FILE", dest="merge",
        help="write the whole model to a .pth or .safetensors instead, the run's method merged into plain weights",
    )  # fmt: skip
    add_flags_of_the_machine(parser)
    return parser


def add_flags_of_the_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights_path", metavar="PATH", help="the base weights; default: those of the run")
    parser.add_argument("--models_dir", default="models", metavar="FOLDER", help="of downloaded weights")
    parser.add_argument(
        "--device", type=argument(device), default="auto", help="where to compute: cpu, gpu, cuda:0; default: auto"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; as many as PyTorch chooses if not given")
    parser.add_argument("--offline", action="store_true", help="never open a connection")


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags as given; who sends messages down a pipe needs no ``--file -``."""
    options = make_parser().parse_args(arguments)
    if not any(getattr(options, name) for name in WORK) and stdin_is_piped():
        options.file = STANDARD_INPUT
    return options


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 if every message was answered, 1 if some were not or the model cannot be used, 2 for a wrong
    command."""
    options = read_options(arguments)
    if problems := command_problems(options):
        return fail(problems, status=WRONG_COMMAND)
    options.format = options.format or ("jsonl" if options.json else "text")
    require_packages()
    if options.model is None:
        return list_models(options)
    from ablation.process_state import process_state_kept
    from ablation.run.inputs import EXPECTED_FAILURES
    from ablation.run.saved_models import NoModelError
    from ablation.run.trained_classifier import ClassifierError

    try:
        with process_state_kept():
            return use(options)
    except ConfigError as error:
        return fail(error.problems, status=WRONG_COMMAND)
    except TableError as error:
        return fail([str(error)], status=WRONG_COMMAND)
    except (ClassifierError, NoModelError, *EXPECTED_FAILURES) as error:
        return fail([str(error)])
    except BrokenPipeError:  # whoever read the answers has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        path = error.filename or options.evaluate or options.file
        return fail([f"{path}: {error.strerror or error}; check the path"])
    except KeyboardInterrupt:
        return fail(["interrupted"], status=INTERRUPTED)


def use(options: argparse.Namespace) -> int:
    """Do what a command asks of a saved run; returns the exit status."""
    import torch

    from ablation.allocator import keep_freed_memory
    from ablation.data.demo import disclaimer
    from ablation.run.open_classifier import config_here
    from ablation.run.trained_classifier import read_saved_run

    runs = tuple(read_saved_run(model_folder(named, options)) for named in options.model)
    threads = options.threads or (1 if all(saved.config.model_in_use == NANO for saved in runs) else None)
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    for note in dict.fromkeys(disclaimer(saved.config.own_data).long for saved in runs if saved.config.demo):
        say(fill(note, shutil.get_terminal_size().columns) if sys.stderr.isatty() else note, sys.stderr)
    names = ("device", "models_dir", "offline", "weights_path")
    here = {name: getattr(options, name) for name in names}
    configs = tuple(config_here(saved, **here) for saved in runs)
    if options.merge is not None:
        write_whole_model(runs[0], configs[0], Path(options.merge))
        return FINISHED
    return FAILED if answer(runs, configs, options) else FINISHED


if __name__ == "__main__":
    sys.exit(main())
