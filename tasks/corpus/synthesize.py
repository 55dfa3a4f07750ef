"""Synthesize: text that a machine writes for the corpus, from templates or by a model that was exported earlier.

Identity includes the names and content of the model's files and of a file of beginnings.
"""

from __future__ import annotations

from data.synthetic.config import ModelMaker, SyntheticSource
from data.synthetic.state import beginnings, model_directory, synthetic_state
from data.synthetic.templates import fill_in
from data.synthetic.write import write_texts
from model.inference.config import SamplingConfig
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("pyarrow", "torch", "tokenizers"), observes=synthetic_state)
def synthesize(config: SyntheticSource, work: Workspace) -> Metrics:
    """Nothing, or a model directory -> texts.parquet."""
    maker = config.maker
    if not isinstance(maker, ModelMaker):
        return write_texts(work.output, maker.kind, fill_in(maker))
    from model.inference.sampling_texts import sample_texts

    sampling = SamplingConfig(temperature=maker.temperature, top_p=maker.top_p, max_new_tokens=maker.max_tokens)
    texts = sample_texts(model_directory(maker, work.root), beginnings(maker, work.root), maker.samples, sampling, maker.seed)
    return write_texts(work.output, maker.kind, texts)
