"""How many windows are cut into the batch sizes that a plan was compiled for."""


def cut(num_windows: int, batches: tuple[int, ...]) -> list[tuple[range, int]]:
    """Which rows run in which compiled batch size; the sizes ascend.

    A larger batch with a few idle rows is faster than several small ones, so the smallest size that
    holds what is left is taken if at least half of it is used, else the largest that is filled.
    """
    parts: list[tuple[range, int]] = []
    start = 0
    while (left := num_windows - start) > 0:
        holding = next((b for b in batches if b >= left), None)
        filled = max((b for b in batches if b <= left), default=None)
        if holding is not None and (filled is None or holding <= 2 * left):
            batch = holding
        else:
            assert filled is not None  # neither larger nor smaller: there would be no sizes
            batch = filled
        rows = range(start, min(start + batch, num_windows))
        parts.append((rows, batch))
        start = rows.stop
    return parts
