"""Sounds as log-mel frames: equal to whisper's front end, and refused where they don't fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from data.shards.pictures import SOUND, Picture, PictureGrid, cut_patches
from data.shards.sounds import RATE, SoundGrid, log_mel
from data.universe.speech import LETTERS, speeches


@pytest.mark.parametrize("mels", [80, 128])
def test_frames_equal_those_of_whisper_s_front_end(mels: int) -> None:
    from transformers import WhisperFeatureExtractor

    reference = WhisperFeatureExtractor(feature_size=mels, chunk_length=4)
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)
    rising = (np.sin(np.arange(4 * RATE) * 0.05) * np.linspace(0, 1, 4 * RATE)).astype(np.float32)
    said = np.frombuffer(next(speeches(7, 10))[0], "<i2").astype(np.float32) / 32_768
    sounds: tuple[np.ndarray[Any, np.dtype[np.float32]], ...]
    sounds = (noise, rising, np.concatenate([said, np.zeros(4 * RATE - len(said), np.float32)]), np.zeros(4 * RATE, np.float32))
    for samples in sounds:
        theirs = reference(samples, sampling_rate=RATE, return_tensors="np").input_features[0].T
        assert np.abs(log_mel(samples, mels) - theirs).max() < 1e-4


def test_sentences_are_all_different_fit_the_recipe_and_depend_on_nothing_but_the_seed() -> None:
    some = list(speeches(7, 120))
    assert some == list(speeches(7, 120)) and len({sentence for _, sentence in some}) == 120
    assert {sentence for _, sentence in some} != {sentence for _, sentence in speeches(8, 120)}
    assert set("".join(sentence for _, sentence in some)) <= {*LETTERS, " "}
    assert max(len(samples) / 2 / RATE for samples, _ in some) < 3.2
    with pytest.raises(ValueError, match="has 6480 different ones"):
        next(speeches(7, 6481))


def test_a_sound_is_cut_into_tokens_in_time_and_what_does_not_fit_is_refused_by_name() -> None:
    grid = SoundGrid(seconds=0.8, mels=20, stack=8)
    tone = (np.sin(np.arange(RATE // 2) * 0.3) * 9000).astype("<i2")
    sound = Picture(SOUND, len(tone), 1, tone.tobytes())
    patches = cut_patches(sound, grid)
    assert patches.shape == (10, 160) and patches.dtype == np.float16
    frames = log_mel(np.pad(tone.astype(np.float32) / 32_768, (0, round(0.8 * RATE) - len(tone))), 20)
    np.testing.assert_array_equal(patches.reshape(80, 20), frames.astype(np.float16))
    with pytest.raises(ValueError, match=r"a sound of 1\.25 seconds, and sounds are brought to 0\.8"):
        cut_patches(Picture(SOUND, 20_000, 1, bytes(40_000)), grid)
    with pytest.raises(ValueError, match="a sound where pictures are read"):
        cut_patches(sound, PictureGrid(height=4, width=4, patch=2))
    with pytest.raises(ValueError, match="a picture where sounds are read"):
        cut_patches(Picture("L", 1, 1, b"x"), grid)
    with pytest.raises(ValidationError, match="82 frames, which stack=8 does not divide"):
        SoundGrid(seconds=0.82, stack=8)
