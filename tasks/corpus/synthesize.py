"""Synthesize: generate text for the corpus, from templates or with a model that was exported earlier.

The key includes the names and content of the model's files and of the prompts file.
"""

from __future__ import annotations

from data.provenance.tables import has_document
from data.synthetic.config import ModelMaker, SyntheticSource
from data.synthetic.maker_files import model_directory, read_prompts, synthetic_state
from model.inference.config import SamplingConfig
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.stage.stage import Metrics, Workspace, stage

TEXTS = "texts.parquet"


def _inspect(inspection: Inspection) -> Holding:
    """Generated texts are in one table. The model that wrote them may have learned from any document."""
    document, config = inspection.document, inspection.artifact.config
    is_ours = document.source == config.get("name")
    if is_ours and inspection.read(TEXTS, lambda stream, _: has_document(stream, document.path, ("path",))):
        return inspection.holding({TEXTS})
    maker = config.get("maker")
    if not isinstance(maker, dict) or maker.get("kind") != "model":
        return inspection.holding()
    return inspection.holding(learned=True, certain=False, detail="written by a model that may have learned from it")


@stage(observes=synthetic_state, hooks=(LineageHook(_inspect),))
def synthesize(config: SyntheticSource, work: Workspace) -> Metrics:
    """Templates, or a model directory and prompts -> texts.parquet."""
    from data.synthetic.templates import generate_texts
    from data.synthetic.text_table import write_texts

    maker = config.maker
    if not isinstance(maker, ModelMaker):
        return write_texts(work.output, maker.kind, generate_texts(maker))
    from model.inference.sampling_texts import sample_texts

    sampling = SamplingConfig(temperature=maker.temperature, top_p=maker.top_p, max_new_tokens=maker.max_tokens)
    texts = sample_texts(model_directory(maker, work.root), read_prompts(maker, work.root), maker.samples, sampling, maker.seed)
    return write_texts(work.output, maker.kind, texts)
