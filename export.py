"""Write the model of a run in a form that others load.

    python export.py latest --to huggingface spam-model
    python export.py results/runs/<run id> --to book spam.pth
    python export.py <run id> --to peft spam-adapter

huggingface: a folder for transformers' AutoModelForSequenceClassification and
             pipeline("text-classification"), with the same logits; of a
             language model's run one for AutoModelForCausalLM
book:        the whole model as one file, in the names of the book's code
peft:        the adapter of a LoRA, DoRA, DyLoRA or IA3 run, for PEFT, and its
             base model

What was added to the model is merged into it, but for peft. A model card is
beside every model. What cannot be said in a form is refused with the reason.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ablation.commands import FINISHED, INTERRUPTED, WRONG_COMMAND, fail, say
from ablation.config.experiment import ConfigError
from ablation.config.flags import Parser
from ablation.config.path_problems import weights_path_problems
from ablation.config.settings import DEMO_RESULTS_DIR, RESULTS_DIR
from ablation.environment import require_packages

TARGETS = ("huggingface", "book", "peft")


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="a run's folder or id; latest: the newest that kept a model")
    parser.add_argument("target", type=Path, metavar="PATH", help="folder to write (book: a .pth, .pt or .safetensors)")
    parser.add_argument("--to", choices=TARGETS, required=True, help="in which form")
    parser.add_argument(
        "--base", metavar="NAME",
        help="of peft: name or folder of the base model, such as gpt2, in place of a copy of it",
    )  # fmt: skip
    parser.add_argument(
        "--results_dir", type=Path, metavar="FOLDER",
        help=f"where to look for runs; default: {RESULTS_DIR} and {DEMO_RESULTS_DIR}",
    )  # fmt: skip
    parser.add_argument("--weights_path", metavar="PATH", help="the base weights; default: those of the run")
    parser.add_argument("--models_dir", default="models", metavar="FOLDER", help="of downloaded weights and vocabulary")
    parser.add_argument("--offline", action="store_true", help="never open a connection")
    return parser


def export(options: argparse.Namespace) -> None:
    """Find the run, check that it can be exported so, write it, and say where."""
    from ablation.config.own_data import records_own_data
    from ablation.data.demo import disclaimer
    from ablation.run.export_folder import Trained
    from ablation.run.export_language_model import is_language_model
    from ablation.run.exports import TARGETS
    from ablation.run.open_classifier import config_here
    from ablation.run.saved_models import find_folder
    from ablation.run.trained_classifier import read_saved_run
    from ablation.tasks.language_model import LANGUAGE_MODEL
    from ablation.tasks.spam import SPAM

    folder = find_folder(options.run, options.results_dir, SPAM, also=[LANGUAGE_MODEL])
    if is_language_model(folder):
        export_language_model(options, folder)
        return
    saved = read_saved_run(folder)
    names = ("models_dir", "offline", "weights_path")
    config = config_here(saved, device="cpu", **{name: getattr(options, name) for name in names})
    trained, target = Trained(saved, config, SPAM, options.base), TARGETS[options.to]
    target.check(trained)
    if config.demo:
        say(disclaimer(records_own_data(saved.record)).long, sys.stderr)
    remarks = target.write(trained, options.target)
    say(f"{options.target}: {saved.folder.name}, {options.to}")
    for remark in remarks:
        say(remark)


def export_language_model(options: argparse.Namespace, folder: Path) -> None:
    """The same of a language model's run."""
    from ablation.run import export_language_model as to
    from ablation.tasks.language_model import LANGUAGE_MODEL

    kept = to.read_kept(folder)
    to.check(kept, options.to, options.weights_path)
    tokenizer = kept.tokenizer(options.models_dir, options.offline)
    if kept.record.get("note"):
        say(kept.record["note"], sys.stderr)
    to.write(LANGUAGE_MODEL, kept, tokenizer, options.target)
    say(f"{options.target}: {kept.folder.name}, {options.to}")


def command_problems(options: argparse.Namespace) -> list[str]:
    """What is wrong with a command, one line per problem."""
    from ablation.run.exports import TARGETS

    problems = weights_path_problems(options.weights_path)
    if reason := TARGETS[options.to].problem(options.target):
        problems.append(f"{options.target}: {reason}")
    if options.base is not None and options.to != "peft":
        problems.append(f"--base {options.base}: only an adapter needs a base; leave it out, or give --to peft")
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 if the model was written, 1 if it could not be, 2 for a wrong command."""
    options = make_parser().parse_args(arguments)
    require_packages()
    if problems := command_problems(options):
        return fail(problems, status=WRONG_COMMAND)
    from ablation.process_state import process_state_kept
    from ablation.run.export_folder import ExportError
    from ablation.run.inputs import EXPECTED_FAILURES
    from ablation.run.saved_models import NoModelError
    from ablation.run.trained_classifier import ClassifierError

    try:
        with process_state_kept():
            export(options)
    except ConfigError as error:
        return fail(error.problems, status=WRONG_COMMAND)
    except (ClassifierError, ExportError, NoModelError, *EXPECTED_FAILURES) as error:
        return fail([str(error)])
    except OSError as error:
        return fail([f"{error.filename or options.target}: {error.strerror or error}; check the path"])
    except KeyboardInterrupt:
        return fail(["interrupted: nothing was written"], status=INTERRUPTED)
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
