"""The device that a process trains on."""

from __future__ import annotations

import torch

from train.config.run import Config, ConfigError


def device_of(config: Config, local: int = 0, processes: int = 1) -> torch.device:
    """Return the device of a process, and make it the current one.

    Args:
        config: of the run, whose `device` may be "auto": CUDA where torch finds it, else the CPU.
        local: number of the process on its machine, and of its GPU where `device` names none.
        processes: of the run.
    Raises:
        ConfigError: there is no such device, or all processes would share it.
    """
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() and not config.integers else "cpu"
    if name == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device is mps, and torch finds none; leave it out or set it to cpu")
    if not name.startswith("cuda"):
        if name == "mps" and processes > 1:
            raise ConfigError(
                "device is mps, and a machine has one such GPU: start a single process"
            )
        return torch.device(name)
    if not torch.cuda.is_available():
        raise ConfigError(
            "device is cuda, and torch finds none: install torch for CUDA, or set it to cpu"
        )
    if ":" in name and processes > 1:
        raise ConfigError(
            f"device is {name} for {processes} processes; cuda gives each process a GPU of its own"
        )
    device = torch.device(name if ":" in name else f"cuda:{local}")
    there = torch.cuda.device_count()
    if (device.index or 0) >= there:
        raise ConfigError(
            f"device is {device}, and torch finds {there} GPUs, counted from 0: choose one of them, or start "
            "no more processes than GPUs"
        )
    torch.cuda.set_device(device)
    return device
