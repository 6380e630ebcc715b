"""What a viewer is told after a command that was refused."""

from tests.realtime.broadcast import CLIP, dial, fake_page, hear, plain, say, see
from tests.realtime.scene import event


def test_events_are_not_told_again_after_a_refusal() -> None:
    with fake_page() as (page, session), dial(page.url) as socket:
        hear(socket, "state")
        session.show(plain(3.0), event(start=1.0))
        head, _ = see(socket)
        assert [told["number"] for told in head["events"]] == [1]
        say(socket, "drawn")
        session.recorded = {CLIP}
        for refused in ({"kind": "demo"}, {"kind": "url", "value": "nonsense"}):
            say(socket, "start", **refused)
            hear(socket, "notice")
        say(socket, "stop")
        assert "is being recorded" in hear(socket, "notice")["text"]
        session.show(plain(4.0))
        head, _ = see(socket)
        assert head["events"] == []
        session.recorded = set()
