"""Shared by the stages that train: their configs, the job they run, the resources it takes."""
