"""Is what the caller said so far a whole utterance? Judged from its words alone. Pure.

Punctuation has no part in it: what a full stop is worth depends on who sets it, and is weighed in
``endpointing.py``. Held open is a turn after a word or phrase that something must follow ("and",
"my", "the thing is"), a hesitation ("um"), an announced search ("let me see"), a mere greeting, a
clause that is only the first of two ("when I log in"), and dictation that is not at its end, be it
announced or asked for.
"""

import re
from collections.abc import Mapping
from functools import cache

from voicecore.turns.asked import NOTHING, Asked
from voicecore.turns.backchannels import Phrase, plain, without
from voicecore.turns.completeness_levels import Completeness
from voicecore.turns.dictation import dictation

_HANGING: Mapping[str, str] = {
    "en": "and, or, but, so, because, cause, if, although, than, the, a, an, my, your, our, their, "
    "i m, i d, i ll, i ve, we re, you re, they re, he s, she s, we ll, they ll, it s, that s, "
    "there s, um, uh, uhm, ah, er, erm, hmm, well, you know, i mean, kind of, sort of",
    "de": "und, oder, aber, weil, wenn, dass, ob, der, die, das, den, dem, ein, eine, einen, mein, "
    "meine, zu, mit, von, für, auf, in, an, bei, ich, wir, ist, sind, äh, ähm, also, hm, moment",
    "es": "y, o, pero, porque, si, que, el, la, los, las, un, una, mi, de, a, con, para, por, en, "
    "es, son, yo, eh, em, pues, este",
    "fr": "et, ou, mais, parce que, si, que, le, la, les, un, une, mon, ma, de, à, avec, pour, "
    "dans, est, sont, je, euh, alors, donc, ben",
    "pt": "e, ou, mas, porque, se, que, o, a, os, as, um, uma, meu, minha, de, com, para, em, "
    "é, são, eu, é que, então, hum",
    "it": "e, o, ma, perché, se, che, il, la, lo, gli, un, una, mio, mia, di, a, con, per, in, "
    "è, sono, io, ehm, allora, cioè",
    "nl": "en, of, maar, omdat, als, dat, de, het, een, mijn, te, van, met, voor, op, in, is, "
    "zijn, ik, wij, eh, ehm, dus, even kijken",
}
_GREETINGS: Mapping[str, str] = {
    "en": "hello, hi, hey, hi there, hello there, good morning, good afternoon, good evening",
    "de": "hallo, guten tag, guten morgen, guten abend, grüß gott, moin",
    "es": "hola, buenas, buenos días, buenas tardes",
    "fr": "bonjour, bonsoir, allô",
    "pt": "olá, oi, bom dia, boa tarde",
    "it": "salve, buongiorno, buonasera",
    "nl": "hallo, hoi, goedemorgen, goedemiddag, goedenavond",
}
"""Whoever says no more than that is about to say what the call is for. None that also parts."""
_ACKNOWLEDGED = frozenset(
    plain(phrase)
    for phrase in (
        "good, great, okay, ok, all right, alright, right, fine, perfect, excellent, thanks, "
        "thank you, i see, got it, sorry, excuse me, please, listen, look, so, now"
    ).split(",")
)
"""What people begin an answer with, and sometimes leave it at. No "yes" and no "no"."""
_FOLLOWED = (
    "to, of, for, with, at, from, into, between, until, is, are, was, were, am, has, had, will, "
    "would, can, could, should, i, we, they, he, she, really, very, which, who, while, when, says, "
    "was wondering, am wondering, is called, and it, but it, or it, so it, because it, "
    "if it, when it"
)
"""English words after which something nearly always follows, though a sentence may end there."""
_OFTEN_FOLLOWED = (
    "that, this, these, those, his, her, its, in, on, by, about, near, since, have, you, not, "
    "like, said, told me, need, want, around, i think, i guess, i believe, i suppose"
)
_SEARCHING = re.compile(
    r"\b(hold on|hang on|(one|just a) (second|sec|moment|minute)|no wait"
    r"|let (me|s) (just )?(see|think|check|look|find)( it| that| this| here| for it| it up)?"
    r"|what (do you|d you|is it|s it) call(ed)?( it| that)?|even kijken)$"
)
"""Whoever says that needs a moment, and says what was looked for."""
_FOUND = re.compile(
    r"\b(hold on|hang on|let (me|s) (just )?(see|check|look|find)( it| that| this| here| for it)?)"
    r"( okay| ok| yes| yeah| right| ah| oh)+$"
)
"""It is in sight."""
MOST_FOUND_WORDS = 12
_LEADS_IN = re.compile(
    r"^(and |but |so |well |yeah |yes |no |okay |um |uh )*"
    r"(so|and|well|actually|basically|anyway|the thing is|what i need|what happens is"
    r"|my question is"
    r"|(do|does|did|can|could|would|will|is|are|have) (you|i|we|it|he|she|they|there|your|my))$"
)
"""A whole sentence of the speech-to-text's that only begins one."""
_ANNOUNCES = re.compile(
    r"\b(i (have|ve got|got) (a|one|another) (quick |short |small )?question"
    r"( (about|on)( \w+){1,4})?"
    r"|i (want|wanted|would like|d like) to ask (you )?(something|a question))$"
)
"""A question is announced; it mostly follows."""
_BEGUN = r"^(and |but |so |well |yeah |yes |no |okay |um |uh |sorry )*"
_HALF_SAID = re.compile(
    _BEGUN + r"((is|would) it (be )?(possible|okay|ok)"
    r"|(can|could|would|will) (you|i|we) (please |maybe |also |just )*"
    r"(tell me|give me|send me|show me|find out|let me know|get|make|take|book|add|order)"
    r"|((one|just a) \w+ |hold on )?i (have|ve got) it here"
    r"|(use |take |it s )?(my|our) (\w+ )?e ?mail( address)?)$"
)
"""Asked for, but not what; or about to be read out."""
_SUBJECT = re.compile(
    r"\b(if|whether|when|where|because|although|unless"
    r"|(says|said|told|tells|know|think|means|sure|afraid)( me| us)? that) "
    r"(the|my|our|your|his|her|their|a|an) \w+$"
)
"""A clause with a subject, and no verb yet."""
_LONE_SUBJECT = re.compile(r"(^|[.,?!] )it[.,?!]*$", re.IGNORECASE)
_ASKS = re.compile(r"^(what|where|who|how|which|when|why) (is|are|was|were|do|does|did|can|s)\b")
"""Questions may end with a preposition: "What is it for?"."""
_MONTH = "(january|february|march|april|may|june|july|august|september|october|november|december)"
_DAY = (
    r"(\d{1,2}(st|nd|rd|th)?|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh"
    r"|twelfth|\w+teenth|twentieth|thirtieth|(twenty|thirty) (first|second|third|\w+th))"
)
_DATE = rf"({_DAY} (of )?{_MONTH}|{_MONTH} (the )?{_DAY})"
_BORN = re.compile(rf"\b(born|birth)( \w+){{0,5}} {_DATE}$")
"""A date of birth less its year."""
_DATED = re.compile(rf"\b{_DATE}$")
"""The same behind a question for it."""
_ITEM = re.compile(
    r"^(and |so |well |yes |yeah |sure |okay |um |uh )*(the|my|our|your|his|her) "
    r"((?!is |are |was |my |the |for |to )\w+ ){0,2}"
    r"(numbers?|code|reference|i d|id|postcode|zip|plate|date of birth)"
    r"( (on|of|for|in|from|at) (the |my |your |our )?\w+)?$"
)
"""What is about to be dictated is named: no "my account", which answers questions."""
_CLAUSE = re.compile(
    r"^(and |but |so |well |yeah )*(when|if|once|since|after|before|while|although|unless|whenever"
    r"|as soon as) (i|we|you|he|she|it|they|the|my|our|there|this|that|somebody)\b"
)
MOST_CLAUSE_WORDS = 8
"""A longer sentence that begins with "when" or "if" probably holds its main clause already."""
_NUDGES = frozenset(plain(word) for word in ("and", "so", "but", "or", "well", "because"))
"""Questions, when they are all that was said and were asked: "And?"."""
LONGEST_CHARS = 1000
"""What lies before that tells nothing of the end, and takes time."""
_SENTENCE_END = re.compile(r"[.?!]+\s+")


def completeness(
    text: str, language: str = "en", asked: Asked = NOTHING, paused_at: tuple[int, ...] = ()
) -> Completeness:
    """Judge a text as a speech-to-text gives it, with or without punctuation, as the answer to
    what was asked; ``paused_at`` is ``dictation``'s."""
    text = text[-LONGEST_CHARS:]
    words = plain(text)
    if not words:
        return Completeness.OPEN
    if text.rstrip().endswith("?") and words in _NUDGES:
        return Completeness.OPEN
    tongue = language.partition("-")[0].lower()
    if text.rstrip().endswith(("-", "…", "...")) or _ends_with(words, _phrases(_hanging(tongue))):
        return Completeness.INCOMPLETE
    dictated = dictation(text, words, asked, paused_at)
    if dictated is not None:
        return dictated
    greets = not without(words, _phrases(_GREETINGS.get(tongue, _GREETINGS["en"])))
    if greets and not text.rstrip().endswith("?"):  # "Hello?" asks
        return Completeness.HANGING
    if tongue in _HANGING and tongue != "en":
        return Completeness.OPEN
    if asked.birth and _DATED.search(" ".join(words)):
        return Completeness.HANGING
    return _english(text, words)


def _english(text: str, words: Phrase) -> Completeness:
    sentences = [plain(part) for part in _SENTENCE_END.split(text.strip())]
    last = next((part for part in reversed(sentences) if part), words)
    spoken = " ".join(last)
    if _SEARCHING.search(spoken) or _LEADS_IN.match(spoken) or _LONE_SUBJECT.search(text):
        return Completeness.INCOMPLETE
    if _FOUND.search(" ".join(words[-MOST_FOUND_WORDS:])):
        return Completeness.INCOMPLETE
    asks = _ASKS.match(spoken) is not None
    if not asks and _ends_with(words, _phrases(_FOLLOWED)):
        return Completeness.HANGING
    if ("either" in last and "or" not in last) or _BORN.search(" ".join(words)):
        return Completeness.HANGING
    if _SUBJECT.search(spoken):
        return Completeness.HANGING
    if _ITEM.match(spoken) and not text.rstrip().endswith("?"):
        return Completeness.HANGING
    if not asks and _CLAUSE.match(spoken) and len(last) <= MOST_CLAUSE_WORDS:
        inner = text.strip().rstrip(",.?!")
        if "," not in inner[-len(spoken) :]:
            return Completeness.HANGING
    alone = _ANNOUNCES.search(spoken) or not without(words, _ACKNOWLEDGED)
    if alone and not text.rstrip().endswith("?"):
        return Completeness.DOUBTFUL
    if _HALF_SAID.match(spoken):
        return Completeness.DOUBTFUL
    if not asks and _ends_with(words, _phrases(_OFTEN_FOLLOWED)):
        return Completeness.DOUBTFUL
    return Completeness.OPEN


def _ends_with(words: Phrase, phrases: frozenset[Phrase]) -> bool:
    return any(words[-size:] in phrases for size in (1, 2, 3))


def _hanging(tongue: str) -> str:
    return _HANGING.get(tongue, _HANGING["en"])


@cache
def _phrases(listed: str) -> frozenset[Phrase]:
    return frozenset(plain(phrase) for phrase in listed.split(","))
