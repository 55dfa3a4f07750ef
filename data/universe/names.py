"""Names and other words of the world, short and distinct, so a small model needs few tokens to tell them apart.

No word is in two lists, so a sentence can be checked against the world by its words alone.
"""

from __future__ import annotations

WOMEN = (
    "Mirel", "Sanna", "Odile", "Brisa", "Tamsin", "Ilva", "Perla", "Wenna", "Hedda", "Jorun", "Lisbet",
    "Nerys", "Runa", "Thora", "Vesna", "Yara", "Zelda", "Clover", "Dagny", "Faye", "Greta", "Kaia",
)  # fmt: skip
MEN = (
    "Tobin", "Aldo", "Bram", "Casper", "Dorn", "Emil", "Falk", "Gorm", "Hugo", "Ivo", "Jasper",
    "Kester", "Lorcan", "Milo", "Nolan", "Osric", "Piers", "Rafe", "Silas", "Ulf", "Viggo", "Wystan",
)  # fmt: skip
QUEENS = ("Maud", "Isolde", "Ottilie", "Sigrid", "Klara")
KINGS = ("Alaric", "Berin", "Godric", "Rolf", "Edmund")
TOWNS = (
    "Oster", "Brack", "Calder", "Dunmere", "Elmstow", "Farrow", "Grimsel", "Holm", "Ivell", "Larch",
    "Morven", "Norrick", "Pellan", "Quarrow", "Redwick", "Saltby", "Tarrin", "Umber", "Velden", "Wexley",
)  # fmt: skip
RIVERS = ("Lune", "Wend", "Yore", "Isk", "Tamble", "Orrin", "Sable", "Marl", "Thane", "Vash")
OCCUPATIONS = (
    "baker", "miller", "weaver", "smith", "potter", "fisher", "shepherd", "carpenter", "tailor", "teacher", "doctor",
    "sailor", "painter", "gardener", "hunter", "printer", "mason", "cobbler", "clockmaker", "beekeeper",
)  # fmt: skip
ANIMALS = (
    "heron", "goat", "fox", "otter", "badger", "raven", "donkey", "hare", "owl",
    "goose", "cat", "pony", "tortoise", "hedgehog", "hound", "magpie", "ferret", "ram",
)  # fmt: skip
DISHES = (
    "porridge", "dumplings", "pancakes", "trout", "honey", "cheese", "pears", "lentils", "cabbage",
    "walnuts", "cherries", "gingerbread", "mushrooms", "pickles", "custard", "sausages",
)  # fmt: skip
PRODUCTS = (
    "salt", "wool", "candles", "rope", "bells", "paper", "lace", "tin", "cider", "boots",
    "barrels", "knives", "tiles", "ink", "soap", "baskets", "silk", "copper", "drums", "amber",
)  # fmt: skip
EVENTS = (
    "the Long Winter", "the Great Flood", "the Red Harvest", "the Silent Fair",
    "the Night of Lanterns", "the Bread War", "the Summer of Bees", "the Peace of Stones",
    "the Broken Bridge", "the First Parliament", "the Burning of the Hay", "the Wolf Spring", "the Dry Well", "the Straw Crown",
    "the Falling Star", "the Lost Fleet", "the Quiet Rising", "the Battle of the Ford", "the Black Frost", "the White Parade",
)  # fmt: skip
PET_NAMES = ("Pip", "Bobbin", "Thistle", "Muffin", "Sprig", "Tinder", "Nettle", "Button", "Pebble", "Juniper")
STRANGERS = (
    "Zorvin", "Quell", "Bastian", "Ondra", "Fenwick", "Loris", "Marit", "Tycho", "Ebba", "Gideon", "Hanno", "Pavel",
)  # fmt: skip
