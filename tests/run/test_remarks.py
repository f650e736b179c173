"""What a command says of its configuration before it runs. (When it says so: see ``test_recorded``.)"""

from __future__ import annotations

import pytest
import torch

import additional_experiments


@pytest.mark.skipif(torch.cuda.is_available(), reason="the command would go on")
def test_the_command_warns_where_nothing_can_be_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--dry_run", "--execution", "recorded", "--trainable_token_pos", "flexible", "--lora_rank", "4"]
    assert additional_experiments.main(command) == 2  # no CUDA here
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert [line.partition(" has no effect")[0] for line in warnings] == [
        "warning: --lora_rank",
        "warning: --execution recorded",
    ]
