"""Label messages with a classifier that --save_model kept.

    python classify.py                       # which models there are
    python classify.py --model latest "You are a winner ..."
    python classify.py --model results/runs/<run id> --file inbox.csv --json
    some_program | python classify.py --model latest      # line by line
    python classify.py --model latest --evaluate labelled.csv
    python classify.py --model latest --show_positions "You are a winner ..."
    python classify.py --model latest --merge_lora checkpoint.pth

Each message is read exactly as in the run's training: padded or cut to the
same length, read at the same position, with the same mask. A file has one
message a line, or is a CSV with a column of messages; it is never loaded
whole. A bad line is named and left out.
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
from ablation.config.flags import Parser, threshold_problems, weights_path_problems
from ablation.config.parser import argument
from ablation.config.settings import DEMO_RESULTS_DIR, RESULTS_DIR
from ablation.config.shapes import NANO
from ablation.config.values import device
from ablation.data.inbox import STANDARD_INPUT, stdin_is_piped
from ablation.data.message_table import Columns, TableError
from ablation.environment import require_packages

if TYPE_CHECKING:
    from ablation.run.trained_classifier import SavedRun

WORK = ("message", "file", "evaluate", "merge_lora")  # a command asks for one of them
FORMATS = ("text", "csv", "jsonl")
CHECKPOINTS = (".pth", ".pt", ".safetensors")


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


def model_folder(options: argparse.Namespace) -> Path:
    """The folder that ``--model`` means.

    Raises:
        NoModelError: there is no latest.
    """
    from ablation.run.saved_models import LATEST, describe_model, find_folder, latest
    from ablation.tasks.spam import SPAM

    if str(options.model) != LATEST:
        return find_folder(options.model, options.results_dir, SPAM)
    model = latest(options.results_dir, SPAM)
    say(f"model: {describe_model(model, SPAM, shutil.get_terminal_size().columns)}", sys.stderr)
    return model.folder


# ---- what is done with it -------------------------------------------------------------------------------------------


def answer(saved: SavedRun, config: ExperimentConfig, options: argparse.Namespace) -> int:
    """Answer messages, in one of the ways that there are; returns how many could not be answered."""
    from tqdm import tqdm

    from ablation.run import use_model
    from ablation.run.answers import Remarks
    from ablation.tasks.spam import SPAM

    evaluated = options.evaluate is not None
    columns = Columns(saved.labels, options.text_column, options.label_column, labelled=evaluated)
    source, width = options.evaluate or options.file, terminal_width()
    request = use_model.Request(
        saved, config, tuple(options.message), source, columns, options.format, options.threshold, width
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
    """The whole model, LoRA merged, as one file in the book's names."""
    from ablation.run.book_checkpoint import write_checkpoint
    from ablation.run.open_classifier import joined_model

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
        "--model", type=Path, metavar="FOLDER",
        help="a run's folder, results/runs/<id>, or its id; latest: the newest that kept a model; if not given, those"
        " are listed",
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
        "--merge_lora", metavar="FILE", help="write the whole model to a .pth or .safetensors instead, LoRA merged"
    )
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


def command_problems(options: argparse.Namespace) -> list[str]:
    """What is wrong with a command, one line per problem."""
    given = [name for name in WORK if getattr(options, name)]
    problems = []
    if len(given) != 1 and (given or options.model is not None):
        what = " and ".join(given) or "nothing to do"
        problems.append(f"{what}: give messages, or --file, or --evaluate, or --merge_lora")
    for name in ("file", "evaluate"):
        path = getattr(options, name)
        if path == STANDARD_INPUT and sys.stdin is None:
            problems.append(f"--{name} -: standard input is closed; give a file")
        elif path not in (None, STANDARD_INPUT) and not Path(path).is_file():
            what = "is a folder" if Path(path).is_dir() else "no such file"
            problems.append(f"--{name} {path}: {what}; give a file of messages, or -")
    if options.merge_lora is not None:
        target = Path(options.merge_lora)
        if target.suffix not in CHECKPOINTS:
            problems.append(f"--merge_lora {target}: give a name that ends in {', '.join(CHECKPOINTS)}")
        if target.is_dir() or not target.absolute().parent.is_dir():
            problems.append(f"--merge_lora {target}: give a file in a folder that is there")
    problems.extend(weights_path_problems(options.weights_path))
    if options.threads is not None and options.threads < 1:
        problems.append(f"--threads {options.threads}: give a whole number of at least 1")
    problems.extend(threshold_problems(options.threshold))
    return problems + contradictions(options)


def contradictions(options: argparse.Namespace) -> list[str]:
    """Flags that do not go together, one line per problem."""
    from_file = options.file is not None or options.evaluate is not None
    format_, evaluated = options.format, options.evaluate is not None
    wrong = {
        f"--json with --format {format_}: give one of the two": options.json and format_ not in (None, "jsonl"),
        "--evaluate with --format csv: its figures are no table; give text or jsonl": evaluated and format_ == "csv",
        "--show_positions with --evaluate: give one of the two": evaluated and options.show_positions,
        "--text_column without a file: give --file or --evaluate": options.text_column is not None and not from_file,
        "--label_column without --evaluate: only there labels are read": (
            options.label_column is not None and not evaluated
        ),
    }
    return [problem for problem, is_so in wrong.items() if is_so]


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

    saved = read_saved_run(model_folder(options))
    threads = options.threads or (1 if saved.config.model_in_use == NANO else None)
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    if saved.config.demo:
        note = disclaimer(saved.config.own_data).long
        say(fill(note, shutil.get_terminal_size().columns) if sys.stderr.isatty() else note, sys.stderr)
    names = ("device", "models_dir", "offline", "weights_path")
    config = config_here(saved, **{name: getattr(options, name) for name in names})
    if options.merge_lora is not None:
        write_whole_model(saved, config, Path(options.merge_lora))
        return FINISHED
    return FAILED if answer(saved, config, options) else FINISHED


if __name__ == "__main__":
    sys.exit(main())
