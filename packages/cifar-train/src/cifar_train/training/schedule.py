"""The learning rate over a run: one cycle, up to a peak and down again."""

from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from cifar_train.formatting import check


@dataclass(frozen=True)
class OneCycle:
    """One Cycle policy: from ``peak / div`` up to the peak, then down to ``peak / final_div``.

    Args:
        peak: Position of the peak as a share of all steps, in [0, 1). 0, or no more than one step, is a plain decay.
        div: The peak divided by the first learning rate, at least 1.
        final_div: The peak divided by the last learning rate, at least 1.
        anneal: Shape of both slopes, ``cos`` or ``linear``.
        cycle_momentum: Whether momentum (Adam's first beta) runs from 0.95 at the ends to 0.85 at the peak.

    Source:
        L. Smith and N. Topin, "Super-Convergence" (arXiv:1708.07120).
    """

    peak: float = 0.3
    div: float = 25.0
    final_div: float = 1e4
    anneal: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = False

    def __post_init__(self) -> None:
        check(0 <= self.peak < 1, "model.schedule.peak", self.peak, "in [0, 1), a share of all steps")
        check(self.div >= 1, "model.schedule.div", self.div, "at least 1")
        check(self.final_div >= 1, "model.schedule.final_div", self.final_div, "at least 1")
        check(self.anneal in ("cos", "linear"), "model.schedule.anneal", self.anneal, "'cos' or 'linear'")

    def build(self, optimizer: Optimizer, *, lr: float, total_steps: int) -> OneCycleLR:
        """Returns PyTorch's scheduler, with ``lr`` at the peak, to be stepped after each of ``total_steps`` steps."""
        return ResumableCycle(
            optimizer,
            max_lr=lr,
            total_steps=total_steps,
            # For a peak within the first step PyTorch would divide by zero steps.
            pct_start=self.peak if self.peak * total_steps > 1 else 0.0,
            anneal_strategy=self.anneal,
            div_factor=self.div,
            # PyTorch counts the end from the start, not from the peak.
            final_div_factor=self.final_div / self.div,
            cycle_momentum=self.cycle_momentum,
        )


class ResumableCycle(OneCycleLR):
    """PyTorch's One Cycle, except that a resumed run follows the rates, momenta and length that it is started with."""

    def __init__(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
        super().__init__(optimizer, *args, **kwargs)
        self._as_built = [dict(group) for group in optimizer.param_groups]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues at the saved step; the optimizer's state, whose rates are set again, must be loaded already."""
        for group, built in zip(self.optimizer.param_groups, self._as_built, strict=True):
            group.update(built)
        self.last_epoch = state_dict["last_epoch"] - 1
        # PyTorch warns if the schedule steps before the optimizer; this step repeats one.
        self._step_count = state_dict["_step_count"] + 1
        self.step()
        self._step_count = state_dict["_step_count"]
