import pytest
from llmos.kernel.errors import BadInput, Storage
from llmos.memory.faults import Full
from llmos.memory.remembering import Forgetting, Remembering
from llmos.syscalls.api import Passage

NOTES = [Passage(text=f"the kettle number {n} is red", key=str(n), tags=[f"t{n % 2}"]) for n in range(120)]


async def test_what_is_remembered_is_found_with_where_from_and_why(bench):
    async def main(sys):
        await sys.remember([Passage(text="the kettle is red", title="Kettle", source="kitchen.md", tags=["tea"])], "a")
        await sys.remember(NOTES, "b")
        (hit,) = await sys.recall("which kettle is red?", collection=None, tags=["tea"])
        assert (hit.collection, hit.source, hit.words) == ("a", "kitchen.md", ["kettl", "red"])
        assert hit.why["keyword"] == 1
        assert hit.why["similarity"] > 0
        assert await sys.recall("kettle", collection=None, since=hit.created + 1000) == []
        assert len(await sys.recall("kettle", collection="b", any_tags=["t1"], k=200, diversity=0.5)) == 60
        with pytest.raises(BadInput, match="diversity"):
            await sys.recall("kettle", diversity=2)
        return await sys.forget(collection="b"), await sys.forget(collection="b"), len(await sys.recall("red", k=9))

    assert await bench.run(main) == (120, 0, 0)


@pytest.mark.parametrize("kind", [Remembering, Forgetting])
async def test_a_change_is_there_exactly_if_the_outcome_is(bench, monkeypatch, kind):
    store = bench.machine.parts.recall
    place = {"owner": "me", "app": "test"}

    async def main(sys):
        await sys.remember(NOTES[:60])
        write = kind.write

        def written_and_then_full(change, connection):
            write(change, connection)
            raise Full("no room")

        with monkeypatch.context() as broken:
            broken.setattr(kind, "write", written_and_then_full)
            with pytest.raises(Storage, match="no room"):
                await (sys.remember(NOTES[60:]) if kind is Remembering else sys.forget())
        assert store.count(**place) == 60
        await sys.remember(NOTES)
        return await sys.forget()

    assert await bench.run(main) == 120
    await bench.machine.worker(store.sync)
    assert bench.machine.parts.database.rows("SELECT count(*) FROM passages") == [(0,)]
