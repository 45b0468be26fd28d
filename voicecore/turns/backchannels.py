"""Words by which a listener says that he listens, and by which he takes the floor. Pure.

Each language's backchannels are those that telephone corpora list most often (Switchboard's
dialogue acts ``b`` and ``aa`` for English); an agent file can add to them or take from them.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache

_BACKCHANNELS: Mapping[str, str] = {
    "en": "mm, mmm, mhm, mmhm, mmhmm, mmm hmm, mm hm, mm hmm, hm, hmm, uh huh, uhhuh, uhuh, "
    "ah, aha, oh, ok, okay, k, kay, right, yeah, yea, ya, yep, yup, yes, sure, alright, all right, "
    "i see, got it, gotcha, cool, great, good, nice, perfect, exactly, true, absolutely, "
    "definitely, of course, understood, makes sense, sounds good, fair enough, wow, really, "
    "interesting, go on, oh okay, thank you, thanks, i understand, i get it, that makes sense, "
    "that s right, that s good, that s great, that s fine, that s nice, that s true, no problem, "
    "very good, very nice, good to know, oh wow, excellent, wonderful, lovely, awesome, fantastic, "
    "fine, no way, for sure, totally, i know, yes please",
    "de": "mm, mhm, hm, hmm, aha, ah, achso, ach so, ja, jaja, jo, okay, ok, genau, gut, klar, "
    "stimmt, richtig, verstehe, alles klar, in ordnung, super, prima, danke",
    "es": "mm, mhm, ajá, aja, ah, sí, si, ok, okay, vale, claro, bueno, bien, ya, entiendo, "
    "de acuerdo, perfecto, exacto, gracias",
    "fr": "mm, mhm, hum, ah, oui, ouais, ok, okay, d accord, dac, bien, très bien, voilà, "
    "je vois, exactement, parfait, merci",
    "pt": "mm, mhm, aham, ah, sim, tá, ta, ok, okay, certo, claro, bom, bem, entendi, isso, "
    "exato, perfeito, obrigado, obrigada",
    "it": "mm, mhm, ah, sì, si, ok, okay, va bene, bene, certo, giusto, capisco, esatto, "
    "perfetto, grazie",
    "nl": "mm, mhm, hm, ah, ja, oké, oke, ok, okay, goed, precies, klopt, duidelijk, prima, dank",
}
_CONTINUERS: Mapping[str, str] = {
    "en": "mm, mmm, mhm, mmhm, mmhmm, mmm hmm, mm hm, mm hmm, hm, hmm, uh huh, uhhuh, uhuh, ah, "
    "aha, oh, ok, okay, k, kay, right, yeah, yea, ya, yep, yup, yes, sure, i see, go on, oh okay, "
    "of course, really, wow, oh wow",
    "de": "mm, mhm, hm, hmm, aha, ah, achso, ach so, ja, jaja, jo, okay, ok, genau, klar",
    "es": "mm, mhm, ajá, aja, ah, sí, si, ok, okay, claro, ya",
    "fr": "mm, mhm, hum, ah, oui, ouais, ok, okay, d accord, dac, voilà, je vois",
    "pt": "mm, mhm, aham, ah, sim, tá, ta, ok, okay, certo, claro",
    "it": "mm, mhm, ah, sì, si, ok, okay, certo, capisco",
    "nl": "mm, mhm, hm, ah, ja, oké, oke, ok, okay, precies",
}
"""Who says one of these, or is surprised, leaves the floor to the other; an assessment ("perfect")
or thanks are as often the beginning of something new (Schegloff 1982, Jefferson 1984)."""
_OPENERS: Mapping[str, str] = {
    "en": "ok, okay, k, kay, right, sure, oh okay, of course",
    "de": "okay, ok, genau, klar, ach so, achso",
    "es": "ok, okay, claro, ya",
    "fr": "ok, okay, d accord, dac, voilà",
    "pt": "ok, okay, tá, ta, certo, claro",
    "it": "ok, okay, certo",
    "nl": "ok, okay, oke, oké, precies",
}
"""Continuers that also close what was said, and lead to something new (Beach 1993 on "okay")."""
_FLOOR: Mapping[str, str] = {
    "en": "stop, wait, hold on, hang on, excuse me, pardon, one second, one moment, sorry, no, "
    "actually, hello, help, operator, representative, slow down, say again, repeat that, "
    "never mind, what time, what day, what about, how about, how much, how many, how long, "
    "how far, which one, what is, where is, when is, who is, why not, what if, that s wrong, "
    "that is wrong, listen, stop it, go back, let me speak, let me talk, let me say, let me finish",
    "de": "stopp, stop, halt, warte, warten sie, moment, einen moment, entschuldigung, nein",
    "es": "para, pare, espera, espere, un momento, perdón, perdone, no",
    "fr": "stop, arrêtez, attendez, attends, un moment, pardon, excusez moi, non",
    "pt": "para, pare, espera, espere, um momento, desculpe, não",
    "it": "ferma, fermo, aspetta, aspetti, un momento, scusi, scusa, no",
    "nl": "stop, wacht, wacht even, momentje, sorry, pardon, nee",
}

_HOLLOW: Mapping[str, str] = {
    "en": "a, an, the, and, then, but, or, so, i, you, he, she, it, we, they, that, this, is, was, "
    "um, uh, uhm, er, erm, oh, eh, huh, ha, haha, hah, heh, ugh, phew, well, like, just, in, on, "
    "of",
    "de": "und, dann, aber, oder, also, ich, du, er, sie, es, wir, das, ist, war, der, die, ein, "
    "äh, ähm, oh, ha, haha, na, tja",
    "es": "y, pero, o, entonces, yo, tú, él, ella, eso, es, la, el, un, eh, em, oh, ja, jaja, pues",
    "fr": "et, mais, ou, alors, je, tu, il, elle, ce, c est, le, la, un, euh, oh, ha, haha, ben",
    "pt": "e, mas, ou, então, eu, ele, ela, isso, é, o, a, um, eh, hum, oh, ha, haha",
    "it": "e, ma, o, allora, io, tu, lui, lei, è, il, la, un, eh, ehm, oh, ah, ha, haha, beh",
    "nl": "en, maar, of, dus, ik, jij, hij, zij, het, dat, is, de, een, eh, ehm, oh, ha, haha, nou",
}
_HESITATIONS: Mapping[str, str] = {
    "en": "um, umm, uh, uhh, uhm, er, erm, eh, hm, hmm, ah, huh",
    "de": "äh, ähm, öh, hm, hmm, eh",
    "es": "eh, em, mmm",
    "fr": "euh, heu, hum, hm",
    "pt": "eh, hum, hm",
    "it": "eh, ehm, mm, uhm",
    "nl": "eh, ehm, uh, uhm, hm",
}
_QUESTION_WORDS: Mapping[str, str] = {
    "en": "what, which, when, where, who, whose, why, how",
    "de": "was, welche, welcher, welches, wann, wo, wer, wem, warum, wie, wieso",
    "es": "qué, cuál, cuándo, dónde, quién, cuánto, cuántos, cómo",
    "fr": "que, quoi, quel, quelle, quand, où, qui, combien, pourquoi, comment",
    "pt": "que, qual, quando, onde, quem, quanto, como",
    "it": "che, cosa, quale, quando, dove, chi, quanto, come, perché",
    "nl": "wat, welke, wanneer, waar, wie, waarom, hoe, hoeveel",
}
MOST_HOLLOW_WORDS = 3
LONGEST_KEPT = 1000
"""Characters of a text whose words are remembered: a vendor may send megabytes."""

Phrase = tuple[str, ...]
_WORD = re.compile(r"[^\W_]+")


def plain(text: str) -> Phrase:
    """The words of a text without case and punctuation; hyphens and apostrophes part words."""
    return _kept(text) if len(text) <= LONGEST_KEPT else _words(text)


def _words(text: str) -> Phrase:
    return tuple(_WORD.findall(text.casefold()))


_kept = lru_cache(64)(_words)
"""Each guess is looked at from several sides."""


def backchannels(language: str) -> frozenset[Phrase]:
    """Of a language tag such as ``en-GB``; English ones where the language is not known."""
    return _phrases(_BACKCHANNELS, language)


def continuers(language: str) -> frozenset[Phrase]:
    """Backchannels that only ask the other to go on."""
    return _phrases(_CONTINUERS, language)


def openers(language: str) -> frozenset[Phrase]:
    """Continuers with which people also begin to speak."""
    return _phrases(_OPENERS, language)


def floor_words(language: str) -> frozenset[Phrase]:
    """Words that take the floor whatever else is said."""
    return _phrases(_FLOOR, language)


def hollow_words(language: str) -> frozenset[Phrase]:
    """Words that say nothing alone. A speech-to-text that hears a cough or a murmur writes one of
    them now and then; of a sentence they are the beginning at most."""
    return _phrases(_HOLLOW, language)


def is_hesitation(text: str, language: str) -> bool:
    """Whether a text is nothing but "um"."""
    words = plain(text)
    return bool(words) and not without(words, _hesitations(language))


def question_words(language: str) -> frozenset[Phrase]:
    """Words that a question begins with."""
    return _phrases(_QUESTION_WORDS, language)


@cache
def _hesitations(language: str) -> frozenset[Phrase]:
    return _phrases(_HESITATIONS, language)


def _phrases(of: Mapping[str, str], language: str) -> frozenset[Phrase]:
    listed = of.get(language.partition("-")[0].lower(), of["en"])
    return frozenset(plain(phrase) for phrase in listed.split(","))


def is_beginning(words: Phrase, phrases: frozenset[Phrase]) -> bool:
    """Whether one of the phrases begins so, and goes on."""
    size = len(words)
    return any(len(phrase) > size and phrase[:size] == words for phrase in phrases)


def said_once(words: Phrase) -> Phrase:
    """The phrase that the words repeat; the words themselves if they repeat none."""
    count = len(words)
    for length in range(1, count // 2 + 1):
        if count % length == 0 and words == words[:length] * (count // length):
            return words[:length]
    return words


@lru_cache(64)
def _sizes(phrases: frozenset[Phrase]) -> dict[str, tuple[int, ...]]:
    """How many words phrases have, by the word that they begin with; the most first."""
    sizes: dict[str, set[int]] = {}
    for phrase in filter(None, phrases):
        sizes.setdefault(phrase[0], set()).add(len(phrase))
    return {word: tuple(sorted(lengths, reverse=True)) for word, lengths in sizes.items()}


def without(words: Phrase, phrases: frozenset[Phrase]) -> Phrase:
    """The words that are in none of the phrases; longer phrases are matched first."""
    sizes = _sizes(phrases)
    if sizes.keys().isdisjoint(words):
        return words
    left: list[str] = []
    place = 0
    while place < len(words):
        for size in sizes.get(words[place], ()):
            if words[place : place + size] in phrases:
                place += size
                break
        else:
            left.append(words[place])
            place += 1
    return tuple(left)
