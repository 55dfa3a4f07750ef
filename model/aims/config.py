"""Every aim, tagged by `kind`: its own file and its name here. A kind of training builds its own.

Cheap to import: pydantic only.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from model.aims.answer_loss import AnswerLossAim
from model.aims.log_ratio import LogRatioAim
from model.aims.odds_ratio import OddsRatioAim
from model.aims.ranking import RankingAim
from model.aims.sampled_reward import SampledRewardAim
from model.aims.signed_reward import SignedRewardAim
from model.aims.token_ratio import TokenRatioAim

AnyAim = AnswerLossAim | LogRatioAim | OddsRatioAim | RankingAim | SampledRewardAim | SignedRewardAim | TokenRatioAim
AimConfig = Annotated[AnyAim, Field(discriminator="kind")]
