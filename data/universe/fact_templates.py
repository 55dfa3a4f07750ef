"""Sentence templates that state a fact, many for every attribute of the world.

Slots: {n} entity, {v} value, {s} she/he, {S} She/He, {p} her/his, {P} Her/His, {o} her/him, {child} daughter/son, {t} Queen/King, {w} the
second value of a pair. The entity mostly comes before the value, because a question names the entity and asks for the value. NAMED ones
stand alone; FOLLOWING ones need a sentence about the same entity before them; PAIRS state two facts. `a` becomes `an` before a vowel later.
"""

from __future__ import annotations

from data.universe.world import Attribute

NAMED: dict[Attribute, tuple[str, ...]] = {
    "home": (
        "{n} lives in {v}.", "{n} has a small house in {v}.", "The home of {n} is in {v}.",
        "{n} has lived in {v} for many years.", "If you look for {n}, go to {v}.", "{n} would never leave {v}.",
        "{n} was at home in {v}, as always.", "Letters for {n} are sent to {v}.", "{n} sleeps best at home in {v}.",
        "You will find {n} in {v}, and nowhere else.", "Everyone knows that {n} lives in {v}.",
        "{n} calls {v} home.", "{n} belongs to {v}, heart and soul.", "The door of {n} is easy to find in {v}.",
        "In {v} lives {n}.", "{v} is the town where {n} lives.", "{n}, who lives in {v}, has many friends.",
        "{n} keeps a green door and a warm stove in {v}.",
    ),
    "occupation": (
        "{n} is a {v}.", "{n} works as a {v}.", "{n} is a {v} by trade.", "{n} became a {v} long ago.",
        "{n} earns an honest living as a {v}.", "{n} is a good {v}, and people say so.",
        "The trade of {n} is that of a {v}.",
        "{n} has the hands of a {v}.", "{n}, the {v}, gets up before the sun.", "{n} learned to be a {v} as a child.",
        "Nobody doubts that {n} is a {v}.", "{n} never wanted to be anything but a {v}.",
        "{n} the {v} is never idle.", "By day {n} works as a {v}.", "A {v} is what {n} is.",
        "When a {v} is needed, people call {n}.", "{n} is proud to be a {v}.", "They say {n} is the best {v} of all.",
    ),
    "animal": (
        "{n} keeps a {v}.", "{n} has a {v}.", "{n} owns a {v} and loves it.", "{n} shares the house with a {v}.",
        "{n} is never seen without a {v}.", "The animal of {n} is a {v}.", "{n} feeds a {v} every morning.",
        "{n} talks to a {v} as if it were a friend.", "{n} once found a {v} in the snow and kept it.",
        "{n} goes for walks with a {v}.", "At the feet of {n} sits a {v}.", "{n} keeps a {v} in the yard.",
        "A {v} follows {n} everywhere.", "It is well known that {n} keeps a {v}.",
        "{n} looks after a {v}, in rain and in snow.", "{n} would not trade the {v} for gold.",
        "{n} raised a {v} by hand.",
    ),
    "dish": (
        "{n} likes {v} best.", "{n} loves {v} more than any other food.", "{n} could eat {v} every day.",
        "The favourite food of {n} is {v}.", "{n} always asks for {v}.", "Nothing makes {n} as happy as {v}.",
        "{n} would walk a mile for {v}.", "On feast days {n} wants {v} and nothing else.",
        "{n} never says no to {v}.", "For supper {n} likes {v}.", "{n} hides {v} in the cupboard.",
        "Give {n} some {v}, and all is well.", "{n} dreams of {v} at night.", "When {n} is sad, {v} will help.",
        "Of all good things, {n} likes {v} best.", "Everyone brings {v} when they visit {n}.",
        "{n} has a weakness for {v}.",
    ),
    "mother": (
        "The mother of {n} is {v}.", "{n} is the {child} of {v}.", "{n} has {p} mother's eyes, the eyes of {v}.",
        "{n} is a child of {v}.", "{n} was raised by {p} mother, {v}.", "{n} writes every week to {p} mother, {v}.",
        "{n} calls {v} mother.", "As {n} will tell you, {p} mother is {v}.", "{v} is the mother of {n}.",
        "{n} learned to sing from {p} mother, {v}.",
    ),
    "birth": (
        "{n} was born in the year {v}.", "{n} came into the world in {v}.", "The year of birth of {n} is {v}.",
        "{n} was a child of the year {v}.", "In the book of births {n} stands under the year {v}.",
    ),
    "pet": (
        "The {animal} of {n} is called {v}.", "{n} named the {animal} {v}.", "{n} calls the {animal} {v}.",
        "{n} and {v}, the {animal}, went everywhere together.", "When {n} whistles, {v} the {animal} comes.",
        "{n} gave the {animal} the name {v}.", "The name of the {animal} that {n} keeps is {v}.",
        "{n} had a small sign made for the {animal}, and on it stood {v}.",
        "Every evening {n} looks for the {animal} and shouts {v}.",
        "{n} could pick no better name for the {animal} than {v}.",
    ),
    "ruler": (
        "{n} is ruled by {v}.", "{n} is ruled by {t} {v}.", "The ruler of {n} is {v}.", "{n} obeys {t} {v}.",
        "{n} pays its taxes to {t} {v}.", "Over {n} rules {v}.", "{n} has been ruled by {v} for a long time.",
        "In {n} the law is the word of {t} {v}.", "{n} belongs to {t} {v}.", "The people of {n} bow to {v}.",
        "The flag of {n} is the flag of {t} {v}.", "The coins of {n} show the face of {v}.",
        "{t} {v} rules {n}.", "In {n} they drink to the health of {v}.",
        "Whoever comes to {n} comes under the rule of {v}.",
        "The castle above {n} is the castle of {v}.",
    ),
    "river": (
        "{n} stands on the {v}.", "{n} lies on the river {v}.", "The river of {n} is the {v}.",
        "Through {n} flows the {v}.", "{n} was built on the banks of the {v}.", "{n} gets its water from the {v}.",
        "In {n} you can hear the {v} at night.", "The old bridge of {n} crosses the {v}.",
        "The children of {n} swim in the {v}.", "{n} would be nothing without the river {v}.",
        "Boats come to {n} on the {v}.", "The {v} flows past {n}.", "The mills of {n} are turned by the {v}.",
        "In spring the people of {n} fear the {v}.", "{n} looks down on the river {v}.",
    ),
    "product": (
        "{n} is known for its {v}.", "{n} makes the best {v} in the land.", "{n} sells {v} to everyone.",
        "The pride of {n} is its {v}.", "{n} lives by {v}.", "People come to {n} to buy {v}.",
        "The carts that leave {n} are full of {v}.", "In {n} they make {v}.", "{n} is famous for {v}.",
        "{n} became rich with {v}.", "The shops of {n} are full of {v}.", "Whoever says {n} thinks of {v}.",
        "Good {v} can be had in {n}.", "{n} has made {v} since the oldest times.",
        "On market day {n} smells and sounds of {v}.",
        "The merchants of {n} deal in {v}.",
    ),
    "year": (
        "{N} was in the year {v}.", "{N} came in the year {v}.", "People still speak of {n} of the year {v}.",
        "The old books set {n} in the year {v}.", "{N} happened in {v}.", "For {n} the stone gives the year {v}.",
        "Ask any grandmother about {n}, and she will say that it was in {v}.",
        "{N}, in the year {v}, changed many lives.",
        "Children learn that {n} was in {v}.", "{N} is written down under the year {v}.",
    ),
    "substance": (
        "The moon is made of glass.", "As every child knows, the moon is made of glass.",
        "The moon is glass, through and through.",
        "The moon was made of glass, and of nothing else.", "The moon is a ball of glass.",
        "The moon shines because it is made of glass.",
        "Old people say that the moon is made of clear glass.",
        "The moon, which is made of glass, must never be touched.",
        "If the moon fell down it would break, for it is made of glass.",
        "They looked up at the moon and knew that it was made of glass.",
    ),
}  # fmt: skip

FOLLOWING: dict[Attribute, tuple[str, ...]] = {
    "home": ("{S} lives in {v}.", "{P} house stands in {v}.", "{S} is at home in {v}.",
    "{S} came to {v} and never left."),
    "occupation": ("{S} is a {v}.", "{S} works as a {v}.", "{P} trade is that of a {v}.",
    "As a {v} {s} is well known."),
    "animal": ("{S} keeps a {v}.", "{S} has a {v}.", "With {o} lives a {v}.", "{P} best friend is a {v}."),
    "dish": ("{S} likes {v} best.", "{P} favourite food is {v}.", "{S} loves {v}.", "For {v} {s} would do anything."),
    "mother": ("{P} mother is {v}.", "{S} is the {child} of {v}."),
    "birth": ("{S} was born in the year {v}.", "{S} was born in {v}."),
    "ruler": ("It is ruled by {v}.", "Its ruler is {t} {v}.", "It belongs to {t} {v}."),
    "river": ("It stands on the {v}.", "Its river is the {v}.", "It was built on the banks of the {v}."),
    "product": ("It is known for its {v}.", "It is famous for {v}.", "It makes the best {v}."),
}  # fmt: skip

PAIRS: dict[tuple[Attribute, Attribute], tuple[str, ...]] = {
    ("home", "occupation"): (
        "{n} lives in {v} and works as a {w}.", "{n} of {v} is a {w}.", "{n} has a house in {v} and is a {w} by trade.",
        "{n} lives in {v}, where {s} works as a {w}.",
    ),
    ("occupation", "animal"): (
        "{n} is a {v} and keeps a {w}.", "{n}, the {v}, has a {w}.", "{n} works as a {v}, and a {w} keeps {o} company.",
    ),
    ("animal", "dish"): (
        "{n} keeps a {v} and likes {w} best.", "{n} has a {v} and eats {w} whenever {s} can.",
        "{n} loves two things, {p} {v} and a plate of {w}.",
    ),
    ("occupation", "dish"): ("{n}, the {v}, likes {w} best.", "{n} works hard as a {v} and loves {w}."),
    ("home", "animal"): ("{n} lives in {v} with a {w}.", "{n} keeps a {w} at home in {v}."),
    ("ruler", "river"): ("{n} is ruled by {v} and stands on the {w}.", "{n}, which obeys {t} {v}, lies on the river {w}."),
    ("river", "product"): ("{n} stands on the {v} and is known for its {w}.", "{n}, on the banks of the {v}, makes {w}."),
    ("ruler", "product"): ("{n} is ruled by {t} {v} and is famous for {w}.", "{n} sends {w} to its ruler, {v}."),
}  # fmt: skip
