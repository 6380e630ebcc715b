"""Cameras in, snapshots out.

Source -> Perceiver -> ObservationBuffer -> Window -> Engine -> Decider -> Snapshot -> overlay, page
and sinks. `pipeline.analyze` is the offline loop, `session.LiveSession` the live one, built from
the same parts. Nothing here imports torch.
"""
