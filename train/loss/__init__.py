"""What training minimises."""

from __future__ import annotations

from train.loss.transducer import transducer_loss

__all__ = ["transducer_loss"]
