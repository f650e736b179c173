"""What a language model is asked, and which examples stand before it."""

from __future__ import annotations

import numpy as np
import pytest

from ablation.baselines.asking import Answer, Prompt
from ablation.baselines.prompted import calibrated, in_one_line
from ablation.baselines.prompts import NoRoomError, Wording, about_nothing, choose_shots, drawn_shots
from tests.support.asked import small_gpt

TRAINING = ["win a prize now", "see you at home", "claim your prize", "dinner at six?", "call to claim", "love you"]
LABELS = [1, 0, 1, 0, 1, 0]
QUESTION = "Is the following text 'spam'? Answer with 'yes' or 'no': '{}' Answer with 'yes' or 'no'."


def wording(context: int = 400, text_tokens: int = 23) -> Wording:
    return Wording(small_gpt(context), "spam", TRAINING, LABELS, text_tokens)


def test_the_question_is_the_published_one() -> None:
    assert wording().whole((), "Hi {you}!") == (
        "Is the following text 'spam'? Answer with 'yes' or 'no': 'Hi {you}!' Answer with 'yes' or 'no'."
    )


def test_examples_stand_before_it_with_their_answers() -> None:
    assert wording().whole((0, 3), "ok") == (
        f"{QUESTION.format(TRAINING[0])} yes\n\n{QUESTION.format(TRAINING[3])} no\n\n{QUESTION.format('ok')}"
    )


class TestWhichExamples:
    def test_as_many_of_each_class_by_the_seed(self) -> None:
        labels = [0] * 30 + [1] * 10
        chosen = [drawn_shots(labels, 8, seed) for seed in range(20)]
        assert all(sum(labels[n] for n in shots) == 4 and len(set(shots)) == 8 for shots in chosen)
        assert len(set(chosen)) == 20 and chosen[3] == drawn_shots(labels, 8, 3)
        orders = {tuple(labels[n] for n in shots) for shots in chosen}
        assert len(orders) > 10  # a model that repeats the last answer is not always told the same

    def test_of_an_odd_number_either_class_may_have_more(self) -> None:
        assert {sum(LABELS[n] for n in drawn_shots(LABELS, 3, seed)) for seed in range(20)} == {1, 2}

    def test_a_class_that_has_too_few_leaves_the_rest_to_the_other(self) -> None:
        shots = drawn_shots([0, 0, 0, 0, 1], 4, seed=1)
        assert len(set(shots)) == 4 and 4 in shots
        assert sorted(drawn_shots([0, 0, 1], 3, seed=1)) == [0, 1, 2]

    def test_the_most_alike_stand_last_and_never_a_message_itself(self) -> None:
        texts = ["claim your prizes", TRAINING[0]]
        near, itself = choose_shots(TRAINING, LABELS, texts, [None, 0], 2, "nearest", seed=1)
        assert near[-1] == 2 and len(near) == 2
        assert 0 not in itself and itself[-1] == 2 and len(itself) == 2

    def test_a_drawn_message_is_no_example_before_itself(self) -> None:
        shots = drawn_shots(LABELS, 4, seed=1)
        other, own = choose_shots(TRAINING, LABELS, ["x", TRAINING[shots[1]]], [None, shots[1]], 4, "drawn", seed=1)
        assert other == shots and own == (shots[0], *shots[2:])

    def test_without_examples_there_are_none(self) -> None:
        assert choose_shots(TRAINING, LABELS, ["a", "b"], [None, 0], 0, "drawn", seed=1) == [(), ()]


class TestRoom:
    def test_examples_are_left_out_one_by_one_the_first_ones_first(self) -> None:
        for context in range(140, 460, 20):
            own = wording(context)
            fitting = own.fitting((0, 1, 2), "ok?")
            assert fitting.shots == (0, 1, 2)[3 - len(fitting.shots) :] and not fitting.cut
            assert len(fitting.tokens) + 23 <= context
            left = (0, 1, 2)[: 3 - len(fitting.shots)]
            if left:  # one more would have been too many
                assert len(own.whole((left[-1], *fitting.shots), "ok?")) + 23 > context
        assert len(wording(460).fitting((0, 1, 2), "ok?").shots) == 3

    def test_a_message_that_is_too_long_by_itself_is_cut(self) -> None:
        own = wording(120)
        fitting = own.fitting((0,), "x" * 300)
        assert fitting.cut and fitting.shots == ()
        assert own.model.text(fitting.tokens) == QUESTION.format("x" * (120 - 23 - len(QUESTION.format(""))))

    def test_no_room_for_a_message_is_refused(self) -> None:
        needed = len(QUESTION.format("")) + 1 + 23
        wording(needed).check_room()
        with pytest.raises(NoRoomError, match=f"reads {needed - 1} tokens at most.* are {needed}: no room"):
            wording(needed - 1).check_room()


def test_calibration_divides_by_what_is_answered_about_nothing() -> None:
    """Zhao et al. (2021): W = diag(mean of the content-free probabilities)^-1, no bias, and the larger entry of W p."""
    rng = np.random.default_rng(0)
    prompts = [Prompt([n], group) for n, group in enumerate([(), (1,), ()])]
    nothing = [Prompt([n], group) for n, group in enumerate([()] * 3 + [(1,)] * 3)]
    said = [Answer(np.log(rng.dirichlet([1, 1, 1])[:2]).tolist()) for _ in range(9)]

    def shares(answer: Answer) -> np.ndarray:
        probabilities = np.exp(answer.scores)
        return probabilities / probabilities.sum()

    scores = calibrated(prompts, said, nothing)
    for prompt, answer, score in zip(prompts, said, scores, strict=False):
        free = [shares(a) for p, a in zip(nothing, said[3:], strict=True) if p.group == prompt.group]
        weighed = shares(answer) / np.mean(free, axis=0)
        assert score == pytest.approx(np.log(weighed[1] / weighed[0]))
    plain = calibrated(prompts, said[:3], [])
    np.testing.assert_allclose(plain, [answer.scores[1] - answer.scores[0] for answer in said[:3]])


def test_what_is_asked_about_nothing_stands_behind_the_same_examples() -> None:
    own = wording()
    texts = [own.model.text(prompt.tokens) for prompt in about_nothing(own, (1,))]
    assert texts == [own.whole((1,), text) for text in ("N/A", "[MASK]", "")]


def test_a_text_stands_in_one_line() -> None:
    assert in_one_line(" yes,\n\x1f\\ é\u2028") == " yes,\\n\\x1f\\\\ é\\u2028"
