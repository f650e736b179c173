"""Label new messages with a classifier that --save_model kept.

    python classify.py --model results/runs/<run id> "You are a winner ..."
    python classify.py --model results/runs/<run id> --file inbox.txt --format jsonl > labels.jsonl
    python classify.py --model results/runs/<run id> --merge_lora checkpoint.pth

Each message is read exactly as in the run's training: padded or cut to the same length, read at the same position,
with the same mask. A file has one message a line and is never loaded whole; a bad line is named and left out.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.commands import FAILED, FINISHED, INTERRUPTED, WRONG_COMMAND, fail
from ablation.config.experiment import DEVICES, RANDOM, ExperimentConfig
from ablation.config.flags import Parser, weights_path_problems
from ablation.config.shapes import NANO
from ablation.data.lines import InputLine, groups, read_lines
from ablation.environment import require_packages

if TYPE_CHECKING:
    from ablation.run.trained_classifier import Answer, SavedRun, TrainedClassifier
    from previous_chapters import GPTModel

AT_A_TIME = 512  # messages in memory; enough for batches of similar length
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is run, not shown
RECORD = ("line", "label", "probability", "tokens", "tokens_read", "cut", "problem", "text")


# ---- output ---------------------------------------------------------------------------------------------------------


def record(line: InputLine, answer: Answer | None) -> dict[str, Any]:
    """One message's answer, or its problem, by the names of ``RECORD``."""
    if answer is None:
        return {**dict.fromkeys(RECORD), "line": line.number, "problem": line.problem, "text": line.text}
    return {
        "line": line.number,
        "label": answer.label,
        "probability": answer.probability,
        "tokens": answer.tokens,
        "tokens_read": answer.read,
        "cut": answer.cut,
        "problem": None,
        "text": line.text,
    }


def as_text(fields: dict[str, Any]) -> str:
    """A line for a person; control characters are shown, not sent to the terminal."""
    if fields["problem"]:
        return f"line {fields['line']}: {fields['problem']}\n"
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in fields["text"][:200])
    shown += "..." if len(fields["text"]) > 200 else ""
    read = f"cut to {fields['tokens_read']} of {fields['tokens']}" if fields["cut"] else f"{fields['tokens']}"
    return f"{fields['label']:4} {fields['probability']:8.4%}  ({read} tokens)  {shown}\n"


def as_csv(fields: dict[str, Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(map(as_cell, fields.values()))  # so both are quoted in cells
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def as_cell(value: Any) -> Any:
    """A text that a spreadsheet would run stands behind an apostrophe, which makes it text there."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def as_json_line(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {"text": as_text, "csv": as_csv, "jsonl": as_json_line}


# ---- work -----------------------------------------------------------------------------------------------------------


def answer_lines(
    classifier: TrainedClassifier, lines: Iterator[InputLine]
) -> Iterator[tuple[InputLine, Answer | None]]:
    """Each line with its answer, in order; None beside a line that has a problem."""
    from ablation.data.message import MessageError

    for group in groups(lines, AT_A_TIME):
        checked, tokens = [], []
        for line in group:
            problem = line.problem
            try:
                if not problem:
                    tokens.append(classifier.tokens_of(line.text))
            except MessageError as error:
                problem = str(error)
            checked.append(InputLine(line.number, line.text, problem))
        answers = iter(classifier.answer(tokens))
        for line in checked:
            yield line, None if line.problem else next(answers)


def open_saved(saved: SavedRun, options: argparse.Namespace) -> TrainedClassifier:
    """The classifier of a run, its base weights found where the run found them."""
    from ablation.run.inputs import open_tokenizer, resolve_device
    from ablation.run.trained_classifier import TrainedClassifier

    config = run_config(saved, options)
    device = resolve_device(config)
    names = saved.config.label_names
    return TrainedClassifier(saved, joined_model(saved, options), open_tokenizer(config), device, names)


def run_config(saved: SavedRun, options: argparse.Namespace) -> ExperimentConfig:
    """The run's configuration with what is not of the run but of this machine."""
    random = saved.config.weights == RANDOM
    return dataclasses.replace(
        saved.config,
        device=options.device,
        models_dir=options.models_dir,
        offline=options.offline,
        weights_path=None if random else (options.weights_path or saved.weights_path),
    )


def joined_model(saved: SavedRun, options: argparse.Namespace) -> GPTModel:
    """The trained parameters joined to the base weights."""
    from ablation.listener import Listener
    from ablation.run.inputs import open_weights
    from ablation.run.trained_classifier import join, needs_base

    base = open_weights(run_config(saved, options), Listener()) if needs_base(saved) else None
    return join(saved, base)


def write_checkpoint(saved: SavedRun, options: argparse.Namespace) -> None:
    """The whole model, LoRA merged, as one file in the book's names."""
    import torch
    from safetensors.torch import save_file

    from ablation.files.storage import replacing
    from ablation.run.trained_classifier import book_checkpoint

    target = Path(options.merge_lora)
    state = book_checkpoint(saved, joined_model(saved, options))
    with replacing(target) as temporary:
        if target.suffix == ".safetensors":
            save_file(state, temporary)
        else:
            torch.save(state, temporary)
    print(f"{target}: {len(state)} tensors, {target.stat().st_size / 1e6:.1f} MB", file=sys.stderr)


def classify(saved: SavedRun, options: argparse.Namespace) -> int:
    """Answer every message; returns how many could not be answered."""
    from tqdm import tqdm

    classifier = open_saved(saved, options)
    write = FORMATS[options.format]
    if options.format == "csv":
        print(",".join(RECORD))
    problems = 0
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the locale, and whatever stands in a message
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    hidden = True if sys.stdout.isatty() else None  # None: where standard error is no terminal
    with source(options) as lines, tqdm(desc="classifying", unit=" messages", disable=hidden, leave=False) as bar:
        for line, answer in answer_lines(classifier, lines):
            fields = record(line, answer)
            if fields["problem"]:
                problems += 1
                print(f"line {line.number}: {fields['problem']}", file=sys.stderr)
            if not (fields["problem"] and options.format == "text"):
                sys.stdout.write(write(fields))
            bar.update()
    sys.stdout.flush()
    return problems


@contextmanager
def source(options: argparse.Namespace) -> Iterator[Iterator[InputLine]]:
    """The messages: of the command line, of standard input or of a file."""
    if options.file is None:
        yield (InputLine(number, text) for number, text in enumerate(options.message, start=1))
    elif options.file == "-":
        yield read_lines(sys.stdin.buffer)
    else:
        with Path(options.file).open("rb") as file:
            yield read_lines(file)


# ---- command line ---------------------------------------------------------------------------------------------------


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("message", nargs="*", help="messages to label")
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="a run's folder, results/runs/<id>")
    parser.add_argument("--file", metavar="FILE", help="file with a message a line, or - for standard input")
    parser.add_argument(
        "--format", choices=FORMATS, default="text",
        help="of the output; default: text. In csv a message that a spreadsheet would run (it begins with =, +, -, @, a"
        " tab or a carriage return) stands behind an apostrophe; jsonl keeps every message as it is",
    )  # fmt: skip
    parser.add_argument(
        "--merge_lora", metavar="FILE", help="write the whole model to a .pth or .safetensors instead, LoRA merged"
    )
    parser.add_argument("--weights_path", metavar="PATH", help="the base weights; default: those of the run")
    parser.add_argument("--models_dir", default="models", metavar="FOLDER", help="of downloaded weights")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to compute; default: auto")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; as many as PyTorch chooses if not given")
    parser.add_argument("--offline", action="store_true", help="never open a connection")
    return parser


def command_problems(options: argparse.Namespace) -> list[str]:
    """What is wrong with a command, one line per problem."""
    problems = []
    given = [name for name in ("message", "file", "merge_lora") if getattr(options, name)]
    if len(given) != 1:
        problems.append(f"{' and '.join(given) or 'nothing to do'}: give messages, or --file, or --merge_lora")
    if options.file not in (None, "-") and not Path(options.file).is_file():
        what = "is a folder" if Path(options.file).is_dir() else "no such file"
        problems.append(f"--file {options.file}: {what}; give a text file with one message a line, or -")
    if options.merge_lora is not None:
        target = Path(options.merge_lora)
        if target.suffix not in (".pth", ".pt", ".safetensors"):
            problems.append(f"--merge_lora {target}: give a name that ends in .pth, .pt or .safetensors")
        if target.is_dir() or not target.absolute().parent.is_dir():
            problems.append(f"--merge_lora {target}: give a file in a folder that is there")
    problems.extend(weights_path_problems(options.weights_path))
    if options.threads is not None and options.threads < 1:
        problems.append(f"--threads {options.threads}: give a whole number of at least 1")
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 if every message was answered, 1 if some were not or the model cannot be used, 2 for a wrong
    command."""
    options = make_parser().parse_args(arguments)
    if problems := command_problems(options):
        return fail(problems, status=WRONG_COMMAND)
    require_packages()
    from ablation.config.experiment import ConfigError
    from ablation.process_state import process_state_kept
    from ablation.run.inputs import EXPECTED_FAILURES
    from ablation.run.trained_classifier import ClassifierError

    try:
        with process_state_kept():
            return use_model(options)
    except ConfigError as error:
        return fail(error.problems, status=WRONG_COMMAND)
    except (ClassifierError, *EXPECTED_FAILURES) as error:
        return fail([str(error)])
    except BrokenPipeError:  # whoever read the answers has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return fail([f"{error.filename or options.file}: {error.strerror or error}; check the path"])
    except KeyboardInterrupt:
        return fail(["interrupted"], status=INTERRUPTED)


def use_model(options: argparse.Namespace) -> int:
    """Do what a command asks of a saved run; returns the exit status."""
    import torch

    from ablation.allocator import keep_freed_memory
    from ablation.data.demo import disclaimer
    from ablation.run.trained_classifier import read_saved_run

    saved = read_saved_run(options.model)
    threads = options.threads or (1 if saved.config.model_in_use == NANO else None)
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    if saved.config.demo:
        print(disclaimer(saved.config.own_data).long, file=sys.stderr)
    if options.merge_lora is not None:
        write_checkpoint(saved, options)
        return FINISHED
    return FAILED if classify(saved, options) else FINISHED


if __name__ == "__main__":
    sys.exit(main())
