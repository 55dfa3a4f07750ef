"""How big a model: operations, memory and time of a training run, told before it and measured during it."""
