"""No dead air: fillers while the answer takes long, backchannels while the caller does."""

import pytest

from tests.support.machine_driver import Driver
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmText
from voicecore.providers.stt import SttInterim
from voicecore.providers.words import Word, spread_words
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.settings import (
    BackchannelPolicy,
    FillerPolicy,
    PreemptivePolicy,
    TurnSettings,
)

PHRASES = ("Let me see.", "Just a second.")
LENGTH_MS = 600


def waiting(**settings: object) -> tuple[Driver, int]:
    """The caller has spoken, and the model takes its time."""
    filler = FillerPolicy(after_ms=2000, phrases=PHRASES)
    call = Driver(TurnSettings(filler=filler, **settings))  # type: ignore[arg-type]
    return call, call.caller_turn("What are your hours?")


def plays(call: Driver) -> None:
    """The filler that was asked for last is in the cache."""
    said = call.last(out.SayFiller)
    words = spread_words(said.text, 0, LENGTH_MS)
    call.send(inputs.FillerPlays(said.reply, said.text, LENGTH_MS, words))
    call.send(inputs.ReplyStarted(said.reply, call.now_ms))


def speech(call: Driver, reply: int, text: str) -> None:
    duration_ms = 100 * len(text.split())
    call.send(inputs.WordsCame(reply, spread_words(text, 0, duration_ms)))
    call.send(inputs.AudioCame(reply, duration_ms))


class TestFillers:
    def test_said_after_the_silence_and_again_but_not_the_same(self) -> None:
        call, reply = waiting()
        stopped_ms = call.events("speech_stopped")[0]["at_ms"]
        call.pass_ms(stopped_ms + 1999 - call.now_ms)
        assert not call.of(out.SayFiller)
        call.pass_ms(1)
        assert call.of(out.SayFiller) == [out.SayFiller(reply, PHRASES[0])]
        plays(call)
        call.pass_ms(LENGTH_MS + 1999)
        assert len(call.of(out.SayFiller)) == 1
        call.heard_ms[reply] = LENGTH_MS
        call.pass_ms(1)
        assert [each.text for each in call.of(out.SayFiller)] == list(PHRASES)

    def test_not_where_the_answer_was_spoken_beforehand(self) -> None:
        """The silence is long enough already when the turn is decided."""
        preemptive = PreemptivePolicy(enabled=True, voice=True)
        filler = FillerPolicy(after_ms=100, phrases=PHRASES)
        call = Driver(TurnSettings(filler=filler, preemptive=preemptive))
        call.caller_says("What are your hours?")
        call.send(inputs.Thought(1, LlmText("From nine to five. On Sunday ")))
        while out.UseDraft(1) not in call.outputs:
            call.pass_ms(10)
            assert call.now_ms < 10_000
        assert not call.of(out.SayFiller), "its speech is there in a moment"

    def test_what_is_less_than_a_frame_is_never_played_and_not_waited_for(self) -> None:
        call, reply = waiting()
        call.model_says(reply, "One moment please now. And ", done=False)
        call.send(inputs.AudioCame(reply, 1229))
        call.heard_ms[reply] = 1220
        call.pass_ms(4000)
        assert call.of(out.SayFiller)

    def test_gives_way_after_the_word(self) -> None:
        """Three words of 600 ms, the second of which ends at 360."""
        call, reply = waiting()
        call.pass_ms(2000)
        plays(call)
        second = spread_words(PHRASES[0], 0, LENGTH_MS)[1]
        call.pass_ms(250)
        call.heard_ms[reply] = second.end_ms - 110
        call.model_says(reply, "From nine to five.", done=False)
        assert not call.of(out.ShortenReply), "nothing is there to be heard yet"
        speech(call, reply, "From nine to five.")
        to_ms = -(-second.end_ms // 20) * 20
        assert call.outputs[-3:] == [
            out.PauseReply(reply),
            out.ShortenReply(reply, to_ms),
            out.ResumeReply(reply, second.end_ms - 110),
        ]
        call.model_says(reply, "")
        call.send(inputs.SpeechDone(reply))
        call.send(inputs.ReplyPlayed(reply, to_ms + 400))
        turn = call.events("agent_turn")[-1]
        assert turn["heard_text"] == "Let me From nine to five."
        assert [word.start_ms for word in turn["words"]][2] == to_ms
        assert call.history.messages()[-1].text == "Let me From nine to five."

    def test_one_that_was_over_is_left_alone(self) -> None:
        call, reply = waiting()
        call.pass_ms(2000)
        plays(call)
        call.pass_ms(900)
        call.heard_ms[reply] = LENGTH_MS
        call.model_says(reply, "From nine to five.", done=False)
        speech(call, reply, "From nine to five.")
        assert not call.of(out.ShortenReply)
        latency = call.machine._speaker.reply.latency  # type: ignore[union-attr]
        assert latency.between_ms("filler", "first_byte") == 900

    def test_not_while_keys_are_awaited(self) -> None:
        call, reply = waiting()
        call.model_calls(reply, "collect_digits", '{"count": 2, "timeout_s": 6}')
        call.pass_ms(5900)
        assert not call.of(out.SayFiller), "it is the caller who takes their time"
        call.pass_ms(4000)
        assert call.of(out.SayFiller), "now the model does"

    def test_not_while_audio_plays(self) -> None:
        call, reply = waiting()
        call.model_says(reply, "One moment please now. And ", done=False)
        speech(call, reply, "One moment please now.")
        call.pass_ms(2300)
        assert not call.of(out.SayFiller), "400 ms were played, then 2000 have to pass"
        call.heard_ms[reply] = 400
        call.pass_ms(400)
        assert len(call.of(out.SayFiller)) == 1

    def test_in_the_midst_of_a_reply(self) -> None:
        call, reply = waiting()
        call.model_says(reply, "One moment please now. And ", done=False)
        speech(call, reply, "One moment please now.")
        call.heard_ms[reply] = 400
        call.pass_ms(2400)
        plays(call)
        call.heard_ms[reply] = 1000
        call.model_says(reply, "here it is.")
        call.send(inputs.WordsCame(reply, (Word("And", 400, 500), Word("here", 500, 600))))
        call.send(inputs.AudioCame(reply, 400))
        call.send(inputs.StreamClosed("caller_hangup"))
        turn = call.events("agent_turn")[-1]
        assert turn["text"] == "One moment please now. Let me see. And here it is."
        assert turn["heard_text"] == "One moment please now. Let me see."
        assert [(w.text, w.start_ms) for w in turn["words"]][7:9] == [("And", 1000), ("here", 1100)]

    def test_not_into_what_the_caller_says(self) -> None:
        call, _ = waiting()
        call.pass_ms(200)
        call.send(inputs.SpeechStarted(call.now_ms))
        call.pass_ms(3000)
        assert not call.of(out.SayFiller)
        call.send(inputs.SpeechStopped(call.now_ms))
        call.pass_ms(500)
        assert call.of(out.SayFiller)

    def test_one_that_is_not_in_the_cache_is_missing_and_nothing_else(self) -> None:
        call, reply = waiting()
        call.pass_ms(4000)
        assert len(call.of(out.SayFiller)) >= 1
        call.full_reply(reply, "From nine to five.")
        assert call.events("agent_turn")[-1]["text"] == "From nine to five."

    def test_a_voice_that_fails_after_it_is_tried_again(self) -> None:
        call, reply = waiting()
        call.pass_ms(2000)
        plays(call)
        call.model_says(reply, "From nine to five.")
        call.send(inputs.SpeechFailed(reply, VendorError("x", "stalled", "", retryable=True)))
        assert out.RestartVoice(reply) in call.outputs

    @pytest.mark.parametrize("policy", [FillerPolicy(0, PHRASES), FillerPolicy(2000, ())])
    def test_can_be_off(self, policy: FillerPolicy) -> None:
        call = Driver(TurnSettings(filler=policy))
        call.caller_turn("What are your hours?")
        call.pass_ms(7000)
        assert not call.of(out.SayFiller)


def pause(call: Driver, text: str, for_ms: int) -> None:
    call.send(inputs.SpeechStarted(call.now_ms))
    call.pass_ms(for_ms)
    call.send(inputs.Heard(SttInterim(text)))
    call.caller_stops()


class TestBackchannels:
    def driver(self) -> Driver:
        policy = BackchannelPolicy(after_ms=5000, phrases=("Mm-hm.", "Okay."))
        return Driver(TurnSettings(backchannel=policy))

    def test_in_a_pause_of_a_caller_who_talks_at_length(self) -> None:
        call = self.driver()
        pause(call, "well I was on my way and", 3000)
        assert not call.of(out.SayPhrase)
        pause(call, "well I was on my way and then the", 3000)
        assert [each.text for each in call.of(out.SayPhrase)] == ["Mm-hm."]
        call.reply_plays(1)
        pause(call, "well I was on my way and then the car and", 1000)
        assert len(call.of(out.SayPhrase)) == 1
        pause(call, "well I was on my way and then the car and the", 4000)
        assert [each.text for each in call.of(out.SayPhrase)] == ["Mm-hm.", "Okay."]

    def test_the_turn_goes_on_and_the_model_is_not_told(self) -> None:
        call = self.driver()
        pause(call, "well I was on my way and", 6000)
        call.voice_speaks(1)
        call.caller_says("Well I was on my way and it broke.", for_ms=2000)
        call.send(inputs.ReplyPlayed(1, 100))
        call.pass_ms(2000)
        assert call.events("agent_turn")[0]["kind"] == "backchannel"
        assert not call.of(out.PauseReply)
        turn = call.events("caller_turn")[0]
        assert turn["text"] == "Well I was on my way and it broke."
        assert [m.role for m in call.last(out.StartLlm).request.messages] == ["system", "user"]

    def test_not_when_the_caller_has_probably_finished(self) -> None:
        call = self.driver()
        pause(call, "My car broke down on the motorway.", 6000)
        assert not call.of(out.SayPhrase)
