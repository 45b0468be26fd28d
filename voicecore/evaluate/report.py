"""``report.html``: an evaluation to look at. One page without scripts and without the network;
pictures lie in a folder beside it, sound is played from where the calls left it.
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from voicecore.evaluate.pictures import PicturesUnavailable, draw_call, pictures_available
from voicecore.evaluate.report_page import Media, Picture, page
from voicecore.evaluate.results import Results, SceneResult, read_results

REPORT = "report.html"
PICTURES = "pictures"
MOST_GOOD_PICTURES = 48
"""Calls without a fault that are drawn: a picture takes about a second. All others are."""
CURVE = PurePosixPath("pauses/curve.png")


def write_report(out_dir: Path) -> Path:
    """Draw the calls and write the page, from ``results.json`` and what it names. Where
    matplotlib is missing there are no pictures, and the page says how to get it.

    :raises msgspec.DecodeError, OSError: there are no results, or nothing can be written."""
    results = read_results(out_dir)
    drawn = _draw(out_dir, results)
    media = {
        scene.id: Media(drawn.get(number), _sound(out_dir, scene))
        for number, scene in enumerate(results.scenes)
    }
    html = page(results, media, curve=_picture(out_dir, CURVE), has_pictures=pictures_available())
    path = out_dir / REPORT
    path.write_text(html, "utf-8")
    return path


def worth_drawing(scenes: Sequence[SceneResult], most_good: int) -> list[int]:
    """The places of the scenes that get a picture: everything that went wrong or could not be
    judged, and of the rest as many of each group in turn as there is room for."""
    chosen = [place for place, scene in enumerate(scenes) if scene.passed is not True]
    good: dict[str, list[int]] = {}
    for place, scene in enumerate(scenes):
        if scene.passed is True:
            good.setdefault(scene.group, []).append(place)
    room = most_good
    while room > 0 and any(good.values()):
        for places in good.values():
            if places and room > 0:
                chosen.append(places.pop(0))
                room -= 1
    return sorted(chosen)


def _draw(out_dir: Path, results: Results) -> Mapping[int, Picture]:
    made: dict[int, Picture] = {}
    for place in worth_drawing(results.scenes, MOST_GOOD_PICTURES):
        scene = results.scenes[place]
        call_dir = inside(out_dir, scene.call_dir)
        if call_dir is None or not call_dir.is_dir():
            continue
        # The scene's id may be anything; its place in the results is a safe name.
        name = PurePosixPath(PICTURES) / f"{place + 1:03}.png"
        wav = inside(out_dir, scene.phone_wav)
        title = f"{scene.id}: {scene.title}"
        try:
            draw_call(call_dir, wav, out_dir / name, title, scene.judged)
        except PicturesUnavailable:
            return {}
        picture = _picture(out_dir, name)
        if picture is not None:
            made[place] = picture
    return made


def inside(out_dir: Path, relative: str) -> Path | None:
    """A path that results name, if it lies below their directory."""
    if not relative or "\0" in relative:
        return None
    path = (out_dir / relative).resolve()
    return path if path.is_relative_to(out_dir.resolve()) else None


def _sound(out_dir: Path, scene: SceneResult) -> str | None:
    """The call's sound as a relative URL: the phone's, else the server's recording."""
    for relative in (scene.phone_wav, f"{scene.call_dir}/recording.wav"):
        path = inside(out_dir, relative)
        if path is not None and path.is_file():
            return quote(path.relative_to(out_dir.resolve()).as_posix())
    return None


def _picture(out_dir: Path, name: PurePosixPath) -> Picture | None:
    try:
        with (out_dir / name).open("rb") as file:
            head = file.read(24)
    except OSError:
        return None
    if len(head) < 24 or not head.startswith(b"\x89PNG"):
        return None
    width, height = struct.unpack(">II", head[16:24])
    return Picture(quote(str(name)), width, height)
