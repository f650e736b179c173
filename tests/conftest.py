"""What several tests need: the real data and vocabulary where they are at hand, and small stand-ins where not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

FIXTURES = Path(__file__).parent / "fixtures"

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

torch.set_num_threads(1)  # the models here are so small that threads mostly wait for each other


@pytest.fixture(autouse=True)
def leave_global_generator_alone() -> Any:
    """Runs set PyTorch's global seed; a test must not decide what the next one draws."""
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


@pytest.fixture(scope="module")
def few_messages() -> Iterator[None]:
    """The demo with as many of its messages as a quick run needs."""
    from tests.support.tiny import few_demo_messages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ablation.data.spam.read_demo_messages", few_demo_messages)
        yield


@pytest.fixture(scope="session")
def language_model_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run of the language model, to be copied by whoever changes it."""
    from tests.support.tiny_language_model import make_run

    return make_run(tmp_path_factory.mktemp("language_model")).parents[1]


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The folder of SMSSpamCollection.tsv, named by SMS_SPAM_DATA_DIR."""
    folder = os.environ.get("SMS_SPAM_DATA_DIR")
    if folder is None or not (Path(folder) / "SMSSpamCollection.tsv").is_file():
        pytest.skip("needs the real messages: set SMS_SPAM_DATA_DIR to the folder of SMSSpamCollection.tsv")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def real_vocabulary() -> Path:
    """The folder of GPT-2's vocabulary in tiktoken's cache layout, named by TIKTOKEN_CACHE_DIR."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR")
    if folder is None or not (Path(folder) / "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6").is_file():
        pytest.skip("needs GPT-2's vocabulary: set TIKTOKEN_CACHE_DIR to a folder that tiktoken has filled")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def parameter_counts() -> dict[str, Any]:
    return json.loads((FIXTURES / "parameter_counts.json").read_text())
