"""Which small model answers a receptionist's questions, told how, and how fast.

    python -m benchmarks.local_llm [--models gemma3-270m smollm2-135m] [--styles ...]
        [--temperatures 0 0.3] [--runs 1] [--show]

Every question is one that speech recognition might hand over, some of them misheard. An answer
counts when it has the fact in it and is no longer than 22 words. The last column asks five
questions in a row, as in a call, where earlier answers can lead a model astray.
"""

import argparse
import asyncio
import random
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from voicecore.adapters.llama_llm import LlamaLlm
from voicecore.adapters.registry import VendorConfig
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmRequest, LlmText, Message

CALLER, AGENT = "Caller", "Receptionist"
GREETING = Message("assistant", "Bright Smile Dental, how can I help you?")
MAX_WORDS = 22

ROLE = "You are the receptionist of Bright Smile Dental. Answer the caller in one short sentence."
FACTS = """\
We are open Monday to Friday from nine to five.
We are open on Saturday from ten to two.
We are closed on Sunday.
We are at 12 Market Street, next to the library.
A cleaning costs eighty dollars.
The dentist is Dr. Lee.
New patients are welcome.
Parking is free behind the building."""

# The order matters to models this small: of ten orders tried this one was the best.
EXAMPLES = (
    ("Where can I park my car?", "You can park for free behind the building."),
    ("Do you take new patients?", "Yes, new patients are welcome."),
    ("Where are you located?", "We are at 12 Market Street, next to the library."),
    ("Are you open on Saturday?", "On Saturday we are open from ten to two."),
    ("Are you open on Sunday?", "We are closed on Sunday."),
    ("What is your address?", "We are at 12 Market Street, next to the library."),
    ("Do you have parking?", "Yes, parking is free behind the building."),
    ("Are you taking new patients?", "Yes, new patients are welcome."),
    ("Who is the dentist?", "Our dentist is Dr. Lee."),
    ("How much is a cleaning?", "A cleaning costs eighty dollars."),
    ("Can I come on Sunday?", "Sorry, we are closed on Sunday."),
    ("What are your hours on Monday?", "We are open Monday to Friday from nine to five."),
    ("When are you open?", "We are open Monday to Friday from nine to five."),
    ("Thank you, that is all.", "Thank you for calling. Goodbye."),
    ("What time do you open on Saturday?", "On Saturday we are open from ten to two."),
)


class Topic(NamedTuple):
    """``wanted`` is searched in the answer in lower case."""

    wanted: str
    questions: tuple[str, ...]


TOPICS = (
    Topic(
        r"\b(ten|10)\b.*\b(two|2)\b",
        (
            "What time do you open on Saturday?",
            "Are you open on Saturday?",
            "what time do you open on saturday",
            "When do you open on Saturday?",
            "What are your hours on Saturday?",
        ),
    ),
    Topic(
        r"market",
        (
            "Where are you located?",
            "Where are you?",
            "What is your address?",
            "where you located",
            "Can you tell me your address, please?",
            "Where are you low kated?",
        ),
    ),
    Topic(
        r"eighty|80",
        (
            "How much is a cleaning?",
            "How much is the cleaning?",
            "How much does a cleaning cost?",
            "how much does a cleening cost",
            "How much is a cleaning.",
            "Hello, I would like to ask how much a cleaning costs.",
        ),
    ),
    Topic(
        r"behind|free",
        (
            "Is there parking?",
            "Is their parking?",
            "Where can I park my car?",
            "Where can I part my car?",
            "Do you have parking?",
            "Is there free parking?",
        ),
    ),
    Topic(
        r"\blee\b",
        (
            "Who is the dentist?",
            "Who was the dentist?",
            "What is the dentist's name?",
            "What is the dentist name?",
            "What's the dentist's name?",
        ),
    ),
    Topic(
        r"welcome|\byes\b",
        (
            "Are you taking new patients?",
            "Do you take new patients?",
            "Do you take new patience?",
            "Can I come as a new patient?",
        ),
    ),
    Topic(
        r"closed|\bnot\b|\bno\b",
        ("Are you open on Sunday?", "Are you open Sundays?", "Can I come on Sunday?"),
    ),
    Topic(
        r"\b(nine|9)\b.*\b(five|5)\b",
        (
            "What are your hours on Monday?",
            "what are your ours on monday",
            "What are your hours?",
            "When are you open?",
        ),
    ),
)
GOODBYE = Topic(
    r"thank|bye|welcome", ("Thank you, that is all. Goodbye.", "Thank you, that's all. Good-bye.")
)


def instructions() -> str:
    """Role, facts and examples as one text: what an agent's instructions can hold."""
    lines = [f"{CALLER}: {asked}\n{AGENT}: {answer}" for asked, answer in EXAMPLES]
    return "\n".join([ROLE, FACTS, "", *lines]) + "\n"


def prompt(style: str) -> tuple[Message, ...]:
    """What comes before the caller's first words."""
    if style == "facts":
        return (Message("system", f"{ROLE}\n{FACTS}"), GREETING)
    if style == "examples":
        return (Message("system", instructions()), GREETING)
    turns = [
        message
        for asked, answer in EXAMPLES
        for message in (Message("user", asked), Message("assistant", answer))
    ]
    return (Message("system", f"{ROLE}\n{FACTS}"), *turns, GREETING)


STYLES = ("facts", "examples", "turns")


class Answer(NamedTuple):
    text: str
    first_token_ms: float


async def ask(model: LlamaLlm, messages: Sequence[Message]) -> Answer:
    began = time.perf_counter()
    first_ms = 0.0
    text = ""
    try:
        async for event in model.stream(LlmRequest(tuple(messages))):
            if isinstance(event, LlmText):
                first_ms = first_ms or (time.perf_counter() - began) * 1000
                text += event.text
    except VendorError as error:
        text = f"({error.code}: {error.detail})"
    return Answer(" ".join(text.split()), first_ms)


def right(topic: Topic, answer: str) -> bool:
    return bool(re.search(topic.wanted, answer.lower())) and len(answer.split()) <= MAX_WORDS


class Score(NamedTuple):
    right: int
    asked: int
    call_right: int
    call_asked: int
    words: float
    first_token_ms: float
    wrong: list[tuple[str, str]]


async def score(model: LlamaLlm, style: str, runs: int) -> Score:
    before = prompt(style)
    answers: list[tuple[Topic, str, Answer]] = []
    for _ in range(runs):
        for topic in (*TOPICS, GOODBYE):
            for question in topic.questions:
                answer = await ask(model, (*before, Message("user", question)))
                answers.append((topic, question, answer))
    calls = await _calls(model, before, count=8 * runs)
    wrong = [(q, a.text) for topic, q, a in (*answers, *calls) if not right(topic, a.text)]
    firsts = sorted(answer.first_token_ms for _, _, answer in answers)
    return Score(
        right=_right(answers),
        asked=len(answers),
        call_right=_right(calls),
        call_asked=len(calls),
        words=sum(len(answer.text.split()) for _, _, answer in answers) / len(answers),
        first_token_ms=firsts[len(firsts) // 2],
        wrong=wrong,
    )


def _right(answers: Iterable[tuple[Topic, str, Answer]]) -> int:
    return sum(right(topic, answer.text) for topic, _, answer in answers)


async def _calls(
    model: LlamaLlm, before: tuple[Message, ...], count: int
) -> list[tuple[Topic, str, Answer]]:
    """Calls of four questions and a goodbye, chosen and ordered by a fixed seed."""
    choice = random.Random(5)
    answers: list[tuple[Topic, str, Answer]] = []
    for _ in range(count):
        history = list(before)
        for topic in (*choice.sample(TOPICS, 4), GOODBYE):
            question = choice.choice(topic.questions)
            history.append(Message("user", question))
            answer = await ask(model, history)
            history.append(Message("assistant", answer.text or "-"))
            answers.append((topic, question, answer))
    return answers


def resident_mb(pid: int | None) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def measure(
    model: str, temperature: float, styles: Sequence[str], options: "Options"
) -> None:
    settings = {"temperature": temperature, "slots": 1, "threads": options.threads}
    llm = LlamaLlm(VendorConfig("llama", model=model, settings=settings), {})
    began = time.perf_counter()
    await llm.start()
    load_s = time.perf_counter() - began
    try:
        for style in styles:
            cold = await ask(llm, (*prompt(style), Message("user", "Hello?")))
            found = await score(llm, style, options.runs)
            print(
                f"| {model} | {style} | {temperature:g} | {found.right}/{found.asked} |"
                f" {found.call_right}/{found.call_asked} | {found.words:.1f} |"
                f" {cold.first_token_ms:.0f} | {found.first_token_ms:.0f} |"
                f" {load_s:.1f} | {resident_mb(llm.worker.pid):.0f} |",
                flush=True,
            )
            for question, answer in found.wrong if options.show else ():
                print(f"    {question!r}: {answer!r}")
    finally:
        await llm.stop()


class Options(NamedTuple):
    runs: int
    threads: int
    show: bool


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["smollm2-135m", "gemma3-270m"])
    parser.add_argument("--styles", nargs="+", choices=STYLES, default=list(STYLES))
    parser.add_argument("--temperatures", nargs="+", type=float, default=[0.0, 0.3])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print the wrong answers")
    given = parser.parse_args()
    options = Options(given.runs, given.threads, given.show)
    print(
        "| model | prompt | temperature | right | right in calls | words | cold ms | warm ms |",
        end="",
    )
    print(" load s | MB |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for model in given.models:
        for temperature in given.temperatures:
            await measure(model, temperature, given.styles, options)


if __name__ == "__main__":
    asyncio.run(main())
