"""A language model's run as a folder of transformers: the same logits, the same tokens, the same sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import export
from ablation.config.decoding import GREEDY, Decoding
from ablation.data.demo import load_demo_tokenizer
from ablation.model.decoding import sample_sentences
from ablation.run.kinds import save_result
from ablation.tasks.language_model import LANGUAGE_MODEL
from previous_chapters import GPTModel
from tests.support.sentence_runs import run_tiny, tiny

pytestmark = pytest.mark.usefixtures("few_messages")


def train(folder: Path, **changes: Any) -> Path:
    settings = {"learning_rate": 0.02, "n_samples": 0, "max_steps": 2, "save_model": True, **changes}
    (row,) = save_result(LANGUAGE_MODEL, run_tiny(folder, **settings))
    return folder / "runs" / row["run_id"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, few_messages: None) -> Path:
    """Which no test changes."""
    return train(tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize(
    "changes", [{}, *(pytest.param(one, marks=pytest.mark.slow) for one in ({"tie_head": True}, {"method": "lora"}))]
)
def test_transformers_gives_the_same_logits_and_sentences(changes: dict[str, Any], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    transformers = pytest.importorskip("transformers")
    folder, target = train(tmp_path, **changes), tmp_path / "model"
    assert export.main([str(folder), "--to", "huggingface", str(target)]) == 0
    theirs = transformers.AutoModelForCausalLM.from_pretrained(target)
    tied = bool(changes.get("tie_head"))
    assert type(theirs).__name__ == "GPT2LMHeadModel" and theirs.config.tie_word_embeddings == tied

    state = load_file(folder / "trained.safetensors")
    assert ("out_head.weight" in state) == (not tied)
    ours = GPTModel(tiny(tmp_path).shape).eval()
    ours.load_state_dict({"out_head.weight": state["tok_emb.weight"], **state})
    tokens = torch.randint(2000, (3, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(theirs.double()(tokens).logits, ours.double()(tokens), rtol=0, atol=1e-9)

    tokenizer, encoding = transformers.AutoTokenizer.from_pretrained(target), load_demo_tokenizer()
    begun = encoding.encode_ordinary("we are <|endoftext|>")
    assert tokenizer("we are <|endoftext|>")["input_ids"] == begun and tokenizer.bos_token_id == encoding.eot_token
    (spoken,) = sample_sentences(ours, begun, 1, Decoding(GREEDY), max_len=20, end_token=encoding.eot_token, seed=1)
    ids = theirs.generate(torch.tensor([[encoding.eot_token, *begun]]), max_length=21, do_sample=False)[0, 1:]
    assert ids[: len(spoken)].tolist() == spoken


def test_the_card_says_how_it_is_used(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "model"
    assert export.main([run.name, "--results_dir", str(run.parents[1]), "--to", "huggingface", str(target)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{target}: {run.name}, huggingface\n" and said.err.startswith("demo: ")
    card = (target / "README.md").read_text()
    assert "pipeline_tag: text-generation" in card and 'from_pretrained("model")' in card and "max_length=11" in card
    assert json.loads((target / "config.json").read_text())["n_layer"] == 1


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--to", "book"], "has the names of the book's code already; give huggingface"),
        (["--to", "peft"], "is merged into its weights; give huggingface"),
        (["--to", "huggingface", "--weights_path", __file__], "the run kept its whole model; leave it out"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    flags: list[str], why: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / ("model.pth" if "book" in flags else "model")
    assert export.main([str(run), str(target), *flags]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and line.endswith(why) and not target.exists()


def test_the_latest_may_be_a_language_model(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["latest", str(tmp_path / "model"), "--to", "huggingface", "--results_dir", str(run.parents[1])]
    assert export.main(command) == 0
    assert f"{run.name}, huggingface" in capsys.readouterr().out


def test_a_run_that_kept_none_and_one_that_is_altered(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (altered := tmp_path / run.name).mkdir()
    for file in run.iterdir():
        (altered / file.name).write_bytes(file.read_bytes())
    content = bytearray((altered / "trained.safetensors").read_bytes())
    content[-1] ^= 1
    (altered / "trained.safetensors").write_bytes(content)
    assert export.main([str(altered), str(tmp_path / "model"), "--to", "huggingface"]) == 1
    assert "is not what its run wrote" in capsys.readouterr().err
    (altered / "trained.safetensors").unlink()
    assert export.main([str(altered), str(tmp_path / "model"), "--to", "huggingface"]) == 1
    assert "kept no model; train it anew with --save_model" in capsys.readouterr().err
