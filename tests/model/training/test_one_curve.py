import numpy as np, pytest, os
from tests.model.training.test_trajectories import *
from tests.model.training.test_trajectories import trained
from tests.model.training.conftest import *
def test_curve(make_job):
    for w,s,m in [(2,3,1),(1,3,1),(1,1,1)]:
        job = make_job(f"j{w}{s}{m}", {"workers": w, "zero_stage": s, "micro_batch": m}, steps=60, precision="bf16")
        c = trained(job); print("CURVE", w,s,m, " ".join(f"{x:.9f}" for x in c[-6:]), c.mean())
