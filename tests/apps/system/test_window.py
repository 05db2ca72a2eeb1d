"""The window of a process, drawn."""

import json

import pytest
from llmos.apps.system.window import Window, context
from llmos.kernel.errors import BadInput
from rich.console import Console


def drawn(view, width=100) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(Window(view))
    return capture.get().splitlines()


async def filled(bench):
    """The view of a process whose window has been full, while it lives."""
    views = []

    async def main(sys):
        await sys.add("Be brief.", role="system", kind="system")
        await sys.add("The aunt keeps llamas.\x1b[31m")
        for number in range(30):
            await sys.add(f"On day {number} there was little to tell, and the tram was late once more, as always.")
        await sys.fetch("p2")
        views.append(context(next(iter(bench.machine.table))))

    await bench.run(main)
    return views[0]


async def test_a_bar_by_kind_then_the_pages_in_order_then_what_is_out(boot_with):
    bench = await boot_with(window=2048)
    view = await filled(bench)
    lines = drawn(view)
    assert lines[0].startswith(f"{view['used']} of 2048 tokens, policy recency, 1 faults")
    bar, legend = lines[1], lines[2]
    assert len(bar) == 72
    free = round(72 * (2048 - view["used"]) / 2048)
    assert abs(bar.count("·") - free) <= 1
    for kind in ("system", "stubs", "dialogue", "recalled", "free"):
        assert f" {kind} " in legend
    rows = [line.split()[0] for line in lines[5:] if line.startswith("p")]
    resident = [page["handle"] for page in view["pages"] if page["resident"]]
    assert rows[: len(resident)] == resident
    assert resident[-1] == "p2"
    assert any(line.startswith(f"{view['out']} out of sight, the last 10") for line in lines)
    assert "\x1b" not in "".join(lines)
    assert json.loads(json.dumps(view)) == view


@pytest.mark.parametrize("width", [40, 80, 200])
async def test_each_page_has_one_line_where_there_is_room(boot_with, width):
    bench = await boot_with(window=2048)
    view = await filled(bench)
    lines = drawn(view, width)
    assert all(len(line) <= width for line in lines)
    if width >= 80:
        shown = sum(page["resident"] for page in view["pages"]) + 10
        assert len(lines) <= shown + 10


async def test_an_ended_process_has_no_window(bench):
    process = bench.start(lambda sys: sys.now())
    await process.ended.wait()
    with pytest.raises(BadInput, match="has ended"):
        context(process)
