"""A row's own part of the page: figures by hand, its mistakes, and labels that overprint nothing."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot as plt

from ablation.config.rows import row_config
from ablation.report.cells import percent
from ablation.report.charts import line_chart
from ablation.report.contents import Contents, gather
from ablation.report.details import (
    anchor_of,
    class_figures,
    class_names,
    confusion,
    details_of,
    mistakes_of,
    roc_areas,
    roc_chart,
)
from ablation.report.page import report_page
from ablation.report.placement import Box, place_labels
from ablation.report.point_labels import in_words, label_points
from ablation.results.task import Predictions
from ablation.tasks.spam import SPAM
from tests.support.made_up_results import made_up_messages, make_run, publish, splits_of

HOSTILE = '<img src=x onerror=alert(1)> <script>alert("2")</script>'


def answers(labels: list[int], logits: list[list[float]], names: tuple[str, ...] = ("ham", "spam")) -> Predictions:
    scores = np.array(logits)
    right = (scores.argmax(1) == np.array(labels)).astype(np.int64)
    return Predictions(np.array(labels), scores, right, names)


# Four messages: one ham and one spam are taken for the other. By hand: of two taken for spam one is.
FOUR = answers([0, 0, 1, 1], [[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
BETTER = answers([0, 0, 1, 1], [[2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
THREE = answers([0, 1, 2, 2], [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0], [0, 3.0, 0]], ("order", "praise", "question"))


# ---- figures ---------------------------------------------------------------------------------------------------------


def test_figures_of_classes_by_hand() -> None:
    assert confusion([FOUR]).tolist() == [[1, 1], [1, 1]]
    assert confusion([FOUR, BETTER]).tolist() == [[1.5, 0.5], [1, 1]]
    ham, spam = class_figures([FOUR, BETTER], ("ham", "spam"))
    assert (ham.precision, ham.recall) == ((0.5, 2 / 3), (0.5, 1.0))
    assert (spam.precision, spam.recall) == ((0.5, 1.0), (0.5, 0.5))
    assert spam.f1 == pytest.approx((0.5, 2 / 3))


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    scores = FOUR.logits[:, 1] - FOUR.logits[:, 0]
    pairs = [(spam > ham) for spam, ham in itertools.product(scores[2:], scores[:2])]
    assert roc_areas([FOUR]) == pytest.approx((np.mean(pairs),))
    assert roc_areas([answers([0, 0], [[1.0, 0.0], [0.0, 1.0]])]) == ()  # no spam: there is no curve
    assert roc_chart([answers([0, 0], [[1.0, 0.0], [0.0, 1.0]])], ("1",), ("ham", "spam")) is None


def test_the_roc_curve_goes_through_its_points() -> None:
    chart = roc_chart([FOUR], ("123",), ("ham", "spam"))
    assert chart is not None
    (curve,) = [line.points.split() for line in chart.lines if line.style == "first"]
    assert curve[0] == "48.0,188.0" and curve[-1] == "302.0,10.0"  # nothing found, everything found
    assert "48.0,99.0" in curve  # half the spam before any ham
    assert (chart.x_label, chart.y_label) == ("share of ham taken for spam", "share of spam found")


def test_more_than_two_classes_have_their_figures() -> None:
    names = class_names([THREE])
    assert names == ("order", "praise", "question")
    assert confusion([THREE]).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert [figures.recall for figures in class_figures([THREE], names)] == [(1.0,), (1.0,), (0.5,)]
    assert roc_chart([THREE], ("1",), names) is None
    assert 0.5 < roc_areas([THREE])[0] <= 1
    (mistake,) = mistakes_of([THREE], names, ["a", "b", "c", "what"])
    assert (mistake.text, mistake.label, mistake.said) == ("what", "question", "praise")


def test_mistakes_are_ordered_by_how_many_runs_made_them() -> None:
    found = mistakes_of([FOUR, BETTER], ("ham", "spam"), ["a", "b", "c", "d"])
    assert [(m.text, m.label, m.said, m.wrong) for m in found] == [("d", "spam", "ham", 2), ("b", "ham", "spam", 1)]
    odds = np.exp(1.0)
    assert found[1].probability == pytest.approx(odds / (1 + odds))
    assert [m.text for m in mistakes_of([FOUR], ("ham", "spam"), [])] == ["", ""]


def test_a_run_that_broke_down_has_no_curve_and_no_probability() -> None:
    broken = answers([0, 1, 1], [[np.nan, np.nan]] * 3)
    assert roc_areas([broken]) == () and roc_chart([broken], ("1",), ("ham", "spam")) is None
    assert confusion([broken]).tolist() == [[1, 0], [2, 0]]
    found = mistakes_of([broken], ("ham", "spam"), ["a", "b", "c"])
    assert [(mistake.text, percent(mistake.probability)) for mistake in found] == [("b", "–"), ("c", "–")]


def test_a_probability_is_not_said_to_be_certain_unless_it_is() -> None:
    assert list(map(percent, (1.0, 0.99996, 0.984, 0.0004, 0.0))) == [
        "100.0 %", "> 99.9 %", "98.4 %", "< 0.1 %", "0.0 %",
    ]  # fmt: skip


def test_a_loss_that_is_not_finite_is_left_out_of_its_curve() -> None:
    chart = line_chart("t", ("x", "y"), [("first", [(0, 1.0), (1, float("nan")), (2, float("inf")), (3, 0.5)])])
    assert [line.points for line in chart.lines] == ["48.0,10.0 302.0,99.0"]


# ---- the part on the page --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """Row 1 with two seeds on messages one of which, wrong in both, is HTML."""
    folder = tmp_path_factory.mktemp("details")
    data = made_up_messages(folder / "data", 60)
    for seed in (1, 2):
        make_run(folder / "results", data, row_config(1, seed=seed), 0.7)
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, data)
        contents = gather(SPAM, folder / "results", data)
    assert contents.likeness is not None
    assert list(contents.likeness.texts["test"]) == splits_of(data)["test"]["Text"].tolist()
    wrong = details_of(SPAM, contents.groups[0], contents.rows[0], contents.likeness).mistakes[0].index
    texts = {**contents.likeness.texts, "test": [*contents.likeness.texts["test"]]}
    texts["test"][wrong] = HOSTILE  # type: ignore[index]
    contents.likeness.__dict__["texts"] = texts
    return contents


def test_a_row_has_a_part_with_everything(gathered: Contents) -> None:
    page = report_page(gathered, [], "python report.py --compare")
    part = page[page.index('<details class="part" id="row-1">') : page.index("</main>")]
    details = details_of(SPAM, gathered.groups[0], gathered.rows[0], gathered.likeness)
    for words in (
        'aria-label="Loss during training"', 'aria-label="ROC curve"', 'class="confusion"', "Precision", "Recall", "F1",
        "Area under the ROC curve", f"Wrong test messages: {len(details.mistakes)} in at least one of 2 runs",
        'python report.py --compare "1"',
    ):  # fmt: skip
        assert words in part, words
    for run in gathered.groups[0].runs.values():
        assert run["run_id"] in part
    confusion_sum = details.confusion.sum()
    assert confusion_sum == len(gathered.likeness.texts["test"])  # type: ignore[union-attr]


def test_a_message_with_html_in_it_stays_text(gathered: Contents) -> None:
    page = report_page(gathered, [], "python report.py --compare")
    assert "&lt;img src=x onerror=alert(1)&gt; &lt;script&gt;alert(&#34;2&#34;)&lt;/script&gt;" in page
    assert "<img" not in page and page.count("<script") == 1  # the page's own


def test_a_part_without_predictions_says_why(gathered: Contents, tmp_path: Path) -> None:
    group = gathered.groups[0]
    (group.first.folder / "predictions.csv").rename(tmp_path / "kept.csv")
    try:
        group.first._predictions.clear()
        details = details_of(SPAM, group, gathered.rows[0], gathered.likeness)
    finally:
        (tmp_path / "kept.csv").rename(group.first.folder / "predictions.csv")
    assert "predictions.csv: missing" in details.problem
    assert details.losses is not None and details.roc is None and details.mistakes == []


def test_anchors_are_words() -> None:
    assert anchor_of("16 with --weights random") == "row-16-with-weights-random"
    assert anchor_of("1 with --learning_rate 1e-4").isascii()


# ---- labels ----------------------------------------------------------------------------------------------------------


def crossings(boxes: list[Box]) -> list[tuple[int, int]]:
    return [(i, j) for (i, a), (j, b) in itertools.combinations(enumerate(boxes), 2) if a.overlaps(b)]


def test_labels_of_a_crowd_overprint_nothing() -> None:
    draw = np.random.default_rng(0)
    points = [(float(x), float(y)) for x, y in draw.normal((150, 100), (25, 12), (18, 2))]
    frame = Box(0, 0, 300, 200)
    boxes = place_labels(points, [(40.0, 9.0)] * 18, frame, 6, lines_matter=False)
    assert boxes is not None and crossings(boxes) == []
    assert all(frame.holds(box) for box in boxes)
    marks = [Box.around(point, 6, 6) for point in points]
    assert not any(box.overlaps(mark) for box in boxes for mark in marks)
    assert boxes == place_labels(points, [(40.0, 9.0)] * 18, frame, 6, lines_matter=False)


def test_lines_to_labels_run_through_no_other_label() -> None:
    draw = np.random.default_rng(2)
    points = [(float(x), float(y)) for x, y in draw.normal((150, 100), (25, 12), (14, 2))]
    boxes = place_labels(points, [(40.0, 9.0)] * 14, Box(0, 0, 300, 200), 6)
    assert boxes is not None
    lines = [(point, box.nearest(point)) for point, box in zip(points, boxes, strict=True)]
    assert max(math.dist(*line) for line in lines) > 9  # some stand so far away that a line is drawn
    assert not any(boxes[i].is_crossed(*lines[j]) for i, j in itertools.permutations(range(14), 2))


def test_a_label_alone_stands_beside_its_point_and_one_without_room_nowhere() -> None:
    assert place_labels([(50, 50)], [(20, 10)], Box(0, 0, 100, 100), 8) == [Box(56, 45, 76, 55)]
    assert place_labels([(50, 50)], [(20, 10)], Box(40, 40, 60, 60), 8) is None


def test_the_letters_that_are_drawn_do_not_meet() -> None:
    """By the renderer's own bounding boxes: twenty configurations of about the same time and accuracy."""
    figure, axes = plt.subplots(figsize=(5, 6))
    draw = np.random.default_rng(1)
    places = [(float(x), float(y)) for x, y in draw.normal((1, 97), (0.02, 0.4), (20, 2))]
    axes.plot(*zip(*places, strict=True), "o")
    axes.set(xlim=(0.8, 1.2), ylim=(94, 100))
    texts = [f"{i} last two blocks, random" for i in range(20)]
    assert label_points(figure, axes, places, texts, lines_matter=False)
    drawn = [text for text in axes.texts if text.get_text()]
    extents = [text.get_window_extent() for text in drawn]
    assert len(drawn) == 20
    assert not any(a.overlaps(b) for a, b in itertools.combinations(extents, 2))
    plt.close(figure)


@pytest.mark.parametrize(
    ("name", "row", "description", "words"),
    [
        ("1", "1", "the defaults", "1 the defaults"),
        ("5", "5", "--trainable_layers all", "5 all layers"),
        ("9", "9", '--model_size "gpt2-xl (1558M)" --trainable_layers all', "9 gpt2-xl, all layers"),
        ("11", "11", "--trainable_layers lora --lora_rank 16 --lora_alpha 16", "11 LoRA"),
        ("14", "14", "--no_padding --batch_size 1", "14 no padding, batch size 1"),
        ("16", "16", "--demo --trainable_token_pos flexible", "16 last real token"),
        ("B2", "B2", "word TF-IDF + logistic regression", "B2 word TF-IDF"),
        ("16 with --weights random", "", "16 with --weights random", "(16) random weights"),
    ],
)
def test_a_label_says_what_the_point_is(name: str, row: str, description: str, words: str) -> None:
    assert in_words(SimpleNamespace(name=name, row=row, description=description)) == words  # type: ignore[arg-type]
