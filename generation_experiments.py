"""Train GPT-2 as a language model, or let a trained one speak."""

from __future__ import annotations

import sys
from pathlib import Path

from ablation.commands import FINISHED, WRONG_COMMAND, fail, say, tell
from ablation.config.finished_run import Asked, read_asked, way_of_going_on
from ablation.config.generation import LanguageModelConfig
from ablation.config.generation_rows import GENERATION
from ablation.config.settings import ConfigError
from ablation.environment import require_packages


def go_on(asked: Asked, config: LanguageModelConfig, *, quiet: bool, dry_run: bool) -> None:
    from ablation.commands import interrupt_on_signals
    from ablation.run.console import Console
    from ablation.run.continue_text import continue_text
    from ablation.run.more_samples import additions, more_samples
    from ablation.run.open_language_model import find_run
    from ablation.tasks.language_model import LANGUAGE_MODEL

    interrupt_on_signals()
    saved = None if asked.run is None else find_run(LANGUAGE_MODEL, asked.run, config, asked.given)
    if asked.text is not None:
        way = way_of_going_on(config, asked.given)
        for line in continue_text(asked.text, asked.samples, way, config if saved is None else saved.config, saved):
            say(line)
        return
    assert saved is not None
    if dry_run:
        tell("\n".join(additions(saved).describe(saved)))
        return
    rows = more_samples(LANGUAGE_MODEL, saved, Console(quiet=quiet))
    tell(f"{len(rows)} rows appended to {Path(saved.folder).parent.parent / LANGUAGE_MODEL.csv_name}")


def main(arguments: list[str] | None = None) -> int:
    try:
        config, _, options = GENERATION.read(arguments)
        given = vars(GENERATION.parser().parse_known_args(arguments)[0])
        asked = read_asked(options, {name for name in given if name not in options or name == "row"}, config)
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    require_packages()
    from ablation.listener import Listeners
    from ablation.run.console import Console
    from ablation.run.inputs import EXPECTED_FAILURES
    from ablation.run.kinds import run, save_result
    from ablation.run.progress_file import progress_told
    from ablation.tasks.language_model import LANGUAGE_MODEL

    try:
        if asked is not None:
            go_on(asked, config, quiet=bool(options.get("quiet")), dry_run=bool(options.get("dry_run")))
        else:
            with progress_told(options.get("progress_file")) as told:
                result = run(LANGUAGE_MODEL, config, Listeners(Console(quiet=bool(options.get("quiet"))), told))
            save_result(LANGUAGE_MODEL, result)
    except EXPECTED_FAILURES as error:
        return fail([str(error)])
    except ConfigError as error:
        return fail(error.problems, WRONG_COMMAND)
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
