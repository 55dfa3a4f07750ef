"""torchrun that dies with the launcher that started it, even by kill -9: `python -m model.training.launch.torchrun ...`."""

from __future__ import annotations

from model.training.launch.worker import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    from torch.distributed.run import main

    main()
