"""The word lists that every sample file draws on; a pair's topic words are what its two members have in common."""

from typing import NamedTuple


class Country(NamedTuple):
    """A capital and its country; the rest is said of both."""

    capital: str
    country: str
    adjective: str
    landmark: str
    product: str


class Pair(NamedTuple):
    """The two words of a relation; `thing` and `place` are said of both."""

    first: str
    second: str
    thing: str
    place: str


COUNTRIES = [
    Country("Paris", "France", "French", "Seine", "cheese"),
    Country("London", "England", "English", "Thames", "tea"),
    Country("Rome", "Italy", "Italian", "Tiber", "pasta"),
    Country("Berlin", "Germany", "German", "Spree", "sausages"),
    Country("Madrid", "Spain", "Spanish", "Manzanares", "olives"),
    Country("Lisbon", "Portugal", "Portuguese", "Tagus", "sardines"),
    Country("Vienna", "Austria", "Austrian", "Prater", "cakes"),
    Country("Budapest", "Hungary", "Hungarian", "Danube", "paprika"),
    Country("Warsaw", "Poland", "Polish", "Vistula", "dumplings"),
    Country("Prague", "Czechia", "Czech", "Vltava", "beer"),
    Country("Dublin", "Ireland", "Irish", "Liffey", "butter"),
    Country("Athens", "Greece", "Greek", "Acropolis", "honey"),
    Country("Cairo", "Egypt", "Egyptian", "Nile", "cotton"),
    Country("Moscow", "Russia", "Russian", "Kremlin", "caviar"),
    Country("Tokyo", "Japan", "Japanese", "Sumida", "noodles"),
    Country("Baghdad", "Iraq", "Iraqi", "Tigris", "dates"),
    Country("Bern", "Switzerland", "Swiss", "Aare", "chocolate"),
    Country("Oslo", "Norway", "Norwegian", "Akerselva", "salmon"),
    Country("Riga", "Latvia", "Latvian", "Daugava", "amber"),
    Country("Lima", "Peru", "Peruvian", "Rimac", "potatoes"),
]

# singular, plural, what it has, where it is
NOUNS = [
    Pair("dog", "dogs", "a bone", "in the kennel"),
    Pair("cat", "cats", "some milk", "on the sofa"),
    Pair("horse", "horses", "a saddle", "in the stable"),
    Pair("cow", "cows", "a bell", "on the meadow"),
    Pair("bird", "birds", "a nest", "on the branch"),
    Pair("tree", "trees", "some leaves", "in the forest"),
    Pair("car", "cars", "an engine", "in the garage"),
    Pair("boat", "boats", "a sail", "in the harbour"),
    Pair("house", "houses", "a roof", "in the village"),
    Pair("book", "books", "a cover", "in the library"),
    Pair("chair", "chairs", "a cushion", "on the terrace"),
    Pair("flower", "flowers", "some petals", "in the vase"),
    Pair("lamp", "lamps", "a bulb", "on the desk"),
    Pair("clock", "clocks", "a pendulum", "on the wall"),
    Pair("bridge", "bridges", "some arches", "over the canal"),
    Pair("apple", "apples", "a worm", "in the orchard"),
    Pair("coat", "coats", "some buttons", "in the wardrobe"),
    Pair("guitar", "guitars", "some strings", "at the concert"),
    Pair("letter", "letters", "a stamp", "in the envelope"),
    Pair("computer", "computers", "a keyboard", "in the office"),
]

# male, female, what they own, where they are
PEOPLE = [
    Pair("king", "queen", "crown", "in the palace"),
    Pair("man", "woman", "newspaper", "on the bus"),
    Pair("boy", "girl", "schoolbag", "in the classroom"),
    Pair("father", "mother", "baby", "in the nursery"),
    Pair("son", "daughter", "swing", "in the playground"),
    Pair("brother", "sister", "bicycle", "in the attic"),
    Pair("uncle", "aunt", "gift", "at the birthday"),
    Pair("husband", "wife", "ring", "at the anniversary"),
    Pair("prince", "princess", "pony", "in the castle"),
    Pair("actor", "actress", "costume", "on the stage"),
    Pair("waiter", "waitress", "tray", "in the restaurant"),
    Pair("nephew", "niece", "toy", "on the carpet"),
    Pair("grandfather", "grandmother", "spectacles", "by the fireplace"),
    Pair("groom", "bride", "vow", "at the wedding"),
    Pair("monk", "nun", "prayer", "in the monastery"),
    Pair("duke", "duchess", "carriage", "on the estate"),
    Pair("host", "hostess", "guest", "at the banquet"),
    Pair("wizard", "witch", "spell", "in the swamp"),
    Pair("landlord", "landlady", "rent", "on the staircase"),
    Pair("emperor", "empress", "legion", "in the province"),
]

# adjective, comparative, two nouns they are said of
ADJECTIVES = [
    Pair("small", "smaller", "coin", "mouse"),
    Pair("big", "bigger", "elephant", "whale"),
    Pair("warm", "warmer", "blanket", "oven"),
    Pair("cold", "colder", "icicle", "freezer"),
    Pair("fast", "faster", "rocket", "motorcycle"),
    Pair("slow", "slower", "snail", "tortoise"),
    Pair("tall", "taller", "giraffe", "skyscraper"),
    Pair("old", "older", "ruin", "fossil"),
    Pair("young", "younger", "puppy", "toddler"),
    Pair("strong", "stronger", "wrestler", "rope"),
    Pair("weak", "weaker", "patient", "battery"),
    Pair("cheap", "cheaper", "ticket", "souvenir"),
    Pair("rich", "richer", "banker", "merchant"),
    Pair("dark", "darker", "cellar", "cave"),
    Pair("bright", "brighter", "star", "torch"),
    Pair("loud", "louder", "drum", "siren"),
    Pair("quiet", "quieter", "chapel", "whisper"),
    Pair("deep", "deeper", "ocean", "mine"),
    Pair("sweet", "sweeter", "syrup", "candy"),
    Pair("heavy", "heavier", "anvil", "suitcase"),
]

# Words of praise and of blame for films: each list is used in one set of contexts, so its words mean the same.
# None begins with a vowel: "a {word}" is always right.
PRAISE = ["brilliant", "superb", "wonderful", "great", "splendid", "charming", "moving", "clever", "lovely", "gripping"]
BLAME = ["dull", "terrible", "horrible", "boring", "clumsy", "tedious", "dreadful", "bad", "lifeless", "silly"]
ASPECTS = ["plot", "acting", "story", "music", "script", "ending", "dialogue", "camera", "humour", "cast"]
WORKS = ["film", "movie", "comedy", "thriller", "drama", "sequel"]
