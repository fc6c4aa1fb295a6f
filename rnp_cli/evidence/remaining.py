"""What remains: triggers that still reach the suspected class more easily than usual.

Between the rounds of a repair the triggers of the suspected class are recovered anew,
of each family of which it was easier to reach than the other classes are; of all, where
none was. Where not triggers but other witnesses named that class, nobody knows what the
attacker's looks like, and all are, too, unless one was far easier. A repair aims at
triggers that are clearly larger than those of the other classes; where its rounds end
before that, they must at least be as large. Few samples a repair knows by heart once it
was fitted to them, and nothing turns them any more while others still go there; so
where they are few, all attempts are made on those that are held out, too.

What a repair leaves of a patch lies around the patch, works on some images only, and is
seldom found from a mask over the whole image. So searches are kept near the patches
that were found before, too; and before nothing counts as left, many are, for what turns
half of the images. That is held against what turns as many to the other classes, on the
model as it came and wherever in the image, one search each. At last small drawn
patches, which no gradient may lead to, are tried in the corners and near the smallest
of all that were found (``evidence/contest.py``).

A wave over the whole image is tried on the model as it came: there one that the
attacker added turns nearly all images, and after a repair, if some, no more than other
waves turn to other classes. So it is fitted against in every round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from statistics import median

from torch import nn

from rnp_cli.defense.samples import SplitSamples
from rnp_cli.evidence.config import ClosingConfig
from rnp_cli.evidence.contest import squares_left
from rnp_cli.evidence.inversion import InversionConfig, goals_of, invert_triggers
from rnp_cli.evidence.recovered import RecoveredTrigger, estimated_success
from rnp_cli.evidence.search import Goal
from rnp_cli.evidence.triggers import Family


class Remaining:
    """Recovers what still reaches the suspected class more easily than it should.

    first: the triggers to begin with, of each family that is pursued, first the one
    that stands out most; and the wave that leads there, if one does. newest: those that
    were recovered last, whether they counted or not.
    """

    def __init__(
        self,
        triggers: Sequence[RecoveredTrigger],
        target: int | None,
        model: nn.Module,
        samples: SplitSamples,
        inversion: InversionConfig,
        config: ClosingConfig,
        *,
        seed: int,
        source: int | None = None,
        is_told: bool = True,
        wave: RecoveredTrigger | None = None,
    ) -> None:
        """Begin with the ``triggers`` of all classes of the ``model`` as it came.

        target: the suspected class, or None where every class moves to another.
        source: the class that the triggers lead from, if it is one alone. is_told: by
        them; or else other witnesses named the target. wave: that leads there, too.
        """
        self._target = target
        self._source = source
        self._original = model
        self._samples = samples
        self._parts = [samples]  # to search
        if len(samples.fit) < config.few:
            self._parts.append(replace(samples, fit=samples.holdout))
        self._inversion = inversion
        self._config = config
        self._seed = seed
        classes = {t.target for t in triggers if t.target is not None}
        self._others = sorted(classes - {target})
        self._usual = _usual_sizes(triggers, target)
        first = [t for t in triggers if t.target == target and t.found]
        first.sort(key=self._beside_usual)
        easy = [t for t in first if self._beside_usual(t) <= config.easier]
        clear = [t for t in easy if self._beside_usual(t) <= config.easier_blind]
        first = easy if easy and (is_told or clear) else first
        self._families = [t.family for t in first]
        self._waves = [] if wave is None else [wave]
        self.first = (*first, *self._waves)
        self._harder = config.harder if is_told else config.harder_blind
        self.newest: tuple[RecoveredTrigger, ...] = ()
        self._places = [t for t in self.first if t.travels]
        self._patches = [*self._places]  # that turn as many images as is asked for
        self._latest = seed
        self._partial: tuple[tuple[RecoveredTrigger, float], ...] | None = None
        self._usual_partial: tuple[float, ...] | None = None
        self._squares: tuple[RecoveredTrigger, ...] | None = None

    def recover(self, model: nn.Module, *, number: int) -> list[RecoveredTrigger]:
        """Return the triggers of ``model`` that are not yet larger than usual.

        Where there are none, the first ones are returned as far as they still work:
        what is found anew may lie far from them. The wave goes with whatever is left.
        number: of the attempt, from 1; each draws its own start.
        """
        self._latest = self._seed + number
        self.newest = tuple(self._search(model))
        self._partial = self._squares = None
        found = [t for t in self.newest if t.found]
        self._patches += [t for t in found if t.travels]
        left = [t for t in found if not self._is_harder(t, self._usual[t.family])]
        if not left:
            partial = self._search_last(model)
            small = self._config.usual
            left = [t for t, usual in partial if t.norm < small * usual]
            left += self._try_squares(model)
        self._places += [t for t in left if t.travels]
        left = left or [t for t in self.first if self._works(model, t)]
        if left:
            left += [wave for wave in self._waves if wave not in left]
        return left

    def conclude(self, model: nn.Module) -> None:
        """Make the last searches, if ``recover`` has not come to them with it."""
        if self._partial is None:
            self._search_last(model)
        if self._squares is None:
            self._try_squares(model)

    def _search(self, model: nn.Module) -> Sequence[RecoveredTrigger]:
        """Look anywhere, and near what was found before, on each part."""
        anywhere = [
            Goal(self._target, family, source=self._source)
            for family in self._families
            for _ in range(self._config.attempts)
        ]
        goals = anywhere + self._near(self._config.nearby)
        of_parts = self._invert(model, goals, self._latest)
        return [trigger for found in of_parts for trigger in found]

    def _search_last(
        self, model: nn.Module
    ) -> Sequence[tuple[RecoveredTrigger, float]]:
        """Look once more near what was found before, for what works partly.

        Returns what was found, each with the usual size.
        """
        near = self._near(self._config.last_nearby)
        of_parts = self._invert(model, near, self._latest, success=self._config.partly)
        self._partial = tuple(
            (trigger, self._usual_parts()[part])
            for part, found in enumerate(of_parts)
            for trigger in found
            if trigger.found
        )
        return self._partial

    def _try_squares(self, model: nn.Module) -> tuple[RecoveredTrigger, ...]:
        """Try what no gradient leads to, near the smallest patch that was ever found.

        Nothing where none was.
        """
        self._squares = ()
        if self._patches and self._target is not None and self._config.squares:
            smallest = min(self._patches, key=lambda patch: patch.norm)
            self._squares = squares_left(
                model,
                self._samples,
                smallest.change.extent(),
                self._target,
                source=self._source,
                images_each=self._config.squares,
                seed=self._seed,
            )
        return self._squares

    def _near(self, attempts: int) -> list[Goal]:
        """Take the first place and the latest in turns; none where there is none."""
        places = [*self._places[:1], *self._places[:0:-1]]
        return [
            Goal(self._target, t.family, near=t.change, source=self._source)
            for t in islice(cycle(places), attempts)
        ]

    def _usual_parts(self) -> tuple[float, ...]:
        """Return how large patches are that turn as few images to other classes."""
        if self._usual_partial is None:
            of_parts = self._invert(
                self._original,
                goals_of(self._others, source=self._source),
                self._seed,
                success=self._config.partly,
            )
            self._usual_partial = tuple(
                _usual_sizes(found, self._target)["overlay"] for found in of_parts
            )
        return self._usual_partial

    def _invert(
        self,
        model: nn.Module,
        goals: Sequence[Goal],
        seed: int,
        *,
        success: float | None = None,
    ) -> list[Sequence[RecoveredTrigger]]:
        """Look in each part of the samples."""
        inversion = self._inversion
        if success is not None:
            inversion = inversion.model_copy(update={"success": success})
        return [
            invert_triggers(model, samples, inversion, goals, seed=seed)
            for samples in self._parts
        ]

    def _works(self, model: nn.Module, trigger: RecoveredTrigger) -> bool:
        success = estimated_success(model, trigger, self._samples.holdout)
        return success > self._config.success_left

    def smallest(self) -> tuple[RecoveredTrigger, ...]:
        """Return the smallest of each family that was recovered last."""
        found: dict[Family, RecoveredTrigger] = {}
        for trigger in sorted(self.newest, key=lambda t: (not t.found, t.norm)):
            found.setdefault(trigger.family, trigger)
        return tuple(found.values())

    def is_usual(self) -> bool:
        """Whether no square works, and triggers are as large as other classes' are.

        Those that were recovered last.

        What works partly counts only where it leads to a class: half of the images are
        turned to *any* other more easily than to a given one.
        """
        beside = [self._beside_usual(t) for t in self.newest if t.found]
        if self._partial and self._target is not None:
            beside += [trigger.norm / usual for trigger, usual in self._partial]
        least = self._config.success_left
        works = any(square.success > least for square in self._squares or ())
        return not works and all(size >= self._config.usual for size in beside)

    def _is_harder(self, trigger: RecoveredTrigger, usual: float) -> bool:
        halfway = (usual + trigger.largest) / 2
        return trigger.norm >= min(self._harder * usual, halfway)

    def _beside_usual(self, trigger: RecoveredTrigger) -> float:
        return trigger.norm / self._usual[trigger.family]


def _usual_sizes(
    triggers: Sequence[RecoveredTrigger], target: int | None
) -> dict[Family, float]:
    """Return the median size of the other classes' triggers, by family.

    A class that no trigger was found for counts as the largest there is.
    """
    sizes: dict[Family, list[float]] = {}
    for trigger in triggers:
        if trigger.target not in (target, None):
            sizes.setdefault(trigger.family, []).append(trigger.norm)
    return {family: median(norms) for family, norms in sizes.items()}
