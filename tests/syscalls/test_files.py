"""The calls `file.*` through the whole machine: a change is on disk with the outcome of its call, or not at all."""

import pytest
from llmos.kernel.errors import BadInput, NotFound, Storage
from llmos.memory.faults import Full
from llmos.memory.files import FileStore, FileTree
from llmos.syscalls.api import Denied


async def test_files_have_versions_names_and_tags(bench):
    async def main(sys):
        await sys.write("a.txt", "one\n", label="trusted")
        await sys.write("a.txt", "two\n", append=True)
        await sys.tag("a.txt", ["x", "y"], ["y"])
        await sys.delete("a.txt")
        await sys.rollback("a.txt", 1)
        await sys.rename("a.txt", "d/b.txt")
        (entry,) = await sys.files()
        return entry, await sys.versions("d/b.txt"), await sys.read("d/b.txt"), await sys.read("d/b.txt", version=2)

    process = bench.start(main)
    await process.ended.wait()
    entry, versions, now, second = process.result
    assert (entry.path, entry.version, entry.label, entry.tags) == ("d/b.txt", 4, "trusted", ["x"])
    assert [(v.number, v.bytes, v.label) for v in versions] == [
        (1, 4, "trusted"), (2, 8, "untrusted"), (3, None, "untrusted"), (4, 4, "trusted"),
    ]  # fmt: skip
    assert {v.pid for v in versions} == {process.pid}
    assert (now, second) == ("one\n", "one\ntwo\n")


async def test_files_are_found_by_what_they_are_about(bench):
    async def main(sys):
        await sys.write("q3.txt", "This quarter many parcels arrived late.")
        await sys.write("hats.txt", "Hats of felt.")
        return [hit.path for hit in await sys.find("the report about the late parcels", k=1)]

    assert await bench.run(main) == ["q3.txt"]


async def test_a_file_belongs_to_its_owner_and_app(bench):
    async def write(sys):
        await sys.write("a.txt", "mine")

    async def look(sys):
        return [entry.path for entry in await sys.files()], [hit.path for hit in await sys.find("mine")]

    await bench.run(write, app="one", owner="ann")
    assert await bench.run(look, app="two", owner="ann") == ([], [])
    assert await bench.run(look, app="one", owner="bob") == ([], [])
    assert await bench.run(look, app="one", owner="ann") == (["a.txt"], ["a.txt"])
    tree = FileTree(bench.machine.parts.files, "ann")
    assert [entry.path for entry in tree.entries()] == ["one/a.txt"]


async def test_what_cannot_be_done_is_an_error_and_the_process_goes_on(bench):
    async def main(sys):
        await sys.write("a.txt", "x")
        faults = []
        for call in (
            lambda: sys.read("nothing"), lambda: sys.delete("nothing"), lambda: sys.rename("a.txt", "../b"),
            lambda: sys.rollback("a.txt", 9), lambda: sys.write("a.txt/b", "x"), lambda: sys.tag("nothing", ["x"]),
        ):  # fmt: skip
            try:
                await call()
            except BadInput as fault:
                faults.append(type(fault))
        return faults, await sys.read("a.txt")

    assert await bench.run(main) == ([NotFound, NotFound, BadInput, NotFound, BadInput, NotFound], "x")


async def test_a_change_whose_outcome_cannot_be_written_is_not_made(bench, monkeypatch):
    async def main(sys):
        await sys.write("a.txt", "before")
        records = bench.machine.parts.records

        def full(*args, **named):
            def write(connection):
                raise Full("the disk is full")

            return write

        with monkeypatch.context() as broken:
            broken.setattr(records, "using", full)
            with pytest.raises(Storage):
                await sys.write("a.txt", "after")
        return await sys.read("a.txt"), len(await sys.versions("a.txt"))

    assert await bench.run(main) == ("before", 1)


async def test_the_rights_to_read_and_to_write_are_two(bench):
    async def main(sys):
        for call in (
            sys.rename("a", "b"), sys.rollback("a", 1), sys.tag("a", ["x"]), sys.write("a", "x"), sys.delete("a"),
        ):  # fmt: skip
            with pytest.raises(Denied):
                await call
        return await sys.find("x"), await sys.files()

    assert await bench.run(main, rights=("files:read",)) == ([], [])


async def test_files_of_an_older_llmos_are_there_at_the_first_start(home, boot_with):
    folder = home.files / "me" / "test"
    folder.mkdir(parents=True)
    (folder / "old.txt").write_text("from before")
    bench = await boot_with()
    assert await bench.run(lambda sys: sys.read("old.txt")) == "from before"
    assert not home.files.exists()


async def test_an_owner_has_a_quota(bench):
    parts = bench.machine.parts
    parts.files = FileStore(parts.database, quota=1000)

    async def main(sys):
        await sys.write("a", "x" * 600)
        with pytest.raises(Storage, match="fit"):
            await sys.write("b", "y" * 600)
        await sys.delete("a")
        await sys.write("b", "y" * 600)
        return [entry.path for entry in await sys.files()]

    assert await bench.run(main) == ["b"]
    parts.files.sweep()
