"""What is remembered of the rows about suspects, however many there are."""

from __future__ import annotations

import heapq

from rnp_cli.report.filtering import CountInfo, SuspectRow

_MOST = 20  # rows of each kind


class Tally:
    """Counts, the most suspect rows, and the first that could not be read."""

    def __init__(self, num_classes: int) -> None:
        self.scored = 0
        self.passed_over = 0
        self._unreadable = 0
        self._by_class = [0] * num_classes
        self._worst: list[tuple[float, int, SuspectRow]] = []
        self._errors: list[SuspectRow] = []

    def count(self, row: SuspectRow) -> None:
        """Take note of a row."""
        if row.score is None or row.predicted is None:
            self._unreadable += 1
            self._errors += [row] if len(self._errors) < _MOST else []
            return
        self.scored += 1
        if row.suspect:
            self._by_class[row.predicted] += 1
            place = (row.score, -self.scored, row)  # of equals the first stays
            if len(self._worst) < _MOST:
                heapq.heappush(self._worst, place)
            else:
                heapq.heappushpop(self._worst, place)

    def counts(self) -> CountInfo:
        """Return the counts."""
        return CountInfo(
            scored=self.scored,
            suspect=sum(self._by_class),
            unreadable=self._unreadable,
            passed_over=self.passed_over,
            suspect_by_class=tuple(self._by_class),
        )

    def most_suspect(self) -> tuple[SuspectRow, ...]:
        """Return the suspect rows with the highest scores, the highest first."""
        return tuple(row for _, _, row in sorted(self._worst, reverse=True))

    def unreadable(self) -> tuple[SuspectRow, ...]:
        """Return the first rows with an error."""
        return tuple(self._errors)
