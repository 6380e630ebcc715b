"""The live page: a Gradio page with one canvas, fed over a web socket on the same port.

page.py        the page, the port, the share link, the blocking `serve`
socket.py      who is let in, and what all viewers share
viewer.py      one viewer's connection: newest picture only, one in flight
guest.py       a viewer's own camera
stage.py       the shared camera: opened, stopped and exchanged from the page
pictures.py    one camera's newest picture, drawn and encoded once for all who watch it
messages.py    records -> JSON
access.py      who may connect, and who may choose a source
live.html, live.js, style.css, icon.svg

Importing it takes seconds, because Gradio does; only `demo` and `live` do so.
"""

from realtime.ui.page import LivePage, SourceChoices, open_page, serve

__all__ = ["LivePage", "SourceChoices", "open_page", "serve"]
