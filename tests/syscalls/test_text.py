"""Text, through `Sys` on a machine with the scripted engine."""

import asyncio
from decimal import Decimal
from threading import Event

import pytest
from llmos.kernel.errors import BadInput, LimitExceeded, Unavailable
from llmos.syscalls import calls as c
from pydantic import BaseModel, field_validator


class Order(BaseModel):
    item: str
    count: int

    @field_validator("count")
    @classmethod
    def _positive(cls, count: int) -> int:
        if count < 1:
            raise ValueError("at least one")
        return count


async def test_what_is_extracted_has_been_validated(boot_with):
    bench = await boot_with(lambda prompt: '{"item":"boots","count":2}')
    assert await bench.run(lambda sys: sys.extract(Order, "two boots")) == Order(item="boots", count=2)


async def test_what_no_grammar_can_promise_is_an_error_in_one_line(boot_with):
    bench = await boot_with(lambda prompt: '{"item":"boots","count":0}')
    with pytest.raises(BadInput) as caught:
        await bench.run(lambda sys: sys.extract(Order, "no boots"))
    assert "count" in caught.value.message
    assert "\n" not in str(caught.value)


async def test_an_extraction_that_does_not_fit_says_so(boot_with):
    bench = await boot_with(lambda prompt: '{"item":"boots","count":2}')
    with pytest.raises(LimitExceeded, match="did not fit"):
        await bench.run(lambda sys: sys.extract(Order, "two boots", max_tokens=5))


async def test_the_likeliest_option_is_chosen(boot_with):
    bench = await boot_with(lambda prompt: "no, never")
    chosen = await bench.run(lambda sys: sys.choose(["yes", "no", "maybe"], "Shall we?"))
    assert (chosen.option, chosen.index, len(chosen.scores)) == ("no", 1, 3)
    assert chosen.scores[1] == max(chosen.scores)


async def test_an_empty_option_is_refused(bench):
    with pytest.raises(BadInput):
        await bench.run(lambda sys: sys.choose(["yes", ""], "Shall we?"))


async def test_vectors_come_at_unit_length(bench):
    embedded = await bench.run(lambda sys: sys.embed(["boots", "a tent in the rain"]))
    assert [round(sum(x * x for x in vector), 4) for vector in embedded.vectors] == [1.0, 1.0]


async def test_texts_are_counted_one_by_one_or_all_at_once(bench):
    async def main(sys):
        texts = ["one", "three words here", ""]
        return [(await sys.count(text)).tokens for text in texts], await sys.count_each(texts)

    single, each = await bench.run(main)
    assert single == each == [3, 16, 0]


async def test_a_seed_comes_from_the_process_alone(boot_with):
    bench = await boot_with()
    seeds, sampler = [], bench.engine.sampler
    bench.engine.sampler = lambda sampling, constraint=None: (
        seeds.append(sampling.seed) or sampler(sampling, constraint)
    )

    async def main(sys):
        async def chatter():
            for done in range(20):
                await sys.progress(done, 20)

        await asyncio.gather(chatter(), *(sys.generate(f"number {i}", temperature=1.0) for i in range(3)))

    found = []
    for _ in range(3):
        seeds.clear()
        await bench.run(main)
        found.append(list(seeds))
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 3


@pytest.mark.parametrize("value", [object(), {1, 2}, Decimal])
async def test_a_tool_that_gives_no_plain_value_is_an_error_of_the_tool(bench, value):
    def odd() -> object:
        """Give something odd."""
        return value

    bench.tools.add(odd)

    async def main(sys):
        return await sys.tool("odd")

    process = bench.start(main)
    await asyncio.wait_for(process.ended.wait(), 10)
    if isinstance(value, set):  # written as a list
        assert process.error is None
    else:
        assert process.error.code == "app_failed"
        [entry] = bench.machine.parts.journal.entries(process.pid)
        assert entry.ok is False


async def test_tools_that_hang_leave_the_others_their_threads(bench):
    over = Event()

    def hang() -> None:
        """Wait."""
        over.wait(20)

    def quick() -> str:
        """Do not."""
        return "done"

    bench.tools.add(hang)
    bench.tools.add(quick)

    async def main(sys):
        await asyncio.gather(*(sys.tool("hang", timeout=0.01) for _ in range(12)), return_exceptions=True)
        with pytest.raises(Unavailable):
            await sys.tool("hang")

    await bench.run(main)
    assert await bench.run(lambda sys: sys.tool("quick")) == "done"
    over.set()


async def test_memory_files_and_pages_through_the_same_face(bench):
    async def main(sys):
        await sys.remember([c.Passage(text="the shop opens at nine")], collection="a")
        await sys.remember([c.Passage(text=f"note {i}") for i in range(c.PORTION + 5)], collection="b")
        found = [hit.text for hit in await sys.recall("when does the shop open", collection="a")]
        gone = await sys.forget(collection="a"), await sys.forget(collection="b")
        await sys.write("notes/a.txt", "one\ntwo words\n")
        lines = [(line.path, line.line) for line in await sys.search("two")]
        await sys.delete("notes/a.txt")
        page = await sys.add("a page")
        back = await sys.fetch(page.handle)
        await sys.drop(page.handle)
        return found, gone, lines, await sys.files(), back.resident

    found, gone, lines, files, resident = await bench.run(main)
    assert found == ["the shop opens at nine"]
    assert gone == (1, c.PORTION + 5)
    assert (lines, files, resident) == ([("notes/a.txt", 2)], [], True)
