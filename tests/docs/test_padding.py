"""docs/padding.md: its examples print what the page shows, and it has every setting and readout."""

from __future__ import annotations

import doctest
import re

from ablation.config.padding import PADDING, TOKEN_POSITIONS
from ablation.environment import PROJECT

TEXT = (PROJECT / "docs" / "padding.md").read_text(encoding="utf-8")


def test_examples_print_what_is_shown() -> None:
    examples = "\n".join(re.findall(r"```pycon\n(.*?)```", TEXT, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, "padding.md", "docs/padding.md", 0)
    assert len(test.examples) > 12
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_the_page_has_every_setting_and_readout() -> None:
    assert [re.match(r"\w+", name)[0] for name in re.findall(r"^\| `--(.*?)` \|", TEXT, re.MULTILINE)] == list(PADDING)  # type: ignore[index]
    assert all(f"\n| `{readout}` |" in TEXT for readout in TOKEN_POSITIONS)
