"""What a model card is made of: a weights file's header and its run's summary, brought together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cifar_data import CANONICAL_FINGERPRINT
from cifar_explain import Familiarity
from cifar_models import WeightsHeader
from cifar_train.report.markdown import one_line
from cifar_train.runs.summary import Summary

#: CIFAR-10 itself, pixel for pixel; drawn shapes; a user's own images.
DataKind = Literal["cifar10", "synthetic", "own"]


@dataclass(frozen=True)
class CardFacts:
    """Header and summary, as the sections of a card ask for them.

    Args:
        header: Of the weights file.
        summary: Of the run that the weights are of; None if there is none.
    """

    header: WeightsHeader
    summary: Summary | None

    @property
    def title(self) -> str:
        """Recipe and architecture; one of them, if they have one name or no recipe is known."""
        recipe = one_line(str(self.header.recipe.get("recipe", "")))
        architecture = one_line(self.header.architecture)
        return architecture if recipe in ("", architecture) else f"{recipe} ({architecture})"

    @property
    def metrics(self) -> dict[str, float]:
        """Accuracies in [0, 1] and losses in nats, by name: the file's own, else the report's, else the run's."""
        # The run's were taken before the weights were stored, perhaps in float16.
        found = {**(self.summary.metrics if self.summary else {}), **self.analysis, **self.header.metrics}
        return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}

    @property
    def analysis(self) -> Mapping[str, Any]:
        """What the report found out; empty if there is none."""
        return (self.summary.analysis if self.summary else None) or {}

    @property
    def familiarity(self) -> Familiarity | None:
        """What was fitted on the validation split, if anything was."""
        known = self.header.metrics.get("familiarity")
        return Familiarity.from_dict(known) if known else None

    @property
    def sizes(self) -> dict[str, int]:
        """Images of each split, by `train`, `val` and `test`; those that are known and not empty."""
        data = self.summary.data if self.summary else {}
        return {name: data[name] for name in ("train", "val", "test") if data.get(name)}

    @property
    def kind(self) -> DataKind:
        """What the weights were trained on."""
        if self.header.metrics.get("data_fingerprint") == CANONICAL_FINGERPRINT:
            return "cifar10"
        named = (self.header.recipe.get("data") or {}).get("source")
        found = self.summary.data.get("source") if self.summary else None
        return "synthetic" if "synthetic" in (named, found) else "own"
