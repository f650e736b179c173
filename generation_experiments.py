"""Train GPT-2 as a language model on sentences, generate, and append a row for each way of decoding to a CSV; or go on
from a finished run: more rows (--run), or how its model continues a text (--generate)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.commands import WRONG_COMMAND, fail, say, tell, warn
from ablation.config.finished_run import Asked, read_asked, way_of_going_on, ways_left_out
from ablation.config.generation import LanguageModelConfig
from ablation.config.generation_rows import GENERATION
from ablation.config.settings import ConfigError
from ablation.environment import require_packages
from ablation.run.command import carry_out, do
from ablation.words import plural

if TYPE_CHECKING:
    from ablation.results.task import Task


def language_model() -> Task:
    """What the experiments are about."""
    from ablation.tasks.language_model import LANGUAGE_MODEL

    return LANGUAGE_MODEL


def go_on(asked: Asked, config: LanguageModelConfig, options: Mapping[str, Any]) -> None:
    """More rows of a finished run, or a text gone on from.

    Raises:
        ConfigError, DataError, WeightsError, DownloadError, ResultsError, RunError: in one line, why not.
    """
    from ablation.run.console import Console
    from ablation.run.continue_text import continue_text
    from ablation.run.more_samples import additions, more_samples
    from ablation.run.open_language_model import find_run

    task = language_model()
    saved = None if asked.run is None else find_run(task, asked.run, config, dict.fromkeys(asked.given))
    if asked.text is not None:
        for warning in ways_left_out(config, asked.given):
            warn(warning)
        way = way_of_going_on(config, asked.given)
        for line in continue_text(asked.text, asked.samples, way, config if saved is None else saved.config, saved):
            say(line)
        return
    assert saved is not None
    if options.get("dry_run"):
        tell("\n".join(additions(saved).describe(saved)))
        return
    rows = more_samples(task, saved, Console(quiet=options.get("quiet", False)))
    tell(f"{plural(len(rows), 'row')} appended to {Path(saved.folder).parent.parent / task.csv_name}")


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 for what was done, 1 for what failed, 2 for a wrong command, 130 for an interrupted one."""
    try:
        config, warnings, options = GENERATION.read(arguments)
        asked = read_asked(options, GENERATION.given(arguments), config)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    require_packages()
    if asked is None or options.get("list_rows"):
        return carry_out(lambda: do(language_model(), config, options, warnings))
    for warning in warnings:
        warn(warning)
    return carry_out(lambda: go_on(asked, config, options))


if __name__ == "__main__":
    sys.exit(main())
