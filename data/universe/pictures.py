"""The illustrated universe: drawn scenes of a world's people, each with a caption and questions that only the picture answers.

A scene shows a person with an animal before a place, under a sky. Who it is, and where they live, is true of the world; what they wear,
which animal is with them and on which side, where they stand and what the weather is are drawn anew for each scene, so that no book and no
other picture tells. Nothing else in the document says it.

A walk is a moving picture: a person goes from one place to another. Both places are in every frame, so only the order of the frames tells
which is which.

Scenes are put together from the letters below, a pixel each, by this file alone: the same seed gives the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from data.shards.pictures import Picture
from data.universe.world import World, build_world

SIDE = 32  # pixels
GROUND = 22  # the row where it begins
FRAMES = 4  # of a walk
Colour = tuple[int, int, int]
Canvas = list[list[Colour]]  # rows from above, pixels from the left

COATS: dict[str, Colour] = {
    "red": (200, 40, 40), "blue": (50, 80, 210), "green": (30, 120, 60), "yellow": (235, 200, 40), "purple": (130, 50, 160),
    "white": (245, 245, 245),
}  # fmt: skip
SKIES: dict[str, tuple[Colour, Colour, Colour | None]] = {  # of the air, of the ground, and of what falls
    "sunny": ((140, 200, 250), (110, 180, 80), None),
    "rainy": ((120, 130, 145), (80, 120, 80), (60, 70, 160)),
    "snowy": ((175, 182, 198), (205, 214, 228), (255, 255, 255)),
    "dark": ((25, 25, 60), (40, 70, 50), None),
}
INKS: dict[str, Colour] = {
    "#": (30, 25, 25), "o": (240, 210, 180), "b": (120, 75, 40), "g": (150, 155, 160), "w": (250, 250, 250), "r": (215, 105, 35),
    "y": (250, 190, 30), "l": (90, 150, 70), "d": (70, 60, 60), "s": (190, 185, 175), "c": (255, 225, 120),
}  # fmt: skip
"""The colour of each letter. A dot is left as it is; an asterisk is the coat."""
PERSON = (
    "..##..",
    ".#oo#.",
    "..oo..",
    ".****.",
    "******",
    "*****o",
    "o****.",
    ".****.",
    "******",
    "******",
    ".b..b.",
    ".b..b.",
)
ANIMALS: dict[str, Sequence[str]] = {
    "heron": ("..gg....", "yygg....", "...g....", "...g....", "...gggg.", "...ggggg", "....ggg.", "....y.y.", "....y.y."),
    "fox": ("r..r....", "rrrr....", "#rrr...r", ".wrrrrrr", "..rrrrrw", "..rrrr..", "..r..r.."),
    "cat": ("#..#....", "####...#", "y#y#...#", "#####.#.", "..#####.", "..#..#.."),
    "tortoise": ("..llll..", ".lblbll.", "yllblbly", "yyllllyy", ".y....y."),
    "goose": (".ww.....", "rww.....", "..w.....", "..w..www", "..wwwww.", "..wwww..", "...rr..."),
    "hedgehog": ("..d.d.d.", ".dbdbdbd", "#bbdbdbd", "bbbbbbb.", ".b...b.."),
}
PLACES: dict[str, Sequence[str]] = {
    "mill": ("s...ss...s", ".s..ss..s.", "..s.ss.s..", "...ssss...", "....##....", "...ssss...", "..s.bb.s..", ".s..bb..s.", "s...bb...s",
             "....bb....", "...bbbb...", "...bbbb..."),
    "tower": ("s.s.s.s...", "sssssss...", ".sssss....", ".s#s#s....", ".sssss....", ".sssss....", ".ss#ss....", ".sssss....", ".sssss....",
              ".sssss....", ".ss#ss....", ".ss#ss...."),
    "barn": ("..........", "..........", "..........", "....bb....", "...bbbb...", "..bbbbbb..", ".bbbbbbbb.", "bbbbbbbbbb", ".rrrrrrrr.",
             ".rrr##rrr.", ".rrr##rrr.", ".rrr##rrr."),
    "bridge": ("..........", "..........", "..........", "..........", "..........", "..........", "...ssss...", "..ssssss..", ".ssssssss.",
               "sss....sss", "ss......ss", "ss......ss"),
    "lighthouse": ("...ccc....", "..ccccc...", "...ccc....", "...www....", "...www....", "...rrr....", "...rrr....", "...www....",
                   "...www....", "..rrrrr...", "..rrrrr...", "..wwwww..."),
}  # fmt: skip


class Scene(NamedTuple):
    """A picture's scene. left: whether the animal is on the left of the person, as one looks at it."""

    person: str
    town: str
    coat: str
    animal: str
    place: str
    sky: str
    left: bool

    @property
    def caption(self) -> str:
        """What is said of the picture, and the questions about it with their answers, a line each."""
        asked = {
            f"What colour is {self.person}'s coat?": self.coat,
            f"Which animal is with {self.person}?": self.animal,
            f"On which side of {self.person} is the animal?": "left" if self.left else "right",
            "What stands behind them?": self.place,
            "What is the weather like?": self.sky,
        }
        return _asked(f"{self.person} of {self.town}.", asked)


class Walk(NamedTuple):
    """The scene of a moving picture: who goes from where to where, and on which side of the picture that begins."""

    person: str
    town: str
    start: str
    end: str
    from_left: bool

    @property
    def caption(self) -> str:
        """What is said of it, and the questions about it with their answers, a line each."""
        asked = {
            f"Where does {self.person} go?": self.end,
            f"Where does {self.person} come from?": self.start,
            f"To which side does {self.person} walk?": "right" if self.from_left else "left",
        }
        return _asked(f"{self.person} of {self.town}.", asked)


def _asked(said: str, asked: dict[str, str]) -> str:
    return "\n".join([said, *(f"Q: {question}\nA: {answer}" for question, answer in asked.items())])


def illustrations(seed: int, count: int) -> Iterator[tuple[Picture, Scene]]:
    """Yield `count` scenes of the world of this seed; the first of them are the same however many there are."""
    world = build_world(seed)
    for number in range(count):
        rng = Random(f"illustration:{seed}:{number}")
        scene = _scene(rng, world)
        yield _draw(rng, scene), scene


def walks(seed: int, count: int) -> Iterator[tuple[Picture, Walk]]:
    """Yield `count` walks in the world of this seed; the first of them are the same however many there are."""
    world = build_world(seed)
    for number in range(count):
        rng = Random(f"walk:{seed}:{number}")
        person = rng.choice(world.people)
        (home,) = world.of(person, "home")
        start, end = rng.sample(sorted(PLACES), 2)
        walk = Walk(person, home.value, start, end, from_left=rng.random() < 0.5)
        yield _draw_walk(rng, walk), walk


def _draw_walk(rng: Random, walk: Walk) -> Picture:
    """Return a walk's frames, half as high as a scene: one coat, one sky and one light in all of them."""
    (air, ground, falling), coat = SKIES[rng.choice(sorted(SKIES))], COATS[rng.choice(sorted(COATS))]
    left, right = (walk.start, walk.end) if walk.from_left else (walk.end, walk.start)
    sides, light, down = (rng.randrange(0, 2), SIDE - 10 - rng.randrange(0, 2)), rng.randrange(-12, 13), rng.randrange(0, 2)
    steps = [7 + 4 * number + rng.randrange(-1, 2) for number in range(FRAMES)]
    frames = []
    for across in steps if walk.from_left else steps[::-1]:
        canvas = [[ground if row >= SIDE // 2 - 3 else air for _ in range(SIDE)] for row in range(SIDE // 2)]
        for place, side in zip((left, right), sides, strict=True):
            _paint(canvas, PLACES[place], side, 1 + down, {})
        _paint(canvas, PERSON, across, 3 + down, {"*": coat})
        _fall(rng, canvas, 20, falling)
        frames.append(_pixels(canvas, light))
    return Picture("RGB", SIDE, SIDE // 2, b"".join(frames), FRAMES)


def _scene(rng: Random, world: World) -> Scene:
    person = rng.choice(world.people)
    (home,) = world.of(person, "home")
    coat, animal, place, sky = (rng.choice(sorted(choices)) for choices in (COATS, ANIMALS, PLACES, SKIES))
    return Scene(person, home.value, coat, animal, place, sky, left=rng.random() < 0.5)


def _draw(rng: Random, scene: Scene) -> Picture:
    """Return a scene's picture: all shades a little lighter or darker, and everything a little to a side, by chance."""
    air, ground, falling = SKIES[scene.sky]
    canvas = [[ground if row >= GROUND else air for _ in range(SIDE)] for row in range(SIDE)]
    across = rng.randrange(0, 3)
    _paint(canvas, PLACES[scene.place], 1 + across if rng.random() < 0.5 else SIDE - 11 - across, GROUND - 11, {})
    person = 13 + rng.randrange(-1, 2)
    _paint(canvas, PERSON, person, GROUND - 5 + rng.randrange(0, 2), {"*": COATS[scene.coat]})
    art = ANIMALS[scene.animal]
    below = GROUND + 8 - len(art) + rng.randrange(0, 2)
    # It looks at the person; the letters look to the left.
    facing = [row[::-1] for row in art] if scene.left else art
    _paint(canvas, facing, person - 10 + rng.randrange(-1, 2) if scene.left else person + 8 + rng.randrange(0, 2), below, {})
    if scene.sky in ("sunny", "dark"):
        disc = ("ccc", "ccc", "ccc") if scene.sky == "sunny" else (".cc", "cc.", ".cc")
        _paint(canvas, disc, rng.randrange(12, 18), 1 + rng.randrange(0, 3), {})
    _fall(rng, canvas, 40, falling)
    return Picture("RGB", SIDE, SIDE, _pixels(canvas, rng.randrange(-12, 13)))


def _fall(rng: Random, canvas: Canvas, drops: int, colour: Colour | None) -> None:
    for _ in range(drops if colour else 0):
        canvas[rng.randrange(0, len(canvas))][rng.randrange(0, SIDE)] = colour or INKS["#"]


def _pixels(canvas: Canvas, light: int) -> bytes:
    return bytes(min(255, max(0, shade + light)) for row in canvas for colour in row for shade in colour)


def _paint(canvas: Canvas, art: Sequence[str], across: int, down: int, more: dict[str, Colour]) -> None:
    """Paint letters on a canvas, the first at a place; what lies outside is cut off."""
    inks = INKS | more
    for row, line in enumerate(art, start=down):
        for column, letter in enumerate(line, start=across):
            if letter != "." and 0 <= row < len(canvas) and 0 <= column < SIDE:
                canvas[row][column] = inks[letter]
