"""A long conversation with facts strewn in: drawn from a seed, many facts alike, asked for later in other words."""

import random
from dataclasses import dataclass

PEOPLE = """Ada Bruno Carla Daniel Elena Farid Greta Hamid Ingrid Jonas Karin Leo Mira Nadia Oskar Paula Quentin Rosa
Samir Tessa Ulrich Vera Walter Xenia Yusuf Zoe Anton Bianca Cyril Dora""".split()
CITIES = "Lisbon Porto Ghent Bergen Malmo Turin Genoa Krakow Split Graz Basel Lyon Nantes Bilbao Leeds Cork".split()
JOBS = "baker nurse surveyor carpenter librarian welder pharmacist translator gardener potter".split()
FOODS = "peanuts|shellfish|gluten|strawberries|celery|mustard|sesame|lupin|milk|eggs".split("|")
COLOURS = "dark green|silver|bright red|pale blue|white|black|yellow".split("|")
CARS = "Skoda|Volvo estate|Fiat|Renault van|Toyota|Mini".split("|")
ANIMALS = [("dog", "puppy"), ("cat", "kitten"), ("parrot", "bird"), ("tortoise", "pet"), ("rabbit", "bunny")]
PETS = "Biscuit Pepper Nero Luna Mango Figaro Pixel Olive Sultan Momo Tango Coco Pablo Hazel Ziggy".split()
THINGS = [
    ("spare keys", "second set of keys"), ("passport", "passport"), ("tent", "tent for the camping holiday"),
    ("drill", "electric drill"), ("violin", "old violin"), ("ladder", "long ladder"), ("umbrella", "big umbrella"),
    ("sewing machine", "machine for sewing"), ("bicycle pump", "pump for the bike"), ("projector", "film projector"),
    ("snow chains", "chains for the winter tyres"), ("first aid kit", "kit with the bandages"),
    ("fondue set", "set for the cheese fondue"), ("sleeping bags", "bags for sleeping outside"),
    ("tax folder", "folder with the tax papers"),
]  # fmt: skip
PLACES = """the attic behind the chimney|the cupboard under the stairs|the garage, on the top shelf|the cellar, left of
the door|the drawer in the hall|the shed next to the mower|the wardrobe in the guest room|the box below the bed|my desk
at work|the boot of the car""".replace("\n", " ").split("|")
DOORS = [
    ("bicycle shed", "shed with the bikes"), ("office", "office door"), ("garage", "garage of the house"),
    ("laundry room", "room with the laundry"), ("music school", "school for music"), ("allotment", "allotment gate"),
    ("archive", "archive in the cellar"), ("gym", "gym in the evening"),
]  # fmt: skip
DEVICES = [
    ("dishwasher", "dishwasher"), ("boiler", "old boiler"), ("laptop", "laptop computer"),
    ("washing machine", "machine for washing"), ("lawn mower", "mower"), ("fridge", "fridge in the kitchen"),
    ("printer", "colour printer"), ("oven", "oven"), ("camera", "good camera"), ("phone", "phone screen"),
]  # fmt: skip
BOOKS = """The Salt Road|Winter Harbour|A Map of Rivers|The Clockmaker's Son|Seven Gardens|Letters from the Coast|The
Glass Orchard|Night Ferry|The Quiet Engine|Birds of the North|An Honest Tailor|Bread and Iron|The Last Lighthouse|Paper
Boats|The Beekeeper""".replace("\n", " ").split("|")
DOCTORS = [("dentist", "dentist"), ("eye doctor", "test of my eyes"), ("physiotherapist", "physiotherapist"),
           ("skin doctor", "check of my skin"), ("heart specialist", "heart examination"), ("vet", "vet with the cat")]  # fmt: skip
MONTHS = "January February March April May June July August September October November December".split()
DISHES = "mushroom risotto|lentil soup|apple strudel|fish curry|potato gratin|plum cake|goulash|ratatouille".split("|")
SPORTS = "rowing|fencing|badminton|climbing|judo|table tennis|archery|swimming".split("|")
HOTELS = "Blue Heron|Old Mill|Station House|Three Crowns|Harbour View|White Horse|Linden|Golden Anchor".split("|")
TONGUES = "Finnish Greek Arabic Dutch Welsh Korean Swahili Danish".split()
PRESENTS = "a telescope|a chess set|a bread knife|walking boots|a globe|concert tickets|a kite|a teapot".split("|")

# Kind of fact: how it is said, how it is asked. {a} is what it is about, {b} the same in other words, {v} the answer.
KINDS = {
    "birthday": (PEOPLE, "{a} was born on {v}.", "On what date do we celebrate the birthday of {b}?"),
    "allergy": (PEOPLE, "{a} cannot have {v}, that makes the whole face swell.", "What must I not cook for {b}?"),
    "job": (PEOPLE, "{a} works as a {v} now.", "What is the profession of {b}?"),
    "car": (PEOPLE, "{a} has bought a {v}.", "Which car does {b} drive?"),
    "dish": (PEOPLE, "What {a} likes best is {v}.", "Which favourite meal could I make for {b}?"),
    "sport": (PEOPLE, "{a} goes {v} on Thursdays.", "Which sport does {b} do?"),
    "tongue": (PEOPLE, "{a} is learning {v} in an evening class.", "Which language is {b} studying?"),
    "present": (PEOPLE, "I will give {a} {v} for Christmas.", "What gift did I think of for {b}?"),
    "moved": (PEOPLE, "{a} has moved to {v}.", "In which town does {b} live today?"),
    "pet": (PEOPLE, "{a} has a {x} called {v}.", "What is the {y} of {b} called?"),
    "thing": (THINGS, "I have put the {a} into {v}.", "Where can I find the {b} again?"),
    "code": (DOORS, "The code for the {a} is {v}.", "Which number opens the {b}?"),
    "repair": (DEVICES, "Having the {a} repaired cost {v} euros.", "How much was the bill for fixing the {b}?"),
    "book": (BOOKS, "{v} has lent me {a}.", "To whom do I have to return {b}?"),
    "doctor": (DOCTORS, "My appointment with the {a} is on {v}.", "When do I have to go for the {b}?"),
    "hotel": (CITIES, "In {a} we stayed at the {v}.", "What was the name of our hotel in {b}?"),
    "trip": (CITIES, "The night train to {a} leaves at {v}.", "At what time does our train to {b} depart?"),
}

BEFORE = ["By the way, {f}", "Before I forget: {f}", "{f} I only just heard that.", "{f} {s}", "{s} {f}", "{s} {f} {s2}"]
# What is said besides: a beginning, a middle and an end, so that little is ever said twice in the same words.
WHO = ["I", "We", "{name} and I", "{name}", "My neighbour", "{other}", "The two of us", "A colleague", "My cousin", "{name} and {other}"]  # fmt: skip
DID = """talked for an hour about {topic}|read a long article on {topic}|could not stop laughing about {topic}|had a small
quarrel about {topic}|saw a film about {topic}|wondered about {topic}|spent a whole evening with {topic}|found a good shop
for {topic}|asked around about {topic}|forgot everything about {topic}|made a plan for {topic}|had bad luck with {topic}|wrote a
letter about {topic}|dreamt of {topic}|took a photo of {topic}|heard a talk on {topic}|started a list for {topic}|gave up on
{topic}|won a bet about {topic}|looked after {topic}""".replace("\n", " ").split("|")
TOPICS = """the new bakery|the noise upstairs|the choir|old maps|the {device}|a weekend in {city}|bread with seeds|the
tram to {city}|heat pumps|the school play|a lost suitcase|the {thing}|tomatoes on the balcony|the budget at work|the herons
at the lake|the wedding speech|a coffee stain|the trumpet next door|the puzzle with a thousand pieces|the queue at the post
office|plums from the market|the first snow|a poem with no rhymes|the kitchen that is being renovated|sore knees|a museum in
{city}|the local elections|a recipe from {name}|the broken lift|swallows under the roof|the price of coffee|a board
game""".replace("\n", " ").split("|")
WHEN = """yesterday|last weekend|this morning|on the way home|before breakfast|over lunch|on Tuesday|again|for once|in the
evening|after the rain|at the station|without any reason|as always|while it was snowing|on the phone""".replace("\n", " ").split("|")
ASIDE = [
    "What do you think?", "Is that normal?", "I had to tell somebody.", "Do you know more about it?", "Strange, is it not?",
    "How would you go about it?", "That was nice.", "It made me think.", "I should do that more often.", "Never again.",
    "Can you explain it to me in simple words?", "I am still a little tired.",
]  # fmt: skip
ANSWERS = [
    "That sounds good.", "I see. Tell me more, if you like.", "Noted, I will keep it in mind.", "How nice to hear!",
    "I am sorry to hear that. A little rest may help, and some fresh air.", "Thank you for telling me.",
    "You could begin with a short list, and then take one thing after another. That way it does not feel like much.",
    "There are several ways. The simplest is to ask directly, kindly, and to leave room for an answer.",
    "In short: it moves warmth from one place to another, as a fridge does, only the other way round.",
    "A good beginning is a small story that everybody in the room can picture. Then say why it matters to you.",
    "I would wait a day or two before deciding. Such things often look different in the morning.",
    "Cold water first, then a little soap, and patience. Warm water would set the stain.",
    "That must have been funny. Some stories only get better with the years.",
]  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """Something that was said in one turn, and the question for it."""

    said: str
    question: str
    answer: str


def facts(count: int, seed: int = 1) -> list[Fact]:
    """That many facts, no two about the same thing of the same person, place or thing."""
    draw = random.Random(seed)
    about = [(kind, thing) for kind, (things, _, _) in KINDS.items() for thing in things]
    draw.shuffle(about)
    return [_fact(draw, kind, thing) for kind, thing in about[:count]]


def _fact(draw: random.Random, kind: str, thing) -> Fact:
    _, said, asked = KINDS[kind]
    name, other = thing if isinstance(thing, tuple) else (thing, thing)
    animal, alike = draw.choice(ANIMALS)
    day = f"the {draw.randint(1, 28)}th of {draw.choice(MONTHS)}"
    values = {
        "birthday": day, "allergy": draw.choice(FOODS), "job": draw.choice(JOBS),
        "car": f"{draw.choice(COLOURS)} {draw.choice(CARS)}", "dish": draw.choice(DISHES), "sport": draw.choice(SPORTS),
        "tongue": draw.choice(TONGUES), "present": draw.choice(PRESENTS), "moved": draw.choice(CITIES),
        "pet": draw.choice(PETS), "thing": draw.choice(PLACES), "code": str(draw.randint(1000, 9999)),
        "repair": str(draw.randint(40, 400)), "book": draw.choice(PEOPLE),
        "doctor": f"{day} at {draw.randint(8, 17)}", "hotel": draw.choice(HOTELS),
        "trip": f"{draw.randint(18, 23)}:{draw.randint(10, 59)}",
    }  # fmt: skip
    fill = {"a": name, "b": other, "v": values[kind], "x": animal, "y": alike}
    return Fact(said.format(**fill), asked.format(**fill), values[kind])


def conversation(turns: int, told: list[Fact], seed: int = 1) -> list[tuple[str, str]]:
    """(user, assistant) of each turn; each fact is told once, in a turn of its own, the order drawn."""
    draw = random.Random(seed)
    at = dict(zip(sorted(draw.sample(range(turns), len(told))), told, strict=True))
    return [(_said(draw, at.get(turn)), _answer(draw)) for turn in range(turns)]


def _said(draw: random.Random, fact: Fact | None) -> str:
    if fact is not None:
        return draw.choice(BEFORE).format(f=fact.said, s=_small(draw), s2=_small(draw))
    return " ".join(_small(draw) for _ in range(draw.choice([1, 1, 2, 2, 3, 5])))


def _small(draw: random.Random) -> str:
    if draw.random() < 0.2:
        return draw.choice(ASIDE)
    name, other = draw.sample(PEOPLE, 2)
    said = f"{draw.choice(WHO)} {draw.choice(DID)} {draw.choice(WHEN)}.".replace("{topic}", draw.choice(TOPICS))
    return said.format(
        name=name, other=other, city=draw.choice(CITIES), thing=draw.choice(THINGS)[0], device=draw.choice(DEVICES)[0]
    )


def _answer(draw: random.Random) -> str:
    return " ".join(draw.sample(ANSWERS, draw.choice([1, 1, 2, 3])))
