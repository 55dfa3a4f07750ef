"""What the stages that train share: their configs, the job they run, the resources it takes."""
