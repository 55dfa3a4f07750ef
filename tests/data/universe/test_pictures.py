"""The illustrated universe: its bytes, and that nothing but the picture tells what is asked."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from pydantic import ValidationError

from data.shards.pictures import PARTS, read_parts
from data.sources.config import IngestConfig, PicturesSource
from data.universe.pictures import ANIMALS, COATS, PLACES, SKIES, illustrations
from data.universe.world import build_world
from tests.data.sources.reading import read, rows


def test_a_seed_draws_the_same_bytes_on_every_machine() -> None:
    found = hashlib.sha256()
    for picture, scene in illustrations(7, 20):
        found.update(picture.pixels + scene.caption.encode())
    assert found.hexdigest() == "6d30dcaf0ddc2c7a751ac813fcd4a1748a7546600464234fea5d4c374055a10c"
    assert list(islice(illustrations(7, 500), 20)) == list(illustrations(7, 20)) != list(illustrations(8, 20))


def test_every_scene_is_another_and_shows_what_its_letters_are_painted_with() -> None:
    scenes = list(illustrations(3, 400))
    assert len({picture.name for picture, _ in scenes}) == 400
    for picture, scene in scenes:
        pixels = {tuple(picture.pixels[at : at + 3]) for at in range(0, len(picture.pixels), 3)}
        light = {tuple(min(255, max(0, shade + by)) for shade in COATS[scene.coat]) for by in range(-12, 13)}
        assert pixels & light and len(pixels) < 30


def test_what_is_asked_follows_from_nothing_that_is_said() -> None:
    scenes = [scene for _, scene in illustrations(7, 2000)]
    world = build_world(7)
    assert all(world.facts[f"home:{scene.person}"].value == scene.town for scene in scenes)
    for asked, choices in (("coat", COATS), ("animal", ANIMALS), ("place", PLACES), ("sky", SKIES)):
        assert Counter(getattr(scene, asked) for scene in scenes).keys() == set(choices)
        by_person = {(scene.person, getattr(scene, asked)) for scene in scenes}
        assert len(by_person) > 0.98 * len(world.people) * len(choices)  # each person with each, so that a name tells nothing
    caption = scenes[0].caption.split("\nQ: ")[0]
    assert caption == f"{scenes[0].person} of {scenes[0].town}."


def test_scenes_are_documents_with_their_questions_in_any_number_of_shards(tmp_path: Path) -> None:
    config = IngestConfig(sources=(PicturesSource(collection="universe", scenes=12),), shards=3)
    read(config, tmp_path, tmp_path / "out")
    texts = {row["text"] for row in rows(tmp_path / "out", "documents", 3)}
    assert texts == {f"{picture.placeholder}\n\n{scene.caption}" for picture, scene in illustrations(7, 12)}
    parts = {part.picture for shard in range(3) for part in read_parts([tmp_path / "out" / str(shard) / PARTS])}
    assert parts == {picture for picture, _ in illustrations(7, 12)}


def test_settings_of_scenes_are_refused_where_none_are_drawn() -> None:
    with pytest.raises(ValidationError, match="scenes=12 does nothing with collection='digits'"):
        PicturesSource(collection="digits", scenes=12)
