"""Questions to language models: with and without kept keys and values the answers are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ablation.baselines.answer_file import AnswerFile
from ablation.baselines.asked_models import AskedCausalModel
from ablation.baselines.asking import Answer, AnswersAlikeError, Prompt, answer_tokens, ask
from ablation.baselines.hf_models import HubModel
from previous_chapters import generate
from tests.support.asked import END, Characters, small_gpt

YES_AND_NO = [ord("y"), ord("n")]
TEXTS = ["hello you", "hello we", "hello us", "other things", "hello you", "z."]
GROUPS = [0, 0, 0, 1, 0, 2]


def prompts(text_tokens: int = 5) -> list[Prompt]:
    return [Prompt(Characters().encode_ordinary(t), g, text_tokens) for t, g in zip(TEXTS, GROUPS, strict=True)]


def log_probabilities(logits: Callable[[torch.Tensor], torch.Tensor], prompt: Prompt) -> torch.Tensor:
    with torch.no_grad():
        return logits(torch.tensor([prompt.tokens]))[0, -1].log_softmax(-1)[YES_AND_NO]


def test_answers_are_those_without_kept_keys_and_values() -> None:
    asked = small_gpt()
    said = ask(asked, prompts(), YES_AND_NO)
    for prompt, answer in zip(prompts(), said, strict=True):
        expected = log_probabilities(asked.model, prompt)
        torch.testing.assert_close(torch.tensor(answer.scores, dtype=torch.float64), expected, rtol=0, atol=1e-12)
        longer = generate(asked.model, prompt.tokens, 5, end_token=END)
        assert answer.text == asked.text(longer[len(prompt.tokens) :])
    assert len({answer.text for answer in said}) > 3


def test_what_prompts_of_a_group_share_is_read_once() -> None:
    asked = small_gpt()
    ask(asked, prompts(0), YES_AND_NO)
    assert asked.beginnings == len("hello ") + len("other things") - 1 + len("z.") - 1
    assert asked.endings == len("you") + len("we") + len("us") + len("you") + 1 + 1


def test_prompts_of_a_group_begin_alike() -> None:
    with pytest.raises(ValueError, match="different tokens"):
        ask(small_gpt(), [Prompt([1, 2]), Prompt([2, 2])], YES_AND_NO)


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = ask(small_gpt(), prompts(), YES_AND_NO)
    monkeypatch.setattr("ablation.baselines.asking.KEPT_POSITIONS", 1)
    for one, other in zip(usual, ask(small_gpt(), prompts(), YES_AND_NO), strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-12) and one.text == other.text


def test_an_answer_is_its_first_token_behind_a_prompt() -> None:
    asked = small_gpt()
    assert answer_tokens(asked, ["yes", "no"]) == YES_AND_NO
    with pytest.raises(AnswersAlikeError, match="' yes' and ' no' with the same token"):
        answer_tokens(asked, [" yes", " no"])  # a blank is a token of its own here


# ---- what was answered -----------------------------------------------------------------------------------------------


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    first = AnswerFile(tmp_path, "d1", YES_AND_NO)
    said = ask(small_gpt(), prompts(), YES_AND_NO, first)
    asked, again = small_gpt(), AnswerFile(tmp_path, "d1", YES_AND_NO)
    assert ask(asked, prompts(), YES_AND_NO, again) == said
    assert (first.reused, again.reused, asked.beginnings) == (0, len(TEXTS), 0)


@pytest.mark.parametrize("other", ["weights", "answers", "length of the text"])
def test_another_question_is_asked(tmp_path: Path, other: str) -> None:
    ask(small_gpt(), prompts(), YES_AND_NO, AnswerFile(tmp_path, "d1", YES_AND_NO))
    answers = YES_AND_NO[::-1] if other == "answers" else YES_AND_NO
    memory = AnswerFile(tmp_path, "d2" if other == "weights" else "d1", answers)
    ask(small_gpt(), prompts(0 if other == "length of the text" else 5), answers, memory)
    assert memory.reused == 0


def test_a_run_that_is_cut_off_goes_on(tmp_path: Path) -> None:
    whole = AnswerFile(tmp_path, "d", YES_AND_NO)
    said = ask(small_gpt(), prompts(), YES_AND_NO, whole)
    lines = whole.path.read_text().splitlines(keepends=True)
    whole.path.write_text("".join(lines[:2]) + lines[2][:20])
    rest = AnswerFile(tmp_path, "d", YES_AND_NO)
    assert ask(small_gpt(), prompts(), YES_AND_NO, rest) == said
    assert 0 < rest.reused < len(TEXTS)
    assert AnswerFile(tmp_path, "d", YES_AND_NO).find(prompts()).keys() == set(range(len(TEXTS)))


def test_what_is_damaged_is_asked_again(tmp_path: Path) -> None:
    """Letters of no encoding, and scores that are no numbers; a file that cannot be read at all is as none."""
    whole = AnswerFile(tmp_path, "d", YES_AND_NO)
    said = {0: Answer([-1.0, -2.0], "one"), 1: Answer([-1.0, -2.0], "two"), 2: Answer([float("nan"), 0.0])}
    whole.add(dict(enumerate(prompts()[:3])), said)
    lines = whole.path.read_bytes().replace(b'"two"', b'"t\xffo"')
    whole.path.write_bytes(lines)
    assert AnswerFile(tmp_path, "d", YES_AND_NO).find(prompts()[:3]) == {0: said[0]}
    whole.path.unlink()
    whole.path.mkdir()
    assert AnswerFile(tmp_path, "d", YES_AND_NO).find(prompts()[:3]) == {}


def test_a_folder_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("a file")
    memory = AnswerFile(tmp_path, "d", YES_AND_NO)
    assert ask(small_gpt(), prompts(), YES_AND_NO, memory)[0].scores


def test_kept_answers_are_a_line_each(tmp_path: Path) -> None:
    memory = AnswerFile(tmp_path, "d", YES_AND_NO)
    memory.add({0: Prompt([1, 2])}, {0: Answer([-1.5, -0.25], "a\nb")})
    (line,) = memory.path.read_text().splitlines()
    assert json.loads(line)[1:] == [[-1.5, -0.25], "a\nb"]


# ---- models of transformers ------------------------------------------------------------------------------------------


class HubCharacters:
    """What is asked of a tokenizer of transformers; ``beginning`` is set before every text."""

    model_max_length = 10**30
    eos_token_id = END

    def __init__(self, beginning: int | None) -> None:
        self.bos_token_id = beginning

    def __call__(self, text: str, add_special_tokens: bool = True, **_: Any) -> dict[str, list[int]]:
        before = [self.bos_token_id] if add_special_tokens and self.bos_token_id is not None else []
        return {"input_ids": before + Characters().encode_ordinary(text)}

    def decode(self, tokens: list[int], **_: Any) -> str:
        return Characters().decode(tokens)


@pytest.mark.slow  # importing transformers takes seconds
@pytest.mark.parametrize("kind", ["GPT-2", "Llama"])
def test_a_model_of_transformers_answers_as_without_kept_keys_and_values(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    ids = {"vocab_size": 127, "bos_token_id": 125, "eos_token_id": END}
    if kind == "GPT-2":
        config = transformers.GPT2Config(n_positions=40, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3, **ids)
    else:  # keys and values of fewer heads, and positions that turn them
        config = transformers.LlamaConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=40, initializer_range=0.3, **ids,
        )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config).double().eval()
    asked = AskedCausalModel(HubModel(model, HubCharacters(125 if kind == "Llama" else None), "d"))
    assert asked.context == 40 and asked.one_position
    assert asked.tokens("a") == ([125, 97] if kind == "Llama" else [97])
    for prompt, answer in zip(prompts(), ask(asked, prompts(), YES_AND_NO), strict=True):
        expected = log_probabilities(lambda ids: model(ids).logits, prompt)
        torch.testing.assert_close(torch.tensor(answer.scores, dtype=torch.float64), expected, rtol=0, atol=1e-12)
        longer = model.generate(
            torch.tensor([prompt.tokens]), attention_mask=torch.ones(1, len(prompt.tokens), dtype=torch.long),
            max_new_tokens=5, do_sample=False, pad_token_id=END,
        )[0, len(prompt.tokens) :].tolist()  # fmt: skip
        assert answer.text == asked.text(longer[: longer.index(END)] if END in longer else longer)
