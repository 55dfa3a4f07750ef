"""The kinds of rewards: what sampled replies are rewarded for. A kind is its own file and its name here. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from model.rewards.answer import AnswerReward
from model.rewards.concise import ConciseReward
from model.rewards.format import FormatReward
from model.rewards.gym import GymReward
from model.rewards.length import LengthReward
from model.rewards.number import NumberReward
from model.rewards.program import ProgramReward
from model.rewards.sole import SoleReward

AnyReward = AnswerReward | ConciseReward | NumberReward | SoleReward | FormatReward | LengthReward | ProgramReward | GymReward
RewardConfig = Annotated[AnyReward, Field(discriminator="kind")]
"""What a reply is rewarded for, by `kind`."""
