"""Command line: `python -m realtime demo | analyze | live | cameras`."""

import argparse
import dataclasses
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_type_hints

from engines.errors import TellsError
from engines.unread import open_streams, to_nowhere
from realtime.config import Config, load_config
from realtime.errors import ConfigError
from realtime.log_lines import LogLines

if TYPE_CHECKING:
    from realtime.sources import CameraInfo

ASSETS = Path(__file__).parents[1] / "assets"
DEMO_BUNDLE = ASSETS / "demo"
DEMO_CLIP = ASSETS / "demo.mp4"
DEMO_TRUTH = ASSETS / "demo_truth.csv"
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 = done (Ctrl-C is how `live` and `demo` end), 1 = nobody reads what it prints, 2 = one
        line on stderr says what was wrong, 130 = Ctrl-C came before it was done.
    """
    open_streams()
    code = 0
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads any more: what is left goes nowhere, or Python would say so at its end.
        to_nowhere(1)
        code = code or 1
    return code


def _run(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    handler = LogLines()
    if not args.verbose:
        # Libraries tell their life at INFO and their worries at WARNING; both are for developers.
        handler.addFilter(lambda r: r.name.startswith(("engines", "realtime")))
    level = logging.DEBUG if args.verbose else logging.WARNING
    form = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(level=level, format=form, handlers=[handler])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(args.run(args) or 0)
    except TellsError as error:
        from realtime.sources.uri import redact_arguments

        print(f"tells: {redact_arguments(str(error), argv)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """Guesses no flags, and repeats no password of an address that stands where it cannot."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Say on stderr what is wrong, and exit with code 2."""
        from realtime.sources.uri import redact_text

        super().error(redact_text(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m realtime",
        description="Micro-gestures and emotion, live from any camera or out of a clip.",
    )
    parser.add_argument("--verbose", action="store_true", help="log everything, to stderr")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="the page, on the bundled clip or a camera")
    demo.add_argument(
        "--source", dest="sources", nargs=1, default=[str(DEMO_CLIP)], metavar="URI",
        help="webcam index, file or URL (default: a clip)",
    )  # fmt: skip
    _add_page(demo)
    _add_common(demo)
    demo.set_defaults(run=_live, headless=False, duration=None, out=None, has_video=True)

    live = commands.add_parser("live", help="a camera, with the page or headless")
    live.add_argument(
        "--source", dest="sources", action="append", default=[], metavar="URI",
        help="webcam index, file, RTSP or HTTP URL; repeatable",
    )  # fmt: skip
    live.add_argument("--headless", action="store_true", help="no page: events on the terminal")
    live.add_argument("--duration", type=float, metavar="S", help="end after so many seconds")
    live.add_argument("--out", type=Path, metavar="DIR", help="record --source as `analyze` does")
    _add_no_video(live)
    _add_page(live)
    _add_common(live)
    live.set_defaults(run=_live)

    analyze = commands.add_parser("analyze", help="a clip: annotated video, events, timeline")
    analyze.add_argument("sources", nargs="+", metavar="SOURCE", help="file or URL of a video")
    analyze.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    analyze.add_argument(
        "--truth", type=Path, metavar="FILE", help="CSV of what is performed in it, to be shown"
    )
    _add_no_video(analyze)
    _add_common(analyze)
    analyze.set_defaults(run=_analyze)

    cameras = commands.add_parser("cameras", help="which webcams can be opened")
    cameras.set_defaults(run=_cameras)
    return parser


def _add_no_video(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-video", dest="has_video", action="store_false", help="keep no picture of anybody"
    )


def _add_page(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="address of the page (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=7860, help="port of the page (default: %(default)s)"
    )
    parser.add_argument("--share", action="store_true", help="a public link, with a password")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="login of the page")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle", type=Path, action="append", metavar="DIR", help="repeatable (default: demo)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, ort, cuda:0, ort-cuda:0 (default: %(default)s)"
    )
    parser.add_argument("--pose-model", type=Path, metavar="FILE", help="another .task file")
    parser.add_argument("--face-model", type=Path, metavar="FILE", help="another .tflite file")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    parser.add_argument(
        "--no-emotion", dest="emotion", action="store_const", const=False, help="gestures only"
    )
    types = get_type_hints(Config)
    for field in dataclasses.fields(Config):
        if types[field.name] is float:
            flag = "--" + field.name.replace("_", "-")
            text = f"see the README (default: {field.default})"
            parser.add_argument(flag, dest=field.name, type=float, metavar="S", help=text)


def _config(args: argparse.Namespace) -> Config:
    names = {field.name for field in dataclasses.fields(Config)} - {"sources"}  # of the file alone
    return load_config(args.config, **{name: getattr(args, name, None) for name in names})


def _common(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "bundles": args.bundle or [DEMO_BUNDLE], "config": _config(args), "device": args.device,
        "pose_model": args.pose_model, "face_model": args.face_model,
    }  # fmt: skip


def _analyze(args: argparse.Namespace) -> int:
    from realtime.runs import analyze_each

    if args.truth is not None and len(args.sources) > 1:
        raise ConfigError("--truth says what happens in one clip: name one")
    options = _common(args) | {"truth_file": args.truth, "has_video": args.has_video}
    for summary, is_whole in analyze_each(args.sources, args.out, **options):
        print(summary)
        if not is_whole:
            return INTERRUPTED
    return 0


def _live(args: argparse.Namespace) -> int:
    from realtime.live_runs import open_session, recording_beside, run_headless

    common = _common(args)
    config: Config = common["config"]
    sources = args.sources or list(config.sources.values())
    if args.duration is not None and not 0 < args.duration <= threading.TIMEOUT_MAX:
        raise ConfigError(
            f"--duration must be a positive number of seconds, {threading.TIMEOUT_MAX:.0f} at "
            f"most, got {args.duration:g}"
        )
    if not 0 <= args.port <= 65535:
        raise ConfigError(f"--port must be 0 (any) to 65535, got {args.port}")
    for flag in ("headless", "out"):
        if getattr(args, flag) and not sources:
            raise ConfigError(
                f"--{flag} needs --source: a webcam index, a file or a URL; or a --config with "
                "[sources]"
            )
    if not args.has_video and args.out is None:
        raise ConfigError("--no-video says what --out leaves out: name a folder with it")
    session = open_session(**common)
    if args.headless:
        summary, is_whole = run_headless(
            session, sources, out=args.out, duration_s=args.duration, has_video=args.has_video
        )
        if summary:
            print(summary)
        return 0 if is_whole else 2
    from realtime.truth import read_truth
    from realtime.ui import SourceChoices, serve

    choices = SourceChoices(
        initial=tuple(sources),
        names=config.names,
        demo_clip=str(DEMO_CLIP),
        demo_truth=read_truth(DEMO_TRUTH),
    )
    recorded = recording_beside(session, args.out, len(sources), has_video=args.has_video)
    with session, recorded as summaries:
        serve(
            session,
            sources=choices,
            host=args.host,
            port=args.port,
            share=args.share,
            auth=_login(args.auth),
            open_browser=not args.no_browser,
            duration_s=args.duration,
            plays_once=args.out is not None,
        )
    for summary in summaries:
        print(summary)
    return 0


def _login(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    user, separator, password = text.partition(":")
    if not (separator and user and password):
        raise ConfigError("--auth must be USER:PASSWORD, both not empty")
    return user, password


def _cameras(_: argparse.Namespace) -> None:
    from realtime.sources import list_cameras

    print_cameras(list_cameras())


def print_cameras(cameras: "Sequence[CameraInfo]") -> None:
    """One line for each webcam, its columns parted by tabs."""
    for camera in cameras:
        width, height = camera.size
        rate = "unknown rate" if camera.fps is None else f"{camera.fps:g} fps"
        print(f"{camera.uri}\t{width}x{height}\t{rate}\t{camera.name}")
    if not cameras:
        print("No webcam can be opened here: connect one, or name a file or a URL instead.")


def _end() -> NoReturn:
    """Run one command and end the process; where Ctrl-C was the end of it, without a further word.

    Graphs of MediaPipe's that were half built then know of no end and chatter on.
    """
    code = main()
    if code == INTERRUPTED and sys.stderr is not None:
        sys.stderr.flush()
        to_nowhere(2)
    sys.exit(code)


if __name__ == "__main__":
    _end()
