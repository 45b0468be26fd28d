"""Variables that are named as settings and are none are told, with what was perhaps meant."""

import pytest
import structlog

from control.configuration import reference
from control.doctor_settings import strays
from control.settings import Settings
from control.stray_settings import OTHERS, stray_settings, warn_of_strays

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("VOICECORE_PUBLIK_URL", "did you mean VOICECORE_PUBLIC_URL"),
        ("VOICECORE_DATABASE", "did you mean VOICECORE_DATABASE_URL"),
        ("voicecore_maxcalls", "did you mean VOICECORE_MAX_CALLS"),
        ("VOICECORE_OPENAI_API_KEY", "did you mean OPENAI_API_KEY"),
        ("VOICECORE_PORT", "that is the option --port"),
        ("VOICECORE_DATA_DIR", "that is the option --data-dir"),
        ("VOICECORE_COLOUR", ""),
    ],
)
def test_a_misspelt_setting_is_named(variable: str, hint: str) -> None:
    (stray,) = stray_settings({variable: SECRET, "HOME": "/root"})
    assert (stray.variable, stray.hint) == (variable, hint)
    with structlog.testing.capture_logs() as logs:
        warn_of_strays({variable: SECRET})
    (told,) = logs
    assert (told["log_level"], told["code"]) == ("warning", "unknown_setting")
    assert (told["variable"], told.get("hint", "")) == (variable, hint)
    found = strays({variable: SECRET})
    assert found.standing == "warning"
    assert variable in found.detail
    assert hint in found.advice
    assert SECRET not in repr((stray, logs, found))


def test_what_is_a_setting_is_none() -> None:
    names = [f"VOICECORE_{name.upper()}" for name in Settings.model_fields]
    others = [f"VOICECORE_{name}" for name in OTHERS]
    kubernetes = {
        "VOICECORE_SERVICE_HOST": "10.0.0.7",
        "VOICECORE_API_SERVICE_PORT_HTTP": "80",
        "VOICECORE_PORT": "tcp://10.0.0.7:80",
        "VOICECORE_PORT_80_TCP_ADDR": "10.0.0.7",
    }
    environ = dict.fromkeys([*names, *others, names[0].lower(), "PATH"], "") | kubernetes
    assert stray_settings(environ) == ()
    assert strays(environ).standing == "ok"
    assert all(name in reference() for name in names)
