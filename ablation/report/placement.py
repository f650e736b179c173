"""Where the labels of points go in a picture: near their own point, over nothing else. Plain geometry, any unit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Point = tuple[float, float]
DIRECTIONS = [2 * math.pi * turn / 16 for turn in (0, 8, 1, 15, 7, 9, 2, 14, 6, 10, 3, 13, 5, 11, 4, 12)]  # right first


@dataclass(frozen=True)
class Box:
    """An upright rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, centre: Point, width: float, height: float) -> Box:
        x, y = centre
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def overlaps(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def holds(self, other: Box) -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.bottom <= other.bottom
            and other.top <= self.top
        )

    def nearest(self, point: Point) -> Point:
        """The place in the box that is nearest to a point."""
        x, y = point
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)

    def is_crossed(self, start: Point, end: Point) -> bool:
        """Whether the straight line between two points meets the box (clipped side by side, as Liang and Barsky do)."""
        first, last = 0.0, 1.0
        for origin, move, low, high in (
            (start[0], end[0] - start[0], self.left, self.right),
            (start[1], end[1] - start[1], self.bottom, self.top),
        ):
            if move == 0:
                if not low < origin < high:
                    return False
                continue
            enter, leave = sorted(((low - origin) / move, (high - origin) / move))
            first, last = max(first, enter), min(last, leave)
        return first < last


def place_labels(
    points: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    mark: float,
    *,
    lines_matter: bool = True,
    taken: Sequence[Box] = (),
) -> list[Box] | None:
    """A box for the label of each point: the nearest place where it covers no mark and no other label, in the first of
    several orders of placing that has room for all. Equal input gives equal places.

    Args:
        sizes: (width, height) of each label.
        frame: what all labels stay inside.
        mark: width and height of what is drawn at each point.
        taken: what else no label may cover.
        lines_matter: whether lines from points to their labels may run through no other label.

    Returns:
        The boxes in the order of the points; None if there is no room for one of them.
    """
    marks = [*(Box.around(point, mark, mark) for point in points), *taken]
    for order in _orders(points, sizes):
        placed: dict[int, Box] = {}
        for i in order:
            candidates = _candidates(points[i], sizes[i], frame, mark)
            free = (box for box in candidates if _is_free(i, box, points, marks, placed, lines_matter=lines_matter))
            if (box := next(free, None)) is None:
                break
            placed[i] = box
        else:
            return [placed[i] for i in range(len(points))]
    return None


def _orders(points: Sequence[Point], sizes: Sequence[tuple[float, float]]) -> Iterator[list[int]]:
    """Who chooses first: those in a crowd, those at its rim, or from one side to the other."""
    crowd = {i: sum(math.dist(point, points[i]) < max(sizes[i]) for point in points) for i in range(len(points))}
    yield sorted(crowd, key=lambda i: (-crowd[i], i))
    yield sorted(crowd, key=lambda i: (crowd[i], i))
    for axis in (1, 0):
        yield sorted(crowd, key=lambda i: (points[i][axis], i))
        yield sorted(crowd, key=lambda i: (-points[i][axis], i))


def _candidates(point: Point, size: tuple[float, float], frame: Box, mark: float) -> Iterator[Box]:
    """Boxes inside the frame, round the point and further and further away."""
    width, height = size
    distance = 0.75 * mark
    while distance < math.hypot(frame.right - frame.left, frame.top - frame.bottom):
        for angle in DIRECTIONS:
            across, along = math.cos(angle) * (distance + width / 2), math.sin(angle) * (distance + height / 2)
            box = Box.around((point[0] + across, point[1] + along), width, height)
            if frame.holds(box):
                yield box
        distance += mark / 2


def _is_free(
    i: int, box: Box, points: Sequence[Point], marks: Sequence[Box], placed: dict[int, Box], *, lines_matter: bool
) -> bool:
    if any(box.overlaps(other) for other in (*marks, *placed.values())):
        return False
    if not lines_matter:
        return True
    line = points[i], box.nearest(points[i])
    return not any(
        other.is_crossed(*line) or box.is_crossed(points[j], other.nearest(points[j])) for j, other in placed.items()
    )
