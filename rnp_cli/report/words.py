"""What a sanitization comes to, in words: the same in every format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rnp_cli.report.acceptance import Breach
from rnp_cli.report.detection import Detection, MarginInfo, VerdictInfo
from rnp_cli.report.facts import Fact, class_name, interval, model_facts
from rnp_cli.report.sanitization import (
    WITHOUT_MODEL,
    CompactionInfo,
    Outcome,
    Report,
)
from rnp_cli.report.schema import SampleInfo, TargetInfo

Tone = Literal["good", "doubtful", "bad"]
_TITLES: dict[Outcome, str] = {
    "unchanged": "No evidence of a backdoor: nothing was changed",
    "pruned": "Pruned",
    "repaired": "Repaired",
    "distilled": "Distilled",
    "not-safe": "Could not be made safe",
    "no-safe-threshold": "No safe threshold",
}
CHANNELS_NOTE = (
    "Mask: what recovery left of the channel (0 to 1). Score: how far its weights "
    "moved while unlearning (1 is its layer's mean)."
)


def title(report: Report) -> str:
    """Name the outcome."""
    return _TITLES[report.outcome]


def tone(report: Report) -> Tone:
    """Say whether it is good news."""
    if report.outcome in WITHOUT_MODEL:
        return "bad"
    after = report.verdict_after
    return "doubtful" if after is not None and after.level != "none" else "good"


def said(report: Report) -> str:
    """Say what was done, what it cost, and what is left, in a few sentences."""
    match report.outcome:
        case "unchanged":
            heard = _heard(report)
            return (
                f"{heard} a class from the others (p = {report.verdict.p_value:.2g}). "
                "The model is written as it came."
            )
        case "pruned":
            done = f"{_pruned(report)}; clean accuracy {_change(report)}."
            return done if report.verdict_after is None else f"{done} {_left(report)}"
        case "repaired":
            done = f"{_rounds(report)} of repair"
            if report.pruned:
                done = f"{_pruned(report)}, then {done}"
            return f"{done}; clean accuracy {_change(report)}. {_left(report)}"
        case "distilled":
            count = 0 if report.pruning is None else len(report.pruning.pruned)
            return (
                f"The original learned where a copy looks in which {count} channels "
                f"are pruned; clean accuracy {_change(report)}. {_left(report)}"
            )
        case "not-safe":
            return f"{_left(report)} {_reject(report)}"
        case "no-safe-threshold":
            return f"{_why_none(report)} {_reject(report)}"


def _heard(report: Report) -> str:
    """Say which witnesses could not tell a class from the others."""
    heard = ["margins"] if report.margins else []
    heard += ["unlearning"] if report.label is not None else []
    match heard:
        case []:
            return "Triggers do not tell"
        case [other]:
            return f"Neither triggers nor {other} tell"
    return "Neither triggers nor margins nor unlearning tell"


def _reject(report: Report) -> str:
    """Say what can be done where no model was written."""
    other = "" if report.method == "rnp+repair" else "--method rnp+repair, "
    return (
        f"No model was written. Give more clean samples, {other}another --seed, or "
        "reject the model."
    )


def _pruned(report: Report) -> str:
    return f"{len(report.pruned)} of {report.model.channels} channels pruned"


def _rounds(report: Report) -> str:
    return f"{report.rounds} round{'s' if report.rounds != 1 else ''}"


def _left(report: Report) -> str:
    """Say what of the evidence is left."""
    after = report.verdict_after
    parts = []
    if "triggers" in report.left:
        after_repair = f", after {_rounds(report)} of repair" if report.repair else ""
        parts.append(
            "Triggers still reach the suspected class more easily than the others, "
            f"with all images or with half of them{after_repair}."
        )
    if "success" in report.left:
        most = 1.0 if report.success is None else report.success[1]
        parts.append(f"A trigger recovered first still turns {most:.0%} of the images.")
    if "accuracy" in report.left:
        parts.append(f"What was done cost too much: clean accuracy {_change(report)}.")
    if "unheard" in report.left:
        parts.append(
            "Unlearning had shown the backdoor, and says nothing of the model now: "
            f"{report.unlearn_failure_after or 'its way down leapt'}."
        )
    if report.left == ("asleep",):
        parts.append(
            "No trigger reaches the suspected class more easily than the others any "
            f"more, but {_still_tells(report)}: sanitize again after fine-tuning."
        )
    elif after is not None and (after.level != "none" or not parts):
        parts.append(f"Looked at again, it shows {evidence(after, report)}.")
    return " ".join(parts)


def _still_tells(report: Report) -> str:
    """Say which of the other witnesses speaks louder of the result."""
    after = report.verdict_after
    margin = None if after is None else after.p_margin
    label = None if after is None else after.p_label
    if margin is not None and (label is None or margin < label):
        return "a margin still stands out"
    return "unlearning still wakes it"


def _why_none(report: Report) -> str:
    path = () if report.pruning is None else report.pruning.path
    if any(point.pruned for point in path):
        return (
            "Pruning even the most suspicious channels costs more than the "
            f"{100 * report.max_accuracy_drop:g} points of clean accuracy allowed."
        )
    return "No mask fell far enough in recovery to make its channel suspicious."


def _change(report: Report) -> str:
    before, after = report.accuracy_before.value, report.accuracy_after.value
    return f"{before:.1%} before, {after:.1%} after"


def facts(report: Report) -> list[Fact]:
    """List what was found and measured."""
    rows = [
        *model_facts(report.model, report.input, report.samples),
        ("Verdict before", evidence(report.verdict, report)),
    ]
    if report.verdict_after is not None:
        after = evidence(report.verdict_after, report)
        asleep = ", but no trigger shows it" if "asleep" in report.left else ""
        rows.append(("Verdict after", after + asleep))
    rows.append(("Accuracy before", interval(report.accuracy_before)))
    if report.outcome != "unchanged":
        rows.append(("Accuracy after", interval(report.accuracy_after)))
        rows.append(
            (
                "on the holdout",
                f"{report.holdout_before.value:.1%} before, "
                f"{report.holdout_after.value:.1%} after",
            )
        )
    rows += _unlearned(report)
    if report.compaction is not None:
        rows.append(("Compaction", _compaction(report.compaction)))
    rows += [("Finding", finding) for finding in report.model.findings]
    rows += policy_facts(report)
    return rows


def policy_facts(report: Report | Detection) -> Iterator[Fact]:
    """List the rules that are broken, and those that may be."""
    for breach in report.breaches:
        if breach.accepted is None:
            yield "Policy", f"broken: {breach.said}"
        else:
            yield "Accepted", accepted(breach)


def sources(report: Report) -> str:
    """Say what set the options and knobs that have not their default."""
    return ", ".join(f"{name}: {by}" for name, by in report.run.sources.items())


def accepted(breach: Breach) -> str:
    """Say until when a breach is accepted, and why."""
    if breach.accepted is None:
        return ""
    until, reason = breach.accepted.expires, breach.accepted.reason
    return f"until {until} ({reason}): {breach.said}"


def evidence(verdict: VerdictInfo, report: Report | Detection) -> str:
    """Say what a verdict says."""
    if verdict.level == "none":
        return f"no evidence of a backdoor (p = {verdict.p_value:.2g})"
    goal = "to all classes"
    if verdict.target is not None:
        goal = f"to {class_name(verdict.target, report.samples)}"
    if verdict.source is not None:
        goal = f"from {class_name(verdict.source, report.samples)} {goal}"
    return f"{verdict.level} evidence of a backdoor {goal} (p = {verdict.p_value:.2g})"


def new_mistakes(label: TargetInfo, samples: SampleInfo) -> str:
    """Say which class draws the most of them."""
    named = class_name(label.target, samples)
    said = f"{label.share:.0%} of its first new mistakes go to {named}"
    if label.unlearnings > 1:
        said += f", in the mean of {label.unlearnings} unlearnings"
    return said


def widest_margin(margins: Sequence[MarginInfo], samples: SampleInfo) -> str:
    """Say which class some input leads farthest, and how far the next is led."""
    first, *others = sorted(margins, key=lambda margin: -margin.margin)
    named = class_name(first.target, samples)
    said = f"{first.margin:.1f} times what {named} varies by on clean images"
    return f"{said}; the next class {others[0].margin:.1f}" if others else said


def _unlearned(report: Report) -> Iterator[Fact]:
    if report.unlearn_failure is not None:
        yield "Unlearning", report.unlearn_failure
    if report.label is not None:
        yield "Unlearning", new_mistakes(report.label, report.samples)
    if report.margins:
        yield "Widest margin", widest_margin(report.margins, report.samples)
    if report.pruning is not None:
        target = report.pruning.target
        named = class_name(target.target, report.samples)
        yield (
            "Unlearned",
            f"the model calls {target.share:.0%} of the clean images {named}",
        )
        if report.pruning.threshold is not None:
            yield "Threshold", f"masks up to {report.pruning.threshold:.3f}"


def _compaction(compaction: CompactionInfo) -> str:
    """Say what went, and what that saves."""
    return (
        f"{compaction.removed} of {compaction.pruned} pruned channels left out; "
        f"{compaction.parameters_before:,} parameters before, "
        f"{compaction.parameters_after:,} after; "
        f"{compaction.flops_before:,} FLOPs per image before, "
        f"{compaction.flops_after:,} after"
    )


def outputs(report: Report) -> list[str]:
    """List the files that the model was written to, and what is in them."""
    return [
        f"{output.file}, {output.format}"
        + (f" opset {output.opset}" if output.opset is not None else "")
        + f", SHA-256 of its tensors {output.tensors_sha256}"
        for output in report.outputs
    ] or ["no model was written"]
